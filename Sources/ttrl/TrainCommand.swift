// TrainCommand: `ttrl train`, and the three roles it is made of.

import Base
import Collectives
import CoordinatorRole
import Foundation
import LearnerRole
import Ledger
import Observatory
import Platform
import Records
import Runs
import Settings
import WorkerRole

extension Command {
  @Sendable static func train(_ settings: Settings, given: [String]) throws -> Int32 {
    let settings = try checked(settings)
    let beginning = try RunBeginning.begin(settings, given: given)
    let run = try Run(opening: beginning.directory)
    if Files.exists(beginning.directory.summary) {
      say("the run in \(run.directory.path) is finished; its results:")
      try showResult(run, settings)
      return ExitStatus.done
    }
    announce(run, beginning, settings)
    if settings.isDryRun { return ExitStatus.done }
    let status = try Supervisor(run.directory, settings: settings, steps: run.method.steps).run()
    if status == ExitStatus.done { try showResult(run, settings) }
    return status
  }

  private static func checked(_ settings: Settings) throws -> Settings {
    var settings = settings
    if settings.model != "builtin", settings.data.hasPrefix("builtin:") || settings.data.isEmpty {
      throw UserError("--model is given without --data: which questions should it get better at?", status: ExitStatus.usage)
    }
    if settings.run.isEmpty { throw UserError("--run DIR is missing: where should the run be kept?", status: ExitStatus.usage) }
    settings.run = ThisProcess.absolute(settings.run)
    _ = try loopback(settings.listen)
    return settings
  }

  /// Without TLS nothing listens beyond this machine.
  private static func loopback(_ text: String) throws -> HostPort {
    let address = try HostPort(parsing: text)
    guard address.isLoopback else {
      throw UserError(
        "cannot use \(address): connections are not encrypted yet, so the coordinator listens on loopback only; "
          + "use 127.0.0.1:PORT", status: ExitStatus.usage)
    }
    return address
  }

  private static func announce(_ run: Run, _ beginning: RunBeginning.Outcome, _ settings: Settings) {
    let method = run.method
    say(beginning.continues ? "continuing the run in \(run.directory.path)" : "a new run in \(run.directory.path)")
    if beginning.dropped > 0 {
      say("\(beginning.dropped) prompts leave no room for max-new-tokens and were dropped")
    }
    say(
      "\(run.training.prompts.count) prompts, \(method.steps) steps of \(method.promptsPerStep) prompts × "
        + "\(method.votes) votes, \(method.trainSamples) trained; labels: \(method.labels.rawValue); "
        + "\(settings.dtype.rawValue)")
    say(
      "processes: 1 coordinator, \(settings.workers) workers, \(settings.learners) learner ranks under mpirun "
        + "(sharing cores, and as root where this is root)")
  }

  private static func showResult(_ run: Run, _ settings: Settings) throws {
    let ledger = try Ledger(path: run.directory.ledger, mode: .readOnly)
    let history = try RunSummary.history(ledger)
    if settings.isJSON { print(try Files.readText(run.directory.summary)) }
    say("\n" + FinalTable.text(history))
    say("\nreport: \(run.directory.report)")
  }

  static func say(_ text: String) { complain(text) }

  // MARK: Roles

  @Sendable static func coordinator(_ settings: Settings, given: [String]) throws -> Int32 {
    var settings = settings
    guard !settings.run.isEmpty else { throw UserError("--run DIR is missing", status: ExitStatus.usage) }
    settings.run = ThisProcess.absolute(settings.run)
    try Log.start(role: "coordinator")
    let address = try loopback(settings.listen)
    if !Files.exists(RunDirectory(settings.run).settings) { _ = try RunBeginning.begin(settings, given: given) }
    return try CoordinatorShell(try Run(opening: RunDirectory(settings.run))).serve(on: address)
  }

  @Sendable static func worker(_ settings: Settings, given: [String]) throws -> Int32 {
    guard !settings.coordinator.isEmpty else {
      throw UserError("--coordinator HOST:PORT is missing", status: ExitStatus.usage)
    }
    let name = settings.name.isEmpty ? "\(Machine.hostName)-\(ThisProcess.id)" : settings.name
    try Log.start(role: name)
    let options = WorkerOptions(
      coordinator: try loopback(settings.coordinator), name: name,
      threads: settings.threads > 0 ? settings.threads : Machine.coreCount)
    return try WorkerShell(options).run()
  }

  @Sendable static func learner(_ settings: Settings, given: [String]) throws -> Int32 {
    var problems: [String] = []
    if settings.run.isEmpty { problems.append("--run DIR is missing") }
    if settings.coordinator.isEmpty { problems.append("--coordinator HOST:PORT is missing") }
    guard problems.isEmpty else { throw SettingsError(problems: problems) }
    // mpirun may be killed without a chance to end its ranks.
    _ = ThisProcess.dieWithParent()
    let ranks = try MPICollectives()
    try Log.start(role: "learner-\(ranks.rank)")
    let options = LearnerOptions(
      coordinator: try loopback(settings.coordinator),
      threads: settings.threads > 0 ? settings.threads : max(1, Machine.coreCount / ranks.size),
      checkpointEvery: settings.checkpointEvery, keepCheckpoints: settings.keepCheckpoints)
    do {
      let run = try Run(opening: RunDirectory(ThisProcess.absolute(settings.run)))
      let status = try LearnerShell(run, options, ranks).serve()
      try ranks.finish()
      return status
    } catch {
      Log.error("learner.failed", ["reason": "\(error)"])
      // The other ranks wait in a collective that this one will not join.
      ranks.abort(status: ExitStatus.failed)
    }
  }

  // MARK: Looking at a run

  @Sendable static func status(_ settings: Settings, given: [String]) throws -> Int32 {
    let run = try opened(settings)
    let ledger = try Ledger(path: run.directory.ledger, mode: .readOnly)
    let status = try RunStatus(run, ledger)
    print(settings.isJSON ? status.json.text() : status.text)
    return ExitStatus.done
  }

  @Sendable static func report(_ settings: Settings, given: [String]) throws -> Int32 {
    let run = try opened(settings)
    try RunSummary.writeReport(run, ledger: try Ledger(path: run.directory.ledger, mode: .readOnly))
    print(run.directory.report)
    return ExitStatus.done
  }

  private static func opened(_ settings: Settings) throws -> Run {
    guard !settings.run.isEmpty else { throw UserError("--run DIR is missing", status: ExitStatus.usage) }
    return try Run(opening: RunDirectory(ThisProcess.absolute(settings.run)))
  }
}
