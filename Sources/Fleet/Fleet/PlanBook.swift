// PlanBook: the run's rounds: which are to come, which are open, and which steps have their batch.
//
// A round opens when the version that samples it exists, and closes when every slot is settled or not needed. The list
// is in the order in which rounds can open. It changes only with the run's course: it is cut where the run ends sooner
// than planned, and completed when the result is known, because the result is evaluated as the last version would have
// been. Not here: who samples (LeaseBook), versions (VersionBook), why a run ends sooner (RunCourse).

import Base
import Records

struct PlanBook: Sendable {
  /// In the order in which they can open, except that evaluations of a result that is not the last version come last.
  private var rounds: [RoundSpec]
  /// How many of them have opened.
  private var openedCount = 0
  private(set) var open = SortedMap<RoundID, RoundBook>()
  /// Steps whose batch is complete.
  private var completeSteps = SortedMap<UInt32, Bool>()
  /// The version that samples each step's batch.
  private var samplers = SortedMap<UInt32, PolicyVersion>()
  /// The planned evaluations of the last version.
  private let finalEvaluations: [RoundSpec]
  /// The version that the run ends with: sampled by the last evaluation, or made by the last step.
  private(set) var last: PolicyVersion
  private var course: RunCourse
  /// Rounds that were added to the list, and rounds that the run ends without, that have not been announced yet.
  private var added: [RoundSpec] = []
  private var abandoned: [RoundID] = []

  /// - Parameters:
  ///   - rounds: ascending by policy, then by round.
  ///   - memory: what was durable when the coordinator started.
  ///   - latest: the newest version.
  init(_ rounds: [RoundSpec], memory: CoordinatorMemory, latest: PolicyVersion) {
    self.rounds = rounds
    let last = PolicyVersion(rounds.map { $0.id.purpose == .train ? $0.id.step + 1 : $0.id.step }.max() ?? 0)
    self.last = last
    finalEvaluations = rounds.filter { $0.id.purpose == .evaluate && $0.policy == last }
    course = memory.course
    for spec in rounds where spec.id.purpose == .train { samplers[spec.id.step] = spec.policy }
    var closed = SortedMap<RoundID, Bool>()
    for round in memory.closedRounds {
      closed[round] = true
      if round.purpose == .train { completeSteps[round.step] = true }
    }
    cut(at: latest)
    complete(at: latest)
    for spec in self.rounds where spec.policy <= latest {
      openedCount += 1
      if !closed.contains(spec.id) { open[spec.id] = RoundBook(spec) }
    }
    for slot in memory.settled { _ = open.update(slot.round) { $0.settle(slot) } }
  }

  // MARK: The plan

  /// Every round is closed.
  var isDone: Bool { open.isEmpty && openedCount == rounds.count }

  var trains: Bool { rounds.contains { $0.id.purpose == .train } }

  /// The run's result, when it is finished.
  var delivered: PolicyVersion { course.delivered(last: last) }

  /// Some round, open or to come, samples this version.
  func samples(_ version: PolicyVersion) -> Bool {
    rounds.contains { $0.policy == version && !$0.prompts.isEmpty }
  }

  /// An open round is sampled by this version, or the version can become the run's result: it is the best so far, or
  /// the steps that it sampled are not judged yet.
  func isNeeded(_ version: PolicyVersion, at latest: PolicyVersion) -> Bool {
    if version == course.best || open.values.contains(where: { $0.spec.policy == version }) { return true }
    guard latest < last, let unjudged = samplers[latest.number] else { return false }
    return version >= unjudged
  }

  /// A step that the run trains has its complete batch. With staleness a batch can be complete whose step the run ends
  /// without.
  func hasBatch(ofStep step: UInt32) -> Bool { step < last.number && completeSteps.contains(step) }

  /// The steps so far make this of the run.
  ///
  /// - Returns: the version at which the run now ends, if that is sooner than before.
  mutating func follow(_ course: RunCourse, at latest: PolicyVersion) -> PolicyVersion? {
    self.course = course
    let planned = last
    cut(at: latest)
    complete(at: latest)
    return last < planned ? last : nil
  }

  /// Opens the rounds whose version exists.
  mutating func openRounds(at latest: PolicyVersion) {
    while openedCount < rounds.count, rounds[openedCount].policy <= latest {
      open[rounds[openedCount].id] = RoundBook(rounds[openedCount])
      openedCount += 1
    }
  }

  /// Rounds that were added to the plan since this was asked last.
  mutating func takeAdded() -> [RoundSpec] {
    defer { added = [] }
    return added
  }

  /// Rounds that the run ends without, since this was asked last.
  mutating func takeAbandoned() -> [RoundID] {
    defer { abandoned = [] }
    return abandoned
  }

  /// If the run ends sooner than planned, nothing is sampled any more for the step that would have come next, nor for
  /// later ones. Some of their rounds were open, as far as the ledger knows; with staleness some are complete.
  private mutating func cut(at latest: PolicyVersion) {
    guard let end = course.end, end < last else { return }
    for spec in rounds where spec.id.step >= end.number && spec.policy <= latest {
      let isClosed = spec.id.purpose == .train && completeSteps.contains(spec.id.step)
      if !isClosed { abandoned.append(spec.id) }
      open[spec.id] = nil
    }
    openedCount = rounds.prefix(openedCount).count { $0.id.step < end.number }
    rounds.removeAll { $0.id.step >= end.number }
    last = end
  }

  /// When the last version exists, the result is known, and is evaluated as the last version would have been.
  private mutating func complete(at latest: PolicyVersion) {
    guard latest >= last, course.end != nil || delivered != last else { return }
    for spec in finalEvaluations {
      var spec = spec
      spec.id = .evaluate(spec.id.set, at: delivered)
      spec.policy = delivered
      guard !rounds.contains(where: { $0.id == spec.id }) else { continue }
      rounds.append(spec)
      added.append(spec)
      abandoned.removeAll { $0 == spec.id }
    }
  }

  // MARK: Open rounds

  /// The first open round that has slots to lease.
  var firstPending: RoundID? { open.first { $0.1.pendingCount > 0 }?.0 }

  /// Slots of one prompt for a lease. Required ones as long as there are any. Spare ones, which the vote may not need,
  /// go to workers with little to do, and few at a time; busy workers wait for what votes still need and do not go on
  /// to the next round.
  mutating func take(
    from round: RoundID, want: Int, isBusy: Bool
  ) -> (prompt: UInt32, samples: [UInt32])? {
    guard open[round]?.requiredCount == 0 else {
      return open.update(round) { $0.take(.required, limit: min(want, Limits.slotsPerLease)) } ?? nil
    }
    guard !isBusy else { return nil }
    return open.update(round) { $0.take(.spare, limit: min(want, Limits.slotsPerSpareLease)) } ?? nil
  }

  /// A leased slot has to be leased again.
  mutating func release(_ slot: Slot) { _ = open.update(slot.round) { $0.release(slot) } }

  /// - Returns: nil if the trajectory counts.
  mutating func settle(_ trajectory: Trajectory) -> Refusal? {
    let slot = trajectory.slot
    // In place: a copy of the book, if it lived until its slot is settled, would be a copy of all its slots.
    let refusal = open.update(slot.round) { book -> Refusal? in
      guard book.state(of: slot) != .unneeded else { return .unneeded }
      guard trajectory.policy == book.spec.policy else { return .otherPolicy(trajectory.policy) }
      let length = 1...Int(book.spec.sampling.maxNewTokens)
      guard length.contains(trajectory.tokens.count), trajectory.logprobs.count == trajectory.tokens.count else {
        return .malformed
      }
      return switch book.settle(slot) {
      case true: nil
      case false: .duplicate
      case nil: .noSuchSlot
      }
    }
    return refusal ?? .roundNotOpen
  }

  /// - Returns: false if the prompt is decided already, or there is no such prompt to decide.
  mutating func decide(_ round: RoundID, _ prompt: UInt32, unneeded: [UInt32]) -> Bool {
    open.update(round) { $0.decide(prompt, unneeded: unneeded) } ?? false
  }

  mutating func close(_ round: RoundID) {
    open[round] = nil
    if round.purpose == .train { completeSteps[round.step] = true }
  }
}
