// Supervisor: the processes of a run on one machine.
//
// It starts a coordinator, workers and the learner's MPI job, starts again whichever dies, shows progress from the
// run's own files, and stops everything when asked to. It takes no part in the run: killing it kills the rest, and the
// same command continues where the ledger ends.

import Base
import Foundation
import Observatory
import Platform
import Records
import Runs
import Settings

final class Supervisor {
  /// One process that is kept running.
  private final class Charge {
    /// Also the name of its log.
    let name: String
    /// The command that it runs.
    let role: String
    let command: () throws -> ChildProcess.Command
    /// Bytes of its log that were there before it was started last.
    var logBytes = 0
    var process: ChildProcess?
    var isDone = false
    /// When it died lately; too many in a short time and the supervisor gives up.
    var deaths: [Instant] = []

    init(_ role: String, name: String, command: @escaping () throws -> ChildProcess.Command) {
      self.role = role
      self.name = name
      self.command = command
    }
  }

  private let directory: RunDirectory
  private let settings: Settings
  /// Path of the key that all of them get, or `Settings.plainTCP`.
  private let key: String
  /// nil where nothing is trained.
  private let launcher: MPILauncher?
  private let loop: EventLoop
  private var charges: [Charge] = []
  private var address: HostPort?
  private var outcome: Int32?
  private var isStopping = false
  private let progress: ProgressView
  private let page: PageKeeper

  init(_ directory: RunDirectory, settings: Settings, steps: UInt32, key: String, launcher: MPILauncher?) throws {
    self.directory = directory
    self.settings = settings
    self.key = key
    self.launcher = launcher
    loop = try EventLoop()
    let progress = ProgressView(directory, steps: Int(steps))
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

  private func ownCommand(_ arguments: [String], log: String) throws -> ChildProcess.Command {
    var command = ChildProcess.Command(try ThisProcess.executablePath(), arguments)
    command.output = .file("\(directory.logs)/\(log).log")
    command.errors = .file("\(directory.logs)/\(log).log")
    // Ctrl-C at the terminal reaches the whole group; ours are told by us, in order.
    command.ownGroup = true
    return command
  }

  private func coordinatorCommand() throws -> ChildProcess.Command {
    // Started again, it listens where the others look for it.
    let listen = address.map { "\($0)" } ?? settings.listen
    return try ownCommand(
      ["coordinator", "--run", directory.path, "--listen", listen] + keyArguments, log: "coordinator")
  }

  private func workerCommand(_ number: Int) throws -> ChildProcess.Command {
    try ownCommand(
      [
        "worker", "--coordinator", "\(try knownAddress())", "--name", "worker-\(number)",
        "--threads", "\(threads(sharedBy: settings.workers))", "--kv-memory", "\(settings.keyValueMemory)",
      ] + keyArguments, log: "worker-\(number)")
  }

  private func learnerCommand(_ launcher: MPILauncher) throws -> ChildProcess.Command {
    var command = try ownCommand(
      [
        "learner", "--run", directory.path, "--coordinator", "\(try knownAddress())",
        "--threads", "\(threads(sharedBy: settings.learners))", "--checkpoint-every", "\(settings.checkpointEvery)",
        "--keep-checkpoints", "\(settings.keepCheckpoints)",
      ] + keyArguments, log: "learner")
    command.arguments = launcher.arguments(ranks: settings.learners) + [command.program] + command.arguments
    command.program = launcher.program
    command.environment = launcher.environment
    return command
  }

  private var keyArguments: [String] { ["--key", key] }

  private func knownAddress() throws -> HostPort {
    guard let address else { throw UserError("the coordinator has no address yet") }
    return address
  }

  private func threads(sharedBy processes: Int) -> Int {
    settings.threads > 0 ? settings.threads : max(1, Machine.coreCount / max(processes, 1))
  }

  // MARK: Processes

  private func start(_ charge: Charge) throws {
    charges.append(charge)
    try launch(charge)
  }

  private func launch(_ charge: Charge) throws {
    charge.logBytes = (try? Files.size(of: log(of: charge))) ?? 0
    charge.process = try ChildProcess(try charge.command(), loop: loop) { status in self.ended(charge, status) }
  }

  private func ended(_ charge: Charge, _ status: ChildProcess.ExitStatus) {
    charge.process = nil
    if status == .exited(0) { charge.isDone = true }
    guard !isStopping, outcome == nil else { return }
    if charge.name == "coordinator", charge.isDone {
      outcome = ExitStatus.done
      loop.stop()
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
      for number in 1...max(settings.workers, 1) where number <= settings.workers {
        try start(Charge("worker", name: "worker-\(number)") { try self.workerCommand(number) })
      }
      if let launcher {
        try start(Charge("learner", name: "learner") { try self.learnerCommand(launcher) })
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
