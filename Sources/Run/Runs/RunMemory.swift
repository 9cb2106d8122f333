// RunMemory: how much memory a run's processes need on this machine, compared with how much there is.
//
// The plan is printed when a run begins. A plan that does not fit is refused before a process starts, with the settings
// that would make it smaller. The limit is the machine's memory, or less if the process's control group or its limits
// allow less.

import Base
package import LanguageModel
import Platform
import Records
package import Settings

extension OperationSettings {
  package var keyValueBytesMax: Int { keyValueMemory == 0 ? .max : keyValueMemory << 20 }
}

/// A plan that does not fit.
package struct MemoryError: LastingError, CustomStringConvertible {
  let what: String
  let plan: MemoryPlan
  let available: Int
  let remedy: String

  package var description: String {
    "\(what) needs about \(MemoryPlan.mebibytes(plan.bytes)) of memory, but only "
      + "\(MemoryPlan.mebibytes(available)) are available:\n" + plan.text + "\n\(remedy)"
  }
}

package enum RunMemory {
  /// Sequences that one thread of a worker samples at a time.
  package static let batchRows = 256

  /// The memory of all processes that a run starts on this machine.
  ///
  /// - Parameters:
  ///   - settings: of the run. Its workers and learner ranks are those of this machine.
  ///   - ranks: the ranks of this machine, among all; nil if all are here.
  package static func plan(
    _ settings: RunSettings, model: ModelConfiguration, ranks: (here: Range<Int>, all: Int)? = nil
  ) -> MemoryPlan {
    let shape = TransformerPlan(model, type: settings.dtype)
    let workers = settings.operation.workers
    let ranks = ranks ?? (0..<settings.operation.learners, settings.operation.learners)
    let worker = worker(settings, shape)
    // The packed anchor and the deltas of the versions that are being sampled from.
    var items = [MemoryPlan.Item(name: "coordinator", bytes: MemoryPlan.slack + publishedBytes(shape))]
    if workers > 0 {
      items += worker.items.map {
        .init(name: "\(workers) worker(s), \($0.name)", bytes: $0.bytes * workers)
      }
    }
    let learners = ranks.here.map { learner(settings, shape, rank: $0, of: ranks.all) }
    for (index, item) in (learners.first?.items ?? []).enumerated() {
      let bytes = learners.reduce(0) { $0 + $1.items[index].bytes }
      if bytes > 0 { items.append(.init(name: "\(learners.count) learner rank(s), \(item.name)", bytes: bytes)) }
    }
    return MemoryPlan(items: items)
  }

  /// The memory of one learner rank.
  package static func learner(
    _ settings: RunSettings, model: ModelConfiguration, rank: Int, of ranks: Int
  ) -> MemoryPlan { learner(settings, TransformerPlan(model, type: settings.dtype), rank: rank, of: ranks) }

  private static func worker(_ settings: RunSettings, _ shape: TransformerPlan) -> MemoryPlan {
    let workers = settings.operation.workers
    let threads = settings.operation.threads(sharedBy: workers, cores: Machine.coreCount)
    let tokens = positions(settings, shape)
    let concurrent = Int(settings.method.promptsPerStep) * Int(settings.method.votes)
    let sampling = MemoryPlan.sampling(
      shape, versions: 2, threads: threads,
      batchRows: min(batchRows, max(1, concurrent / max(1, threads * max(workers, 1)))), positions: tokens,
      keyValueBytesMax: settings.operation.keyValueBytesMax)
    // The version that the next delta refers to, the new version while it is unpacked, and bundles for other workers.
    return MemoryPlan(items: sampling.items + [.init(name: "weights in transfer", bytes: 3 * publishedBytes(shape))])
  }

  private static func publishedBytes(_ shape: TransformerPlan) -> Int { shape.layout.count * shape.type.bytes }

  private static func learner(
    _ settings: RunSettings, _ shape: TransformerPlan, rank: Int, of ranks: Int
  ) -> MemoryPlan {
    let kept = settings.microBatchTokens * Backpropagation.bytesPerRow(shape)
    let training = MemoryPlan.training(
      shape, rank: rank, of: ranks, microBatchTokens: settings.microBatchTokens,
      sequenceTokens: positions(settings, shape), isExact: settings.reduction == .exact,
      recomputes: kept > activationBytesMax(ranks: ranks))
    guard settings.method.klCoefficient > 0 else { return training }
    return MemoryPlan(items: training.items + [.init(name: "policy 0", bytes: MemoryPlan.weightBytes(shape))])
  }

  /// The expected length of the longest sequence: a prompt that is as long as the longest response, within the context.
  private static func positions(_ settings: RunSettings, _ shape: TransformerPlan) -> Int {
    min(shape.configuration.maxPositions, 2 * Int(settings.maxNewTokens))
  }

  /// The most memory for a rank's activations; above it they are computed twice instead. All ranks together use at
  /// most an eighth of the memory.
  package static func activationBytesMax(ranks: Int) -> Int { Machine.memoryLimit / 8 / max(1, ranks) }

  /// - Throws: `MemoryError` if `plan` needs more than there is.
  package static func require(_ plan: MemoryPlan, for what: String, remedy: String) throws {
    let available = Machine.memoryLimit
    guard plan.bytes > available else { return }
    throw MemoryError(what: what, plan: plan, available: available, remedy: remedy)
  }

  /// How a run can be made smaller.
  package static let remedyOfRun =
    "a run needs less with fewer --workers or --learners, a smaller --micro-batch-tokens or --max-new-tokens, a "
    + "--kv-memory, --dtype bfloat16, or --reduction fast; workers can run on other machines (--workers 0)"
}
