// PlanBook: which rounds are still to open, which rounds are open, and which steps have their batch.
//
// A round opens when the version that samples it exists, and closes when every slot is settled or not needed. The list
// is in the order in which rounds can open. It changes only with the run's course. It is cut if the run ends sooner
// than planned. When the result is known, the result's evaluations are added, with the same settings as those planned
// for the last version. Not here: which worker samples (LeaseBook), versions (VersionBook), why a run ends sooner
// (RunCourse).

import Base
import Records

struct PlanBook: Sendable {
  /// In the order in which they can open. Evaluations of a result that is not the last version are at the end.
  private var rounds: [RoundSpec]
  /// How many rounds of the list have opened.
  private var openedCount = 0
  private(set) var open = SortedMap<RoundID, RoundBook>()
  /// Steps whose batch is complete.
  private var completeSteps = SortedMap<UInt32, Bool>()
  /// The version that samples each step's batch.
  private var samplers = SortedMap<UInt32, PolicyVersion>()
  /// The planned evaluations of the last version.
  private let finalEvaluations: [RoundSpec]
  /// Whether a reward command judges rounds of the run.
  private let isJudged: Bool
  /// The version with which the run ends: the last evaluation samples it, or the last step makes it.
  private(set) var last: PolicyVersion
  private var course: RunCourse
  /// Rounds that were added to the list, and rounds that the run ends without. They have not been announced yet.
  private var added: [RoundSpec] = []
  private var abandoned: [RoundID] = []

  /// - Parameters:
  ///   - rounds: ascending by policy, then by round.
  ///   - memory: what was durable when the coordinator started.
  ///   - latest: the newest version.
  init(_ rounds: [RoundSpec], memory: CoordinatorMemory, latest: PolicyVersion) {
    self.rounds = rounds
    let last = PolicyVersion(rounds.map { $0.id.purpose == .train ? $0.id.step + 1 : $0.policy.number }.max() ?? 0)
    self.last = last
    finalEvaluations = rounds.filter { $0.id.purpose == .evaluate && $0.policy == last }
    course = memory.course
    isJudged = rounds.contains(where: \.isJudged)
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
    for slot in memory.judged { _ = open.update(slot.round) { $0.judge(slot) } }
  }

  // MARK: The plan

  /// Every round is closed.
  var isDone: Bool { open.isEmpty && openedCount == rounds.count }

  var trains: Bool { rounds.contains { $0.id.purpose == .train } }

  /// The run's result, once the run is finished.
  var delivered: PolicyVersion { course.delivered(last: last) }

  /// A round that is open or still to open samples this version.
  func samples(_ version: PolicyVersion) -> Bool {
    rounds.contains { $0.policy == version && !$0.prompts.isEmpty }
  }

  /// An open round is sampled by this version, or the version can become the run's result. It can become the result if
  /// it is the best so far, or if the steps that it sampled are not judged yet.
  func isNeeded(_ version: PolicyVersion, at latest: PolicyVersion) -> Bool {
    if version == course.best || open.values.contains(where: { $0.spec.policy == version }) { return true }
    guard latest < last, let unjudged = samplers[latest.number] else { return false }
    return version >= unjudged
  }

  /// The run trains this step, and its batch is complete. With staleness, the batch of a step that the run does not
  /// train can be complete too.
  func hasBatch(ofStep step: UInt32) -> Bool { step < last.number && completeSteps.contains(step) }

  /// Every slot of the step's round is settled or not needed.
  func isComplete(step: UInt32) -> Bool { completeSteps.contains(step) }

  /// The run's course changes after a step.
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

  /// Rounds that were added to the plan since the last call.
  mutating func takeAdded() -> [RoundSpec] {
    defer { added = [] }
    return added
  }

  /// Rounds that the run ends without, since the last call.
  mutating func takeAbandoned() -> [RoundID] {
    defer { abandoned = [] }
    return abandoned
  }

  /// If the run ends sooner than planned, the step that would have come next and all later steps are not sampled any
  /// more. According to the ledger some of their rounds were open; with staleness some are complete.
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

  /// When the last version exists, the result is known. It is evaluated with the settings that were planned for the
  /// last version.
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

  /// The slots of all open rounds that are not leased.
  var pendingCount: Int { open.values.reduce(0) { $0 + $1.pendingCount } }

  /// Takes slots of one prompt for a lease. Required slots are taken as long as there are any. Spare slots, which the
  /// vote possibly does not need, go only to workers with little work, and few at a time. Busy workers wait until the
  /// votes have the slots that they still need; they do not continue with the next round.
  ///
  /// - Parameter threads: of all workers.
  mutating func take(
    from round: RoundID, want: Int, isBusy: Bool, threads: Int
  ) -> (prompt: UInt32, samples: [UInt32])? {
    guard open[round]?.requiredCount == 0 else {
      return open.update(round) { book in
        book.take(.required, limit: min(want, LeaseShares.slotsPerLease(of: book.spec, threads: threads)))
      } ?? nil
    }
    guard !isBusy else { return nil }
    return open.update(round) { $0.take(.spare, limit: min(want, Limits.slotsPerSpareLease)) } ?? nil
  }

  /// A leased slot has to be leased again.
  mutating func release(_ slot: Slot) { _ = open.update(slot.round) { $0.release(slot) } }

  /// - Returns: nil if the trajectory counts.
  mutating func settle(_ trajectory: Trajectory) -> Refusal? {
    let slot = trajectory.slot
    // In place: a copy of the book that lives until its slot is settled would copy all its slots.
    let refusal = open.update(slot.round) { book -> Refusal? in
      guard book.state(of: slot) != .unneeded else { return .unneeded }
      guard trajectory.policy == book.spec.policy else { return .otherPolicy(trajectory.policy) }
      let length = 1...Int(book.spec.sampling.maxNewTokens)
      guard length.contains(trajectory.tokens.count), trajectory.logprobs.count == trajectory.tokens.count,
        trajectory.has(book.spec.sampling.records), trajectory.verdict == nil
      else { return .malformed }
      return switch book.settle(slot) {
      case true: nil
      case false: .duplicate
      case nil: .noSuchSlot
      }
    }
    return refusal ?? .roundNotOpen
  }

  /// - Returns: false if the prompt is decided already, or if there is no such prompt to decide.
  mutating func decide(_ round: RoundID, _ prompt: UInt32, unneeded: [UInt32]) -> Bool {
    open.update(round) { $0.decide(prompt, unneeded: unneeded) } ?? false
  }

  /// - Returns: false if the slot has a verdict already, or if its round is not open or needs none.
  mutating func judge(_ slot: Slot) -> Bool { open.update(slot.round) { $0.judge(slot) } ?? false }

  /// The slots about which the reward command has to be asked now. Each is returned once.
  mutating func takeQuestions() -> [Slot] {
    guard isJudged else { return [] }
    return open.keys.flatMap { round in open.update(round) { $0.takeQuestions() } ?? [] }
  }

  mutating func close(_ round: RoundID) {
    open[round] = nil
    if round.purpose == .train { completeSteps[round.step] = true }
  }
}
