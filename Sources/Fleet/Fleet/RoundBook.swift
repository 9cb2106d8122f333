// RoundBook: which slots of one round are pending, leased, settled, or not needed any more.
//
// The book keeps one state per slot. A settled slot stays settled, so a duplicate does no harm. Under early stop a
// prompt has required slots, which are sampled first, and spare slots, which are possibly not needed. A prompt is
// decided once, from outside. Its slots that are not needed are then not sampled any more. In a round of given
// responses all slots are settled from the beginning. The book does not know leases, workers, answers or time
// (LeaseBook, Coordinator and TTRL do).

package import Records

package struct RoundBook: Sendable {
  package enum SlotState: UInt8, Sendable {
    case pending
    case leased
    case settled
    /// The prompt was decided before the slot was settled.
    case unneeded
  }

  /// Whether a slot is needed for any possible answers.
  package enum Need: Sendable {
    case required
    case spare
  }

  package let spec: RoundSpec
  /// [prompts × samples], row-major; empty in a round of given responses, whose slots never change.
  private var states: [SlotState]
  /// [prompts × samples] under early stop, else empty: then all slots are required.
  private var isSpare: [Bool] = []
  package private(set) var pendingCount: Int
  package private(set) var settledCount = 0
  /// How many of the pending slots are spare: in total, and by prompt.
  package private(set) var spareCount = 0
  private var spareCounts: [Int] = []
  /// [prompts] under early stop: the prompt is not decided yet.
  private var isUndecided: [Bool] = []
  private var unneededCount = 0
  /// No required slot before this one is pending.
  private var cursor = 0
  /// nil if no reward command judges the round.
  package private(set) var verdicts: VerdictBook?

  package init(_ spec: RoundSpec) {
    self.spec = spec
    guard !spec.isGiven else {
      precondition(spec.given.count == spec.prompts.count, "given responses of each prompt, or of none")
      (states, pendingCount, settledCount) = ([], 0, spec.slotCount)
      return
    }
    states = [SlotState](repeating: .pending, count: spec.slotCount)
    pendingCount = spec.slotCount
    if spec.isJudged { verdicts = VerdictBook(spec) }
    guard spec.stopsEarly else { return }
    precondition(spec.required.count == spec.prompts.count, "required samples of each prompt, or of none")
    isSpare = [Bool](repeating: true, count: spec.slotCount)
    for (row, samples) in spec.required.enumerated() {
      for sample in samples { isSpare[row * Int(spec.samples) + Int(sample)] = false }
      spareCounts.append(Int(spec.samples) - samples.count)
    }
    spareCount = spareCounts.reduce(0, +)
    isUndecided = [Bool](repeating: true, count: spec.prompts.count)
  }

  package var isComplete: Bool {
    settledCount + unneededCount == spec.slotCount && !isUndecided.contains(true) && verdicts?.isComplete ?? true
  }

  /// Pending slots that are needed for any possible answers.
  package var requiredCount: Int { pendingCount - spareCount }

  /// Takes up to `limit` pending slots of one prompt and marks them leased. Required slots are taken in order. Spare
  /// slots are taken from the prompt that has the most of them.
  package mutating func take(_ need: Need = .required, limit: Int) -> (prompt: UInt32, samples: [UInt32])? {
    guard limit > 0, let start = firstPending(need) else { return nil }
    let samples = Int(spec.samples)
    let row = start / samples
    var taken: [UInt32] = []
    for index in start..<(row + 1) * samples where taken.count < limit && isPending(index, need) {
      move(index, to: .leased)
      taken.append(UInt32(index - row * samples))
    }
    return (spec.prompts[row], taken)
  }

  private mutating func firstPending(_ need: Need) -> Int? {
    switch need {
    case .required:
      guard requiredCount > 0 else { return nil }
      while !isPending(cursor, .required) { cursor += 1 }
      return cursor
    case .spare:
      guard spareCount > 0, let most = spareCounts.max(), let row = spareCounts.firstIndex(of: most) else { return nil }
      let samples = Int(spec.samples)
      return (row * samples..<(row + 1) * samples).first { isPending($0, .spare) }
    }
  }

  private func isPending(_ index: Int, _ need: Need) -> Bool {
    states[index] == .pending && isSpare(index) == (need == .spare)
  }

  private func isSpare(_ index: Int) -> Bool { !isSpare.isEmpty && isSpare[index] }

  /// Changes a slot's state, and updates the counts of pending slots.
  private mutating func move(_ index: Int, to state: SlotState) {
    let change = (state == .pending ? 1 : 0) - (states[index] == .pending ? 1 : 0)
    states[index] = state
    pendingCount += change
    guard isSpare(index) else { return }
    spareCount += change
    spareCounts[index / Int(spec.samples)] += change
  }

  /// Makes a leased slot pending again. A slot that is settled or not needed does not change.
  package mutating func release(_ slot: Slot) {
    guard let index = index(of: slot), states[index] == .leased else { return }
    move(index, to: .pending)
    cursor = min(cursor, index)
  }

  /// Settles a slot that is needed. Returns false if it was settled before, nil if the round has no such slot.
  package mutating func settle(_ slot: Slot) -> Bool? {
    guard let index = index(of: slot) else { return nil }
    guard states[index] == .pending || states[index] == .leased else { return false }
    move(index, to: .settled)
    settledCount += 1
    verdicts?.settle(slot)
    return true
  }

  /// - Returns: false if the slot has a verdict already, or needs none.
  package mutating func judge(_ slot: Slot) -> Bool { verdicts?.judge(slot) ?? false }

  /// The slots about which the reward command has to be asked now.
  package mutating func takeQuestions() -> [Slot] { verdicts?.takeQuestions() ?? [] }

  /// Ends a prompt's sampling: the vote is decided, and these samples do not count. Slots of these samples that are
  /// already settled stay settled.
  ///
  /// - Returns: false if the prompt was decided before, or if the round has no such prompt to decide.
  package mutating func decide(_ prompt: UInt32, unneeded: [UInt32]) -> Bool {
    guard let row = row(of: prompt), isUndecided.indices.contains(row), isUndecided[row] else { return false }
    isUndecided[row] = false
    for sample in unneeded where sample < spec.samples {
      let index = row * Int(spec.samples) + Int(sample)
      guard states[index] == .pending || states[index] == .leased else { continue }
      move(index, to: .unneeded)
      unneededCount += 1
    }
    return true
  }

  package func state(of slot: Slot) -> SlotState? { index(of: slot).map { states[$0] } }

  private func index(of slot: Slot) -> Int? {
    guard !spec.isGiven, slot.round == spec.id, slot.sample < spec.samples, let row = row(of: slot.prompt) else {
      return nil
    }
    return row * Int(spec.samples) + Int(slot.sample)
  }

  private func row(of prompt: UInt32) -> Int? {
    var low = 0
    var high = spec.prompts.count
    while low < high {
      let middle = (low + high) / 2
      if spec.prompts[middle] < prompt { low = middle + 1 } else { high = middle }
    }
    return low < spec.prompts.count && spec.prompts[low] == prompt ? low : nil
  }
}
