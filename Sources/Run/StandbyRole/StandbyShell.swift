// StandbyShell: a standby as a process.
//
// Bytes → messages → the machine (Fleet.Standby) → effects → files, ledger and bytes, on one loop. The machine makes
// all decisions. A standby needs an address, a key and an empty directory: everything else comes from the coordinator.
// It listens at its address from the beginning, so that the address is its own. It tells every caller where the
// coordinator is, and ends the connection. Not here: what it does when it leads (CoordinatorRole).

package import Base
package import CoordinatorRole
import Fleet
import Ledger
package import Platform
package import Records
import Runs
import Transport
import WorkerRole

/// How to start a standby.
package struct StandbyOptions: Sendable {
  /// Where to look for the coordinator.
  package var coordinators: [HostPort]
  /// nil means plain TCP.
  package var keys: ClusterKeys?
  /// The directory of the copy.
  package var directory: String
  /// Where it listens when it leads, and where the others find it.
  package var listen: HostPort
  /// The silence after which it takes over.
  package var patience: Instant.Span
  /// The highest term that this process has seen.
  package var seen: Term

  package init(
    coordinators: [HostPort], keys: ClusterKeys?, directory: String, listen: HostPort, patience: Instant.Span,
    seen: Term = .none
  ) {
    self.coordinators = coordinators
    self.keys = keys
    self.directory = directory
    self.listen = listen
    self.patience = patience
    self.seen = seen
  }
}

/// How a standby's work ends.
package enum StandbyEnd: Sendable {
  case exit(Int32)
  /// It becomes the coordinator, and listens at this address.
  case lead(Takeover, at: HostPort)
}

package final class StandbyShell {
  private let options: StandbyOptions
  private let loop: EventLoop
  private let uplink: Uplink
  private var keys: ClusterKeys?
  /// nil is plain TCP.
  private let context: TLSContext?
  /// nil when it has ended: a coordinator of the same process takes it.
  private var lock: RunLock?
  private let replica: Replica
  private let door = Door()
  private let listener: Listener
  /// Callers that have not said hello yet.
  private var callers: [Link] = []
  private let transfer: BundleTransfer<String>
  private var machine: Standby
  private var end: StandbyEnd?
  private var failure: (any Error)?

  private let begun = MonotonicClock.now()
  /// When fleet.json was written.
  private var said: Instant?

  private static let tickInterval = Instant.Span.milliseconds(250)
  private static let sayInterval = Instant.Span.seconds(2)

  /// - Throws: if the directory has something else than a copy of a run, another process uses it, or the process cannot
  ///   listen at its address.
  package init(_ options: StandbyOptions) throws {
    self.options = options
    keys = options.keys
    loop = try EventLoop()
    context = if let keys { try TLSContext(keys.ring) } else { nil }
    try OwnedDirectory.make(options.directory)
    lock = try RunLock(directory: options.directory, owner: "standby")
    replica = try Replica(RunDirectory(options.directory))
    try Files.write(
      options.coordinators.map { "\($0)" }.joined(separator: ",") + "\n", to: RunDirectory(options.directory).following)
    let door = door
    listener = try Listener(on: options.listen, tls: context, loop: loop) { door.onCall($0) }
    uplink = Uplink(to: options.coordinators[0], context: context, loop: loop)
    transfer = try BundleTransfer(context, loop: loop)
    let hello = Hello(
      role: .standby, name: "\(Machine.hostName)-standby", arithmetic: "", processID: ThisProcess.id, threads: 1,
      relay: "\(listener.address)")
    machine = Standby(
      hello: hello, coordinators: options.coordinators.map { "\($0)" }, seen: options.seen, copy: try replica.copy(),
      patience: options.patience, identity: .random(in: .min ... .max)
    ) { ChunkDigest(SHA256.digest(of: $0)) }
  }

  /// Follows until the run is finished, the coordinator is silent, or a signal asks the process to stop.
  ///
  /// - Returns: how it ended.
  /// - Throws: if the coordinator refuses this process, or the disk fails.
  package func run() throws -> StandbyEnd {
    try loop.onSignals([Signal.terminate, Signal.interrupt]) { _ in self.stop(.exit(130)) }
    let directory = RunDirectory(options.directory)
    transfer.onEvent = { self.handle(.transfer($0)) }
    transfer.prepare = { [directory] version, bytes in try Replica.write(version, bytes, in: directory) }
    transfer.onPrepared = { [replica] version, path in self.attempt { try replica.name(version, path) } }
    transfer.onFailure = { self.fail($0) }
    door.onCall = { self.answer($0) }
    uplink.onConnect = { self.handle(.connected) }
    uplink.onMessage = { self.handle(.received($0)) }
    uplink.onDisconnect = { reason in
      Log.info("standby.disconnected", ["coordinator": self.uplink.coordinator, "reason": reason])
      self.handle(.disconnected)
    }
    uplink.onRefused = { self.fail($0) }
    uplink.connect(after: .zero)
    Log.info(
      "standby.listen",
      ["address": listener.address, "run": options.directory, "takes_over_after": options.patience.seconds])
    tick()
    while end == nil, failure == nil { loop.run() }
    uplink.finish()
    transfer.close()
    listener.close()
    loop.run(until: MonotonicClock.now() + .milliseconds(200))
    lock = nil
    try? Files.removeTree(RunDirectory(options.directory).fleet)
    if let failure { throw failure }
    return end ?? .exit(1)
  }

  private func tick() {
    if keys?.renew(context, role: "standby") == true { uplink.renewKey() }
    handle(.tick)
    sayState()
    loop.schedule(at: MonotonicClock.now() + Self.tickInterval) { self.tick() }
  }

  /// Tells a caller where the coordinator is. It can have been started with this address alone.
  private func answer(_ connection: Connection) {
    guard callers.count < Limits.connections else { return connection.close() }
    var caller: Link?
    let link = Link(
      connection, firstFrameBytes: Limits.helloBytes,
      onMessage: { message in
        if case .hello(let hello) = message, hello.speaks.knowsStandbys {
          caller?.send(.standbys(["\(self.uplink.coordinator)"], silence: self.options.patience))
        }
        caller?.finish()
        self.callers.removeAll { $0 === caller }
        caller = nil
      },
      onClose: { _ in
        self.callers.removeAll { $0 === caller }
        caller = nil
      })
    caller = link
    callers.append(link)
    loop.schedule(at: MonotonicClock.now() + Limits.helloDeadline) {
      caller?.close()
      self.callers.removeAll { $0 === link }
    }
  }

  /// Writes fleet.json, as a coordinator does: for people who look at the copy.
  private func sayState() {
    let now = MonotonicClock.now()
    guard said.map({ now.since($0) >= Self.sayInterval }) ?? true else { return }
    said = now
    let wait = FleetNote.Wait(
      waiter: "this standby", awaited: "the coordinator, \(uplink.coordinator)",
      what: machine.canLead ? "and has commit \(machine.reached.number)" : "to have a complete copy",
      seconds: now.since(begun).seconds, deadlineSeconds: nil)
    let note = FleetNote(time: WallClock.seconds(), members: [], waits: [wait])
    try? Files.writeForNow(note.json.bytes(), to: RunDirectory(options.directory).fleet)
  }

  // MARK: Machine

  private func handle(_ event: StandbyEvent) {
    guard end == nil, failure == nil else { return }
    for effect in machine.receive(event, now: MonotonicClock.now()) { attempt { try self.perform(effect) } }
  }

  private func attempt(_ work: () throws -> Void) {
    guard end == nil, failure == nil else { return }
    do {
      try work()
    } catch {
      fail(error)
    }
  }

  /// The machine is in the middle of its list of effects: events that follow from one are handled later.
  private func perform(_ effect: StandbyEffect) throws {
    switch effect {
    case .connect(let next): uplink.connect(to: next.address, after: next.pause, within: next.deadline)
    case .send(let message): uplink.send(message)
    case .disconnect: uplink.disconnect("the coordinator is silent, has a lower term, or broke the protocol")
    case .transfer(let effect): transfer.perform(effect)
    case .compare(let snapshot):
      let files = try replica.lacking(of: snapshot)
      loop.soon { self.handle(.lacking(files)) }
    case .write(let index, let offset, let bytes): try replica.write(index: index, at: offset, bytes)
    case .install(let snapshot):
      let isFit = try replica.install(snapshot)
      guard isFit else {
        Log.warning("standby.copy_damaged", ["commit": snapshot.position.number])
        return loop.soon { self.handle(.unfit) }
      }
      Log.info("standby.copied", ["term": snapshot.position.term, "commit": snapshot.position.number])
      loop.soon { self.handle(.installed) }
    case .apply(let commits):
      guard try replica.apply(commits), let last = commits.last?.number else {
        Log.warning("standby.commit_unfit", ["commit": commits.first?.number ?? 0])
        return loop.soon { self.handle(.unfit) }
      }
      loop.soon { self.handle(.applied(last)) }
    case .dropPolicies(let versions): try replica.drop(versions)
    case .lead(let term, let others):
      Log.warning("standby.takes_over", ["term": term, "commit": machine.reached.number])
      stop(.lead(Takeover(term: term, others: others), at: listener.address))
    case .exit(.finished):
      Log.info("standby.done", ["reason": "\(Departure.finished)", "complete": machine.canLead])
      // A complete copy of a finished run gets the files that a coordinator writes at the end.
      stop(machine.canLead ? .lead(Takeover(term: nil, others: []), at: listener.address) : .exit(0))
    case .exit(let departure): fail(StandbyError.cannotGoOn(departure))
    }
  }

  private func stop(_ end: StandbyEnd) {
    if self.end == nil { self.end = end }
    replica.close()
    loop.stop()
  }

  private func fail(_ error: any Error) {
    guard end == nil, failure == nil else { return }
    Log.error("standby.failed", ["reason": "\(error)"])
    failure = error
    loop.stop()
  }
}

/// Gives each new connection to the closure that answers it. The listener needs it before the shell is complete.
private final class Door {
  var onCall: (Connection) -> Void = { $0.close() }
}

/// Why a standby cannot follow.
private enum StandbyError: LastingError, CustomStringConvertible {
  case cannotGoOn(Departure)

  var description: String {
    switch self {
    case .cannotGoOn(let departure): "\(departure)"
    }
  }
}
