// Supervisor: keeps the processes of a run running.
//
// It starts a coordinator and the processes of the plan: workers and the learner's MPI job, here or elsewhere. It
// starts a process that dies again, shows progress from the run's own files, and stops everything when it is asked to.
// It has no part in the run's work: if it is killed, the others die with it, and the same command continues where the
// ledger ends. If it ends the run before its end, it records why (RunEnding), for those who look at the run later.

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
  private let settings: RunSettings
  /// Path of the key for all processes, or `OperationSettings.plainTCP`.
  private let key: String
  private let plan: any ProcessPlan
  private let isTraining: Bool
  /// Held while the supervisor runs; `ttrl stop` finds it by this lock.
  private let lock: RunLock
  private let loop: EventLoop
  private var processes: [SupervisedProcess] = []
  private var address: HostPort?
  private var outcome: Int32?
  /// Why the run ends before its end.
  private var ending: RunEnding?
  private var isStopping = false
  private let progress: ProgressView
  private let page: PageKeeper

  /// - Parameters:
  ///   - isEvaluation: it serves `eval`, which shows the figures itself.
  ///   - peak: the machine's peak, if it is the only one; the progress is compared with it.
  init(
    _ directory: RunDirectory, settings: RunSettings, steps: UInt32, key: String, plan: any ProcessPlan,
    isEvaluation: Bool = false, peak: ArithmeticPeak? = nil
  ) throws {
    self.directory = directory
    self.settings = settings
    self.key = key
    self.plan = plan
    isTraining = steps > 0
    lock = try RunLock(directory: directory.path, name: RunDirectory.supervisorLock, owner: "supervisor")
    loop = try EventLoop()
    let progress = ProgressView(directory, steps: Int(steps), isOfEvaluation: isEvaluation)
    progress.passOver()
    progress.peak = peak
    self.progress = progress
    page = PageKeeper(directory, settings.operation, loop: loop) { text in progress.say(text) }
  }

  /// Runs until the run is finished, fails for good, or is interrupted.
  ///
  /// - Returns: the exit status.
  /// - Throws: if the first process cannot be started.
  func run() throws -> Int32 {
    RunEnding.clear(directory)
    try Files.createDirectory(directory.logs)
    try? Files.removeTree(directory.address)
    try loop.onSignals([Signal.interrupt, Signal.terminate, Signal.hangup]) { _ in self.interrupt() }
    let coordinator = SupervisedProcess("coordinator", name: "coordinator", command: coordinatorCommand)
    processes = [coordinator]
    try spawn(coordinator)
    awaitAddress()
    page.start()
    showProgress()
    while outcome == nil { loop.run() }
    stopAll()
    progress.finish()
    if let ending, let banner = Banner(.ended(ending), path: directory.path) { progress.say("\n" + banner.text) }
    return outcome ?? ExitStatus.failed
  }

  // MARK: Commands

  private func coordinatorCommand() throws -> ChildProcess.Command {
    // After a restart it listens at the address that the other processes know.
    let listen = address.map { "\($0)" } ?? settings.operation.listen
    return try LaunchContext.ownCommand(
      [
        "coordinator", "--run", directory.path, "--listen", listen, "--reward-processes",
        "\(settings.operation.rewardProcesses)", "--durability", settings.operation.durability.rawValue,
        "--takeover-after", "\(settings.operation.takeoverAfter)",
      ] + LaunchContext.words(key: key, settings.operation),
      log: "coordinator", in: directory)
  }

  private func context() throws -> LaunchContext {
    guard let address else { throw UserError("the coordinator has no address yet") }
    let other = settings.operation.coordinator
    return LaunchContext(
      directory: directory, settings: settings, address: other.isEmpty ? address : try HostPort(parsing: other),
      key: key, loop: loop,
      say: { self.progress.say($0) })
  }

  // MARK: Processes

  private func start(_ process: SupervisedProcess) {
    processes.append(process)
    launch(process)
  }

  /// Starts a process, when its preparation is done. A process that cannot be started ends the run.
  private func launch(_ process: SupervisedProcess) {
    let begin = {
      guard !self.isStopping, self.outcome == nil, !process.isRetired, process.child == nil else { return }
      do {
        try self.spawn(process)
      } catch {
        self.fail("\(process.name) cannot be started", reason: "\(error)", of: process)
      }
    }
    if let prepare = process.prepare { prepare(begin) } else { begin() }
  }

  private func spawn(_ process: SupervisedProcess) throws {
    process.started = MonotonicClock.now()
    process.logBytes = (try? Files.size(of: log(of: process))) ?? 0
    process.child = try ChildProcess(try process.command(), loop: loop) { status in self.ended(process, status) }
  }

  private func ended(_ process: SupervisedProcess, _ status: ChildProcess.ExitStatus) {
    process.child = nil
    // A process is told to end when the run is finished on disk. Open MPI 5's mpirun also ends with status 0 when it
    // has lost a machine.
    let isFinished = process.name == "coordinator" || (try? Files.exists(directory.summary)) == true
    process.isDone = status == .exited(0) && isFinished
    guard !isStopping, outcome == nil, !process.isRetired else { return }
    if process.name == "coordinator", process.isDone {
      outcome = ExitStatus.done
      loop.stop()
    } else if process.patience == .endless {
      if !process.isDone { tryLater(process, after: status) }
    } else if status == .exited(ExitStatus.usage) {
      giveUp(on: process, "cannot continue")
    } else if !process.isDone {
      startAgain(process, after: status)
    }
  }

  /// How a process ended that should not have ended.
  private func how(_ status: ChildProcess.ExitStatus) -> String {
    status == .exited(0) ? "ended with status 0 before the run was finished" : "\(status)"
  }

  private func log(of process: SupervisedProcess) -> String { "\(directory.logs)/\(process.name).log" }

  private func startAgain(_ process: SupervisedProcess, after status: ChildProcess.ExitStatus) {
    let now = MonotonicClock.now()
    process.deaths = process.deaths.filter { now.since($0) < Limits.restartWindow } + [now]
    guard process.deaths.count <= Limits.restarts else {
      return giveUp(
        on: process, "\(how(status)), \(process.deaths.count) times within \(Int(Limits.restartWindow.seconds)) s")
    }
    progress.say("\(process.name) \(how(status)); starting it again (log: \(log(of: process)))")
    loop.schedule(at: now + .milliseconds(200 << UInt64(process.deaths.count - 1))) { self.launch(process) }
  }

  /// For a process on another machine, which can be away for any time. It is reported once, and again when the process
  /// is back.
  private func tryLater(_ process: SupervisedProcess, after status: ChildProcess.ExitStatus) {
    let now = MonotonicClock.now()
    if now.since(process.started) > Limits.goodStart { process.deaths = [] }
    if process.awaySince == nil {
      process.awaySince = now
      let words = LastWords.of(process.role, log: log(of: process), from: process.logBytes)
      progress.say("\(process.name) \(how(status)); it is tried again until it is back: \(words)")
    }
    let doublings = min(UInt64(process.deaths.count), 5)
    let pause = min(Limits.reachAgainFirst.nanoseconds << doublings, Limits.reachAgainLongest.nanoseconds)
    process.deaths.append(now)
    loop.schedule(at: now + Instant.Span(nanoseconds: pause)) {
      self.launch(process)
      self.reportWhenBack(process, started: process.started)
    }
  }

  /// Reports that a process is back when the other machine has started it.
  private func reportWhenBack(_ process: SupervisedProcess, started: Instant) {
    loop.schedule(at: MonotonicClock.now() + .milliseconds(250)) {
      guard process.child != nil, process.started == started, let away = process.awaySince else { return }
      guard Reach.hasArrived(log: self.log(of: process), from: process.logBytes) else {
        return self.reportWhenBack(process, started: started)
      }
      process.awaySince = nil
      self.progress.say("\(process.name) is back after \(Int(MonotonicClock.now().since(away).seconds)) s")
    }
  }

  /// The role's own error tells the user what is wrong.
  private func giveUp(on process: SupervisedProcess, _ how: String) {
    let words = LastWords.of(process.role, log: log(of: process), from: process.logBytes)
    fail("\(process.name) \(how)", reason: words, of: process)
  }

  private func fail(_ what: String, reason: String, of process: SupervisedProcess? = nil) {
    guard outcome == nil else { return }
    progress.say("\(what); stopping the run")
    end(
      RunEnding(
        .failed, time: WallClock.seconds(), process: process?.name, what: what, reason: reason,
        log: process.map { "\(RunDirectory.logsName)/\($0.name).log" }, next: continuation), ExitStatus.failed)
  }

  /// Records why the run ends, and ends it.
  private func end(_ ending: RunEnding, _ status: Int32) {
    self.ending = ending
    do {
      try ending.write(to: directory)
    } catch {
      progress.say("the reason cannot be recorded: \(error)")
    }
    outcome = status
    loop.stop()
  }

  /// The command that continues the run. What is only evaluated has no directory that stays.
  private var continuation: String {
    guard isTraining else { return "the same command" }
    let hosts = settings.operation.hosts
    let command = hosts.isEmpty ? "ttrl train" : "ttrl launch --hosts \(Reach.word(hosts))"
    // A stage is continued by its course.
    return "\(command) --run \(Reach.word(CoursePlace(of: directory)?.directory.path ?? directory.path))"
  }

  /// Workers and learners need the coordinator's address, which the coordinator writes when it listens.
  private func awaitAddress() {
    if let text = try? Files.readText(directory.address), let found = try? HostPort(parsing: trimmed(text)) {
      address = found
      return startPlan()
    }
    loop.schedule(at: MonotonicClock.now() + .milliseconds(20)) {
      if self.outcome == nil, !self.isStopping { self.awaitAddress() }
    }
  }

  private func startPlan() {
    do {
      for process in try plan.processes(in: try context()) { start(process) }
      watchPlan()
    } catch {
      fail("the run's processes cannot be started", reason: "\(error)")
    }
  }

  /// Starts processes that are new in the plan, and stops those that it no longer has. The other processes get their
  /// new commands at their next start.
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
      for process in processes where process.name != "coordinator" && !process.isRetired {
        guard let new = wanted.first(where: { $0.name == process.name }) else {
          process.isRetired = true
          process.child?.signal(Signal.terminate)
          continue
        }
        (process.command, process.prepare) = (new.command, new.prepare)
      }
      for process in wanted where !processes.contains(where: { $0.name == process.name && !$0.isRetired }) {
        start(process)
      }
    } catch {
      fail("the run's processes cannot be started", reason: "\(error)")
    }
  }

  // MARK: Stopping

  private func interrupt() {
    guard outcome == nil else { return }
    progress.say("stopping; finished work is kept, and the same command continues the run")
    end(
      RunEnding(.stopped, time: WallClock.seconds(), what: progress.stepsDone, next: continuation),
      ExitStatus.interrupted)
  }

  /// Terminates all processes, and kills those that are still there after 5 s. Everything that matters is durable,
  /// except a checkpoint that the learner of a finished run still writes.
  private func stopAll() {
    isStopping = true
    page.stop()
    // After a finished run the other processes end by themselves: the coordinator has told them.
    if outcome != ExitStatus.done { signalAll(Signal.terminate) }
    let begun = MonotonicClock.now()
    func isInTime() -> Bool {
      let waited = MonotonicClock.now().since(begun)
      return waited < .seconds(5) || waited < Limits.lastCheckpoint && isWritingLastCheckpoint
    }
    while processes.contains(where: { $0.child != nil }), isInTime() {
      loop.run(until: MonotonicClock.now() + .milliseconds(50))
    }
    signalAll(Signal.kill)
    while processes.contains(where: { $0.child != nil }) { loop.run(until: MonotonicClock.now() + .milliseconds(50)) }
    try? Files.removeTree(directory.address)
    // A coordinator that was killed leaves its last note, which would say for seconds that it is at work.
    try? Files.removeTree(directory.fleet)
  }

  /// A run that ends early has no checkpoint of its last version unless it is due. A run that begins from this one can
  /// need it.
  private var isWritingLastCheckpoint: Bool {
    guard outcome == ExitStatus.done, let names = try? Files.list(directory.checkpoints) else { return false }
    return names.contains { $0.hasSuffix(".partial") }
  }

  private func signalAll(_ number: Int32) { for process in processes { process.child?.signal(number) } }

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

/// A role's last words in its log: the paragraph of its error, or else the end of the log.
enum LastWords {
  /// - Parameters:
  ///   - role: its command. Its error begins with "ttrl ROLE: ".
  ///   - log: path of its log.
  ///   - offset: the log's size before the process started.
  static func of(_ role: String, log path: String, from offset: Int) -> String {
    let bytes = ((try? Files.read(path)) ?? []).dropFirst(offset)
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    let beginning = "ttrl \(role): "
    guard let start = lines.lastIndex(where: { $0.hasPrefix(beginning) }) else {
      let end = lines.filter { !$0.isEmpty }.suffix(8).map { "\n  " + $0 }.joined()
      return "the end of \(path):\(end.isEmpty ? " (empty)" : end)"
    }
    // Lines of mpirun and of the log itself end the paragraph.
    let paragraph = lines[start...].prefix { line in
      !line.isEmpty && !["---", "time=", "["].contains { line.hasPrefix($0) }
    }
    return paragraph.joined(separator: "\n").dropFirst(beginning.count) + ""
  }
}
