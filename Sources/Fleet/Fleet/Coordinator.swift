// Coordinator: distributes the unlabeled set to workers, collects their trajectories, and sets the learner's pace.
//
// It is a state machine. The input is an event and the time; the output is a list of effects, which must be performed
// in that order. It reads no clock, opens no socket and holds no bytes of weights. The shell (CoordinatorRole) does
// these things. The simulator runs the same struct. Two rules make sure that nothing is lost:
//   1. A trajectory is acknowledged only after the effect that makes it durable (`store` before `send(.settled)`).
//   2. A slot is settled once, by the first worker that delivers it. A slot determines its random numbers, so it does
//      not matter which worker that is.
// A round opens when its policy exists. It closes when every slot is settled or is not needed. Rounds are sampled in
// the order of their steps, and policy v + 1 comes only from the closed round v. The plan says which policy samples a
// round. If that policy is K versions behind the step (staleness), K more rounds are open while a step is trained.
//
// Early stop: the state machine does not know the answers. The shell counts them (TTRL's RunningVote). It reports which
// prompt is decided and which of its samples do not count. The state machine then revokes their leases and does not
// wait for these samples any more.
//
// A reward command (`--reward-command`) judges the responses of a prompt when all of them are durable. Its verdicts are
// made durable too, and the round closes when every response has one. The first verdict of a slot counts, so a program
// that is not deterministic cannot change what a learner has used.
//
// The facts are in books, each with the operations that keep it consistent. This file and the extensions (one file for
// each kind of event) say how an event changes the books and which effects follow.
//
// Not here: the value of trajectories (TTRL, in the learner), how bytes are sent (Wire), where trajectories are kept
// (Ledger), what is shown of the fleet (FleetWatch).

package import Base
package import Records

package struct Coordinator: Sendable {
  let prompts: PromptTokens
  let welcome: Welcome
  var plan: PlanBook
  var versions: VersionBook
  var peers = PeerBook()
  var leases = LeaseBook()
  var publication = Publication()
  /// A version that waits for the round of its step: a learner trained it for a coordinator that knew more.
  var early: (manifest: PolicyManifest, report: StepReport, isAtHand: Bool, from: PeerID)?
  var bundles = BundleBook()
  var standbys = StandbyBook()
  /// Where other processes can lead that do not know of this one's term.
  var others: [String]
  var lastTold = Instant.zero
  var isFinished = false
  /// The end is durable, also at a standby if that is asked for.
  var hasEnded = false
  /// The run ends only when a learner holds the last version, because that learner's checkpoint is the run's product. A
  /// learner that is behind (its newest checkpoint was damaged) first trains the missing steps. This is false if
  /// nothing is trained, or if all rounds were complete before this start.
  let needsLearner: Bool

  /// - Parameters:
  ///   - plan: ascending by policy, then by round.
  ///   - prompts: the tokens of all prompts that the plan samples.
  ///   - welcome: what a process is told when it joins; the latest version is filled in.
  ///   - memory: from the ledger; must hold at least one policy.
  ///   - others: of a coordinator that has taken over: where the former one was, and other standbys.
  package init(
    plan: [RoundSpec], prompts: PromptTokens, welcome: Welcome, memory: CoordinatorMemory, others: [String] = []
  ) {
    self.others = others
    precondition(!memory.policies.isEmpty, "a run starts with policy 0")
    self.prompts = prompts
    self.welcome = welcome
    versions = VersionBook(memory.policies)
    self.plan = PlanBook(plan, memory: memory, latest: versions.latest)
    needsLearner = !self.plan.isDone && self.plan.trains
  }

  package var term: Term { welcome.term }

  /// What a connected peer calls itself.
  package func name(of peer: PeerID) -> String { peers[peer]?.name ?? "unknown" }

  /// The run's result, once it is finished.
  package var delivered: PolicyVersion { plan.delivered }

  // MARK: Events

  package mutating func receive(_ event: CoordinatorEvent, now: Instant) -> [CoordinatorEffect] {
    var effects: [CoordinatorEffect] = []
    switch event {
    case .connected(let id): peers.connect(id, now: now)
    case .disconnected(let id): remove(id, &effects)
    case .received(let message, let id):
      guard peers.hear(id, now: now) else { return [] }
      receive(message, from: id, now: now, &effects)
    case .sealed(let manifest, let isIntact, from: _, let course):
      finishPublishing(manifest, isIntact: isIntact, course, &effects)
    case .named(let manifest): offerEarly(manifest, &effects)
    case .notAtHand(let manifest): requestBytes(of: manifest, &effects)
    case .bundled(let bundle): onBundles(&effects) { $0.bundled(bundle, &$1) }
    case .decided(let round, let prompt, let unneeded): decide(round, prompt, unneeded, &effects)
    case .judged(let verdicts): judge(verdicts, &effects)
    case .answered(let term, let address):
      if term > welcome.term, !hasEnded { abdicate(under: term, to: address, &effects) }
    case .ended: hasEnded = true
    case .tick: watch(now: now, &effects)
    }
    advance(now: now, &effects)
    return effects
  }

  private mutating func receive(
    _ message: Message, from id: PeerID, now: Instant, _ effects: inout [CoordinatorEffect]
  ) {
    let role = peers[id]?.hello?.role
    switch (message, role) {
    case (.hello(let hello), nil): greet(hello, id, &effects)
    case (.follow(let request), .standby): follow(request, by: id, &effects)
    case (.committed, .standby), (.requestFile, .standby): effects.append(.follower(id, message))
    case (.heartbeat, .standby): break
    case (.goodbye, _): remove(id, &effects)
    case (.want(let slots), .worker): peers.want(id, slots: Int(slots))
    case (.trajectories(let lease, let trajectories), .worker):
      settle(trajectories, under: lease, from: id, now: now, &effects)
    case (.heartbeat(let tokens), .worker):
      if peers.progress(id, tokens: tokens) { leases.renew(heldBy: id, now: now) }
    case (.requestBundle(let version, let holding), .worker), (.requestBundle(let version, let holding), .standby):
      offerBundle(of: version, holding, to: id, &effects)
    case (.requestChunk(let version, let digest), .worker), (.requestChunk(let version, let digest), .standby):
      onBundles(&effects) { $0.requested(digest, of: version, by: id, &$1) }
    case (.fault(let relay, let version, let fault), .worker):
      onBundles(&effects) { $0.faulted(relay, version, fault, by: id, &$1) }
    // Only StepWatch uses it.
    case (.installed, .worker): break
    // A heartbeat only shows that the learner is alive: a learner sends it while it waits and between micro-batches.
    case (.heartbeat, .learner): break
    case (.ready(let version), .learner): prepareBatch(for: id, at: version, &effects)
    case (.publish(let manifest, let report, let isAtHand), .learner):
      startPublishing(manifest, report, isAtHand: isAtHand, from: id, &effects)
    case (.policyBytes(let version, let offset, let bytes), .learner):
      receiveBytes(version, offset, bytes, from: id, &effects)
    default: dismiss(id, .unexpectedMessage(from: role), &effects)
    }
  }

  // MARK: Progress

  /// Closes rounds that are complete, opens rounds, drops versions that are not needed, grants leases, and finishes
  /// when all is done. Runs after every event, so a round that was complete before a crash is closed after it.
  private mutating func advance(now: Instant, _ effects: inout [CoordinatorEffect]) {
    guard !isFinished else { return }
    let added = plan.takeAdded()
    if !added.isEmpty { effects.append(.addRounds(added)) }
    abandonRounds(&effects)
    let questions = plan.takeQuestions()
    if !questions.isEmpty { effects.append(.judge(questions)) }
    for (round, book) in plan.open where book.isComplete { close(round, &effects) }
    plan.openRounds(at: versions.latest)
    for version in versions.old where !plan.isNeeded(version, at: versions.latest) {
      versions.drop(version)
      onBundles(&effects) { $0.dropped(version, &$1) }
      effects.append(.dropPolicy(version))
      // So that they free its memory before the next version comes.
      for (id, peer) in peers.all where peer.isWorker { effects.append(.send(.missing(version), to: id)) }
    }
    answerEarlyAskers(&effects)
    while grantOnce(now: now, &effects) {}
    let hasLearner = peers.learner(waitingFor: versions.latest.number) != nil
    if plan.isDone, versions.latest >= plan.last, hasLearner || !needsLearner { finish(&effects) }
  }

  private mutating func finish(_ effects: inout [CoordinatorEffect]) {
    isFinished = true
    // First: a process that ends because it was told so finds the run finished on disk.
    effects.append(.finish)
    let learner = peers.learner(waitingFor: versions.latest.number)
    for (id, peer) in peers.all where peer.isWorker || peer.isStandby || id == learner {
      effects.append(.send(.finished, to: id))
    }
  }
}
