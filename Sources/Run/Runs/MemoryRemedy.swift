// MemoryRemedy: which setting makes a run fit into a machine's memory.
//
// It tries one setting after the other, alone, and names the first with which the run fits, with a value as large as
// possible: one less, or a half, a quarter, … Settings that cannot change the result come first. A run that exists
// already can change only those.

import Base
import LanguageModel
import Records
import Settings

struct MemoryRemedy {
  private let memory: RunMemory
  private let isContinued: Bool

  init(of memory: RunMemory, isContinued: Bool) {
    self.memory = memory
    self.isContinued = isContinued
  }

  /// A setting that can be changed.
  private struct Change {
    /// As the user writes it, with a value.
    let words: (Int) -> String
    /// Its values, from the smallest to that of the run, without the run's.
    let values: [Int]
    let apply: (inout RunMemory, Int) -> Void

    init(_ words: @escaping (Int) -> String, _ values: [Int], _ apply: @escaping (inout RunMemory, Int) -> Void) {
      self.words = words
      self.values = values
      self.apply = apply
    }

    init(_ name: String, _ values: [Int], _ apply: @escaping (inout RunMemory, Int) -> Void) {
      self.init({ "--\(name) \($0)" }, values, apply)
    }
  }

  /// What to do, for the user.
  var text: String {
    for change in changes {
      for value in change.values.reversed() {
        var changed = memory
        change.apply(&changed, value)
        guard let found = changed.fitting else { continue }
        return "With \(change.words(value)) it fits: about \(MemoryPlan.mebibytes(found.plan.bytes))."
      }
    }
    return together
  }

  /// No setting is enough alone: all of them, each with its smallest value.
  private var together: String {
    var changed = memory
    var words: [String] = []
    for change in changes {
      guard let least = change.values.first else { continue }
      change.apply(&changed, least)
      words.append(change.words(least))
    }
    let needed = MemoryPlan.mebibytes(changed.least.bytes)
    let all = words.joined(separator: " ")
    if changed.fitting != nil { return "No setting is enough alone; together these are: \(all) (about \(needed))." }
    let least = words.isEmpty ? "" : "With \(all) it still needs about \(needed). "
    return "No setting makes it fit. \(least)Use a machine with more memory, or a smaller model."
  }

  private var changes: [Change] { operation + (isContinued ? [] : result) }

  /// Settings that cannot change the result.
  private var operation: [Change] {
    let settings = memory.settings
    let hosts = settings.operation.hosts
    func words(_ name: String) -> (Int) -> String {
      { hosts.isEmpty ? "--\(name) \($0)" : "\(name)=\($0) for this machine in \(hosts)" }
    }
    var changes: [Change] = []
    if settings.operation.keyValueMemory > 0 {
      var free = memory
      free.settings.operation.keyValueMemory = 0
      changes.append(
        Change("kv-memory", [free.fitting?.keyValueMemory ?? memory.leastKeyValueMemory]) {
          $0.settings.operation.keyValueMemory = $1
        })
    }
    if settings.operation.gradient == .whole, settings.reduction == .exact, !memory.share.ranks.isEmpty {
      changes.append(
        Change({ _ in "--gradient streamed" }, [0]) { memory, _ in memory.settings.operation.gradient = .streamed })
    }
    let workers = memory.share.workers
    changes.append(
      Change(words("workers"), fewer(than: workers)) { memory, count in
        memory.share.workers = count
      })
    let ranks = memory.share.ranks.count
    // With float sums, the number of ranks is part of the run.
    if settings.reduction == .exact || !isContinued {
      changes.append(
        Change(words("learners"), fewer(than: ranks)) { memory, count in
          let start = memory.share.ranks.lowerBound
          memory.share.allRanks -= memory.share.ranks.count - count
          memory.share.ranks = start..<start + count
        })
    }
    return changes
  }

  /// Settings that change the result, from the least to the greatest change.
  private var result: [Change] {
    let settings = memory.settings
    var changes = [
      Change("micro-batch-tokens", halvings(settings.microBatchTokens, least: 256)) {
        $0.settings.microBatchTokens = $1
      }
    ]
    if settings.reduction == .exact, settings.method.steps > 0 {
      changes.append(Change({ _ in "--reduction fast" }, [0]) { memory, _ in memory.settings.reduction = .fast })
    }
    if settings.dtype == .float32 {
      changes.append(Change({ _ in "--dtype bfloat16" }, [0]) { memory, _ in memory.settings.dtype = .bfloat16 })
    }
    changes.append(
      Change("max-new-tokens", halvings(Int(settings.maxNewTokens), least: 256)) {
        $0.settings.maxNewTokens = Int32(clamping: $1)
      })
    return changes
  }

  /// 1, … of fewer than `count`; of many, only some.
  private func fewer(than count: Int) -> [Int] {
    count <= 64 ? Array(1..<max(1, count)) : halvings(count, least: 1)
  }

  /// A half, a quarter, … of `value`, ascending.
  private func halvings(_ value: Int, least: Int) -> [Int] {
    var values: [Int] = []
    var next = value / 2
    while next >= least {
      values.append(next)
      next /= 2
    }
    return values.reversed()
  }
}
