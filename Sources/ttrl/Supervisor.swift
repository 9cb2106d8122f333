// Supervisor: the processes of a run.
//
// It starts a coordinator, and whoever the plan names: workers and the learner's MPI job, here or elsewhere. It starts
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
  private let plan: any ProcessPlan
  /// Held while it works; `ttrl stop` finds the process by it.
  private let lock: RunLock
  private let loop: EventLoop
  private var processes: [SupervisedProcess] = []
  private var address: HostPort?
  private var outcome: Int32?
  private var isStopping = false
  private let progress: ProgressView
  private let page: PageKeeper

  /// - Parameter peak: what the machine could do at most, where it is the only one; shown beside what it does.
  init(
    _ directory: RunDirectory, settings: Settings, steps: UInt32, key: String, plan: any ProcessPlan,
    peak: ArithmeticPeak? = nil
  ) throws {
    self.directory = directory
    self.settings = settings
    self.key = key
    self.plan = plan
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
    try start(SupervisedProcess("coordinator", name: "coordinator", command: coordinatorCommand))
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
    return try LaunchContext.ownCommand(
      ["coordinator", "--run", directory.path, "--listen", listen] + LaunchContext.words(key: key, settings),
      log: "coordinator", in: directory)
  }

  private func context() throws -> LaunchContext {
    guard let address else { throw UserError("the coordinator has no address yet") }
    let found = settings.coordinator.isEmpty ? address : try HostPort(parsing: settings.coordinator)
    return LaunchContext(
      directory: directory, settings: settings, address: found, key: key, loop: loop,
      say: { self.progress.say($0) })
  }

  // MARK: Processes

  private func start(_ child: SupervisedProcess) throws {
    processes.append(child)
    try launch(child)
  }

  private func launch(_ child: SupervisedProcess) throws {
    guard let prepare = child.prepare else { return try spawn(child) }
    prepare {
      guard !self.isStopping, self.outcome == nil, !child.isRetired, child.process == nil else { return }
      do {
        try self.spawn(child)
      } catch {
        self.fail("\(child.name) cannot be started: \(error)")
      }
    }
  }

  private func spawn(_ child: SupervisedProcess) throws {
    child.started = MonotonicClock.now()
    child.logBytes = (try? Files.size(of: log(of: child))) ?? 0
    child.process = try ChildProcess(try child.command(), loop: loop) { status in self.ended(child, status) }
  }

  private func ended(_ child: SupervisedProcess, _ status: ChildProcess.ExitStatus) {
    child.process = nil
    if status == .exited(0) { child.isDone = true }
    guard !isStopping, outcome == nil, !child.isRetired else { return }
    if child.name == "coordinator", child.isDone {
      outcome = ExitStatus.done
      loop.stop()
    } else if child.patience == .endless {
      if !child.isDone { tryLater(child, after: status) }
    } else if status == .exited(ExitStatus.usage) {
      giveUp(on: child, "cannot go on")
    } else if !child.isDone {
      startAgain(child, after: status)
    }
  }

  private func log(of child: SupervisedProcess) -> String { "\(directory.logs)/\(child.name).log" }

  private func startAgain(_ child: SupervisedProcess, after status: ChildProcess.ExitStatus) {
    let now = MonotonicClock.now()
    child.deaths = child.deaths.filter { now.since($0) < Limits.restartWindow } + [now]
    guard child.deaths.count <= Limits.restarts else {
      return giveUp(
        on: child, "\(status), \(child.deaths.count) times within \(Int(Limits.restartWindow.seconds)) s")
    }
    progress.say("\(child.name) \(status); starting it again (log: \(log(of: child)))")
    loop.schedule(at: now + .milliseconds(200 << UInt64(child.deaths.count - 1))) {
      guard !self.isStopping, self.outcome == nil else { return }
      do {
        try self.launch(child)
      } catch {
        self.fail("\(child.name) cannot be started: \(error)")
      }
    }
  }

  /// A process elsewhere: its machine may be away, for however long. What is said is said once, and when it is back.
  private func tryLater(_ child: SupervisedProcess, after status: ChildProcess.ExitStatus) {
    let now = MonotonicClock.now()
    if now.since(child.started) > Limits.goodStart { child.deaths = [] }
    if child.awaySince == nil {
      child.awaySince = now
      let words = LastWords.of(child.role, log: log(of: child), from: child.logBytes)
      progress.say("\(child.name) \(status); it is tried again until it is back: \(words)")
    }
    let doublings = min(UInt64(child.deaths.count), 5)
    let pause = min(Limits.reachAgainFirst.nanoseconds << doublings, Limits.reachAgainLongest.nanoseconds)
    child.deaths.append(now)
    loop.schedule(at: now + Instant.Span(nanoseconds: pause)) {
      guard !self.isStopping, self.outcome == nil, !child.isRetired, child.process == nil else { return }
      do {
        try self.launch(child)
        self.greetWhenBack(child, started: child.started)
      } catch {
        self.fail("\(child.name) cannot be started: \(error)")
      }
    }
  }

  /// The other side says when it has started the process.
  private func greetWhenBack(_ child: SupervisedProcess, started: Instant) {
    loop.schedule(at: MonotonicClock.now() + .milliseconds(250)) {
      guard child.process != nil, child.started == started, let away = child.awaySince else { return }
      guard Reach.hasArrived(log: self.log(of: child), from: child.logBytes) else {
        return self.greetWhenBack(child, started: started)
      }
      child.awaySince = nil
      self.progress.say("\(child.name) is back after \(Int(MonotonicClock.now().since(away).seconds)) s")
    }
  }

  /// The role has said what is wrong; that is what the user has to read.
  private func giveUp(on child: SupervisedProcess, _ how: String) {
    let words = LastWords.of(child.role, log: log(of: child), from: child.logBytes)
    fail("\(child.name) \(how): \(words)\nWhat is durable is kept: mend the cause and give the same command again.")
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
      for child in try plan.processes(in: try context()) { try start(child) }
      watchPlan()
    } catch {
      fail("\(error)")
    }
  }

  /// Starts whoever has joined the plan, tells those to leave whom it no longer has, and lets the others' new commands
  /// hold from their next start.
  private func watchPlan() {
    loop.schedule(at: MonotonicClock.now() + .seconds(1)) {
      guard self.outcome == nil, !self.isStopping else { return }
      if self.plan.hasChanged(say: { self.progress.say($0) }) { self.adoptPlan() }
      self.watchPlan()
    }
  }

  private func adoptPlan() {
    do {
      let wanted = try plan.processes(in: try context())
      for child in processes where child.name != "coordinator" && !child.isRetired {
        guard let new = wanted.first(where: { $0.name == child.name }) else {
          child.isRetired = true
          child.process?.signal(Signal.terminate)
          continue
        }
        (child.command, child.prepare) = (new.command, new.prepare)
      }
      for child in wanted where !processes.contains(where: { $0.name == child.name && !$0.isRetired }) {
        try start(child)
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
    while processes.contains(where: { $0.process != nil }), MonotonicClock.now() < deadline {
      loop.run(until: MonotonicClock.now() + .milliseconds(50))
    }
    signalAll(Signal.kill)
    while processes.contains(where: { $0.process != nil }) { loop.run(until: MonotonicClock.now() + .milliseconds(50)) }
    try? Files.removeTree(directory.address)
  }

  private func signalAll(_ number: Int32) { for child in processes { child.process?.signal(number) } }

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
