// DisturbedRun: a run of real processes, and the disturbances that it gets.
//
// It starts `ttrl train`, whose workers and learner reach the coordinator through a relay, and carries out a schedule
// of disturbances until all kills have happened; then the run is not disturbed any more. `ttrl train` is disturbed too,
// and started again when it was killed, as a user would do. Nothing here changes the run's files.

package import Base
import Glibc
package import Platform
package import Runs

/// What was done to a run, and how it ended.
package struct DisturbedOutcome: Sendable {
  package var kills: [Kill] = []
  /// The number of other disturbances that found a victim, by name.
  package var others = SortedMap<String, Int>()
  package var receipts = ReceiptCheck()
  package var seconds = 0.0
  /// `ttrl train` ended with status 0.
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
  /// This object killed `ttrl train`.
  private var isTrainKilled = false
  private var failure: (any Error)?
  /// Stopped processes. They must be continued at the end.
  private var paused: [Int32] = []

  /// - Parameters:
  ///   - directory: the run's directory.
  ///   - schedule: the disturbances.
  ///   - command: makes the command `ttrl train` for that directory, from the address at which its processes reach the
  ///     coordinator.
  ///   - say: gets one line per disturbance.
  /// - Throws: if it cannot listen on a port.
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

  /// Carries the run to its end.
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
      return say("all kills have happened; the run is not disturbed any more")
    }
    let due = MonotonicClock.now() + pause
    loop.schedule(at: due) { self.inflict(disturbance, by: due + Limits.chaosVictim) }
  }

  /// A process that is being started again cannot be disturbed; it is waited for, up to a deadline.
  private func inflict(_ disturbance: Disturbance, by deadline: Instant) {
    guard !isOver else { return }
    if !strike(disturbance) {
      guard MonotonicClock.now() > deadline else {
        loop.schedule(at: MonotonicClock.now() + .milliseconds(50)) { self.inflict(disturbance, by: deadline) }
        return
      }
      say("no victim was found for \(disturbance)")
    }
    arrangeNext()
  }

  /// - Returns: whether a victim was found.
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
    // Checked before a new coordinator can make up for what the old one did not store.
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
      // Another process can have its number by now; SIGCONT does nothing to it.
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

/// The user pressed Ctrl-C, or sent SIGTERM.
package struct Interrupted: Error, CustomStringConvertible {
  package init() {}
  package var description: String { "interrupted; the runs are still in the directory and can be removed" }
}
