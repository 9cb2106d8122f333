// MemoryCheck: what would not fit is refused before it is loaded.
//
// Only what is certain counts: weights, optimizer, the least that activations take. Keys and values grow with what is
// sampled and are bounded by settings. The kernel's own estimate of what is free without swapping is believed.

import Base
package import LanguageModel
import Platform

/// A model that this machine has no memory for.
package struct MemoryError: Error, Sendable, CustomStringConvertible {
  package var work: String
  package var needed: Int
  package var available: Int
  package var remedy: String

  package var description: String {
    "\(work) needs at least \(MemoryPlan.mebibytes(needed)), and \(MemoryPlan.mebibytes(available)) are available on "
      + "this machine. \(remedy)"
  }
}

package enum MemoryCheck {
  /// To sample and score with a model: its parameters as they are read, and prepared.
  ///
  /// - Throws: `MemoryError`.
  package static func sampling(_ plan: TransformerPlan) throws(MemoryError) {
    let needed = 4 * plan.layout.count + MemoryPlan.weightBytes(plan) + MemoryPlan.slack
    let remedy = plan.type == .float32 ? "Use --dtype bfloat16, or a smaller model" : "Use a smaller model"
    try require(needed, for: "loading the model", remedy)
  }

  /// To train it on this machine.
  ///
  /// - Throws: `MemoryError`.
  package static func training(
    _ plan: TransformerPlan, learners: Int, workers: Int, microBatchTokens: Int, isExact: Bool
  ) throws(MemoryError) {
    let learner = MemoryPlan.training(
      plan, microBatchTokens: microBatchTokens, sequenceTokens: 0, isExact: isExact, recomputes: true)
    // A worker holds the version it samples with, and the bytes of the next.
    let worker = MemoryPlan.weightBytes(plan) + plan.layout.count * plan.type.bytes + MemoryPlan.slack
    try require(
      learners * learner.bytes + workers * worker,
      for: "training with \(learners) learner ranks and \(workers) workers",
      "Every rank and every worker holds the whole model: lower --learners or --workers"
        + (plan.type == .float32 ? ", use --dtype bfloat16," : "") + " or --micro-batch-tokens, or use a smaller model")
  }

  private static func require(_ needed: Int, for work: String, _ remedy: String) throws(MemoryError) {
    let available = Machine.availableBytes
    guard needed > available else { return }
    throw MemoryError(work: work, needed: needed, available: available, remedy: remedy)
  }
}
