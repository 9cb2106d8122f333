// SmallWorld: a fleet that is so small that everything that can happen to it can be listed.
//
// It has Fleet's state machines, the messages between them in order, and what survives the processes. There is no
// network delay, no engine that takes time, and no clock. Only the order is left: which message arrives next, which
// process continues its work, and where a process dies. A world is a value: `choices` lists what can happen next, and
// `after` is the world after it has happened. Enumeration goes through all of them.
//
// The weights are one word, the version's number. A trajectory is a function of its slot and that number, so a step
// that gets the right batch makes the right version. The claims are those of the simulator without the arithmetic: what
// is acknowledged is durable, nothing is stored twice, batches are complete and right, and every path ends with the run
// complete and all processes gone. Time stands still, so a deadline cannot hide a process that waits in vain.
// Not here: silence, stalls, damaged bytes, relays, early stop (the simulator has them).

import Base
import Fleet
import Records

/// The size of a world.
package struct SmallWorldSize: Sendable {
  package var workers = 2
  package var slots: UInt32 = 2
  package var steps: UInt32 = 1
  package var staleness: UInt32 = 0
  /// How many processes can die, in total.
  package var crashes = 1

  package init() {}

  var plan: [RoundSpec] {
    let sampling = Sampling(temperature: 1, maxNewTokens: 2, stopTokens: [])
    let steps = (0..<steps).map { step in
      RoundSpec(
        id: .train(step: step), policy: PolicyVersion(step - min(step, staleness)), prompts: [0], samples: slots,
        sampling: sampling)
    }
    return steps.sorted { ($0.policy, $0.id) < ($1.policy, $1.id) }
  }
}

/// A process of a small world: 0 is the coordinator, 1 is the learner, the others are workers.
typealias ProcessNumber = Int

/// Something that can happen next.
enum Choice: Equatable, Sendable, CustomStringConvertible {
  /// The next item of a connection arrives at the coordinator or at its client.
  case arrive(link: Int, atServer: Bool)
  /// A process that wants a connection gets one.
  case dial(ProcessNumber)
  /// The process continues its work: sampling a slot, installing weights, training, verifying.
  case work(ProcessNumber)
  case die(ProcessNumber)
  case start(ProcessNumber)

  var description: String {
    switch self {
    case .arrive(let link, let atServer): "link \(link) delivers to the \(atServer ? "coordinator" : "client")"
    case .dial(let process): "process \(process) connects"
    case .work(let process): "process \(process) works"
    case .die(let process): "process \(process) dies"
    case .start(let process): "process \(process) starts"
    }
  }
}

struct SmallWorld {
  /// What is sent on a connection, in order.
  enum Item: Equatable {
    case opened
    case message(Message)
    case closed
  }

  struct Link {
    let client: ProcessNumber
    let peer: PeerID
    var toServer: [Item] = [.opened]
    var toClient: [Item] = [.opened]
    var isServerOpen = true
    var isClientOpen = true
  }

  /// A worker and its engine, or the learner.
  struct Client {
    enum Machine {
      case worker(Worker)
      case learner(Learner)
    }

    var machine: Machine
    var wantsConnection = true
    var policies: [PolicyVersion] = []
    var installing: BundleManifest?
    /// Leases in the order in which they arrived, with their remaining slots.
    var jobs: [(lease: Lease, slots: [Slot])] = []
    var training: UInt32?
  }

  enum State<Process> {
    case running(Process)
    case dead
    /// Exited with status 0.
    case left

    var process: Process? { if case .running(let process) = self { process } else { nil } }
  }

  enum Chore {
    case seal(PolicyManifest, from: PeerID)
    case pack(PolicyManifest, base: PolicyManifest?)
  }

  let size: SmallWorldSize
  let bug: PlantedBug?
  private(set) var crashesLeft: Int

  var coordinator = State<Coordinator>.dead { didSet { marks[0] = nil } }
  /// The coordinator's work apart from answering messages, in order.
  var tasks: [Chore] = []
  var clients: [State<Client>]
  /// A hash of each process's state; nil if the state has changed since. Making the text to hash is expensive, and few
  /// processes change.
  private var marks: [UInt64?]
  var links = SortedMap<Int, Link>()
  private var nextPeer: UInt64 = 1

  // What is durable.
  var stored = SortedMap<Slot, Trajectory>()
  var closed: [RoundID] = []
  var published: [PolicyManifest] = [Self.manifest(0)]
  var checkpoint: UInt32 = 0
  var isComplete = false

  /// The first violation that was found.
  private(set) var violation: String?
  /// The number of effects that the last choice performed, and after how many effects the acting process dies.
  var effectCount = 0
  private var diesAfter: Int?

  static let now = Instant.zero + .seconds(1)

  init(_ size: SmallWorldSize, bug: PlantedBug?) {
    self.size = size
    self.bug = bug
    crashesLeft = size.crashes
    clients = Array(repeating: .dead, count: 1 + size.workers)
    marks = Array(repeating: nil, count: 2 + size.workers)
    mark()
  }

  static func manifest(_ version: UInt32) -> PolicyManifest {
    PolicyManifest(version: PolicyVersion(version), byteCount: 4, digest: [UInt8(version)])
  }

  /// A bundle of one chunk. The chunk contains the version and the base, and is its own digest.
  static func bundle(_ policy: PolicyManifest, base: PolicyManifest?) -> BundleManifest {
    let bytes = [UInt8(policy.version.number), base.map { UInt8($0.version.number) } ?? 255]
    return BundleManifest(
      policy: policy, base: base?.version, wordBytes: 4, blockBytes: 4,
      chunks: [PackedChunk(digest: ChunkDigest(bytes), byteCount: bytes.count)])
  }

  static func weights(_ digest: ChunkDigest) -> [UInt8] { Array(digest.bytes.prefix(2)) }

  static func trajectory(_ slot: Slot, _ policy: PolicyVersion) -> Trajectory {
    Trajectory(
      slot: slot, policy: policy, tokens: [Int32(policy.number), Int32(slot.sample)], logprobs: [-1, -1],
      entropySum: 0, finish: .length)
  }

  /// A hash of everything that distinguishes this world from others. Two worlds with the same name have the same
  /// future.
  var name: UInt64 {
    var hash = Fingerprint()
    for mark in marks { hash.mix(mark ?? 0) }
    hash.mix(
      Self.hash(
        of: "\(crashesLeft) \(tasks) \(links) \(nextPeer) \(stored.keys) \(closed) "
          + "\(published.count) \(checkpoint) \(isComplete)"))
    return hash.value
  }

  private mutating func mark() {
    for process in marks.indices where marks[process] == nil {
      marks[process] = Self.hash(of: process == 0 ? "\(coordinator)" : "\(clients[process - 1])")
    }
  }

  private static func hash(of text: String) -> UInt64 {
    var hash = Fingerprint()
    var word: UInt64 = 0
    var count: UInt64 = 0
    for byte in text.utf8 {
      word = word << 8 | UInt64(byte)
      count += 1
      if count % 8 == 0 { hash.mix(word) }
    }
    hash.mix(word)
    hash.mix(count)
    return hash.value
  }

  mutating func setClient(_ process: ProcessNumber, _ state: State<Client>) {
    clients[process - 1] = state
    marks[process] = nil
  }

  // MARK: What can happen

  var choices: [Choice] {
    var choices: [Choice] = []
    for (number, link) in links {
      if link.isServerOpen, !link.toServer.isEmpty { choices.append(.arrive(link: number, atServer: true)) }
      if link.isClientOpen, !link.toClient.isEmpty { choices.append(.arrive(link: number, atServer: false)) }
    }
    if !tasks.isEmpty { choices.append(.work(0)) }
    if case .dead = coordinator { choices.append(.start(0)) }
    for (index, client) in clients.enumerated() {
      if case .dead = client { choices.append(.start(index + 1)) }
      guard let client = client.process else { continue }
      // An attempt without a running coordinator changes only the next pause.
      if client.wantsConnection, coordinator.process != nil { choices.append(.dial(index + 1)) }
      if client.installing != nil || !client.jobs.isEmpty || client.training != nil { choices.append(.work(index + 1)) }
    }
    if crashesLeft > 0 {
      if coordinator.process != nil { choices.append(.die(0)) }
      for index in clients.indices where clients[index].process != nil { choices.append(.die(index + 1)) }
    }
    return choices
  }

  /// The world after the choice has happened.
  ///
  /// - Parameter diesAfter: the acting process dies after it has performed this many effects of the choice.
  func after(_ choice: Choice, diesAfter: Int? = nil) -> SmallWorld {
    var world = self
    world.effectCount = 0
    world.diesAfter = diesAfter
    world.perform(choice)
    world.diesAfter = nil
    world.mark()
    return world
  }

  private mutating func perform(_ choice: Choice) {
    switch choice {
    case .arrive(let link, true): arriveAtServer(link)
    case .arrive(let link, false): arriveAtClient(link)
    case .dial(let process):
      updateClient(process) { $0.wantsConnection = false }
      links[Int(nextPeer)] = Link(client: process, peer: PeerID(nextPeer))
      nextPeer += 1
    case .work(0): workAtServer()
    case .work(let process): work(process)
    case .die(let process):
      crashesLeft -= 1
      end(process, .dead, .dead)
    case .start(0): startCoordinator()
    case .start(let process): setClient(process, .running(newClient(process)))
    }
  }

  /// Nothing more can happen: checks that the final state is right.
  mutating func examine() {
    let expected = size.plan.flatMap { spec in
      (0..<spec.samples).map { Self.trajectory(Slot(round: spec.id, prompt: 0, sample: $0), spec.policy) }
    }
    if !isComplete { violate("nothing more can happen, and the run is not complete") }
    if stored.values != expected.sorted(by: { $0.slot < $1.slot }) { violate("other trajectories are stored") }
    if closed.sorted() != size.plan.map(\.id).sorted() { violate("closed are \(closed)") }
    if published.count != Int(size.steps) + 1 { violate("\(published.count) versions were published") }
    if checkpoint != size.steps { violate("the last checkpoint is of version \(checkpoint)") }
    for client in clients { if case .left = client { continue } else { violate("a process has not left") } }
  }

  mutating func violate(_ text: String) { violation = violation ?? text }

  // MARK: Life and death

  /// - Returns: false if the process is dead or dies here.
  mutating func survives(_ process: ProcessNumber) -> Bool {
    let isAlive = process == 0 ? coordinator.process != nil : clients[process - 1].process != nil
    guard isAlive, violation == nil else { return false }
    guard effectCount == diesAfter else { return true }
    crashesLeft -= 1
    end(process, .dead, .dead)
    return false
  }

  /// What the process had sent still arrives. What was sent to it does not.
  mutating func end(_ process: ProcessNumber, _ server: State<Coordinator>, _ client: State<Client>) {
    for number in links.keys {
      _ = links.update(number) { link in
        if process == 0, link.isServerOpen {
          link.isServerOpen = false
          link.toServer = []
          link.toClient.append(.closed)
        } else if link.client == process, link.isClientOpen {
          link.isClientOpen = false
          link.toClient = []
          link.toServer.append(.closed)
        }
      }
    }
    if process == 0 {
      coordinator = server
      tasks = []
    } else {
      setClient(process, client)
    }
    forgetDeadLinks()
  }

  mutating func forgetDeadLinks() {
    for (number, link) in links where !link.isServerOpen && !link.isClientOpen { links[number] = nil }
  }

  private mutating func startCoordinator() {
    coordinator = .running(
      Coordinator(
        plan: size.plan, prompts: PromptTokens(training: [[0]]),
        welcome: Welcome(
          runID: "run", seed: 0, dtype: "float32", modelConfiguration: "{}", latestPolicy: PolicyVersion(0),
          heartbeat: Limits.heartbeat),
        memory: CoordinatorMemory(
          closedRounds: closed, settled: bug == .forgetSettledOnRestart ? [] : stored.keys, policies: published)))
    feed(CoordinatorEvent.tick)
  }

  private func newClient(_ process: ProcessNumber) -> Client {
    let role = process == 1 ? Role.learner : .worker
    let hello = Hello(role: role, name: "\(process)", arithmetic: "none", processID: UInt32(process), threads: 1)
    guard role == .learner else {
      return Client(machine: .worker(Worker(hello: hello, capacity: 1, digest: { ChunkDigest($0) })))
    }
    let learner = Learner(
      hello: hello, held: PolicyVersion(checkpoint),
      publication: checkpoint == 0 ? nil : (Self.manifest(checkpoint), StepReport(step: checkpoint - 1)))
    return Client(machine: .learner(learner))
  }

  mutating func updateClient(_ process: ProcessNumber, _ change: (inout Client) -> Void) {
    guard case .running(var client) = clients[process - 1] else { return }
    change(&client)
    setClient(process, .running(client))
  }
}
