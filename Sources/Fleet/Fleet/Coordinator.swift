// Coordinator: splits the unlabeled set across workers, collects what they sample, and paces the learner.
//
// A state machine: an event and the time in, a list of effects out, to be performed in that order. It reads no clock,
// opens no socket and holds no bytes of weights; the shell (CoordinatorRole) does, and so does the simulator, over this
// very struct. Two rules carry the promise "lose nothing":
//   1. A trajectory is acknowledged only after the effect that makes it durable (`store` before `send(.settled)`).
//   2. A slot is settled once, by whoever is first; slots name their randomness, so it does not matter who that is.
// A round opens when its policy exists and closes when every slot is settled, or is not needed. Rounds are worked on in
// the order of their steps, and policy v + 1 comes only from the closed round v. Which policy samples a round is the
// plan's to say: where it is K versions behind the step (staleness), K rounds more are open while a step is trained.
//
// Early stop: the machine knows no answers. Who counts them (TTRL's RunningVote, in the shell) says which prompt is
// decided and which of its samples do not count; the machine takes their leases back and waits for no more of them.
//
// Not here: what trajectories are worth (TTRL, in the learner), how bytes travel (Wire), where they are kept (Ledger).

package import Base
package import Records

package struct Coordinator: Sendable {
  struct Peer: Sendable {
    var hello: Hello?
    var connectedAt: Instant
    var lastHeard: Instant
    /// Tokens it had sampled at its last heartbeat; more than before is progress.
    var tokens: UInt64 = 0
    /// The step whose batch a learner waits for, or has been given and has not published.
    var awaitedStep: UInt32?
    var trainedStep: UInt32?
    /// What a learner does, and since when; since when a worker has had room.
    var occupation: LearnerOccupation?
    var since: Instant

    var isWorker: Bool { hello?.role == .worker }
    var isLearner: Bool { hello?.role == .learner }
    var name: String { hello?.name ?? "unknown" }

    /// The silence after which it is cut off. A learner that does not wait for a batch may be training, also one that
    /// has just come back.
    var patience: Instant.Span { isLearner && awaitedStep == nil ? Limits.training : Limits.silence }
  }

  /// In the order in which rounds can open, but for the evaluations of a result that is not the last version; they come
  /// last.
  var plan: [RoundSpec]
  /// The version that the run ends with: sampled by the last evaluation, or made by the last step.
  var finalPolicy: PolicyVersion
  var course: RunCourse
  /// The plan's evaluations of the last version: what the run's result is evaluated with, whichever it is.
  let finalEvaluations: [RoundSpec]
  /// Rounds that were added to the plan, and that were left when it was cut, and not said yet.
  var unannounced: [RoundSpec] = []
  var abandoned: [RoundID] = []
  /// The policy that samples each step's round.
  var samplers = SortedMap<UInt32, PolicyVersion>()
  let prompts: PromptTokens
  let welcome: Welcome
  var openRounds = SortedMap<RoundID, RoundBook>()
  var nextPlanned = 0
  var closedTrainingSteps = SortedMap<UInt32, Bool>()
  /// All versions ever published, and those whose bytes are kept.
  var published = SortedMap<PolicyVersion, PolicyManifest>()
  var kept: [PolicyVersion] = []
  var bundles = BundleBook()
  var leases = LeaseBook()
  /// When rounds were opened, in this life, and since when there has been no learner.
  var opened = SortedMap<RoundID, Instant>()
  var learnerLeftAt: Instant?
  var peers = SortedMap<PeerID, Peer>()
  /// Slots that workers have room for, beyond what they were granted; nobody is in it for 0. Apart from the peers, so
  /// that one event among ten thousand workers need not look at all of them.
  var wants = SortedMap<PeerID, Int>()
  /// Those of them that are learners, in the order of their hellos.
  var learners: [PeerID] = []
  /// The version that a learner is sending.
  var incoming: (manifest: PolicyManifest, report: StepReport, received: UInt64, from: PeerID)?
  /// The version whose bytes are complete and being verified, and the learner that waits to hear of it.
  var sealing: (manifest: PolicyManifest, waiting: PeerID)?
  var isFinished = false
  /// Of the first process that joined: everybody else has to compute the same bits.
  var arithmetic: String?
  /// The run ends with a learner that holds the last version: its checkpoint is what the run was for. One that fell
  /// behind (its newest was damaged) trains on first. Not so where nothing is trained, or all was done before this
  /// start.
  var needsLearner = false

  /// - Parameters:
  ///   - plan: ascending by policy, then by round.
  ///   - memory: from the ledger; must hold at least one policy.
  package init(plan: [RoundSpec], prompts: PromptTokens, welcome: Welcome, memory: CoordinatorMemory) {
    precondition(!memory.policies.isEmpty, "a run starts with policy 0")
    self.plan = plan
    let last = PolicyVersion(plan.map { $0.id.purpose == .train ? $0.id.step + 1 : $0.id.step }.max() ?? 0)
    finalPolicy = last
    finalEvaluations = plan.filter { $0.id.purpose == .evaluate && $0.policy == last }
    for spec in plan where spec.id.purpose == .train { samplers[spec.id.step] = spec.policy }
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
    for spec in self.plan where spec.policy <= latestPolicy {
      nextPlanned += 1
      if !closed.contains(spec.id) { openRounds[spec.id] = RoundBook(spec) }
    }
    for slot in memory.settled { _ = openRounds.update(slot.round) { $0.settle(slot) } }
    needsLearner = !isPlanDone && self.plan.contains { $0.id.purpose == .train }
  }

  /// The run's result, once it is finished.
  package var delivered: PolicyVersion { course.delivered(last: finalPolicy) }

  /// If the run ends sooner than planned, nothing is sampled any more for the step that would have come next, nor for
  /// later ones. Some of their rounds were open, as far as the ledger knows; with staleness some are complete.
  mutating func cutPlan() {
    guard let end = course.end, end < finalPolicy else { return }
    for spec in plan where spec.id.step >= end.number && spec.policy <= latestPolicy {
      let isClosed = spec.id.purpose == .train && closedTrainingSteps.contains(spec.id.step)
      if !isClosed { abandoned.append(spec.id) }
      openRounds[spec.id] = nil
    }
    nextPlanned = plan.prefix(nextPlanned).count { $0.id.step < end.number }
    plan.removeAll { $0.id.step >= end.number }
    finalPolicy = end
  }

  /// When the last version is there, the result is known: it is evaluated as the last would have been.
  mutating func completePlan() {
    guard latestPolicy >= finalPolicy, course.end != nil || delivered != finalPolicy else { return }
    for spec in finalEvaluations {
      var spec = spec
      spec.id = .evaluate(spec.id.set, at: delivered)
      spec.policy = delivered
      guard !plan.contains(where: { $0.id == spec.id }) else { continue }
      plan.append(spec)
      unannounced.append(spec)
      abandoned.removeAll { $0 == spec.id }
    }
  }

  package var latestPolicy: PolicyVersion { published.keys.last ?? PolicyVersion(0) }

  // MARK: Events

  package mutating func receive(_ event: CoordinatorEvent, now: Instant) -> [CoordinatorEffect] {
    var effects: [CoordinatorEffect] = []
    switch event {
    case .connected(let id): peers[id] = Peer(connectedAt: now, lastHeard: now, since: now)
    case .disconnected(let id): remove(id, &effects)
    case .received(let message, let id):
      guard peers.update(id, { $0.lastHeard = now }) != nil else { return [] }
      receive(message, from: id, now: now, &effects)
    case .sealed(let manifest, let isIntact, from: _, let course):
      finishPublishing(manifest, isIntact: isIntact, course, &effects)
    case .bundled(let bundle): onBundles(&effects) { $0.bundled(bundle, &$1) }
    case .decided(let round, let prompt, let unneeded): decide(round, prompt, unneeded, &effects)
    case .tick: watch(now: now, &effects)
    }
    advance(now: now, &effects)
    keepTime(now: now)
    return effects
  }

  mutating func receive(
    _ message: Message, from id: PeerID, now: Instant, _ effects: inout [CoordinatorEffect]
  ) {
    guard let peer = peers[id] else { return }
    switch (message, peer.hello?.role) {
    case (.hello(let hello), nil): greet(hello, id, &effects)
    case (.goodbye, _): remove(id, &effects)
    case (.want(let slots), .worker):
      _ = peers.update(id) { $0.since = now }
      wants[id] = (wants[id] ?? 0) + Int(slots)
    case (.trajectories(let lease, let trajectories), .worker):
      settle(trajectories, under: lease, from: id, now: now, &effects)
    case (.heartbeat(let tokens), .worker):
      if tokens > peer.tokens { leases.renew(heldBy: id, now: now) }
      _ = peers.update(id) { $0.tokens = tokens }
    case (.requestBundle(let version, let holding), .worker): offerBundle(of: version, holding, to: id, &effects)
    case (.requestChunk(let version, let digest), .worker):
      onBundles(&effects) { $0.fetched(digest, of: version, by: id, &$1) }
    case (.fault(let relay, let version, let fault), .worker):
      onBundles(&effects) { $0.faulted(relay, version, fault, by: id, &$1) }
    // It was heard, which is all that it says: a learner speaks while it waits, and between micro-batches.
    case (.heartbeat, .learner): break
    case (.ready(let version), .learner): prepareBatch(for: id, at: version, &effects)
    case (.publish(let manifest, let report), .learner): startPublishing(manifest, report, from: id, &effects)
    case (.policyBytes(let version, let offset, let bytes), .learner):
      receiveChunk(version, offset, bytes, from: id, &effects)
    default: refuse(id, "a \(peer.hello.map { "\($0.role)" } ?? "stranger") may not say this now", &effects)
    }
  }

  // MARK: Going on

  /// Closes what is complete, opens what can be opened, drops what nobody needs, grants what can be granted, and ends
  /// when all is done. Runs after every event, so that a round which was complete before a crash closes after it too.
  mutating func advance(now: Instant, _ effects: inout [CoordinatorEffect]) {
    guard !isFinished else { return }
    if !unannounced.isEmpty { effects.append(.addRounds(unannounced)) }
    unannounced = []
    abandon(&effects)
    for (round, book) in openRounds where book.isComplete { close(round, &effects) }
    while nextPlanned < plan.count, plan[nextPlanned].policy <= latestPolicy {
      openRounds[plan[nextPlanned].id] = RoundBook(plan[nextPlanned])
      nextPlanned += 1
    }
    for version in kept where version < latestPolicy && !isNeeded(version) {
      kept.removeAll { $0 == version }
      onBundles(&effects) { $0.dropped(version, &$1) }
      effects.append(.dropPolicy(version))
    }
    while grantOnce(now: now, &effects) {}
    if isPlanDone, latestPolicy >= finalPolicy, !needsLearner || hasLearner(at: latestPolicy) { finish(&effects) }
  }

  var isPlanDone: Bool { openRounds.isEmpty && nextPlanned == plan.count }

  /// A learner holds this version and waits for what comes next.
  func hasLearner(at version: PolicyVersion) -> Bool {
    peers.values.contains { $0.awaitedStep == version.number }
  }

  /// Some open round is sampled by this version, or it may become the run's result: it is the best so far, or what it
  /// sampled is still to be judged.
  func isNeeded(_ version: PolicyVersion) -> Bool {
    if version == course.best || openRounds.values.contains(where: { $0.spec.policy == version }) { return true }
    guard latestPolicy < finalPolicy, let unjudged = samplers[latestPolicy.number] else { return false }
    return version >= unjudged
  }

  mutating func finish(_ effects: inout [CoordinatorEffect]) {
    isFinished = true
    for (id, peer) in peers where peer.isWorker || peer.awaitedStep == latestPolicy.number {
      effects.append(.send(.finished, to: id))
    }
    effects.append(.finish)
  }
}
