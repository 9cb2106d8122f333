// Coordinator: splits the unlabeled set across workers, collects what they sample, and paces the learner.
//
// A state machine: an event and the time in, a list of effects out, to be performed in that order. It reads no clock,
// opens no socket and holds no bytes of weights; the shell (CoordinatorRole) does, and so does the simulator, over this
// very struct. Two rules carry the promise "lose nothing":
//   1. A trajectory is acknowledged only after the effect that makes it durable (`store` before `send(.settled)`).
//   2. A slot is settled once, by whoever is first; slots name their randomness, so it does not matter who that is.
// A round opens when its policy exists and closes when every slot is settled, or is not needed. Rounds are worked on in
// plan order, and policy v + 1 comes only from the closed round v: strictly on-policy.
//
// Early stop: the machine knows no answers. Who counts them (TTRL's RunningVote, in the shell) says which prompt is
// decided and which of its samples do not count; the machine takes their leases back and waits for no more of them.
//
// Not here: what trajectories are worth (TTRL, in the learner), how bytes travel (Wire), where they are kept (Ledger).

package import Base
package import Records

/// What happened, as the coordinator learns it.
package enum CoordinatorEvent: Sendable, Equatable {
  case connected(PeerID)
  case received(Message, from: PeerID)
  case disconnected(PeerID)
  /// Early stop: the durable trajectories of a prompt decide its vote, and these samples do not count. Said once for
  /// every prompt of such a round, and again after a restart.
  case decided(RoundID, prompt: UInt32, unneeded: [UInt32])
  /// The bytes of a published version arrived completely; `isIntact` says whether they have the promised digest. If so,
  /// the version and its step are durable, and `course` is what all steps so far make of the run.
  case sealed(PolicyManifest, isIntact: Bool, from: PeerID, course: RunCourse = RunCourse())
  case tick
}

/// What must be done, in this order.
package enum CoordinatorEffect: Sendable, Equatable {
  case send(Message, to: PeerID)
  case close(PeerID, reason: String)
  /// Make these durable, under the name of the worker and the lease it delivers them under, before performing what
  /// follows.
  case store([Trajectory], worker: String, lease: LeaseID)
  /// Make it durable that these slots do not count, whether they have trajectories or not.
  case storeUnneeded([Slot])
  /// Make it durable that the round is complete; score it if it is an evaluation.
  case closeRound(RoundID)
  /// Append bytes of a version that is being published.
  case writePolicy(PolicyVersion, offset: UInt64, bytes: [UInt8])
  /// All bytes of a version are there: verify, make durable together with the report, then say `.sealed`.
  case sealPolicy(PolicyManifest, report: String, from: PeerID)
  /// Read bytes of a version from this offset and send them as a chunk.
  case sendPolicy(PolicyVersion, offset: UInt64, to: PeerID)
  /// Send the closed training round's trajectories, those that count, in slot order.
  case sendBatch(RoundID, to: PeerID)
  /// These rounds were added to the plan: the run's result is another version than the one it was planned to evaluate.
  case addRounds([RoundSpec])
  /// No open round needs this version any more.
  case dropPolicy(PolicyVersion)
  case note(CoordinatorNote)
  /// The accounting closes: every round of the plan is complete. Exit with status 0.
  case finish
  /// The run cannot go on. Exit with status 1.
  case fail(reason: String)
}

/// What an operator may want to know; never decides anything.
package enum CoordinatorNote: Sendable, Equatable {
  case joined(PeerID, Hello)
  case left(PeerID, name: String, outstanding: Int)
  case silent(PeerID, name: String)
  case expired(LeaseID, holder: PeerID, slots: Int)
  case refused(Slot, Refusal, from: PeerID)
  case published(PolicyVersion)
  /// The run ends before its plan does.
  case cutShort(at: PolicyVersion)
}

/// Why a trajectory does not count. Part of normal life; never an error.
package enum Refusal: Sendable, Equatable {
  /// The slot was settled before; the trajectories are identical by construction.
  case duplicate
  /// The round is complete or not part of the plan.
  case roundNotOpen
  case noSuchSlot
  /// The prompt's vote was decided without it.
  case unneeded
  case otherPolicy(PolicyVersion)
  /// No tokens, too many, or not as many log-probabilities.
  case malformed
}

/// What was durable when the coordinator started.
package struct CoordinatorMemory: Sendable {
  package var closedRounds: [RoundID] = []
  package var settled: [Slot] = []
  /// Every version ever published, also those whose bytes were dropped: a learner that trains a step again is compared.
  package var policies: [PolicyManifest]
  /// What the recorded steps make of the run.
  package var course: RunCourse
  /// Of the first worker that ever joined; nil before.
  package var arithmetic: String?

  package init(
    closedRounds: [RoundID] = [], settled: [Slot] = [], policies: [PolicyManifest], course: RunCourse = RunCourse(),
    arithmetic: String? = nil
  ) {
    self.closedRounds = closedRounds
    self.settled = settled
    self.policies = policies
    self.course = course
    self.arithmetic = arithmetic
  }
}

/// The tokens of all prompts, by question set and index.
package struct PromptTokens: Sendable {
  package var training: [[Int32]]
  package var heldOut: [[Int32]]
  package var transfer: [[Int32]]

  package init(training: [[Int32]], heldOut: [[Int32]] = [], transfer: [[Int32]] = []) {
    self.training = training
    self.heldOut = heldOut
    self.transfer = transfer
  }

  package subscript(set: QuestionSet, index: UInt32) -> [Int32] {
    switch set {
    case .training: training[Int(index)]
    case .heldOut: heldOut[Int(index)]
    case .transfer: transfer[Int(index)]
    }
  }
}

package struct Coordinator: Sendable {
  struct Peer: Sendable {
    var hello: Hello?
    var connectedAt: Instant
    var lastHeard: Instant
    /// Slots that a worker has room for, beyond what it was granted.
    var want = 0
    /// Tokens it had sampled at its last heartbeat; more than before is progress.
    var tokens: UInt64 = 0
    /// The step whose batch a learner waits for.
    var awaitedStep: UInt32?

    var isWorker: Bool { hello?.role == .worker }
    var isLearner: Bool { hello?.role == .learner }
    var name: String { hello?.name ?? "unknown" }
  }

  /// Ascending by round, but for the evaluations of a result that is not the last version; they come last.
  private(set) var plan: [RoundSpec]
  /// The version that the run ends with: sampled by the last evaluation, or made by the last step.
  private(set) var finalPolicy: PolicyVersion
  private(set) var course: RunCourse
  /// The plan's evaluations of the last version: what the run's result is evaluated with, whichever it is.
  private let finalEvaluations: [RoundSpec]
  /// Rounds that were added to the plan and not said yet.
  private var unannounced: [RoundSpec] = []
  let prompts: PromptTokens
  let welcome: Welcome
  private(set) var openRounds = SortedMap<RoundID, RoundBook>()
  private(set) var nextPlanned = 0
  private var closedTrainingSteps = SortedMap<UInt32, Bool>()
  /// All versions ever published, and those whose bytes are kept.
  private(set) var published = SortedMap<PolicyVersion, PolicyManifest>()
  private(set) var kept: [PolicyVersion] = []
  private(set) var leases = LeaseBook()
  private(set) var peers = SortedMap<PeerID, Peer>()
  /// The version that a learner is sending.
  private var incoming: (manifest: PolicyManifest, report: String, received: UInt64, from: PeerID)?
  /// The version whose bytes are complete and being verified, and the learner that waits to hear of it.
  private var sealing: (manifest: PolicyManifest, waiting: PeerID)?
  private(set) var isFinished = false
  /// Of the first process that joined: everybody else has to compute the same bits.
  private var arithmetic: String?
  /// The run ends with a learner that holds the last version: its checkpoint is what the run was for. One that fell
  /// behind (its newest was damaged) trains on first. Not so where nothing is trained, or all was done before this
  /// start.
  private var needsLearner = false

  /// - Parameters:
  ///   - plan: ascending by round.
  ///   - memory: from the ledger; must hold at least one policy.
  package init(plan: [RoundSpec], prompts: PromptTokens, welcome: Welcome, memory: CoordinatorMemory) {
    precondition(!memory.policies.isEmpty, "a run starts with policy 0")
    self.plan = plan
    let last = plan.map { $0.id.purpose == .train ? $0.id.policy.next : $0.id.policy }.max() ?? PolicyVersion(0)
    finalPolicy = last
    finalEvaluations = plan.filter { $0.id.purpose == .evaluate && $0.id.policy == last }
    course = memory.course
    arithmetic = memory.arithmetic
    self.prompts = prompts
    self.welcome = welcome
    for manifest in memory.policies { published[manifest.version] = manifest }
    // Some were dropped before; dropping them again does no harm, and forgetting to would keep them for ever.
    kept = published.keys
    var closed = SortedMap<RoundID, Bool>()
    for round in memory.closedRounds {
      closed[round] = true
      if round.purpose == .train { closedTrainingSteps[round.step] = true }
    }
    cutPlan()
    completePlan()
    for spec in self.plan where spec.id.policy <= latestPolicy {
      nextPlanned += 1
      if !closed.contains(spec.id) { openRounds[spec.id] = RoundBook(spec) }
    }
    for slot in memory.settled { _ = openRounds.update(slot.round) { $0.settle(slot) } }
    needsLearner = !isPlanDone && self.plan.contains { $0.id.purpose == .train }
  }

  /// The run's result, once it is finished.
  package var delivered: PolicyVersion { course.delivered(last: finalPolicy) }

  /// Nothing is sampled any more from the version that the run ends with, if that is sooner than planned.
  private mutating func cutPlan() {
    guard let end = course.end, end < finalPolicy else { return }
    plan.removeAll { $0.id.policy >= end }
    finalPolicy = end
  }

  /// When the last version is there, the result is known: it is evaluated as the last would have been.
  private mutating func completePlan() {
    guard latestPolicy >= finalPolicy, course.end != nil || delivered != finalPolicy else { return }
    for spec in finalEvaluations {
      var spec = spec
      spec.id = .evaluate(spec.id.set, at: delivered)
      guard !plan.contains(where: { $0.id == spec.id }) else { continue }
      plan.append(spec)
      unannounced.append(spec)
    }
  }

  package var latestPolicy: PolicyVersion { published.keys.last ?? PolicyVersion(0) }

  // MARK: Events

  package mutating func receive(_ event: CoordinatorEvent, now: Instant) -> [CoordinatorEffect] {
    var effects: [CoordinatorEffect] = []
    switch event {
    case .connected(let id): peers[id] = Peer(connectedAt: now, lastHeard: now)
    case .disconnected(let id): remove(id, &effects)
    case .received(let message, let id):
      guard peers.update(id, { $0.lastHeard = now }) != nil else { return [] }
      receive(message, from: id, now: now, &effects)
    case .sealed(let manifest, let isIntact, from: _, let course):
      finishPublishing(manifest, isIntact: isIntact, course, &effects)
    case .decided(let round, let prompt, let unneeded): decide(round, prompt, unneeded, &effects)
    case .tick: watch(now: now, &effects)
    }
    advance(now: now, &effects)
    return effects
  }

  private mutating func receive(
    _ message: Message, from id: PeerID, now: Instant, _ effects: inout [CoordinatorEffect]
  ) {
    guard let peer = peers[id] else { return }
    switch (message, peer.hello?.role) {
    case (.hello(let hello), nil): greet(hello, id, &effects)
    case (.goodbye, _): remove(id, &effects)
    case (.want(let slots), .worker): _ = peers.update(id) { $0.want += Int(slots) }
    case (.trajectories(let lease, let trajectories), .worker):
      settle(trajectories, under: lease, from: id, now: now, &effects)
    case (.heartbeat(let tokens), .worker):
      if tokens > peer.tokens { leases.renew(heldBy: id, now: now) }
      _ = peers.update(id) { $0.tokens = tokens }
    case (.fetch(let version, let offset), .some): serve(version, offset, to: id, &effects)
    case (.ready(let version), .learner): prepareBatch(for: id, at: version, &effects)
    case (.publish(let manifest, let report), .learner): startPublishing(manifest, report, from: id, &effects)
    case (.chunk(let version, let offset, let bytes), .learner):
      receiveChunk(version, offset, bytes, from: id, &effects)
    default: refuse(id, "a \(peer.hello.map { "\($0.role)" } ?? "stranger") may not say this now", &effects)
    }
  }

  // MARK: Peers

  private mutating func greet(_ hello: Hello, _ id: PeerID, _ effects: inout [CoordinatorEffect]) {
    let kind = ArithmeticKind(hello.arithmetic, dtype: welcome.dtype)
    if let arithmetic, ArithmeticKind(arithmetic, dtype: welcome.dtype) != kind {
      return refuse(
        id,
        "it computes other bits than the run's processes: it has \(hello.arithmetic), they have \(arithmetic), and in "
          + "\(welcome.dtype) that matters. See docs/operating.md#mixed-processors", &effects)
    }
    if arithmetic == nil { arithmetic = hello.arithmetic }
    if hello.role == .learner {
      // A second learner is the first one's successor: the old connection is a process that died unnoticed. Which one
      // is older is a matter of connections, not of hellos: a dead one's hello may be read late, by a paused
      // coordinator.
      if peers.contains(where: { $0.0 > id && $0.1.isLearner }) {
        return refuse(id, "another learner has taken over", &effects)
      }
      for (other, peer) in peers where peer.isLearner { refuse(other, "another learner has taken over", &effects) }
    }
    _ = peers.update(id) { $0.hello = hello }
    effects.append(.note(.joined(id, hello)))
    var welcome = welcome
    welcome.latestPolicy = latestPolicy
    effects.append(.send(.welcome(welcome), to: id))
    // A learner is told when it is ready at the last version, and not before.
    if isFinished, hello.role == .worker { effects.append(.send(.finished, to: id)) }
  }

  /// Ends it with a peer for good: it breaks the rules, or has no place here any more.
  private mutating func refuse(_ id: PeerID, _ reason: String, _ effects: inout [CoordinatorEffect]) {
    effects.append(.send(.goodbye(reason: reason), to: id))
    cutOff(id, reason, &effects)
  }

  /// Ends a connection and not the peer: it was paused, late, or unlucky. It may come back at once, and starts clean.
  private mutating func cutOff(_ id: PeerID, _ reason: String, _ effects: inout [CoordinatorEffect]) {
    effects.append(.close(id, reason: reason))
    remove(id, &effects)
  }

  /// A peer is gone: its promises return to the pool; what it delivered stays.
  private mutating func remove(_ id: PeerID, _ effects: inout [CoordinatorEffect]) {
    guard let peer = peers.remove(id) else { return }
    if incoming?.from == id { incoming = nil }
    let slots = leases.revokeAll(heldBy: id)
    for slot in slots { release(slot) }
    if peer.hello != nil { effects.append(.note(.left(id, name: peer.name, outstanding: slots.count))) }
  }

  private mutating func release(_ slot: Slot) { _ = openRounds.update(slot.round) { $0.release(slot) } }

  /// Cuts off the silent, and grants again what nobody makes progress on.
  private mutating func watch(now: Instant, _ effects: inout [CoordinatorEffect]) {
    for (id, peer) in peers {
      if peer.hello == nil, now.since(peer.connectedAt) > Limits.helloDeadline {
        cutOff(id, "no hello within \(Int(Limits.helloDeadline.seconds)) s", &effects)
      } else if peer.isWorker, now.since(peer.lastHeard) > Limits.silence {
        effects.append(.note(.silent(id, name: peer.name)))
        cutOff(id, "no word for \(Int(Limits.silence.seconds)) s", &effects)
      }
    }
    for (id, lease) in leases.expire(now: now, after: Limits.leaseWithoutProgress) {
      effects.append(.note(.expired(id, holder: lease.holder, slots: lease.outstanding.count)))
      effects.append(.send(.revoke(id), to: lease.holder))
      for slot in lease.outstanding { release(slot) }
    }
  }

  // MARK: Trajectories

  /// Settles what counts, and acknowledges everything that the worker need not keep.
  private mutating func settle(
    _ trajectories: [Trajectory], under lease: LeaseID, from id: PeerID, now: Instant,
    _ effects: inout [CoordinatorEffect]
  ) {
    var accepted: [Trajectory] = []
    for trajectory in trajectories {
      if let refusal = settle(trajectory) {
        effects.append(.note(.refused(trajectory.slot, refusal, from: id)))
      } else {
        accepted.append(trajectory)
      }
      leases.settle(trajectory.slot, under: lease, now: now)
    }
    if !accepted.isEmpty { effects.append(.store(accepted, worker: peers[id]?.name ?? "unknown", lease: lease)) }
    // Refused ones too: whatever the reason, sending them again would not change it.
    effects.append(.send(.settled(trajectories.map(\.slot)), to: id))
  }

  /// - Returns: nil if the trajectory counts.
  private mutating func settle(_ trajectory: Trajectory) -> Refusal? {
    let slot = trajectory.slot
    guard let book = openRounds[slot.round] else { return .roundNotOpen }
    let spec = book.spec
    guard book.state(of: slot) != .unneeded else { return .unneeded }
    guard trajectory.policy == slot.round.policy else { return .otherPolicy(trajectory.policy) }
    let length = 1...Int(spec.sampling.maxNewTokens)
    guard length.contains(trajectory.tokens.count), trajectory.logprobs.count == trajectory.tokens.count else {
      return .malformed
    }
    switch openRounds.update(slot.round, { $0.settle(slot) }) ?? nil {
    case true: return nil
    case false: return .duplicate
    case nil: return .noSuchSlot
    }
  }

  /// A prompt's vote is decided: nobody need sample it any more.
  private mutating func decide(
    _ round: RoundID, _ prompt: UInt32, _ unneeded: [UInt32], _ effects: inout [CoordinatorEffect]
  ) {
    guard openRounds.update(round, { $0.decide(prompt, unneeded: unneeded) }) == true else { return }
    if !unneeded.isEmpty {
      effects.append(.storeUnneeded(unneeded.map { Slot(round: round, prompt: prompt, sample: $0) }))
    }
    for (id, holder) in leases.end(round: round, prompt: prompt) { effects.append(.send(.revoke(id), to: holder)) }
  }

  private mutating func close(_ round: RoundID, _ effects: inout [CoordinatorEffect]) {
    openRounds[round] = nil
    if round.purpose == .train { closedTrainingSteps[round.step] = true }
    for (id, holder) in leases.end(round: round) { effects.append(.send(.revoke(id), to: holder)) }
    effects.append(.closeRound(round))
    guard round.purpose == .train else { return }
    for (id, peer) in peers where peer.awaitedStep == round.step {
      _ = peers.update(id) { $0.awaitedStep = nil }
      effects.append(.sendBatch(round, to: id))
    }
  }

  private mutating func serve(
    _ version: PolicyVersion, _ offset: UInt64, to id: PeerID, _ effects: inout [CoordinatorEffect]
  ) {
    guard kept.contains(version), let manifest = published[version] else {
      return cutOff(id, "policy \(version) is not kept any more", &effects)
    }
    guard offset < manifest.byteCount else {
      return refuse(id, "policy \(version) has \(manifest.byteCount) bytes and none at \(offset)", &effects)
    }
    effects.append(.sendPolicy(version, offset: offset, to: id))
  }

  // MARK: The learner

  /// A learner holds this version: give it the batch that the version sampled, now or when it is complete; after the
  /// last there is none.
  private mutating func prepareBatch(
    for id: PeerID, at version: PolicyVersion, _ effects: inout [CoordinatorEffect]
  ) {
    guard version <= latestPolicy else {
      return refuse(id, "the learner is at policy \(version), this run at \(latestPolicy); publish it first", &effects)
    }
    if isFinished, version == latestPolicy { return effects.append(.send(.finished, to: id)) }
    let step = version.number
    if closedTrainingSteps.contains(step) {
      effects.append(.sendBatch(.train(step: step), to: id))
    } else {
      _ = peers.update(id) { $0.awaitedStep = step }
    }
  }

  private mutating func startPublishing(
    _ manifest: PolicyManifest, _ report: String, from id: PeerID, _ effects: inout [CoordinatorEffect]
  ) {
    if let known = published[manifest.version] ?? sealing?.manifest, known.version == manifest.version {
      // A learner that restarted has trained this step again. Same batch, same state: the same bits, or a bug.
      guard known == manifest else {
        effects.append(
          .fail(
            reason: "policy \(manifest.version) was trained again and came out different; "
              + "the learner's arithmetic is not the one that made it (other processor, other library?)"))
        return
      }
      if sealing?.manifest == manifest {
        // The bytes are here; the learner lost its connection while they are being verified. Do not ask for them again:
        // they would be written over those that are being read.
        sealing = (manifest, waiting: id)
      } else {
        effects.append(.send(.published(manifest.version), to: id))
      }
      return
    }
    guard manifest.version == latestPolicy.next else {
      return refuse(id, "policy \(manifest.version) cannot follow \(latestPolicy)", &effects)
    }
    incoming = (manifest, report, 0, id)
    effects.append(.send(.fetch(manifest.version, offset: 0), to: id))
  }

  private mutating func receiveChunk(
    _ version: PolicyVersion, _ offset: UInt64, _ bytes: [UInt8], from id: PeerID,
    _ effects: inout [CoordinatorEffect]
  ) {
    guard var current = incoming, current.from == id, current.manifest.version == version,
      offset == current.received, !bytes.isEmpty, offset + UInt64(bytes.count) <= current.manifest.byteCount
    else { return refuse(id, "a chunk of policy \(version) that nobody asked for", &effects) }
    effects.append(.writePolicy(version, offset: offset, bytes: bytes))
    current.received += UInt64(bytes.count)
    incoming = current
    if current.received == current.manifest.byteCount {
      incoming = nil
      sealing = (current.manifest, waiting: id)
      effects.append(.sealPolicy(current.manifest, report: current.report, from: id))
    } else {
      effects.append(.send(.fetch(version, offset: current.received), to: id))
    }
  }

  private mutating func finishPublishing(
    _ manifest: PolicyManifest, isIntact: Bool, _ course: RunCourse, _ effects: inout [CoordinatorEffect]
  ) {
    guard let current = sealing, current.manifest == manifest else { return }
    sealing = nil
    let isWaiting = peers.contains(current.waiting)
    guard isIntact else {
      if isWaiting { cutOff(current.waiting, "policy \(manifest.version) arrived damaged", &effects) }
      return
    }
    published[manifest.version] = manifest
    kept.append(manifest.version)
    effects.append(.note(.published(manifest.version)))
    if isWaiting { effects.append(.send(.published(manifest.version), to: current.waiting)) }
    self.course = course
    if let end = course.end, end < finalPolicy { effects.append(.note(.cutShort(at: end))) }
    cutPlan()
    completePlan()
  }

  // MARK: Going on

  /// Closes what is complete, opens what can be opened, drops what nobody needs, grants what can be granted, and ends
  /// when all is done. Runs after every event, so that a round which was complete before a crash closes after it too.
  private mutating func advance(now: Instant, _ effects: inout [CoordinatorEffect]) {
    guard !isFinished else { return }
    if !unannounced.isEmpty { effects.append(.addRounds(unannounced)) }
    unannounced = []
    for (round, book) in openRounds where book.isComplete { close(round, &effects) }
    while nextPlanned < plan.count, plan[nextPlanned].id.policy <= latestPolicy {
      openRounds[plan[nextPlanned].id] = RoundBook(plan[nextPlanned])
      nextPlanned += 1
    }
    for version in kept where version < latestPolicy && !isNeeded(version) {
      kept.removeAll { $0 == version }
      effects.append(.dropPolicy(version))
    }
    while grantOnce(now: now, &effects) {}
    if isPlanDone, latestPolicy >= finalPolicy, !needsLearner || hasLearner(at: latestPolicy) { finish(&effects) }
  }

  private var isPlanDone: Bool { openRounds.isEmpty && nextPlanned == plan.count }

  /// A learner holds this version and waits for what comes next.
  private func hasLearner(at version: PolicyVersion) -> Bool {
    peers.values.contains { $0.awaitedStep == version.number }
  }

  /// Some open round is sampled by this version, or it may become the run's result.
  private func isNeeded(_ version: PolicyVersion) -> Bool {
    version == course.best || openRounds.keys.contains { $0.policy == version }
  }

  /// Grants at most one lease to every worker that wants one. Returns whether it granted any.
  private mutating func grantOnce(now: Instant, _ effects: inout [CoordinatorEffect]) -> Bool {
    var hasGranted = false
    for (id, peer) in peers where peer.isWorker && peer.want > 0 {
      guard let round = openRounds.first(where: { $0.1.pendingCount > 0 })?.0 else { return false }
      guard let taken = take(from: round, for: id, want: peer.want), let spec = openRounds[round]?.spec else {
        continue
      }
      // With every lease: a worker may have dropped the policy since it was last offered; one that has it does nothing.
      if let manifest = published[round.policy] { effects.append(.send(.offer(manifest), to: id)) }
      let slots = taken.samples.map { Slot(round: round, prompt: taken.prompt, sample: $0) }
      let lease = Lease(
        id: leases.grant(slots, to: id, now: now), round: round, policy: round.policy, sampling: spec.sampling,
        prompts: [
          LeasedPrompt(prompt: taken.prompt, tokens: prompts[round.set, taken.prompt], samples: taken.samples)
        ])
      _ = peers.update(id) { $0.want -= slots.count }
      effects.append(.send(.lease(lease), to: id))
      hasGranted = true
    }
    return hasGranted
  }

  /// The slots of a lease: required ones as long as there are any. Spare ones only for who has little else to do, and
  /// few at a time; busy workers wait for what votes still need rather than go on to the next round.
  private mutating func take(
    from round: RoundID, for id: PeerID, want: Int
  ) -> (prompt: UInt32, samples: [UInt32])? {
    guard openRounds[round]?.requiredCount == 0 else {
      return openRounds.update(round) { $0.take(.required, limit: min(want, Limits.slotsPerLease)) } ?? nil
    }
    guard leases.slotCount(heldBy: id) < Limits.slotsBesideSpare else { return nil }
    return openRounds.update(round) { $0.take(.spare, limit: min(want, Limits.slotsPerSpareLease)) } ?? nil
  }

  private mutating func finish(_ effects: inout [CoordinatorEffect]) {
    isFinished = true
    for (id, peer) in peers where peer.isWorker || peer.awaitedStep == latestPolicy.number {
      effects.append(.send(.finished, to: id))
    }
    effects.append(.finish)
  }
}
