// TrainCommand: `ttrl train`, and the three roles it is made of.

import Base
import Ceilings
import Collectives
import Commands
import CoordinatorRole
import Foundation
import LanguageModel
import LearnerRole
import Ledger
import Observatory
import Platform
import Records
import RunReading
import Runs
import Settings
import WorkerRole

extension Command {
  @Sendable static func train(_ settings: Settings, given: [String]) throws -> Int32 {
    var settings = settings
    settings.run = ThisProcess.absolute(settings.run)
    settings.key = ClusterAccess.absolute(settings.key)
    let launcher = settings.method.steps > 0 ? try MPILauncher.find() : nil
    let beginning = try RunBeginning.begin(settings, given: given, isDryRun: settings.isDryRun)
    if try isFinished(beginning.directory, settings) { return ExitStatus.done }
    announce(beginning, settings)
    if settings.isDryRun {
      let threads = (threads(of: settings.workers, settings), threads(of: settings.learners, settings))
      try sayStepTime(beginning.settings, on: threads, ranks: settings.learners)
      say(Comparison(beginning.settings).text)
      return ExitStatus.done
    }
    // Only a live view shows it.
    let peak =
      ProgressView.isLive
      ? try? ArithmeticPeak(of: try ModelDirectory(beginning.settings.model).configuration.model) : nil
    return try supervise(beginning, settings, OneMachine(launcher), peak: peak)
  }

  /// Runs the processes of a run that was begun, to its end.
  static func supervise(
    _ beginning: RunBeginning.Outcome, _ settings: Settings, _ plan: any ProcessPlan, peak: ArithmeticPeak? = nil
  ) throws -> Int32 {
    try awaitLock(beginning.directory)
    // It may have been finished meanwhile, by whoever held the lock.
    if try isFinished(beginning.directory, settings) { return ExitStatus.done }
    let key = ClusterAccess.path(settings, beginning.directory)
    // Made here, before anyone needs it.
    _ = try ClusterAccess.key(key, isOwn: settings.key.isEmpty)
    let status = try Supervisor(
      beginning.directory, settings: settings, steps: beginning.settings.method.steps, key: key, plan: plan,
      peak: peak
    ).run()
    if status == ExitStatus.done { try showResult(beginning.directory, settings) }
    return status
  }

  /// Shows the results of a finished run.
  static func isFinished(_ directory: RunDirectory, _ settings: Settings) throws -> Bool {
    guard Files.exists(directory.summary) else { return false }
    say("the run in \(directory.path) is finished; its results:")
    try showResult(directory, settings)
    return true
  }

  /// Refuses a run that somebody else has open. Its coordinator may also be on its way out, after a `kill -9` of the
  /// `train` that started it.
  private static func awaitLock(_ directory: RunDirectory) throws {
    let deadline = MonotonicClock.now() + .seconds(2)
    while true {
      do {
        _ = try RunLock(directory: directory.path, owner: "coordinator")
        return
      } catch PlatformError.locked where MonotonicClock.now() < deadline {
        usleep(50_000)
      }
    }
  }

  /// - Parameter processes: what is started, where it is not the settings' numbers on this machine.
  static func announce(_ beginning: RunBeginning.Outcome, _ settings: Settings, processes: String? = nil) {
    let method = beginning.settings.method
    if method.klCoefficient > 0, let model = try? ModelDirectory(beginning.settings.model) {
      let shape = TransformerPlan(model.configuration.model, type: beginning.settings.dtype)
      say(
        "KL penalty \(method.klEstimator.rawValue) × \(method.klCoefficient) in the \(method.klPlace.rawValue): each "
          + "learner rank also keeps the initial weights, \(MemoryPlan.mebibytes(MemoryPlan.weightBytes(shape)))")
    }
    say("\(beginning.continues ? "continuing the run" : "a new run") in \(beginning.directory.path)")
    if beginning.dropped > 0 {
      say(
        "\(beginning.dropped) of \(beginning.dropped + beginning.prompts) prompts leave no room for max-new-tokens in "
          + "the model's context and were dropped")
    }
    guard method.steps > 0 else {
      say("\(beginning.prompts) prompts to evaluate, none to train on; \(beginning.settings.dtype.rawValue)")
      return say("processes: " + (processes ?? "1 coordinator, workers: \(settings.workers)"))
    }
    say(
      "\(beginning.prompts) prompts, \(method.steps) steps of \(min(method.promptsPerStep, beginning.prompts)) prompts "
        + "× \(method.votes) votes, \(method.trainSamples) trained; labels: \(method.labels.rawValue); "
        + "\(beginning.settings.dtype.rawValue)")
    say(
      "memory: about \(MemoryPlan.mebibytes(beginning.memory.bytes)) of \(MemoryPlan.mebibytes(Machine.memoryLimit))"
        + (settings.isDryRun ? "\n\(beginning.memory.text)" : ""))
    if settings.isDryRun, processes == nil, let model = try? ModelDirectory(beginning.settings.model) {
      for rank in 0..<min(2, settings.learners) {
        let plan = RunMemory.learner(
          beginning.settings, model: model.configuration.model, rank: rank, of: settings.learners)
        say("of this, \(rank == 0 ? "learner rank 0" : "each other rank"):\n\(plan.text)")
      }
    }
    say(
      "processes: "
        + (processes
          ?? "1 coordinator, workers: \(settings.workers), learner ranks under mpirun: \(settings.learners) (sharing "
          + "cores\(geteuid() == 0 ? ", allowed to run as root" : ""))"))
  }

  /// Of all processes of a role together, on this machine; no more than it has cores for.
  private static func threads(of processes: Int, _ settings: Settings) -> Int {
    settings.threads > 0 ? min(processes * settings.threads, Machine.coreCount) : Machine.coreCount
  }

  /// How long a step will take, by arithmetic: at most, since responses may end earlier.
  ///
  /// - Parameters:
  ///   - settings: the run's.
  ///   - threads: of all machines, as fast as those of this one.
  ///   - machines: if more than one, their links carry `StepTime.usualLink`.
  static func sayStepTime(
    _ settings: Settings, on threads: (sampling: Int, training: Int), ranks: Int, machines: Int = 1
  ) throws {
    guard settings.method.steps > 0 else { return }
    guard let gigaflops = try Ceilings.multiplyAdds(.float32, threads: Machine.coreCount) else { return }
    let perThread = gigaflops / Double(Machine.coreCount)
    let tokens = Int(settings.maxNewTokens)
    let time = StepTime(
      settings, model: try ModelDirectory(settings.model).configuration.model, responseTokens: tokens,
      StepTime.Means(
        samplingThreads: threads.sampling, trainingThreads: threads.training, ranks: ranks,
        flops: perThread * 1e9, linkRate: machines > 1 ? StepTime.usualLink : nil))
    let network =
      machines > 1
      ? ", sums between ranks \(StepTime.text(time.sums)) and weights to workers \(StepTime.text(time.weights)) over "
        + "links of 1 Gbit/s" : ""
    say(
      "a step takes about \(StepTime.text(time.total)), if responses are all \(tokens) tokens long: sampling "
        + "\(StepTime.text(time.sampling)) on \(threads.sampling) threads, training \(StepTime.text(time.training)) on "
        + "\(threads.training)\(network). By arithmetic, with threads of \(Int(perThread.rounded())) GFLOP/s as here")
  }

  private static func showResult(_ directory: RunDirectory, _ settings: Settings) throws {
    let history = try RunSummary.history(try Ledger(path: directory.ledger, mode: .readOnly))
    if settings.isJSON { print(try Files.readText(directory.summary), terminator: "") }
    let table = FinalTable.text(history)
    if !table.isEmpty { say("\n" + table) }
    if let saved = FinalTable.savedSamples(history) { say(saved) }
    if let problem = FinalTable.nothingToVoteOn(history) { say(problem + "; the weights are the base model's\n") }
    say("report: \(directory.report)")
  }

  private static func say(_ text: String) { complain(text) }

  // MARK: Roles

  @Sendable static func coordinator(_ settings: Settings, given: [String]) throws -> Int32 {
    try Log.start(role: "coordinator", level: Log.Level(settings.logLevel))
    var settings = settings
    settings.run = ThisProcess.absolute(settings.run)
    settings.key = ClusterAccess.absolute(settings.key)
    let directory = RunDirectory(settings.run)
    if !Files.exists(directory.settings) { _ = try RunBeginning.begin(settings, given: given) }
    let key = try ClusterAccess.key(ClusterAccess.path(settings, directory), isOwn: settings.key.isEmpty)
    return try CoordinatorShell(try Run(opening: directory), key: key).serve(
      on: try HostPort(parsing: settings.listen))
  }

  @Sendable static func worker(_ settings: Settings, given: [String]) throws -> Int32 {
    let name = settings.name.isEmpty ? "\(Machine.hostName)-\(ThisProcess.id)" : settings.name
    try Log.start(role: name, level: Log.Level(settings.logLevel))
    let options = WorkerOptions(
      coordinator: try HostPort(parsing: settings.coordinator), key: try ClusterAccess.key(settings.key), name: name,
      threads: settings.threads > 0 ? settings.threads : Machine.coreCount,
      keyValueBytesMax: settings.keyValueBytesMax,
      relay: settings.relay == "none" ? nil : try HostPort(parsing: settings.relay))
    return try WorkerShell(options).run()
  }

  @Sendable static func learner(_ settings: Settings, given: [String]) throws -> Int32 {
    // mpirun may be killed without a chance to end its ranks.
    _ = ThisProcess.dieWithParent()
    let ranks = try MPICollectives()
    try Log.start(role: "learner-\(ranks.rank)", level: Log.Level(settings.logLevel))
    do {
      let directory = RunDirectory(ThisProcess.absolute(settings.run))
      // The other ranks, which may be on other machines, have neither the directory nor the key.
      let isLeading = ranks.rank == 0
      if isLeading { try ClusterAccess.require(settings.coordinator, key: settings.key) }
      let run = try isLeading ? Run(opening: directory) : RunParcel.open(try ranks.receiveFromRoot())
      if isLeading { try ranks.sendToAll(try RunParcel.pack(run)) }
      let here = try ranks.countHere()
      let options = LearnerOptions(
        coordinator: try HostPort(parsing: settings.coordinator),
        key: isLeading ? try ClusterAccess.key(ClusterAccess.path(settings, directory)) : nil,
        threads: settings.threads > 0 ? settings.threads : max(1, Machine.coreCount / here),
        checkpointEvery: settings.checkpointEvery, keepCheckpoints: settings.keepCheckpoints)
      let rank = try LearnerRank(run, threads: options.threads, ranks)
      var status = ExitStatus.done
      if isLeading { status = try LearnerShell(rank, options).serve() } else { try rank.follow() }
      try ranks.finish()
      return status
    } catch {
      Log.error("learner.failed", ["reason": "\(error)"])
      complain("ttrl learner: \(error)")
      // The other ranks wait in a collective that this one will not join.
      ranks.abort(status: ExitStatus.of(error, isRole: true))
    }
  }
}

extension Log.Level {
  /// The setting's level; the names are the same.
  init(_ level: LogLevel) {
    self =
      switch level {
      case .debug: .debug
      case .info: .info
      case .warning: .warning
      case .error: .error
      }
  }
}
