// ArithmeticPeak: how many tokens a second the machine's multiply-adds would allow, if nothing else took time.
//
// All cores multiply for some milliseconds; a model's products have a known number of operations. No program reaches
// it; its share says how much of the machine a run uses. Not here: what a matrix library reaches (MatrixShapes).

import Base
import LanguageModel
import Platform
import Runs

package struct ArithmeticPeak: Sendable {
  /// Tokens per second, of sampling and of a training step.
  package let sampling: Double
  package let training: Double

  /// - Parameter path: of a model directory.
  /// - Throws: if the model's configuration cannot be read, or the threads cannot be started.
  package init?(ofModelAt path: String) throws {
    let model = try ModelDirectory(path).configuration.model
    // In float32: bfloat16 is no faster where the processor does not multiply it, and where it does the share is of
    // what float32 allows.
    guard let flops = try Ceilings.multiplyAdds(.float32, threads: Machine.coreCount) else { return nil }
    let perToken = MatrixShape.all(of: model).reduce(0) { $0 + $1.flops }
    sampling = 1e9 * flops / perToken
    // Forward once, and backward twice: the gradients of the inputs and of the weights.
    training = 1e9 * flops / (3 * perToken)
  }
}
