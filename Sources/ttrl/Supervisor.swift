// Supervisor: the processes of a run.
//
// It starts a coordinator, and whoever the crew names: workers and the learner's MPI job, here or elsewhere. It starts
// again whichever dies, shows progress from the run's own files, and stops everything when asked to. It takes no part
// in the run: killing it kills the rest, and the same command continues where the ledger ends.

import Base
import Ceilings
import Commands
import Foundation
import Observatory
import Platform
import Records
import Runs
import Settings

final class Supervisor {
  private let directory: RunDirectory
  private let settings: Settings
  /// Path of the key that all of them get, or `Settings.plainTCP`.
  private let key: String
  private let crew: any Crew
  /// Held while it works; `ttrl stop` finds the process by it.
  private let lock: RunLock
  private let loop: EventLoop
  private var charges: [Charge] = []
  private var address: HostPort?
  private var outcome: Int32?
  private var isStopping = false
  private let progress: ProgressView
  private let page: PageKeeper

  /// - Parameter peak: what the machine could do at most, where it is the only one; shown beside what it does.
  init(
    _ directory: RunDirectory, settings: Settings, steps: UInt32, key: String, crew: any Crew,
    peak: ArithmeticPeak? = nil
  ) throws {
    self.directory = directory
    self.settings = settings
    self.key = key
    self.crew = crew
    lock = try RunLock(directory: directory.path, name: RunDirectory.supervisorLock, owner: "supervisor")
    loop = try EventLoop()
    let progress = ProgressView(directory, steps: Int(steps))
    progress.peak = peak
    self.progress = progress
    page = PageKeeper(directory, settings, loop: loop) { text in progress.say(text) }
  }

  /// Runs until the run is finished, fails for good, or is interrupted.
  ///
  /// - Returns: the exit status.
  /// - Throws: if the first process cannot be started.
  func run() throws -> Int32 {
    try Files.createDirectory(directory.logs)
    try? Files.removeTree(directory.address)
    try loop.onSignals([Signal.interrupt, Signal.terminate, Signal.hangup]) { _ in self.interrupt() }
    try start(Charge("coordinator", name: "coordinator", command: coordinatorCommand))
    awaitAddress(since: MonotonicClock.now())
    page.start()
    showProgress()
    while outcome == nil { loop.run() }
    stopAll()
    progress.finish()
    return outcome ?? ExitStatus.failed
  }

  // MARK: Commands

  private func coordinatorCommand() throws -> ChildProcess.Command {
    // Started again, it listens where the others look for it.
    let listen = address.map { "\($0)" } ?? settings.listen
    return try Site.ownCommand(
      ["coordinator", "--run", directory.path, "--listen", listen] + Site.words(key: key, settings),
      log: "coordinator", in: directory)
  }

  private func site() throws -> Site {
    guard let address else { throw UserError("the coordinator has no address yet") }
    let found = settings.coordinator.isEmpty ? address : try HostPort(parsing: settings.coordinator)
    return Site(
      directory: directory, settings: settings, address: found, key: key, loop: loop,
      say: { self.progress.say($0) })
  }

  // MARK: Processes

  private func start(_ charge: Charge) throws {
    charges.append(charge)
    try launch(charge)
  }

  private func launch(_ charge: Charge) throws {
    guard let prepare = charge.prepare else { return try spawn(charge) }
    prepare {
      guard !self.isStopping, self.outcome == nil, !charge.isRetired, charge.process == nil else { return }
      do {
        try self.spawn(charge)
      } catch {
        self.fail("\(charge.name) cannot be started: \(error)")
      }
    }
  }

  private func spawn(_ charge: Charge) throws {
    charge.started = MonotonicClock.now()
    charge.logBytes = (try? Files.size(of: log(of: charge))) ?? 0
    charge.process = try ChildProcess(try charge.command(), loop: loop) { status in self.ended(charge, status) }
  }

  private func ended(_ charge: Charge, _ status: ChildProcess.ExitStatus) {
    charge.process = nil
    if status == .exited(0) { charge.isDone = true }
    guard !isStopping, outcome == nil, !charge.isRetired else { return }
    if charge.name == "coordinator", charge.isDone {
      outcome = ExitStatus.done
      loop.stop()
    } else if charge.patience == .endless {
      if !charge.isDone { tryLater(charge, after: status) }
    } else if status == .exited(ExitStatus.usage) {
      giveUp(on: charge, "cannot go on")
    } else if !charge.isDone {
      startAgain(charge, after: status)
    }
  }

  private func log(of charge: Charge) -> String { "\(directory.logs)/\(charge.name).log" }

  private func startAgain(_ charge: Charge, after status: ChildProcess.ExitStatus) {
    let now = MonotonicClock.now()
    charge.deaths = charge.deaths.filter { now.since($0) < Limits.restartWindow } + [now]
    guard charge.deaths.count <= Limits.restarts else {
      return giveUp(
        on: charge, "\(status), \(charge.deaths.count) times within \(Int(Limits.restartWindow.seconds)) s")
    }
    progress.say("\(charge.name) \(status); starting it again (log: \(log(of: charge)))")
    loop.schedule(at: now + .milliseconds(200 << UInt64(charge.deaths.count - 1))) {
      guard !self.isStopping, self.outcome == nil else { return }
      do {
        try self.launch(charge)
      } catch {
        self.fail("\(charge.name) cannot be started: \(error)")
      }
    }
  }

  /// A process elsewhere: its machine may be away, for however long. What is said is said once, and when it is back.
  private func tryLater(_ charge: Charge, after status: ChildProcess.ExitStatus) {
    let now = MonotonicClock.now()
    if now.since(charge.started) > Limits.goodStart { charge.deaths = [] }
    if charge.awaySince == nil {
      charge.awaySince = now
      let words = LastWords.of(charge.role, log: log(of: charge), from: charge.logBytes)
      progress.say("\(charge.name) \(status); it is tried again until it is back: \(words)")
    }
    let doublings = min(UInt64(charge.deaths.count), 5)
    let pause = min(Limits.reachAgainFirst.nanoseconds << doublings, Limits.reachAgainLongest.nanoseconds)
    charge.deaths.append(now)
    loop.schedule(at: now + Instant.Span(nanoseconds: pause)) {
      guard !self.isStopping, self.outcome == nil, !charge.isRetired, charge.process == nil else { return }
      do {
        try self.launch(charge)
        self.greetWhenBack(charge, started: charge.started)
      } catch {
        self.fail("\(charge.name) cannot be started: \(error)")
      }
    }
  }

  /// The other side says when it has started the process.
  private func greetWhenBack(_ charge: Charge, started: Instant) {
    loop.schedule(at: MonotonicClock.now() + .milliseconds(250)) {
      guard charge.process != nil, charge.started == started, let away = charge.awaySince else { return }
      guard Reach.hasArrived(log: self.log(of: charge), from: charge.logBytes) else {
        return self.greetWhenBack(charge, started: started)
      }
      charge.awaySince = nil
      self.progress.say("\(charge.name) is back after \(Int(MonotonicClock.now().since(away).seconds)) s")
    }
  }

  /// The role has said what is wrong; that is what the user has to read.
  private func giveUp(on charge: Charge, _ how: String) {
    let words = LastWords.of(charge.role, log: log(of: charge), from: charge.logBytes)
    fail("\(charge.name) \(how): \(words)\nWhat is durable is kept: mend the cause and give the same command again.")
  }

  private func fail(_ text: String) {
    progress.say(text)
    outcome = ExitStatus.failed
    loop.stop()
  }

  /// Workers and learners need the coordinator's address, which it writes once it listens.
  private func awaitAddress(since begun: Instant) {
    if let text = try? Files.readText(directory.address), let found = try? HostPort(parsing: trimmed(text)) {
      address = found
      return startPeers()
    }
    loop.schedule(at: MonotonicClock.now() + .milliseconds(20)) {
      if self.outcome == nil, !self.isStopping { self.awaitAddress(since: begun) }
    }
  }

  private func startPeers() {
    do {
      for charge in try crew.charges(at: try site()) { try start(charge) }
      watchCrew()
    } catch {
      fail("\(error)")
    }
  }

  /// Starts whoever has joined the crew, tells those to leave whom it no longer has, and lets the others' new commands
  /// hold from their next start.
  private func watchCrew() {
    loop.schedule(at: MonotonicClock.now() + .seconds(1)) {
      guard self.outcome == nil, !self.isStopping else { return }
      if self.crew.hasChanged(say: { self.progress.say($0) }) { self.adoptCrew() }
      self.watchCrew()
    }
  }

  private func adoptCrew() {
    do {
      let wanted = try crew.charges(at: try site())
      for charge in charges where charge.name != "coordinator" && !charge.isRetired {
        guard let new = wanted.first(where: { $0.name == charge.name }) else {
          charge.isRetired = true
          charge.process?.signal(Signal.terminate)
          continue
        }
        (charge.command, charge.prepare) = (new.command, new.prepare)
      }
      for charge in wanted where !charges.contains(where: { $0.name == charge.name && !$0.isRetired }) {
        try start(charge)
      }
    } catch {
      fail("\(error)")
    }
  }

  // MARK: Stopping

  private func interrupt() {
    guard outcome == nil else { return }
    progress.say("stopping; what is done is kept, and the same command continues")
    outcome = ExitStatus.interrupted
    loop.stop()
  }

  /// Asks politely, waits, then insists. Everything that matters is durable already.
  private func stopAll() {
    isStopping = true
    page.stop()
    // After a finished run the others leave by themselves: they have been told.
    if outcome != ExitStatus.done { signalAll(Signal.terminate) }
    let deadline = MonotonicClock.now() + .seconds(5)
    while charges.contains(where: { $0.process != nil }), MonotonicClock.now() < deadline {
      loop.run(until: MonotonicClock.now() + .milliseconds(50))
    }
    signalAll(Signal.kill)
    while charges.contains(where: { $0.process != nil }) { loop.run(until: MonotonicClock.now() + .milliseconds(50)) }
    try? Files.removeTree(directory.address)
  }

  private func signalAll(_ number: Int32) { for charge in charges { charge.process?.signal(number) } }

  // MARK: Progress

  private func showProgress() {
    progress.page = page.url
    progress.refresh()
    loop.schedule(at: MonotonicClock.now() + .milliseconds(500)) {
      if self.outcome == nil { self.showProgress() }
    }
  }

  private func trimmed(_ text: String) -> String { text.trimmingCharacters(in: .whitespacesAndNewlines) }
}

/// What a role said before it ended: the paragraph of its error, or else the end of its log.
enum LastWords {
  /// - Parameters:
  ///   - role: the command; its error begins with "ttrl ROLE: ".
  ///   - log: path of its log.
  ///   - offset: bytes of the log that are older than the process.
  static func of(_ role: String, log path: String, from offset: Int) -> String {
    let bytes = ((try? Files.read(path)) ?? []).dropFirst(offset)
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    let beginning = "ttrl \(role): "
    guard let start = lines.lastIndex(where: { $0.hasPrefix(beginning) }) else {
      let end = lines.filter { !$0.isEmpty }.suffix(8).map { "\n  " + $0 }.joined()
      return "the end of \(path):\(end.isEmpty ? " (empty)" : end)"
    }
    // The launcher's rules and the log's own lines end the paragraph.
    let paragraph = lines[start...].prefix { line in
      !line.isEmpty && !["---", "time=", "["].contains { line.hasPrefix($0) }
    }
    return paragraph.joined(separator: "\n").dropFirst(beginning.count) + ""
  }
}
