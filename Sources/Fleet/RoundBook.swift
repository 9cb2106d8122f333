// RoundBook: which slots of one round are still to be sampled, promised, or settled.
//
// The book owns one fact per slot, and settling is final: that is what makes a duplicate harmless. It does not know
// leases, workers or time (LeaseBook and Coordinator do).

package import Records

package struct RoundBook: Sendable {
  package enum SlotState: UInt8, Sendable {
    case pending
    case leased
    case settled
  }

  package let spec: RoundSpec
  /// [prompts × samples], row-major.
  private var states: [SlotState]
  package private(set) var pendingCount: Int
  package private(set) var settledCount = 0
  /// No slot before this one is pending.
  private var cursor = 0

  package init(_ spec: RoundSpec) {
    self.spec = spec
    states = [SlotState](repeating: .pending, count: spec.slotCount)
    pendingCount = spec.slotCount
  }

  package var isComplete: Bool { settledCount == spec.slotCount }

  /// Takes up to `limit` pending slots of one prompt, the first in order, and marks them leased.
  package mutating func take(limit: Int) -> (prompt: UInt32, samples: [UInt32])? {
    guard pendingCount > 0, limit > 0 else { return nil }
    while states[cursor] != .pending { cursor += 1 }
    let samples = Int(spec.samples)
    let row = cursor / samples
    var taken: [UInt32] = []
    for index in cursor..<(row + 1) * samples where states[index] == .pending && taken.count < limit {
      states[index] = .leased
      taken.append(UInt32(index - row * samples))
    }
    pendingCount -= taken.count
    return (spec.prompts[row], taken)
  }

  /// Makes a leased slot pending again; a settled one stays settled.
  package mutating func release(_ slot: Slot) {
    guard let index = index(of: slot), states[index] == .leased else { return }
    states[index] = .pending
    pendingCount += 1
    cursor = min(cursor, index)
  }

  /// Settles a slot. Returns false if it was settled before, nil if the round has no such slot.
  package mutating func settle(_ slot: Slot) -> Bool? {
    guard let index = index(of: slot) else { return nil }
    guard states[index] != .settled else { return false }
    if states[index] == .pending { pendingCount -= 1 }
    states[index] = .settled
    settledCount += 1
    return true
  }

  package func state(of slot: Slot) -> SlotState? { index(of: slot).map { states[$0] } }

  private func index(of slot: Slot) -> Int? {
    guard slot.round == spec.id, slot.sample < spec.samples else { return nil }
    var low = 0
    var high = spec.prompts.count
    while low < high {
      let middle = (low + high) / 2
      if spec.prompts[middle] < slot.prompt { low = middle + 1 } else { high = middle }
    }
    guard low < spec.prompts.count, spec.prompts[low] == slot.prompt else { return nil }
    return low * Int(spec.samples) + Int(slot.sample)
  }
}
