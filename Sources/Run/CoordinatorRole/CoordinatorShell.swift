// CoordinatorShell: the coordinator as a process.
//
// Bytes → messages → the machine (Fleet.Coordinator) → effects → ledger, files and bytes, on one loop. The machine
// makes all decisions. The shell only performs effects, in order. It chooses only the time: effects that begin with a
// `store` wait a few milliseconds for other stores, so that one durable commit serves many messages (group commit).
// Effects that follow the store in the list are still performed after it.

import Base
import Fleet
import Ledger
package import Platform
package import Records
package import Runs
import Settings
import TTRL
import Transport
import Wire

package final class CoordinatorShell {
  private let loop: EventLoop
  private let run: Run
  private let store: PolicyStore
  private let recorder: RunRecorder
  /// nil when it has ended: a standby of the same process takes it.
  private var lock: RunLock?
  private var fleet: FleetFile
  /// nil means plain TCP.
  private let context: TLSContext?
  private var keys: ClusterKeys?
  private var machine: Coordinator
  /// Where each step's time goes.
  private var steps: StepWatch
  /// Counts the answers of the durable trajectories, if votes can be decided early.
  private var votes: VoteBook
  private var listener: Listener?
  private var links: [PeerID: Link] = [:]
  /// Batches that are being sent.
  private var feeds: [PeerID: BatchFeed] = [:]
  private var shelf: BundleShelf?
  /// nil if no reward command judges responses.
  private var desk: RewardDesk?
  private let rewardProcesses: Int
  private let durability: Durability
  private let hasTakenOver: Bool
  private var standbys: StandbyDesk?
  /// To other coordinators, which are told of this one.
  private var heralds: [String: Link] = [:]
  /// Until when processes can be on their way that were connected to the coordinator before this one.
  private var latecomersUntil = Instant.zero
  private var superseded: (term: Term, addresses: [String])?
  /// Files of the learner that a thread has verified.
  private var verified: Inbox<Verified>?
  private var nextPeer: UInt64 = 1
  /// The first store that has not been performed, and all effects after it.
  private var deferred: [CoordinatorEffect] = []
  private var status: Int32?
  private var failure: (any Error)?

  private struct Verified: Sendable {
    let manifest: PolicyManifest
    let report: StepReport
    let peer: PeerID
    let isIntact: Result<Bool, PlatformError>
  }

  /// How long a store can wait for other stores. A worker notices only much longer waits; a burst takes much less time.
  private static let gathering = Instant.Span.milliseconds(10)
  private static let tickInterval = Instant.Span.milliseconds(500)
  /// How long a finished coordinator waits for its peers to leave first.
  private static let farewell = Instant.Span.seconds(3)
  /// How long a process can need to find the coordinator that has taken over: a pause, and an attempt in vain.
  private static let search = Limits.reconnectLongest + Limits.oneOfSeveral + .seconds(1)

  /// Opens the run: takes its lock, reads the durable state, and continues from there.
  ///
  /// - Parameters:
  ///   - run: from here on, only this process uses the run's directory.
  ///   - keys: workers and the learner must have one of them; nil accepts every process that reaches the port.
  ///   - rewardProcesses: of the reward command, if there is one.
  ///   - durability: when results are acknowledged; nil for what the ledger says.
  ///   - takeover: of a process that was a standby.
  /// - Throws: if the directory, the ledger or the disk cannot be used.
  package init(
    _ run: Run, keys: ClusterKeys?, rewardProcesses: Int = 1, durability: Durability? = nil, takeover: Takeover? = nil
  ) throws {
    self.run = run
    self.rewardProcesses = rewardProcesses
    self.keys = keys
    context = if let keys { try TLSContext(keys.ring) } else { nil }
    Machine.raiseDescriptorLimit()
    loop = try EventLoop()
    lock = try RunLock(directory: run.directory.path, owner: "coordinator")
    store = try PolicyStore(run.directory)
    fleet = FleetFile(run.directory)
    let responses = try run.responses()
    recorder = RunRecorder(
      run: run, ledger: try Ledger(path: run.directory.ledger, mode: .readWrite), responses: responses)
    steps = StepWatch(at: MonotonicClock.now())
    votes = VoteBook(method: run.method)
    let memory = try Self.recall(recorder, store)
    self.durability = try durability ?? recorder.durability()
    try recorder.keep(self.durability)
    hasTakenOver = takeover?.term != nil
    if hasTakenOver { latecomersUntil = MonotonicClock.now() + Self.search }
    if let takeover { try recorder.takeOver(under: takeover.term) }
    let tokens = run.promptTokens
    machine = Coordinator(
      plan: run.plan(responses),
      prompts: PromptTokens(training: tokens.training, heldOut: tokens.heldOut, transfer: tokens.transfer),
      welcome: run.welcome(under: try recorder.position().term), memory: memory, others: takeover?.others ?? [])
  }

  /// The state in the ledger. A new ledger begins with policy 0 from the model.
  private static func recall(_ recorder: RunRecorder, _ store: PolicyStore) throws -> CoordinatorMemory {
    if try !recorder.hasBegun() {
      Log.info("coordinator.begin", ["run": recorder.run.directory.path, "model": recorder.run.settings.model])
      try recorder.begin(with: try store.store(PolicyVersion(0), recorder.run.forEachPieceOfInitialPolicy))
    }
    let memory = try recorder.recall()
    if let latest = memory.policies.last, try !store.has(latest) { throw PolicyStoreError.missing(latest.version) }
    Log.info(
      "coordinator.recall", ["closed_rounds": memory.closedRounds.count, "settled_slots": memory.settled.count])
    return memory
  }

  /// Serves until every round of the plan is complete, or until a signal asks the process to stop.
  ///
  /// - Parameter address: where to listen.
  /// - Returns: how it ended.
  /// - Throws: if the process cannot listen on the address, the disk fails, or the run cannot continue. Everything that
  ///   was acknowledged is durable.
  package func serve(on address: HostPort) throws -> CoordinatorEnd {
    try loop.onSignals([Signal.terminate, Signal.interrupt]) { _ in self.exit(130, "stopped by a signal") }
    shelf = try BundleShelf(
      wordBytes: run.settings.dtype.bytes, loop: loop, file: { [run] in run.directory.policy($0) },
      writeBase: { [run] in try run.writeBase() }, onBundled: { self.handle(.bundled($0)) },
      onFailure: { self.fail($0) })
    verified = try loop.inbox { verified in self.attempt { try self.end(verified) } }
    if run.method.isJudged {
      desk = try RewardDesk(run, recorder, processes: rewardProcesses, loop: loop) { self.hear($0) }
    }
    standbys = try StandbyDesk(
      run, recorder, durability: durability, hasTakenOver: hasTakenOver, loop: loop,
      send: { self.links[$1]?.send($0) }, onRelease: { effect in self.attempt { try self.perform(effect) } },
      onDismiss: { peer, reason in
        self.dismiss(peer, reason)
        self.loop.soon { self.handle(.disconnected(peer)) }
      }, onFailure: { self.fail($0) })
    let listener = try listen(on: address)
    self.listener = listener
    try Files.write("\(listener.address)\n", to: run.directory.address)
    Log.info(
      "coordinator.listen",
      ["address": listener.address, "key": context?.ring.first.id ?? "none", "run": run.directory.path])
    try recorder.disconnectAll("the coordinator ended")
    try recount()
    tick()
    while status == nil, failure == nil, superseded == nil { loop.run() }
    listener.close()
    desk?.stop()
    fleet.remove()
    if failure == nil {
      try recorder.keepTime()
      try recorder.disconnectAll("the coordinator ended")
    }
    for (_, link) in links { link.finish() }
    loop.run(until: MonotonicClock.now() + .milliseconds(300))
    desk?.removeDirectories()
    lock = nil
    if let failure { throw failure }
    if let (term, addresses) = superseded { return .superseded(term, by: addresses, at: listener.address) }
    return .exit(status ?? 1)
  }

  /// Waits for up to 1 s if the port is occupied. If no process listens on a port, a worker's own attempt to connect
  /// can occupy it: the kernel can choose the same port for the worker's end of the connection.
  private func listen(on address: HostPort) throws -> Listener {
    let deadline = MonotonicClock.now() + .seconds(1)
    while MonotonicClock.now() < deadline {
      if let listener = try? Listener(on: address, tls: context, loop: loop, onAccept: { self.accept($0) }) {
        return listener
      }
      loop.run(until: MonotonicClock.now() + .milliseconds(50))
    }
    return try Listener(on: address, tls: context, loop: loop) { self.accept($0) }
  }

  private func tick() {
    if keys?.renew(context, role: "coordinator") == true { cutOffFormerKeys() }
    handle(.tick)
    fleet.refresh(machine, standbys, now: MonotonicClock.now())
    attempt { try self.standbys?.tick(now: MonotonicClock.now()) }
    desk?.tick()
    loop.schedule(at: MonotonicClock.now() + Self.tickInterval) { self.tick() }
  }

  // MARK: Votes

  /// Counts the durable trajectories. They decide the votes, so a restarted coordinator counts them again.
  private func recount() throws {
    guard run.method.stopsEarly else { return }
    for trajectory in try recorder.openTrajectories() {
      if let decision = count(trajectory) { decide(decision) }
    }
  }

  private func count(_ trajectory: Trajectory) -> VoteDecision? {
    votes.add(trajectory.slot) {
      run.reader.answer(of: trajectory.tokens, to: run.training.prompts[Int(trajectory.slot.prompt)])
    }
  }

  private func decide(_ decision: VoteDecision) {
    handle(.decided(decision.round, prompt: decision.prompt, unneeded: decision.unneeded))
  }

  private func hear(_ event: RewardDesk.Event) {
    switch event {
    case .judged(let verdicts): handle(.judged(verdicts))
    case .notStarted(let reason): fail(CoordinatorFailure.broken(reason))
    }
  }

  // MARK: Connections

  private func accept(_ connection: Connection) {
    // The keys can have changed during the handshake.
    guard links.count < Limits.connections, context?.accepts(connection.keyID) != false else {
      return connection.close()
    }
    let id = PeerID(nextPeer)
    nextPeer += 1
    let link = Link(
      connection, firstFrameBytes: Limits.helloBytes, onMessage: { self.handle(.received($0, from: id)) },
      onClose: { reason in
        self.feeds[id] = nil
        self.links[id] = nil
        Log.debug("coordinator.connection_lost", ["peer": id, "reason": reason])
        self.handle(.disconnected(id))
      })
    link.onDrained = { self.attempt { try self.feed(id) } }
    links[id] = link
    handle(.connected(id))
  }

  /// Closes connections whose key is not accepted any more. Their processes call again, with the key that they have
  /// now.
  private func cutOffFormerKeys() {
    guard let context else { return }
    attempt {
      try self.recorder.record(
        event: "keys.changed", context.ring.keys.map(\.id).joined(separator: ", "))
    }
    for (id, link) in links.sorted(by: { $0.key < $1.key }) where !context.accepts(link.keyID) {
      close(id, because: "its key, \(link.keyID ?? "none"), is not accepted any more")
      handle(.disconnected(id))
    }
  }

  // MARK: Machine

  private func handle(_ event: CoordinatorEvent) {
    guard status == nil, failure == nil, superseded == nil else { return }
    let now = MonotonicClock.now()
    let effects = machine.receive(event, now: now)
    steps.see(event, effects, of: machine, now: now)
    for effect in effects {
      if effect.isGathered, deferred.isEmpty {
        loop.schedule(at: MonotonicClock.now() + Self.gathering) { self.performDeferred() }
        deferred.append(effect)
      } else if !deferred.isEmpty {
        deferred.append(effect)
      } else {
        attempt { try self.performOrHold(effect) }
      }
    }
  }

  /// Makes all waiting trajectories and verdicts durable in one commit, then performs the rest in order.
  private func performDeferred() {
    let effects = deferred
    deferred = []
    attempt {
      try self.recorder.store(effects)
      for effect in effects { try self.performOrHold(effect) }
    }
  }

  /// What acknowledges can have to wait for a standby.
  private func performOrHold(_ effect: CoordinatorEffect) throws {
    if standbys?.admits(effect) != false { try perform(effect) }
  }

  /// Ends the process if the ledger or the disk fails, because only durable data can be acknowledged.
  private func attempt(_ work: () throws -> Void) {
    guard status == nil, failure == nil, superseded == nil else { return }
    do {
      try work()
    } catch {
      fail(error)
    }
  }

  private func perform(_ effect: CoordinatorEffect) throws {
    switch effect {
    case .store(let trajectories, worker: _, lease: _):
      // performDeferred has made them durable. The decision is made later: the machine is in the middle of its effects.
      for decision in trajectories.compactMap({ count($0) }) { loop.soon { self.decide(decision) } }
    // performDeferred has made them durable.
    case .storeVerdicts(let verdicts): Log.debug("coordinator.verdicts", ["count": verdicts.count])
    case .judge(let slots): try desk?.judge(slots)
    case .storeUnneeded(let slots): try recorder.store(unneeded: slots)
    case .send(let message, let peer): links[peer]?.send(message)
    case .dismiss(let peer, let reason): dismiss(peer, reason)
    case .follower(let peer, let message): try standbys?.receive(message, from: peer)
    case .followerLeft(let peer): standbys?.left(peer)
    case .tell(let address): tell(address)
    case .abdicate(let term, let addresses):
      Log.warning("coordinator.superseded", ["term": term, "by": addresses.joined(separator: ",")])
      superseded = (term, addresses)
      loop.stop()
    case .cutOff(let peer, let reason): close(peer, because: "\(reason)")
    case .closeRound(let round): try recorder.close(round)
    case .writePolicy(let version, let offset, let bytes): try store.append(bytes, at: offset, of: version)
    case .sealPolicy(let manifest, let report, let peer):
      try end(manifest, report, isIntact: try store.seal(manifest), from: peer)
    case .adoptPolicy(let manifest, let report, let peer): try adopt(manifest, report, from: peer)
    case .bundle(let effect): try perform(effect)
    case .sendBatch(let round, let peer): try sendBatch(round, to: peer)
    case .addRounds(let rounds): try recorder.add(rounds)
    case .abandonRounds(let rounds):
      for round in rounds { desk?.drop(round) }
      try recorder.abandon(rounds)
    case .dropPolicy(let version):
      try store.drop(version)
      try recorder.drop(version)
    case .note(let note): self.note(note)
    case .finish:
      try store.removeSpare()
      try recorder.finish(delivering: machine.delivered) { version throws(PlatformError) in try store.bytes(of: version)
      }
      loop.soon { self.handle(.ended) }
      leave(by: MonotonicClock.now() + Self.farewell)
    case .fail(let fault): fail(CoordinatorFailure.broken("\(fault)"))
    }
  }

  /// Takes over the file that the learner has left. A thread verifies it, and the loop continues.
  private func adopt(_ manifest: PolicyManifest, _ report: StepReport, from peer: PeerID) throws {
    guard let verified, try store.take(manifest) else { return loop.soon { self.handle(.notAtHand(manifest)) } }
    loop.soon { self.handle(.named(manifest)) }
    let path = run.directory.policy(manifest.version)
    try startThread(named: "verify") {
      let isIntact = Result { () throws(PlatformError) in try PolicyStore.verify(manifest, at: path) }
      verified.post(Verified(manifest: manifest, report: report, peer: peer, isIntact: isIntact))
    }
  }

  private func end(_ verified: Verified) throws {
    guard try verified.isIntact.get() else {
      try store.drop(verified.manifest.version)
      return handle(.notAtHand(verified.manifest))
    }
    try end(verified.manifest, verified.report, isIntact: true, from: verified.peer)
  }

  /// A version's file is in the store, or was damaged.
  private func end(_ manifest: PolicyManifest, _ report: StepReport, isIntact: Bool, from peer: PeerID) throws {
    var report = report
    var course = RunCourse()
    if isIntact {
      steps.end(&report, now: MonotonicClock.now())
      // File and report become durable together, before any peer is told.
      course = try recorder.record(manifest, report: report)
    }
    // The event is handled later: the machine is in the middle of its list of effects.
    loop.soon { self.handle(.sealed(manifest, isIntact: isIntact, from: peer, course: course)) }
  }

  private func dismiss(_ peer: PeerID, _ reason: Dismissal) {
    links[peer]?.send(.goodbye(reason: "\(reason)"))
    close(peer, because: "\(reason)")
  }

  /// Says to another coordinator under which term this one leads. The answer is a welcome if its term is higher.
  private func tell(_ address: String) {
    guard heralds[address] == nil, let target = try? HostPort(parsing: address), let own = listener?.address else {
      return
    }
    let connection = Connection(to: target, tls: context, by: MonotonicClock.now() + Limits.heraldInterval, loop: loop)
    let hello = Hello(
      role: .coordinator, name: "coordinator", arithmetic: "", processID: ThisProcess.id, threads: 1,
      relay: "\(own)", term: machine.term)
    heralds[address] = Link(
      connection,
      onMessage: { message in
        guard case .welcome(let welcome) = message else { return }
        self.heralds.removeValue(forKey: address)?.close()
        self.handle(.answered(welcome.term, by: address))
      }, onClose: { _ in self.heralds[address] = nil })
    heralds[address]?.send(.hello(hello))
  }

  private func close(_ peer: PeerID, because reason: String) {
    Log.info("coordinator.closes", ["peer": peer, "reason": reason])
    feeds[peer] = nil
    links.removeValue(forKey: peer)?.finish()
  }

  private func perform(_ effect: BundleEffect) throws {
    switch effect {
    case .make(let policy, let base): try shelf?.make(policy, base: base)
    case .sendChunk(let digest, let peer):
      if let bytes = try shelf?.chunk(digest) { links[peer]?.send(.chunk(digest, bytes)) }
    case .drop(let version): shelf?.drop(version)
    }
  }

  /// Exits when all peers have left, or at the deadline. Each peer that is connected, or reconnects before the
  /// deadline, is told that the run is finished and closes its connection.
  private func leave(by deadline: Instant) {
    let isHeld = standbys?.isHolding == true
    let now = MonotonicClock.now()
    let isAwaited = isHeld || now < latecomersUntil || !links.isEmpty && now < deadline
    guard isAwaited else { return exit(0, "every round is complete") }
    loop.schedule(at: MonotonicClock.now() + .milliseconds(20)) { self.leave(by: deadline) }
  }

  private func sendBatch(_ round: RoundID, to peer: PeerID) throws {
    guard links[peer] != nil else { return }
    feeds[peer] = try BatchFeed(round, from: recorder)
    try feed(peer)
  }

  /// Sends a learner the next message of its batch. The following message is sent when this one has left the queue.
  private func feed(_ peer: PeerID) throws {
    guard let link = links[peer], var feed = feeds.removeValue(forKey: peer), !feed.isOver else { return }
    link.send(try feed.take(from: recorder))
    guard !feed.isOver else { return }
    feeds[peer] = feed
    if link.queuedBytes == 0 { loop.soon { self.attempt { try self.feed(peer) } } }
  }

  private func exit(_ status: Int32, _ reason: String) {
    guard self.status == nil, failure == nil else { return }
    Log.info("coordinator.exit", ["status": status, "reason": reason])
    self.status = status
    loop.stop()
  }

  private func fail(_ error: any Error) {
    guard status == nil, failure == nil else { return }
    Log.error("coordinator.failed", ["reason": "\(error)"])
    failure = error
    loop.stop()
  }

  private func note(_ note: CoordinatorNote) {
    switch note {
    case .joined(let peer, let hello):
      Log.info(
        "coordinator.joined",
        ["peer": peer, "role": "\(hello.role)", "name": hello.name, "arithmetic": hello.arithmetic])
      attempt {
        try self.recorder.join(hello, peer, from: self.links[peer]?.peer)
        try self.recorder.record(event: "\(hello.role).joined", hello.name)
      }
    case .left(let peer, let name, let outstanding):
      Log.info("coordinator.left", ["peer": peer, "name": name, "slots_returned": outstanding])
      attempt {
        try self.recorder.leave(peer, "connection ended")
        try self.recorder.record(event: "peer.left", "\(name), \(outstanding) slots returned")
      }
    case .silent(let peer, let name):
      Log.warning("coordinator.silent", ["peer": peer, "name": name])
      attempt { try self.recorder.record(event: "worker.silent", name) }
    case .expired(let lease, let holder, let slots):
      Log.warning("coordinator.lease_expired", ["lease": lease, "peer": holder, "slots": slots])
      attempt { try self.recorder.record(event: "lease.expired", "lease \(lease), \(slots) slots returned") }
    case .refused(let slot, let refusal, let peer):
      Log.debug("coordinator.refused", ["slot": slot, "refusal": "\(refusal)", "peer": peer])
    case .published(let version): Log.info("coordinator.published", ["policy": version])
    case .relayAvoided(let relay, let fault, let peer):
      Log.warning("coordinator.relay_avoided", ["relay": relay, "fault": "\(fault)", "told_by": peer])
      attempt { try self.recorder.record(event: "relay.avoided", "\(relay): \(fault), told by peer \(peer)") }
    case .cutShort(let version): Log.warning("coordinator.cut_short", ["last_policy": version])
    }
  }
}

extension CoordinatorEffect {
  /// Whether it waits a little for others, to be durable with them in one commit.
  fileprivate var isGathered: Bool {
    switch self {
    case .store, .storeVerdicts: true
    default: false
    }
  }
}
