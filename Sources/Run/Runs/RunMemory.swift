// RunMemory: what a run's processes on this machine will hold, against what there is.
//
// The plan is printed when a run begins, and a plan that does not fit is refused before a process starts, with the
// settings that would make it smaller. How much there is, is the smaller of the machine's memory and what the process's
// control group and limits allow.

import Base
package import LanguageModel
import Platform
import Records
package import Settings

extension Settings {
  package var keyValueBytesMax: Int { keyValueMemory == 0 ? .max : keyValueMemory << 20 }
}

/// A plan that does not fit.
package struct MemoryError: LastingError, CustomStringConvertible {
  let what: String
  let plan: MemoryPlan
  let available: Int
  let remedy: String

  package var description: String {
    "\(what) needs about \(MemoryPlan.mebibytes(plan.bytes)) of memory, and \(MemoryPlan.mebibytes(available)) are "
      + "there:\n" + plan.text + "\n\(remedy)"
  }
}

package enum RunMemory {
  /// Of all processes that `train` starts on this machine.
  ///
  /// - Parameters:
  ///   - settings: of the run; its workers and learner ranks are those of this machine.
  ///   - model: its configuration.
  ///   - ranks: those of this machine, among all; nil: there are no others.
  package static func plan(
    _ settings: Settings, model: ModelConfiguration, ranks: (here: Range<Int>, all: Int)? = nil
  ) -> MemoryPlan {
    let shape = TransformerPlan(model, type: settings.dtype)
    let ranks = ranks ?? (0..<settings.learners, settings.learners)
    let worker = worker(settings, shape, workers: settings.workers)
    // The packed anchor and the deltas of what is being sampled from.
    var items = [MemoryPlan.Item(name: "coordinator", bytes: MemoryPlan.slack + publishedBytes(shape))]
    if settings.workers > 0 {
      items += worker.items.map {
        .init(name: "\(settings.workers) worker(s), \($0.name)", bytes: $0.bytes * settings.workers)
      }
    }
    let learners = ranks.here.map { learner(settings, shape, rank: $0, of: ranks.all) }
    for (index, item) in (learners.first?.items ?? []).enumerated() {
      let bytes = learners.reduce(0) { $0 + $1.items[index].bytes }
      if bytes > 0 { items.append(.init(name: "\(learners.count) learner rank(s), \(item.name)", bytes: bytes)) }
    }
    return MemoryPlan(items: items)
  }

  /// Of one learner rank.
  package static func learner(
    _ settings: Settings, model: ModelConfiguration, rank: Int, of ranks: Int
  ) -> MemoryPlan { learner(settings, TransformerPlan(model, type: settings.dtype), rank: rank, of: ranks) }

  private static func worker(_ settings: Settings, _ shape: TransformerPlan, workers: Int) -> MemoryPlan {
    let threads = settings.threads > 0 ? settings.threads : max(1, Machine.coreCount / max(workers, 1))
    let tokens = positions(settings, shape)
    let concurrent = Int(settings.method.promptsPerStep) * Int(settings.method.votes)
    let sampling = MemoryPlan.sampling(
      shape, versions: 2, threads: threads,
      batchRows: min(Generator.batchRowsMax, max(1, concurrent / max(1, threads * max(workers, 1)))), positions: tokens,
      keyValueBytesMax: settings.keyValueBytesMax)
    // The version that the next delta is made against, that one while it is unpacked, and packed ones for others.
    return MemoryPlan(items: sampling.items + [.init(name: "weights on their way", bytes: 3 * publishedBytes(shape))])
  }

  private static func publishedBytes(_ shape: TransformerPlan) -> Int { shape.layout.count * shape.type.bytes }

  private static func learner(
    _ settings: Settings, _ shape: TransformerPlan, rank: Int, of ranks: Int
  ) -> MemoryPlan {
    let kept = settings.microBatchTokens * Backpropagation.bytesPerRow(shape)
    let training = MemoryPlan.training(
      shape, rank: rank, of: ranks, microBatchTokens: settings.microBatchTokens,
      sequenceTokens: positions(settings, shape), isExact: settings.reduction == .exact,
      recomputes: kept > activationBytesMax(ranks: ranks))
    guard settings.method.klCoefficient > 0 else { return training }
    return MemoryPlan(items: training.items + [.init(name: "policy 0", bytes: MemoryPlan.weightBytes(shape))])
  }

  /// The longest that one sequence may be expected to get: prompts are as long as responses at most, or half the
  /// context.
  private static func positions(_ settings: Settings, _ shape: TransformerPlan) -> Int {
    min(shape.configuration.maxPositions, 2 * Int(settings.maxNewTokens))
  }

  /// What a rank's activations may take before they are computed twice instead: an eighth of the memory for all ranks.
  package static func activationBytesMax(ranks: Int) -> Int { Machine.memoryLimit / 8 / max(1, ranks) }

  /// - Throws: `MemoryError` where `plan` is more than there is.
  package static func require(_ plan: MemoryPlan, for what: String, remedy: String) throws {
    let available = Machine.memoryLimit
    guard plan.bytes > available else { return }
    throw MemoryError(what: what, plan: plan, available: available, remedy: remedy)
  }

  /// What makes a run smaller.
  package static let remedyOfRun =
    "less is taken by fewer --workers or --learners, a smaller --micro-batch-tokens or --max-new-tokens, "
    + "a --kv-memory, --dtype bfloat16, --reduction fast; workers may run on other machines (--workers 0)"
}
