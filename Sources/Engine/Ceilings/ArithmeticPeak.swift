// ArithmeticPeak: how many tokens a second the machine's multiply-adds would allow, if nothing else took time.
//
// All cores multiply for some milliseconds; a model's products have a known number of operations. No program reaches
// it; its share says how much of the machine a run uses. Not here: what a matrix library reaches (Benchmarks).

import Base
package import LanguageModel
import Platform

package struct ArithmeticPeak: Sendable {
  /// Tokens per second, of sampling and of a training step.
  package let sampling: Double
  package let training: Double

  /// - Returns: nil where multiply-adds cannot be measured.
  /// - Throws: if the threads cannot be started.
  package init?(of model: ModelConfiguration) throws {
    // In float32: bfloat16 is no faster where the processor does not multiply it, and where it does the share is of
    // what float32 allows.
    guard let flops = try Ceilings.multiplyAdds(.float32, threads: Machine.coreCount) else { return nil }
    let perToken = MatrixShape.all(of: model).reduce(0) { $0 + $1.flops }
    sampling = 1e9 * flops / perToken
    // Forward once, and backward twice: the gradients of the inputs and of the weights.
    training = 1e9 * flops / (3 * perToken)
  }
}
