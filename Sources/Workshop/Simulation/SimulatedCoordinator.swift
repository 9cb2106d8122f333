// SimulatedCoordinator: the coordinator's state machine with a simulated ledger, policy store and network around it.
//
// It does what CoordinatorRole does with SQLite, files and sockets. It also checks what a state machine cannot check
// itself: nothing is acknowledged that is not durable, and no file is written while it is being verified.

import Base
import Bundles
import Fleet
import Records
import TTRL
import Wire

final class SimulatedCoordinator: Shell {
  let seat: SeatID
  let incarnation: Int
  private(set) var machine: Coordinator
  private var decoders = SortedMap<PeerID, FrameDecoder>()
  /// The version that is being received, and whether it is complete and being verified.
  private var incoming: (version: PolicyVersion, bytes: [UInt8], isSealing: Bool)?
  private var votes: VoteBook
  private var bundles: [(manifest: BundleManifest, chunks: [[UInt8]])] = []
  var replication: Replication
  /// Commits are reported from the first standby on, or always.
  var isFollowed: Bool
  /// The copies of the ledger that standbys fetch.
  var copies = SortedMap<PeerID, [UInt8]>()
  private let needsStandby: Bool
  /// It has reported that the run is complete, or found it so when it started.
  private(set) var isFinished = false
  /// Links over which other coordinators are told of this one's term.
  var heralds = SortedMap<LinkID, String>()

  /// - Parameter takeover: the term under which a standby leads, and where others can lead.
  init(seat: SeatID, takeover: (term: Term, others: [String])?, world: World) {
    self.seat = seat
    if let takeover {
      world[disk: seat].term = takeover.term
      world[disk: seat].following = nil
    }
    needsStandby = world.scenario.standby?.durability == .replicated && takeover == nil
    replication = Replication(
      position: world[disk: seat].position, durability: world.scenario.standby?.durability ?? .local,
      hasTakenOver: takeover != nil, isJudged: world.scenario.method.isJudged)
    isFollowed = replication.recordsAlways
    incarnation = world.seats[seat].incarnation
    let scenario = world.scenario
    votes = VoteBook(method: scenario.method)
    let settled = world.bug == .forgetSettledOnRestart ? [] : world[disk: seat].trajectories.keys
    if world.bug == .believeTornPolicy, let newest = world[disk: seat].policies.keys.last,
      let bytes = world[disk: seat].policies[newest], !world[disk: seat].manifests.contains(newest)
    {
      world[disk: seat].seal(manifest(of: bytes, version: newest), bytes)
    }
    let directory = world[disk: seat]
    let latest = directory.manifests.keys.last ?? PolicyVersion(0)
    machine = Coordinator(
      plan: scenario.plan,
      prompts: PromptTokens(training: scenario.prompts.map(\.tokens), heldOut: scenario.heldOut.map(\.tokens)),
      welcome: Welcome(
        runID: "run-\(scenario.seed)", seed: scenario.seed, dtype: "float32", modelConfiguration: "{}",
        latestPolicy: PolicyVersion(0), heartbeat: Limits.heartbeat, policies: "policies",
        base: scenario.base.map {
          AdaptedBase(adapter: "{}", manifest: manifest(of: $0, version: .base), directory: "model")
        }, term: directory.term),
      memory: CoordinatorMemory(
        closedRounds: directory.closed.keys, settled: settled,
        judged: world.bug == .forgetVerdictsOnRestart ? [] : directory.verdicts.keys,
        policies: directory.manifests.values,
        course: world.bug == .forgetCourseOnRestart ? RunCourse() : scenario.course(at: latest)),
      others: takeover?.others ?? [])
  }

  func handle(_ occurrence: Occurrence, in world: World) {
    switch occurrence {
    case .started:
      recount(in: world)
      feed(.tick, in: world)
    case .tick: feed(.tick, in: world)
    case .opened(let link):
      guard !heralds.contains(link) else { return sayHello(on: link, in: world) }
      decoders[peer(link)] = FrameDecoder()
      feed(.connected(peer(link)), in: world)
    case .closed(let link):
      guard heralds.remove(link) == nil else { return }
      decoders[peer(link)] = nil
      feed(.disconnected(peer(link)), in: world)
    case .bytes(let link, let bytes) where heralds.contains(link): hear(bytes, on: link, in: world)
    case .bytes(let link, let bytes): receive(bytes, from: peer(link), in: world)
    case .done(.sealed(let manifest, let report, let id)): seal(manifest, report, from: id, in: world)
    case .done(.named(let manifest)): feed(.named(manifest), in: world)
    case .done(.notAtHand(let manifest)): feed(.notAtHand(manifest), in: world)
    case .done(.decided(let decision)): decide(decision, in: world)
    case .done(.judged(let verdicts)): feed(.judged(verdicts), in: world)
    case .done(.copied(let peer, let snapshot)): world.send(.snapshot(snapshot), on: LinkID(peer.number), from: seat)
    case .done(.bundled(let manifest, let chunks)):
      if world.bug == .dropBundleEarly { bundles = [] }
      bundles.append((manifest, chunks))
      feed(.bundled(manifest), in: world)
    case .connect, .drain, .done: world.violate("the coordinator was given \(occurrence)")
    }
  }

  private func peer(_ link: LinkID) -> PeerID { PeerID(UInt64(link)) }

  private func receive(_ bytes: [UInt8], from id: PeerID, in world: World) {
    guard var decoder = decoders[id] else { return }
    decoder.append(bytes)
    do {
      while let message = try decoder.next() {
        // The answer is in the version that a hello has decided.
        decoders[id] = decoder
        feed(.received(message, from: id), in: world)
        // The message can have ended the connection or the process.
        guard decoders.contains(id), world.survives(seat, incarnation: incarnation) else { return }
      }
      decoders[id] = decoder
    } catch {
      world.violate("the coordinator cannot read a frame: \(error)")
    }
  }

  // MARK: Other coordinators

  private func sayHello(on link: LinkID, in world: World) {
    let hello = Hello(
      role: .coordinator, name: world.seats[seat].name, arithmetic: "", processID: UInt32(seat), threads: 1,
      relay: "\(seat)", term: machine.term)
    world.send(.hello(hello), on: link, from: seat)
  }

  private func hear(_ bytes: [UInt8], on link: LinkID, in world: World) {
    var decoder = FrameDecoder()
    decoder.append(bytes)
    // A welcome that comes in pieces is passed over: this coordinator calls again.
    guard let address = heralds[link], let message = try? decoder.next(), case .welcome(let welcome) = message else {
      return
    }
    heralds[link] = nil
    world.close(link, at: seat)
    feed(.answered(welcome.term, by: address), in: world)
  }

  // MARK: Effects

  func feed(_ event: CoordinatorEvent, in world: World) {
    var effects = machine.receive(event, now: world.clock)
    if world.bug == .acknowledgeBeforeStore { effects = effects.filter { !$0.isStore } + effects.filter(\.isStore) }
    for effect in effects {
      guard world.survives(seat, incarnation: incarnation) else { return }
      let isEarly = world.bug == .acknowledgeBeforeReplication
      if replication.admits(effect) || isEarly { perform(effect, in: world) }
    }
  }

  func perform(_ effect: CoordinatorEffect, in world: World) {
    if effect.isCommit, world.strikesNow(.fullDisk) {
      if world.bug == .overlookFullDisk { return }
      return world.endForLackOfRoom(seat)
    }
    switch effect {
    case .send(let message, let id): send(message, to: id, in: world)
    case .dismiss(let id, let reason):
      send(.goodbye(reason: "\(reason)"), to: id, in: world)
      close(id, "\(reason)", in: world)
    case .cutOff(let id, let reason): close(id, "\(reason)", in: world)
    case .store(let trajectories, let worker, lease: _): store(trajectories, worker: worker, in: world)
    case .storeUnneeded(let slots):
      world.note(seat, 27, "does without \(slots.count) slots from \(slots[0])")
      if world.bug != .forgetUnneeded { commit([.doWithout(slots)], in: world) }
    case .judge(let slots): judge(slots, in: world)
    case .storeVerdicts(let verdicts):
      world.note(seat, 30, "stores \(verdicts.count) verdicts from \(verdicts[0].slot)")
      commit(verdicts.map { .judge($0) }, in: world)
    case .closeRound(let round):
      world.note(seat, 22, "closes \(round)")
      commit(given(round, in: world) + (world.bug == .dropCloseRound ? [] : [.close(round)]), in: world)
    case .writePolicy(let version, let offset, let bytes): write(version, offset, bytes, in: world)
    case .sealPolicy(let manifest, let report, let id):
      incoming?.isSealing = true
      world.schedule(
        .done(.sealed(manifest, report: report, from: id)), on: seat,
        after: world.workDice.span(.zero, world.scenario.verifyTime))
    case .adoptPolicy(let manifest, let report, let id): adopt(manifest, report, from: id, in: world)
    case .bundle(let effect): perform(effect, in: world)
    case .sendBatch(let round, let id): sendBatch(round, to: id, in: world)
    case .abandonRounds(let rounds):
      world.note(seat, 28, "abandons \(rounds)")
      commit([.abandon(rounds)], in: world)
    case .addRounds(let specs): world.note(seat, 27, "adds \(specs.count) rounds")
    case .dropPolicy(let version):
      world.note(seat, 23, "drops policy \(version)")
      world[disk: seat].drop(version)
      commit([.remove(version)], removed: [version], in: world)
    case .follower(let peer, let message): serve(message, from: peer, in: world)
    case .followerLeft(let peer): perform(replication.left(peer), in: world)
    case .tell(let address):
      let isOpen = heralds.contains { $0.1 == address }
      if !isOpen { heralds[world.connect(from: seat, to: address)] = address }
    case .abdicate(let term, let addresses):
      let own = "\(seat)"
      world.note(seat, 31, "is superseded by term \(term)")
      world.change(seat) { [seat] in
        SimulatedStandby(seat: seat, following: addresses.filter { $0 != own }, seen: term, world: world)
      }
    case .note(let note):
      world.note(seat, 24, "\(note)")
      if case .relayAvoided(let relay, .wrong, by: _) = note, !world.liars.contains(relay) {
        world.violate("\(relay) was called a liar and is none")
      }
    case .finish:
      world.note(seat, 25, "the run is complete")
      isFinished = true
      if !world.isComplete { world.finisher = seat }
      world.isComplete = true
      feed(.ended, in: world)
    case .fail(let fault): world.violate("the coordinator gave up: \(fault)")
    }
  }

  private func close(_ id: PeerID, _ reason: String, in world: World) {
    world.note(seat, 20, "closes link \(id): \(reason)")
    decoders[id] = nil
    world.close(LinkID(id.number), at: seat)
  }

  private func send(_ message: Message, to id: PeerID, in world: World) {
    if case .settled(let slots) = message, let lost = slots.first(where: { !isDurable($0, in: world) }) {
      return world.violate("\(lost) was acknowledged and is not durable")
    }
    if case .settled(let slots) = message, needsStandby { promise(slots, in: world) }
    let agreed = world.bug == .ignoreAgreedVersion ? nil : decoders[id]?.version
    world.send(message, on: LinkID(id.number), from: seat, version: agreed ?? ProtocolVersions.own.newest)
  }

  /// With the planted bug the acknowledgement is sent before the write. Only a crash between the two shows it, as a
  /// lost slot. It is durable before any peer is told that a slot was not needed, or that the run ends without the
  /// slot's round.
  private func isDurable(_ slot: Slot, in world: World) -> Bool {
    world.bug == .acknowledgeBeforeStore || world[disk: seat].trajectories.contains(slot)
      || world[disk: seat].unneeded.contains(slot) || world[disk: seat].abandoned.contains(slot.round)
      || isAhead(slot, in: world)
  }

  /// A standby has taken over before it had the version that sampled the slot. The worker's trajectory is refused, and
  /// the slot is sampled again, to the same bits.
  private func isAhead(_ slot: Slot, in world: World) -> Bool {
    guard let spec = world.scenario.round(slot.round) else { return false }
    return world.scenario.standby != nil && !world[disk: seat].manifests.contains(spec.policy)
  }

  private func store(_ trajectories: [Trajectory], worker: String, in world: World) {
    world.note(seat, 21, "stores \(trajectories.count) of \(worker)")
    commit(trajectories.map { .store($0) }, in: world)
    for trajectory in trajectories {
      if let decision = count(trajectory, in: world) {
        world.schedule(.done(.decided(decision)), on: seat, after: .zero)
      }
    }
  }

  /// The responses that a round was given become its trajectories, in the commit that closes it.
  private func given(_ round: RoundID, in world: World) -> [RunDirectory.Change] {
    guard let spec = world.scenario.round(round), spec.isGiven else { return [] }
    return world.scenario.given(spec).flatMap { given -> [RunDirectory.Change] in
      var trajectory = given
      if world.bug == .giveOtherResponses, round.step > 0 { trajectory.tokens[trajectory.tokens.count - 1] ^= 1 }
      trajectory.verdict = nil
      return [.store(trajectory)] + (given.verdict.map { [.judge(SlotVerdict(given.slot, $0))] } ?? [])
    }
  }

  // MARK: Votes

  /// Only durable trajectories decide votes, so a restarted coordinator counts again what is durable.
  private func recount(in world: World) {
    for trajectory in world[disk: seat].trajectories.values
    where !world[disk: seat].closed.contains(trajectory.slot.round) {
      guard let decision = count(trajectory, in: world) else { continue }
      decide(decision, in: world)
      guard world.survives(seat, incarnation: incarnation) else { return }
    }
  }

  private func count(_ trajectory: Trajectory, in world: World) -> VoteDecision? {
    var slot = trajectory.slot
    if world.bug == .countInArrivalOrder, slot.round.purpose == .train {
      let earlier = world[disk: seat].arrivals.prefix { $0 != slot }
      slot.sample = UInt32(earlier.count { $0.round == slot.round && $0.prompt == slot.prompt })
    }
    return votes.add(slot) { world.scenario.answer(of: trajectory) }
  }

  private func decide(_ decision: VoteDecision, in world: World) {
    feed(.decided(decision.round, prompt: decision.prompt, unneeded: decision.unneeded), in: world)
  }

  // MARK: Verdicts

  /// Asks the reward command. It answers one after the other, in its own time.
  private func judge(_ slots: [Slot], in world: World) {
    var pause = Instant.Span.zero
    for slot in slots {
      guard world[disk: seat].trajectories.contains(slot) else {
        return world.violate("the reward command is asked about \(slot), which is not durable")
      }
      pause = pause + world.workDice.span(.zero, world.scenario.verifyTime)
      world.schedule(.done(.judged([SlotVerdict(slot, verdict(of: slot, in: world))])), on: seat, after: pause)
    }
  }

  private func verdict(of slot: Slot, in world: World) -> Verdict {
    world.scenario.verdict(of: slot, isDurable: world[disk: seat].verdicts.contains(slot))
  }

  private func sendBatch(_ round: RoundID, to id: PeerID, in world: World) {
    var batch = world[disk: seat].trajectories(of: round)
    if world.bug == .batchInArrivalOrder {
      batch = world[disk: seat].arrivals.compactMap { $0.round == round ? world[disk: seat].trajectories[$0] : nil }
    }
    if world.bug == .askAgainForBatch, world.scenario.method.isJudged {
      for index in batch.indices { batch[index].verdict = verdict(of: batch[index].slot, in: world) }
    }
    guard world[disk: seat].closed.contains(round) || world.bug == .dropCloseRound else {
      return world.violate("the batch of \(round) is sent before it is durable that the round is complete")
    }
    let size = world.scenario.partTrajectories
    let count = (batch.count + size - 1) / size
    for part in 0..<count {
      guard world.survives(seat, incarnation: incarnation) else { return }
      let slice = Array(batch[part * size..<min((part + 1) * size, batch.count)])
      send(.batch(step: round.step, part: UInt32(part), partCount: UInt32(count), slice), to: id, in: world)
    }
  }

  // MARK: Policies

  private func perform(_ effect: BundleEffect, in world: World) {
    switch effect {
    case .make(let policy, let base): make(policy, base, in: world)
    case .sendChunk(let digest, let id):
      for (manifest, chunks) in bundles {
        guard let index = manifest.chunks.firstIndex(where: { $0.digest == digest }) else { continue }
        return send(.chunk(digest, chunks[index]), to: id, in: world)
      }
      world.violate("chunk \(digest) is asked for and was dropped")
    case .drop(let version): bundles.removeAll { $0.manifest.policy.version == version }
    }
  }

  private func make(_ policy: PolicyManifest, _ base: PolicyManifest?, in world: World) {
    guard let bytes = world[disk: seat].file(of: policy.version) else {
      return world.violate("policy \(policy.version) is to be packed and was dropped")
    }
    var old: [UInt8]?
    if let base {
      guard let bytes = world[disk: seat].policies[base.version] else {
        return world.violate("policy \(base.version) is to be a base and was dropped")
      }
      old = bytes
    }
    let packed = packed(policy, bytes, base: base.flatMap { base in old.map { (base.version, $0) } }, in: world)
    world.schedule(
      .done(.bundled(packed.manifest, packed.chunks)), on: seat,
      after: world.workDice.span(.zero, world.scenario.verifyTime))
  }

  private func packed(
    _ policy: PolicyManifest, _ bytes: [UInt8], base: (version: PolicyVersion, bytes: [UInt8])?, in world: World
  ) -> (manifest: BundleManifest, chunks: [[UInt8]]) {
    bundleOf(
      policy, bytes, base: base, wordBytes: 4, blockBytes: world.scenario.chunkBytes, digest: chunkDigest)
  }

  private func write(_ version: PolicyVersion, _ offset: UInt64, _ bytes: [UInt8], in world: World) {
    if incoming?.isSealing == true { return world.violate("policy \(version) is written while it is being verified") }
    if offset == 0 { incoming = (version, [], false) }
    guard var current = incoming, current.version == version, offset == UInt64(current.bytes.count) else {
      return world.violate("policy \(version) is written at \(offset), which is not where it ends")
    }
    current.bytes += bytes
    if world.strikesNow(.damagePublication) { current.bytes[current.bytes.count - 1] ^= 1 }
    incoming = current
  }

  private func adopt(_ manifest: PolicyManifest, _ report: StepReport, from id: PeerID, in world: World) {
    if incoming?.isSealing == true {
      return world.violate("policy \(manifest.version) is taken over while another is being verified")
    }
    if world.strikesNow(.damagePublication) { world[disk: seat].handedOver = nil }
    let file = world[disk: seat].handedOver ?? world[disk: seat].file(of: manifest.version)
    guard let bytes = file, digest(bytes) == manifest.digest else {
      return world.schedule(.done(.notAtHand(manifest)), on: seat, after: .zero)
    }
    world[disk: seat].handedOver = nil
    // It takes the name, also of a file that a process left half written when it died.
    world[disk: seat].drop(manifest.version)
    world[disk: seat].unverified = (manifest.version, bytes)
    incoming = (manifest.version, bytes, true)
    world.schedule(.done(.named(manifest)), on: seat, after: .zero)
    world.schedule(
      .done(.sealed(manifest, report: report, from: id)), on: seat,
      after: world.workDice.span(.zero, world.scenario.verifyTime))
  }

  private func seal(_ manifest: PolicyManifest, _ report: StepReport, from id: PeerID, in world: World) {
    guard let complete = incoming, complete.version == manifest.version else {
      return world.violate("policy \(manifest.version) is to be sealed and is not there")
    }
    incoming = nil
    let isIntact = digest(complete.bytes) == manifest.digest || world.bug == .sealUnverified
    if isIntact, world.strikesNow(.tornPolicy) {
      world.note(seat, 29, "dies while it writes policy \(manifest.version)")
      world[disk: seat].tear(manifest.version, complete.bytes)
      return world.kill(seat)
    }
    if isIntact, world.strikesNow(.fullDisk) { return world.endForLackOfRoom(seat) }
    if isIntact {
      world.note(seat, 26, "seals policy \(manifest.version)")
      world[disk: seat].keep(manifest.version, complete.bytes)
      commit([.add(manifest)], added: [manifest], in: world)
      if complete.bytes != world.reference.published[Int(manifest.version.number)] {
        return world.violate("policy \(manifest.version) has other bytes than the reference's")
      }
      let expected = world.reference.reports[Int(manifest.version.number) - 1]
      if report != expected { return world.violate("the learner reports \(report), the reference \(expected)") }
    }
    guard world.survives(seat, incarnation: incarnation) else { return }
    let course = world.scenario.course(at: manifest.version)
    feed(.sealed(manifest, isIntact: isIntact, from: id, course: course), in: world)
    if world.bug == .dropPolicyEarly, isIntact, manifest.version.number > 0 {
      world[disk: seat].drop(PolicyVersion(manifest.version.number - 1))
    }
  }
}

extension CoordinatorEffect {
  /// The effect writes to the ledger.
  fileprivate var isCommit: Bool {
    switch self {
    case .store, .storeUnneeded, .storeVerdicts, .closeRound, .addRounds, .abandonRounds: true
    default: false
    }
  }

  fileprivate var isStore: Bool {
    if case .store = self { true } else { false }
  }
}
