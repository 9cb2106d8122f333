// DisturbedRun: a run of real processes, and everything that happens to them.
//
// It starts `ttrl train`, whose workers and learner reach the coordinator through a relay, and carries out a schedule
// of disturbances until all kills are spent; from then on the run is left in peace. `ttrl train` is disturbed like the
// others, and started again when it was killed: by hand, so to speak. Nothing here touches the run's files.

package import Base
import Glibc
package import Platform
package import Runs

/// What was done to a run, and how it took it.
package struct DisturbedOutcome: Sendable {
  package var kills: [Kill] = []
  /// Other disturbances that found somebody, by name.
  package var others = SortedMap<String, Int>()
  package var receipts = ReceiptCheck()
  package var seconds = 0.0
  /// Status 0.
  package var hasFinished = false
}

package final class DisturbedRun {
  private let directory: RunDirectory
  private let command: ChildProcess.Command
  private let say: (String) -> Void
  private let loop: EventLoop
  private var schedule: DisturbanceSchedule
  private var relay: Relay?
  private var train: ChildProcess?
  private var outcome = DisturbedOutcome()
  private var isOver = false
  /// It was us.
  private var isTrainKilled = false
  private var failure: (any Error)?
  /// Stopped processes, which must not stay so.
  private var paused: [Int32] = []

  /// - Parameters:
  ///   - directory: of the run.
  ///   - schedule: what to do to it.
  ///   - command: `ttrl train` for that directory, given the address at which its processes find the coordinator.
  ///   - say: gets a line per disturbance.
  /// - Throws: if no port can be listened on.
  package init(
    _ directory: RunDirectory, schedule: DisturbanceSchedule, command: (HostPort) throws -> ChildProcess.Command,
    say: @escaping (String) -> Void
  ) throws {
    self.directory = directory
    self.schedule = schedule
    self.say = say
    loop = try EventLoop()
    let relay = try Relay(loop: loop) {
      guard let text = try? Files.readText(directory.address) else { return nil }
      return try? HostPort(parsing: String(text.prefix { $0 != "\n" }))
    }
    self.command = try command(relay.address)
    self.relay = relay
  }

  /// Lives through the run.
  ///
  /// - Returns: what happened.
  /// - Throws: if `ttrl train` cannot be started, or the ledger cannot be read.
  package func run() throws -> DisturbedOutcome {
    let begun = MonotonicClock.now()
    try loop.onSignals([Signal.interrupt, Signal.terminate]) { _ in self.fail(Interrupted()) }
    try start()
    arrangeNext()
    while !isOver { loop.run() }
    for id in paused { Glibc.kill(id, SIGCONT) }
    if let failure {
      train?.signal(Signal.terminate)
      let deadline = MonotonicClock.now() + .seconds(10)
      while train != nil, MonotonicClock.now() < deadline { loop.run(until: MonotonicClock.now() + .milliseconds(50)) }
      train?.signal(Signal.kill)
      throw failure
    }
    relay?.close()
    try outcome.receipts.run(on: directory)
    outcome.seconds = MonotonicClock.now().since(begun).seconds
    return outcome
  }

  private func start() throws {
    train = try ChildProcess(command, loop: loop) { self.ended($0) }
  }

  private func ended(_ status: ChildProcess.ExitStatus) {
    train = nil
    guard failure == nil else { return loop.stop() }
    if isTrainKilled {
      isTrainKilled = false
      return attempt { try self.start() }
    }
    outcome.hasFinished = status == .exited(0)
    isOver = true
    loop.stop()
  }

  private func fail(_ error: any Error) {
    if failure == nil { failure = error }
    isOver = true
    loop.stop()
  }

  private func attempt(_ work: () throws -> Void) {
    do { try work() } catch { fail(error) }
  }

  // MARK: Disturbances

  private func arrangeNext() {
    guard let (pause, disturbance) = schedule.next() else {
      return say("all kills are spent; the run is left in peace")
    }
    let due = MonotonicClock.now() + pause
    loop.schedule(at: due) { self.inflict(disturbance, by: due + Limits.chaosVictim) }
  }

  /// A process that is just being started again cannot be struck; it is waited for, up to a deadline.
  private func inflict(_ disturbance: Disturbance, by deadline: Instant) {
    guard !isOver else { return }
    if !strike(disturbance) {
      guard MonotonicClock.now() > deadline else {
        loop.schedule(at: MonotonicClock.now() + .milliseconds(50)) { self.inflict(disturbance, by: deadline) }
        return
      }
      say("there was nobody to \(disturbance)")
    }
    arrangeNext()
  }

  /// - Returns: whether there was somebody to strike.
  private func strike(_ disturbance: Disturbance) -> Bool {
    switch disturbance {
    case .kill(let kind): return kill(kind)
    case .pause(let kind, let span): return pause(kind, for: span)
    case .reset: return onConnection("reset") { self.relay?.reset($0) }
    case .corrupt:
      let place = Double(schedule.pick(below: 1000)) / 1000
      return onConnection("corrupt") { self.relay?.corrupt($0, at: place) }
    case .stall(let span):
      return onConnection("stall", "for \(span.milliseconds) ms") { self.relay?.stall($0, for: span) }
    }
  }

  private func victim(_ kind: ProcessKind) -> FamilyMember? {
    guard let train else { return nil }
    let candidates = Family.members(of: train.pid).filter { $0.kind == kind }
    return candidates.isEmpty ? nil : candidates[schedule.pick(below: candidates.count)]
  }

  private func kill(_ kind: ProcessKind) -> Bool {
    guard let victim = victim(kind) else { return false }
    let time = WallClock.seconds()
    guard Glibc.kill(victim.id, SIGKILL) == 0 else { return false }
    outcome.kills.append(Kill(kind, name: victim.name, time: time))
    isTrainKilled = isTrainKilled || kind == .train
    say("killed \(kind.rawValue) \(victim.name) (\(outcome.kills.count))")
    // Before a new coordinator can have mended what the old one did not keep.
    if kind == .coordinator { attempt { try self.outcome.receipts.run(on: self.directory) } }
    return true
  }

  private func pause(_ kind: ProcessKind, for span: Instant.Span) -> Bool {
    guard let victim = victim(kind), Glibc.kill(victim.id, SIGSTOP) == 0 else { return false }
    count("pause")
    say("paused \(kind.rawValue) \(victim.name) for \(span.milliseconds) ms")
    paused.append(victim.id)
    loop.schedule(at: MonotonicClock.now() + span) {
      self.paused.removeAll { $0 == victim.id }
      // Its number may be another's by now, to whom SIGCONT does nothing.
      Glibc.kill(victim.id, SIGCONT)
    }
    return true
  }

  private func onConnection(_ name: String, _ how: String = "", _ action: (Int) -> Void) -> Bool {
    guard let relay, relay.connectionCount > 0 else { return false }
    action(schedule.pick(below: relay.connectionCount))
    count(name)
    say("connection: \(name) \(how)")
    return true
  }

  private func count(_ name: String) {
    if outcome.others.update(name, { $0 += 1 }) == nil { outcome.others[name] = 1 }
  }
}

/// Somebody pressed Ctrl-C.
package struct Interrupted: Error, CustomStringConvertible {
  package init() {}
  package var description: String { "interrupted; the runs in the directory can be looked at, and removed" }
}
