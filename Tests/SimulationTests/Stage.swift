// Stage: the three machines as one small fleet, moved by commands, with a line of text for each event and effect.
//
// A stage is for reading. Messages arrive at once and in order; everything else (work, death, time) happens only when a
// command says so. What is durable outlives the coordinator, as the ledger does. A chunk of weights stands for a whole
// version, and how versions travel to workers is left out of the text, as are hellos and heartbeats. The commands are
// in Stage+Commands; what may go wrong in general is the simulator's business.

import Base
import Fleet
import Records
import Simulation

struct Stage {
  /// A worker or the learner.
  struct Process {
    enum Machine {
      case worker(Worker)
      case learner(Learner)
    }

    var machine: Machine
    /// Its connection; nil while it has none.
    var peer: PeerID?
    /// Slots that a worker's engine has not sampled, in order.
    var work: [(lease: LeaseID, policy: PolicyVersion, slot: Slot)] = []
    /// The step that the learner trains.
    var training: UInt32?
  }

  /// Something that arrives.
  enum Delivery {
    case toCoordinator(CoordinatorEvent)
    case toProcess(String, Message)
  }

  var lines: [String] = []
  var now = Instant.zero
  var plan: [RoundSpec] = []
  var coordinator: Coordinator?
  var processes = SortedMap<String, Process>()
  private var peers = SortedMap<PeerID, String>()
  private var nextPeer: UInt64 = 1
  private var deliveries: [Delivery] = []

  // What is durable.
  var memory = CoordinatorMemory(policies: [Stage.manifest(PolicyVersion(0))])
  private var trajectories = SortedMap<Slot, Trajectory>()
  private var unneeded = SortedMap<Slot, Bool>()
  /// Votes that are decided; a coordinator that restarts counts them again.
  var decisions: [CoordinatorEvent] = []
  /// A version whose bytes are complete and not verified.
  var unverified: (manifest: PolicyManifest, from: PeerID)?

  static func manifest(_ version: PolicyVersion) -> PolicyManifest {
    PolicyManifest(version: version, byteCount: 4, digest: [UInt8(version.number)])
  }

  private static func trajectory(_ slot: Slot, _ policy: PolicyVersion) -> Trajectory {
    Trajectory(
      slot: slot, policy: policy, tokens: [Int32(slot.sample)], logprobs: [-1], entropySum: 0, finish: .length)
  }

  // MARK: Processes

  mutating func startCoordinator() {
    coordinator = Coordinator(
      plan: plan, prompts: PromptTokens(training: [[0], [1]]),
      welcome: Welcome(
        runID: "run", seed: 0, dtype: "float32", modelConfiguration: "{}", latestPolicy: PolicyVersion(0),
        heartbeat: .seconds(2)), memory: memory)
    for event in [.tick] + decisions { feed(event) }
    for name in processes.keys { connect(name) }
  }

  mutating func killCoordinator() {
    coordinator = nil
    unverified = nil
    deliveries = []
    for name in processes.keys {
      _ = processes.update(name) { $0.peer = nil }
      feed(name, .disconnected, .disconnected)
    }
  }

  mutating func start(_ name: String, _ machine: Process.Machine) {
    processes[name] = Process(machine: machine)
    connect(name)
  }

  static func worker(_ name: String) -> Process.Machine {
    let hello = Hello(role: .worker, name: name, arithmetic: "none", processID: 1, threads: 1)
    return .worker(Worker(hello: hello, capacity: 4, digest: { ChunkDigest($0) }))
  }

  static func learner(at version: PolicyVersion) -> Process.Machine {
    let hello = Hello(role: .learner, name: "learner", arithmetic: "none", processID: 2, threads: 1)
    let publication =
      version.number == 0 ? nil : (manifest: manifest(version), report: StepReport(step: version.number - 1))
    return .learner(Learner(hello: hello, held: version, publication: publication))
  }

  mutating func connect(_ name: String) {
    guard coordinator != nil else { return }
    let peer = PeerID(nextPeer)
    nextPeer += 1
    peers[peer] = name
    _ = processes.update(name) { $0.peer = peer }
    feed(.connected(peer))
    feed(name, .connected, .connected)
  }

  /// A connection breaks, and both sides learn of it.
  mutating func disconnect(_ name: String) {
    guard let peer = processes[name]?.peer else { return }
    _ = processes.update(name) { $0.peer = nil }
    feed(name, .disconnected, .disconnected)
    deliveries.append(.toCoordinator(.disconnected(peer)))
  }

  /// A process is gone, and the coordinator learns of it.
  mutating func end(_ name: String) {
    guard let peer = processes.remove(name)?.peer else { return }
    deliveries.append(.toCoordinator(.disconnected(peer)))
  }

  // MARK: Messages

  /// Lets everything that was sent arrive.
  mutating func settle() {
    while !deliveries.isEmpty {
      switch deliveries.removeFirst() {
      case .toCoordinator(.received(let message, let peer)):
        if !Self.isQuiet(message) { say("coordinator hears \(name(of: peer)): \(summary(of: message))") }
        feed(.received(message, from: peer))
      case .toCoordinator(.disconnected(let peer)):
        say("coordinator loses \(name(of: peer))")
        feed(.disconnected(peer))
      case .toCoordinator(let event): feed(event)
      case .toProcess(let name, let message):
        guard processes.contains(name) else { continue }
        if !Self.isQuiet(message) { say("\(name) hears: \(summary(of: message))") }
        feed(name, .received(message), .received(message))
      }
    }
  }

  /// Left out of the text: introductions, heartbeats, and how versions travel.
  private static func isQuiet(_ message: Message) -> Bool {
    switch message {
    case .hello, .welcome, .heartbeat, .offer, .requestBundle, .bundle, .requestChunk, .chunk, .requestBytes,
      .policyBytes:
      true
    default: false
    }
  }

  func name(of peer: PeerID) -> String { peers[peer] ?? "an unknown peer" }

  mutating func say(_ line: String) { lines.append(line) }

  private mutating func effect(_ text: String) { lines.append("  \(text)") }

  private mutating func send(_ message: Message, to peer: PeerID) {
    if !Self.isQuiet(message) { effect("to \(name(of: peer)): \(summary(of: message))") }
    if processes[name(of: peer)]?.peer == peer { deliveries.append(.toProcess(name(of: peer), message)) }
  }

  private mutating func send(_ message: Message, from name: String) {
    if !Self.isQuiet(message) { effect("to coordinator: \(summary(of: message))") }
    guard coordinator != nil, let peer = processes[name]?.peer else { return }
    deliveries.append(.toCoordinator(.received(message, from: peer)))
  }

  // MARK: The coordinator

  mutating func feed(_ event: CoordinatorEvent) {
    guard let effects = coordinator?.receive(event, now: now) else { return }
    for effect in effects { perform(effect) }
  }

  private mutating func perform(_ effect: CoordinatorEffect) {
    switch effect {
    case .send(let message, let peer): send(message, to: peer)
    case .dismiss(let peer, let reason):
      self.effect("dismiss \(name(of: peer)): \(reason)")
      deliveries.append(.toProcess(name(of: peer), .goodbye(reason: "\(reason)")))
    case .cutOff(let peer, let reason): self.effect("cut off \(name(of: peer)): \(reason)")
    case .store(let list, let worker, let lease):
      self.effect("store \(names(list.map(\.slot))) of \(worker), lease \(lease)")
      for trajectory in list { trajectories[trajectory.slot] = trajectory }
      memory.settled += list.map(\.slot)
    case .storeUnneeded(let slots):
      self.effect("store as unneeded \(names(slots))")
      for slot in slots { unneeded[slot] = true }
    case .judge(let slots): self.effect("ask the reward command about \(names(slots))")
    case .storeVerdicts(let verdicts): self.effect("store verdicts of \(names(verdicts.map(\.slot)))")
    case .closeRound(let round):
      self.effect("close \(round)")
      memory.closedRounds.append(round)
    case .writePolicy(let version, _, let bytes): self.effect("write \(bytes.count) bytes of policy \(version)")
    case .sealPolicy(let manifest, _, let peer):
      self.effect("seal policy \(manifest.version)")
      unverified = (manifest, peer)
    case .adoptPolicy(let manifest, _, _):
      self.effect("look for policy \(manifest.version)")
      deliveries.append(.toCoordinator(.notAtHand(manifest)))
    case .bundle(let effect): perform(effect)
    case .sendBatch(let round, let peer):
      self.effect("send \(name(of: peer)) the batch of \(round)")
      let batch = trajectories.values.filter { $0.slot.round == round && !unneeded.contains($0.slot) }
      deliveries.append(
        .toProcess(name(of: peer), .batch(step: round.step, part: 0, partCount: 1, batch)))
    case .abandonRounds(let rounds): self.effect("abandon \(rounds.map { "\($0)" }.joined(separator: ", "))")
    case .addRounds(let specs): self.effect("add \(specs.map { "\($0.id)" }.joined(separator: ", "))")
    case .dropPolicy(let version): self.effect("drop policy \(version)")
    case .note(let note): perform(note)
    case .finish: self.effect("finish")
    case .follower, .followerLeft, .tell, .abdicate: self.effect("\(effect)")
    case .fail(let fault): self.effect("fail: \(fault)")
    }
  }

  private mutating func perform(_ effect: BundleEffect) {
    switch effect {
    case .make(let policy, let base):
      let bytes = [UInt8(policy.version.number), base == nil ? 0 : 1]
      let bundle = BundleManifest(
        policy: policy, base: base?.version, wordBytes: 4, blockBytes: 4,
        chunks: [PackedChunk(digest: ChunkDigest(bytes), byteCount: bytes.count)])
      deliveries.append(.toCoordinator(.bundled(bundle)))
    case .sendChunk(let digest, let peer): send(.chunk(digest, Array(digest.bytes.prefix(2))), to: peer)
    case .drop: break
    }
  }

  private mutating func perform(_ note: CoordinatorNote) {
    switch note {
    case .joined(_, let hello): effect("note: \(hello.name) joined")
    case .left(_, let name, let slots): effect("note: \(name) left, \(slots) slots go back")
    case .silent(_, let name): effect("note: \(name) is silent")
    case .expired(let lease, let holder, let slots):
      effect("note: lease \(lease) of \(name(of: holder)) expired, \(slots) slots go back")
    case .refused(let slot, let refusal, let peer):
      effect("note: refused \(names([slot])) of \(name(of: peer)): \(refusal)")
    case .published(let version): effect("note: policy \(version) is published")
    case .relayAvoided(let relay, let fault, _): effect("note: relay \(relay) is avoided: \(fault)")
    case .cutShort(let version): effect("note: the run ends at policy \(version)")
    }
  }

  // MARK: Workers and the learner

  mutating func feed(_ name: String, _ worker: WorkerEvent, _ learner: LearnerEvent) {
    switch processes[name]?.machine {
    case .worker(var machine):
      let effects = machine.receive(worker, now: now)
      _ = processes.update(name) { $0.machine = .worker(machine) }
      for effect in effects { perform(effect, name) }
    case .learner(var machine):
      let effects = machine.receive(learner, now: now)
      _ = processes.update(name) { $0.machine = .learner(machine) }
      for effect in effects { perform(effect, name) }
    case nil: break
    }
  }

  private mutating func perform(_ effect: WorkerEffect, _ name: String) {
    switch effect {
    case .connect: break
    case .send(let message): send(message, from: name)
    case .disconnect: self.effect("disconnect")
    case .sample(let lease):
      self.effect("sample lease \(lease.id)")
      let slots = lease.prompts.flatMap { prompt in
        prompt.samples.map { Slot(round: lease.round, prompt: prompt.prompt, sample: $0) }
      }
      _ = processes.update(name) { $0.work += slots.map { (lease.id, lease.policy, $0) } }
    case .cancel(let id):
      self.effect("cancel lease \(id)")
      _ = processes.update(name) { $0.work.removeAll { $0.lease == id } }
    case .transfer(.install(let bundle)):
      self.effect("install policy \(bundle.policy.version)")
      feed(name, .transfer(.installed(bundle, isIntact: true)), .tick)
    case .transfer: break
    case .dropPolicy(let version): self.effect("drop policy \(version)")
    case .exit(let departure):
      self.effect("exit: \(departure)")
      end(name)
    }
  }

  private mutating func perform(_ effect: LearnerEffect, _ name: String) {
    switch effect {
    case .connect: break
    case .send(let message): send(message, from: name)
    case .disconnect: self.effect("disconnect")
    case .train(let step, let batch):
      self.effect("train step \(step) on \(names(batch.map(\.slot)))")
      _ = processes.update(name) { $0.training = step }
    case .sendPolicy(let version, _):
      send(.policyBytes(version, offset: 0, bytes: [0, 0, 0, UInt8(version.number)]), from: name)
    case .exit(let departure):
      self.effect("exit: \(departure)")
      end(name)
    }
  }

  /// A worker's engine has sampled its next slots.
  mutating func sample(_ count: Int, _ name: String) {
    let work = processes[name]?.work.prefix(count) ?? []
    _ = processes.update(name) { $0.work.removeFirst(work.count) }
    let sampled = work.map { SampledTrajectory(Self.trajectory($0.slot, $0.policy), of: $0.lease) }
    feed(name, .sampled(sampled), .tick)
  }
}
