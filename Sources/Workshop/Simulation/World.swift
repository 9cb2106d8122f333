// World: one simulated run from beginning to end: a clock, seats with processes, and the events that are still to
// happen.
//
// A seat is a place where a process runs. Each start of a process there is an incarnation. What was addressed to an
// earlier incarnation is lost. Processes are shells (SimulatedCoordinator, SimulatedWorker, SimulatedLearner) around
// Fleet's state machines. A shell receives an occurrence and performs the state machine's effects in order. It can be
// killed between any two of them. Faults are decided here and in World+Faults; packets are in World+Network. Not here:
// the correct result of a run (Reference), what survives a process (Disks).

import Base
import Fleet
import Records
import TTRL

/// What can happen to a process.
enum Occurrence {
  case started
  case tick
  /// The pause before a connection attempt is over.
  case connect(String)
  case opened(LinkID)
  case bytes(LinkID, [UInt8])
  /// The connection broke or was refused.
  case closed(LinkID)
  /// An operator asks a worker to finish its leases and leave.
  case drain
  /// Slow work that the process itself began is finished.
  case done(Work)
}

/// Work that takes simulated time.
enum Work {
  case sampled(LeaseID, job: Int, count: Int)
  case installed(BundleManifest)
  case looked(PolicyManifest)
  case bundled(BundleManifest, [[UInt8]])
  case sealed(PolicyManifest, report: StepReport, from: PeerID)
  case named(PolicyManifest)
  case notAtHand(PolicyManifest)
  case trained(step: UInt32, [Trajectory])
  case saved(PolicyVersion)
  /// The watchdog's time limit has passed.
  case stuck
  case decided(VoteDecision)
  case judged([SlotVerdict])
  // Of a standby.
  case lacking([Int])
  case replaced(RunDirectory)
  case applied(UInt64)
  case unfit
  // Of the coordinator: the copy for a standby is made.
  case copied(PeerID, ReplicaSnapshot)
}

/// A running process: one of Fleet's state machines, and the code that performs its effects.
protocol Shell: AnyObject {
  func handle(_ occurrence: Occurrence, in world: World)
}

/// Where a process runs.
struct Seat {
  enum Role: Equatable {
    case coordinator
    case learner
    case worker(Int)
    case standby
  }

  enum State: Equatable {
    /// Never started, or left permanently.
    case empty
    case running
    case paused
    /// Killed; its supervisor will start it again.
    case down
  }

  let role: Role
  let name: String
  var state = State.empty
  var incarnation = 0
  var shell: (any Shell)?
  /// What arrives while the process is paused.
  var inbox: [Occurrence] = []

  var isAlive: Bool { state == .running || state == .paused }
}

/// A seat's index.
typealias SeatID = Int

final class World {
  enum Happening {
    case occur(SeatID, incarnation: Int, Occurrence)
    case start(SeatID)
    case resume(SeatID, incarnation: Int)
    case dial(LinkID)
    case fault(FaultKind)
  }

  static let coordinatorSeat = 0
  /// The counter's name for this case: a learner died after it published a version and before its checkpoint was
  /// durable.
  static let lostCheckpoint = "checkpoint lost"
  static let learnerSeats = [1, 2]
  static let firstWorkerSeat = 3
  /// How often a tick is sent.
  static let tickInterval = Instant.Span.milliseconds(500)

  let scenario: Scenario
  let reference: Reference
  let bug: PlantedBug?
  var clock = Instant.zero
  private var agenda = Agenda<Happening>()
  var seats: [Seat]
  var links: [Link] = []
  var networkDice: Dice
  var faultDice: Dice
  var workDice: Dice
  var releaseDice: Dice
  /// Whether some processes speak only the earlier version of the protocol.
  let mixesReleases: Bool
  /// The disks of the seats that can lead, only looked up by key. A standby's disk is empty when it begins.
  var directories: [SeatID: RunDirectory]
  /// The original coordinator's disk.
  var directory: RunDirectory {
    get { self[disk: Self.coordinatorSeat] }
    set { self[disk: Self.coordinatorSeat] = newValue }
  }
  /// What commits changed, and copies of ledgers, by the numbers that travel in place of their bytes.
  var changes: [[RunDirectory.Change]] = []
  var snapshots: [RunDirectory] = []
  /// Until when coordinator and standby do not reach each other.
  var partitionedUntil = Instant.zero
  var isPartitioned: Bool { clock < partitionedUntil }
  /// The seat whose coordinator has reported that the run is complete.
  var finisher = World.coordinatorSeat
  var checkpoints: CheckpointFolder
  private(set) var transcript: Transcript
  /// How often each fault occurred.
  var strikes = SortedMap<String, Int>()
  private(set) var happenings = 0
  /// The first violation that was found.
  private(set) var violation: String?
  /// Addresses of workers that sent other bytes than were requested from them.
  var liars: Set<String> = []
  /// The coordinator has reported that the run is complete.
  var isComplete = false

  init(_ scenario: Scenario, bug: PlantedBug?, isRecording: Bool) throws {
    self.scenario = scenario
    self.bug = bug
    reference = try Reference(scenario)
    networkDice = Dice(seed: scenario.seed, stream: .network)
    faultDice = Dice(seed: scenario.seed, stream: .faults)
    workDice = Dice(seed: scenario.seed, stream: .work)
    releaseDice = Dice(seed: scenario.seed, stream: .releases)
    mixesReleases = releaseDice.chance(0.3)
    let initial = scenario.initialPolicy
    directories = [Self.coordinatorSeat: RunDirectory(initial: initial.published, base: scenario.base)]
    checkpoints = CheckpointFolder(initial: Checkpoint(version: PolicyVersion(0), state: initial.state))
    transcript = Transcript(isRecording: isRecording)
    seats =
      [Seat(role: .coordinator, name: "coordinator")]
      + Self.learnerSeats.map { Seat(role: .learner, name: "learner-\($0)") }
      + scenario.workers.indices.map { Seat(role: .worker($0), name: "worker-\($0)") }
      + (scenario.standby == nil ? [] : [Seat(role: .standby, name: "standby")])
  }

  /// The standby's seat, if there is one.
  var standbySeat: SeatID? { scenario.standby == nil ? nil : seats.count - 1 }
  /// Seats whose process can lead.
  var leaderSeats: [SeatID] { [Self.coordinatorSeat] + (standbySeat.map { [$0] } ?? []) }

  // MARK: Running

  /// Performs all events, until the run is over or there is a violation.
  func run() {
    schedule(.start(Self.coordinatorSeat), at: clock)
    schedule(.start(Self.learnerSeats[0]), at: clock)
    for (index, traits) in scenario.workers.enumerated() {
      schedule(.start(Self.firstWorkerSeat + index), at: traits.joinsAt)
    }
    if let standbySeat, let standby = scenario.standby { schedule(.start(standbySeat), at: standby.joinsAt) }
    scheduleFaults()
    while violation == nil, !isOver, let (at, happening) = agenda.next() {
      clock = at
      guard clock <= scenario.deadline else {
        violate(
          "the run was not over \(Int(scenario.deadline.since(scenario.faultsUntil).seconds)) s after the last fault")
        break
      }
      happenings += 1
      perform(happening)
    }
    if violation == nil { examine() }
  }

  /// The run is complete, and all workers and learners have been told so and have left.
  private var isOver: Bool {
    isComplete && (isSplit || seats.indices.allSatisfy { leaderSeats.contains($0) || seats[$0].state == .empty })
  }

  /// The run is complete at one of two that lead, and the other one waits for processes that have left.
  private var isSplit: Bool {
    leaderSeats.contains { seats[$0].isAlive && (seats[$0].shell as? SimulatedCoordinator)?.isFinished == false }
  }

  private func perform(_ happening: Happening) {
    switch happening {
    case .occur(let seat, let incarnation, let occurrence):
      guard seats[seat].incarnation == incarnation else { return }
      switch seats[seat].state {
      case .running: deliver(occurrence, to: seat)
      case .paused: seats[seat].inbox.append(occurrence)
      case .empty, .down: break
      }
    case .start(let seat): start(seat)
    case .resume(let seat, let incarnation):
      if seats[seat].incarnation == incarnation { resume(seat) }
    case .dial(let link): dial(link)
    case .fault(let kind): strike(kind)
    }
  }

  func schedule(_ happening: Happening, at: Instant) { agenda.add(happening, at: at) }

  /// Schedules an occurrence for the process that runs on a seat now.
  func schedule(_ occurrence: Occurrence, on seat: SeatID, after span: Instant.Span) {
    schedule(.occur(seat, incarnation: seats[seat].incarnation, occurrence), at: clock + span)
  }

  private func deliver(_ occurrence: Occurrence, to seat: SeatID) {
    switch occurrence {
    case .opened(let id), .bytes(let id, _):
      guard isOpen(id, at: seat) else { return }
    case .closed(let id):
      guard isOpen(id, at: seat) else { return }
      shut(id, at: seat)
    case .tick: schedule(.tick, on: seat, after: Self.tickInterval)
    case .started, .connect, .drain, .done: break
    }
    seats[seat].shell?.handle(occurrence, in: self)
  }

  // MARK: Processes

  private func start(_ seat: SeatID) {
    guard !seats[seat].isAlive, !isComplete || seats[seat].state == .down else { return }
    seats[seat].incarnation += 1
    seats[seat].state = .running
    seats[seat].inbox = []
    seats[seat].shell = makeShell(seat)
    note(seat, 1, "starts (incarnation \(seats[seat].incarnation))")
    // The first tick is random, so that processes do not tick at the same time.
    schedule(.tick, on: seat, after: workDice.span(.zero, Self.tickInterval))
    deliver(.started, to: seat)
  }

  private func makeShell(_ seat: SeatID) -> any Shell {
    switch seats[seat].role {
    case .coordinator, .standby: makeLeader(seat)
    case .learner: SimulatedLearner(seat: seat, world: self)
    case .worker(let index): SimulatedWorker(seat: seat, traits: scenario.workers[index], world: self)
    }
  }

  /// A process that can lead begins as its command says: the coordinator leads, unless its disk is a standby's
  /// copy, and the standby follows.
  private func makeLeader(_ seat: SeatID) -> any Shell {
    let other = "\(leaderSeats.first { $0 != seat } ?? seat)"
    // A new disk is empty, except that a learner can have left a version there.
    let isEmpty = directories[seat]?.manifests.isEmpty ?? true
    let former = directories[seat]?.following ?? (isEmpty ? [other] : nil)
    if seat != Self.coordinatorSeat {
      return SimulatedStandby(seat: seat, following: [other], seen: .none, world: self)
    }
    if let former { return SimulatedStandby(seat: seat, following: former, seen: .none, world: self) }
    return SimulatedCoordinator(seat: seat, takeover: nil, world: self)
  }

  /// A process that led follows from now on, or the other way round. Its connections are closed.
  func change(_ seat: SeatID, to make: () -> any Shell) {
    closeLinks(of: seat, isAbrupt: false)
    seats[seat].incarnation += 1
    seats[seat].shell = make()
    schedule(.tick, on: seat, after: workDice.span(.zero, Self.tickInterval))
    deliver(.started, to: seat)
  }

  /// A process exits by itself.
  func exit(_ seat: SeatID, _ departure: Departure) {
    note(seat, 2, "exits: \(departure)")
    end(seat, state: .empty, isAbrupt: false)
    guard !departure.isSuccess else { return }
    if case .ahead = departure, scenario.standby != nil {
      schedule(.start(seat), at: clock + faultDice.span(.milliseconds(10), scenario.restartTime))
      seats[seat].state = .down
      return
    }
    if seats[seat].role == .learner, departure == .refused("\(Dismissal.replaced)") { return }
    violate("\(seats[seat].name) had to leave: \(departure)")
  }

  /// A process is killed. Its supervisor starts it again after a while.
  func kill(_ seat: SeatID) {
    guard seats[seat].isAlive else { return }
    note(seat, 3, "is killed")
    if let learner = seats[seat].shell as? SimulatedLearner, learner.isWriting { count(World.lostCheckpoint) }
    // If a process dies, what is in its own buffers is lost. If a machine dies, what it had handed to the network is
    // lost too.
    end(seat, state: .down, isAbrupt: faultDice.chance(0.5))
    schedule(.start(seat), at: clock + faultDice.span(.milliseconds(10), scenario.restartTime))
  }

  /// The coordinator has no space to make something durable, so it ends. Space is made, and it is started again.
  func endForLackOfRoom(_ seat: SeatID) {
    note(seat, 9, "ends: the disk is full")
    end(seat, state: .down, isAbrupt: false)
    schedule(.start(seat), at: clock + faultDice.wildSpan(.milliseconds(500), doublings: 7))
  }

  private func end(_ seat: SeatID, state: Seat.State, isAbrupt: Bool) {
    seats[seat].state = state
    seats[seat].shell = nil
    seats[seat].inbox = []
    // The incarnation is over. What is addressed to it is lost.
    seats[seat].incarnation += 1
    closeLinks(of: seat, isAbrupt: isAbrupt)
  }

  func pause(_ seat: SeatID, for span: Instant.Span) {
    guard seats[seat].state == .running else { return }
    note(seat, 4, "is paused for \(span.milliseconds) ms")
    seats[seat].state = .paused
    schedule(.resume(seat, incarnation: seats[seat].incarnation), at: clock + span)
  }

  /// Everything that arrived in the meantime is delivered at once. Timers can come before or after it.
  private func resume(_ seat: SeatID) {
    guard seats[seat].state == .paused else { return }
    note(seat, 5, "resumes")
    let incarnation = seats[seat].incarnation
    seats[seat].state = .running
    var inbox = seats[seat].inbox
    seats[seat].inbox = []
    if faultDice.chance(0.5) {
      inbox = inbox.filter(\.isTick) + inbox.filter { !$0.isTick }
    }
    for occurrence in inbox where seats[seat].incarnation == incarnation && violation == nil {
      deliver(occurrence, to: seat)
    }
  }

  /// Shells call this between any two effects. Returns whether the process is still alive.
  func survives(_ seat: SeatID, incarnation: Int) -> Bool {
    guard seats[seat].incarnation == incarnation, violation == nil else { return false }
    guard strikesNow(.crashBetweenEffects) else { return true }
    kill(seat)
    return false
  }

  /// The disk of a seat that can lead.
  subscript(disk seat: SeatID) -> RunDirectory {
    get { directories[seat] ?? RunDirectory(base: scenario.base) }
    set { directories[seat] = newValue }
  }

  // MARK: Checks

  func violate(_ text: String) {
    guard violation == nil else { return }
    violation = text
    transcript.note(clock, "judge", 99, "WRONG: \(text)")
  }

  func note(_ seat: SeatID, _ code: UInt64, _ text: @autoclosure () -> String) {
    transcript.note(clock, seats[seat].name, UInt64(seat) << 56 ^ code, text())
  }

  /// After the run: compares the disks with the reference.
  private func examine() {
    guard isComplete else { return violate("nothing more happens, and the run is not complete") }
    guard let directory = directories[finisher] else { return violate("the run's disk is gone") }
    let last = scenario.last
    for spec in scenario.expectedRounds {
      guard directory.closed.contains(spec.id) else { return violate("\(spec.id) was never closed") }
      guard let expected = try? reference.trajectories(of: spec) else { return violate("\(spec.id) has no reference") }
      let counted = reference.counted(expected, of: spec)
      guard directory.trajectories(of: spec.id) == counted else {
        return violate("the trajectories of \(spec.id) are not those of the reference")
      }
      // Every slot counts or was not needed. Some slots that were not needed were sampled anyway.
      let unneeded = directory.unneededSlots(of: spec.id)
      guard unneeded == expected.map(\.slot).filter({ slot in !counted.contains { $0.slot == slot } }) else {
        return violate("\(spec.id): \(counted.count) of \(spec.slotCount) slots count, \(unneeded.count) were unneeded")
      }
      for slot in unneeded {
        let sampled = directory.stored(slot)
        if sampled != nil, !expected.contains(where: { $0 == sampled }) {
          return violate("\(slot) was not needed, and is not what the reference samples")
        }
      }
    }
    // A round that was opened for a step that was never trained is closed or abandoned. No other round is abandoned.
    let left = scenario.plan.filter { spec in
      spec.id.step >= last.number && spec.policy <= last && last.number < scenario.method.steps
        && !directory.closed.contains(spec.id) && !scenario.expectedRounds.contains { $0.id == spec.id }
    }
    guard directory.abandoned.keys == left.map(\.id).sorted() else {
      return violate("abandoned are \(directory.abandoned.keys), expected \(left.map(\.id))")
    }
    for version in [last, scenario.delivered] {
      guard directory.policies[version] == reference.published[Int(version.number)] else {
        return violate("policy \(version) has other bytes than the reference's")
      }
    }
    guard directory.manifests.keys.last == last else {
      return violate("the run ended at policy \(directory.manifests.keys.last ?? last), expected \(last)")
    }
    // A run that was cut short can end between two checkpoints.
    let newest = checkpoints.newest
    guard newest.version == last || scenario.end != nil && newest.version < last,
      newest.state == reference.states[Int(newest.version.number)]
    else { return violate("the learner's last checkpoint is not the reference's state") }
    guard newest.history == reference.histories[Int(newest.version.number)] else {
      return violate("the learner's last checkpoint remembers other labels than the reference's")
    }
  }
}

extension Occurrence {
  var isTick: Bool {
    if case .tick = self { true } else { false }
  }
}
