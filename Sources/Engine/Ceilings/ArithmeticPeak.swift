// ArithmeticPeak: how many tokens per second the machine's multiply-adds would allow if nothing else took time.
//
// It is the speed of multiply-adds on all cores, measured for some milliseconds, divided by the number of operations of
// the model's products. No program reaches it. The share that a run reaches says how much of the machine it uses.
// Not here: what a matrix library reaches (Benchmarks).

import Base
package import LanguageModel
import Platform

package struct ArithmeticPeak: Sendable {
  /// Tokens per second: in sampling, and in a training step.
  package let sampling: Double
  package let training: Double

  /// - Returns: nil if multiply-adds cannot be measured.
  /// - Throws: if the threads cannot be started.
  package init?(of model: ModelConfiguration) throws {
    // Always in float32. On processors that cannot multiply bfloat16, it is not faster. On the others, the share is
    // relative to what float32 allows.
    guard let flops = try Ceilings.multiplyAdds(.float32, threads: Machine.coreCount) else { return nil }
    let perToken = MatrixShape.all(of: model).reduce(0) { $0 + $1.flops }
    sampling = 1e9 * flops / perToken
    // One product in the forward pass, and two in the backward pass: the gradients of inputs and of weights.
    training = 1e9 * flops / (3 * perToken)
  }
}
