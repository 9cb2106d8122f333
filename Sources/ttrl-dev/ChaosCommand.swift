// ChaosCommand: `ttrl-dev chaos`: an undisturbed run, then runs with the same settings under random kills, pauses and
// broken connections, and a comparison bit for bit.
//
// Everything is real: `ttrl train` with its processes, their TCP connections, the ledger on the disk. --chaos-seed
// determines which disturbance comes when; what it hits depends on the moment.

import Base
import Chaos
import Commands
import Platform
import Records
import Runs
import Settings

extension Command {
  @Sendable static func chaosDefaults(isBuiltIn: Bool) -> ChaosSettings {
    var settings = ChaosSettings()
    settings.disturbed = runDefaults(isBuiltIn: isBuiltIn)
    if isBuiltIn { settings.disturbed.operation.run = "ttrl-chaos" }
    return settings
  }

  @Sendable static func chaos(_ settings: ChaosSettings, _ call: CallSettings) throws -> Int32 {
    let directory = ThisProcess.absolute(settings.disturbed.operation.run)
    guard try !Files.exists(RunDirectory(directory).settings) else {
      throw UserError(
        "\(directory) is a run; chaos makes its own runs in the directory --run: give another directory",
        status: ExitStatus.usage)
    }
    try OwnedDirectory.make(directory)
    let arguments = trainArguments(settings, given: call.given)
    let undisturbed = RunDirectory(directory + "/undisturbed")
    complain("first an undisturbed run, in \(undisturbed.path)")
    try runUndisturbed(try trainCommand(undisturbed, arguments))
    let seconds = try JSON.parse(try Files.read(undisturbed.summary))["wall_seconds"]?.double ?? 0
    // Short runs are disturbed more often, so that all kills happen before they end.
    let share = seconds / Double(2 * settings.kills)
    let pause = min(Limits.chaosPause.seconds, max(Limits.chaosPauseLeast.seconds, share))
    var report = ChaosReport(undisturbedSeconds: seconds)
    for number in 1...settings.runs {
      let disturbed = RunDirectory(directory + (number == 1 ? "/disturbed" : "/disturbed-\(number)"))
      guard try !Files.exists(disturbed.path) else {
        throw UserError(
          "\(disturbed.path) is there already, from an earlier chaos; remove it, or give another --run. "
            + "(\(undisturbed.path) can stay; it is used again.)", status: ExitStatus.usage)
      }
      complain("run \(number) of \(settings.runs), disturbed, in \(disturbed.path)")
      let schedule = DisturbanceSchedule(
        seed: settings.seed, run: number, kills: settings.kills,
        meanPause: Instant.Span(nanoseconds: UInt64(pause * 1e9)))
      report.add(try disturb(disturbed, schedule, settings, arguments, comparedWith: undisturbed))
    }
    complain(report.text)
    print(call.isJSON ? report.json.text() : report.verdict)
    return report.isIdentical ? ExitStatus.done : ExitStatus.failed
  }

  private static func disturb(
    _ directory: RunDirectory, _ schedule: DisturbanceSchedule, _ settings: ChaosSettings, _ arguments: [String],
    comparedWith undisturbed: RunDirectory
  ) throws -> ChaosReport.OneRun {
    let begun = MonotonicClock.now()
    let run = try DisturbedRun(
      directory, schedule: schedule,
      command: { address in
        try trainCommand(directory, arguments + ["--coordinator", "\(address)", "--log-level", "debug"])
      },
      say: { complain("\(Int(MonotonicClock.now().since(begun).seconds)) s: \($0)") })
    let outcome = try run.run()
    guard outcome.hasFinished else {
      throw UserError(
        "the disturbed run in \(directory.path) failed; its output is in \(outputPath(of: directory)), the logs of its "
          + "processes are in \(directory.logs)")
    }
    return ChaosReport.OneRun(
      outcome: outcome, log: Self.lines(of: "\(directory.logs)/coordinator.log"),
      learnerLog: Self.lines(of: "\(directory.logs)/learner.log"),
      slots: try ChaosReport.slots(of: directory), steps: Int(settings.disturbed.method.steps),
      difference: try ChaosReport.difference(undisturbed, directory))
  }

  // MARK: Processes

  /// The settings that were given, as flags. The runs get all but chaos's own.
  private static func trainArguments(_ settings: ChaosSettings, given: [String]) -> [String] {
    let own = ["run", "runs", "kills", "chaos-seed", "json", "config"]
    return given.filter { !own.contains($0) }.compactMap { SettingTable.named($0) }
      .map { "--\($0.name)=\($0.value(in: settings))" }
  }

  private static func trainCommand(_ directory: RunDirectory, _ arguments: [String]) throws -> ChildProcess.Command {
    var command = ChildProcess.Command(
      try ThisProcess.sibling("ttrl"), ["train", "--run", directory.path] + arguments)
    command.output = .file(outputPath(of: directory))
    command.errors = .file(outputPath(of: directory))
    command.ownGroup = true
    return command
  }

  private static func outputPath(of directory: RunDirectory) -> String { directory.path + ".log" }

  private static func runUndisturbed(_ command: ChildProcess.Command) throws {
    let loop = try EventLoop()
    var ended: ChildProcess.ExitStatus?
    let process = try ChildProcess(command, loop: loop) {
      ended = $0
      loop.stop()
    }
    var isInterrupted = false
    try loop.onSignals([Signal.interrupt, Signal.terminate]) { _ in
      isInterrupted = true
      process.signal(Signal.terminate)
    }
    while ended == nil { loop.run() }
    if isInterrupted { throw Interrupted() }
    guard ended == .exited(ExitStatus.done) else {
      guard case .file(let path) = command.errors else { return }
      let words = (try? Files.readText(path))?.split(separator: "\n").suffix(8).joined(separator: "\n  ") ?? ""
      throw UserError("the undisturbed run failed (\(ended.map { "\($0)" } ?? "")); the end of its output:\n  \(words)")
    }
  }

  private static func lines(of path: String) -> [(seconds: Double, line: LogLine)] {
    let text = (try? Files.readText(path)) ?? ""
    return text.split(separator: "\n").compactMap { line in
      guard let line = LogLine(parsing: line), let seconds = WallClock.seconds(of: line.time) else { return nil }
      return (seconds, line)
    }
  }
}
