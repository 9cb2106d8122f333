// TrainCommand: `ttrl train`, and the three roles that it starts.

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
  @Sendable static func train(_ settings: RunSettings, _ call: CallSettings) throws -> Int32 {
    var settings = settings
    settings.operation.makePathsAbsolute()
    let operation = settings.operation
    let launcher = settings.method.steps > 0 ? try MPILauncher.find() : nil
    let beginning = try RunBeginning.begin(settings, given: call.given, isDryRun: call.isDryRun)
    if try isFinished(beginning.directory, call) { return ExitStatus.done }
    announce(beginning, settings, call)
    if let exposure = launcher?.exposure { say(exposure) }
    if call.isDryRun {
      let threads = (threads(of: operation.workers, operation), threads(of: operation.learners, operation))
      try sayStepTime(beginning.settings, on: threads, ranks: operation.learners)
      say(Comparison(beginning.settings).text)
      return ExitStatus.done
    }
    // Only a live view shows the peak.
    let peak =
      ProgressView.isLive
      ? try? ArithmeticPeak(of: try ModelDirectory(beginning.settings.model).configuration.model) : nil
    return try supervise(beginning, settings, call, OneMachine(launcher), peak: peak)
  }

  /// Runs the processes of a run until it is finished.
  static func supervise(
    _ beginning: RunBeginning.Outcome, _ settings: RunSettings, _ call: CallSettings, _ plan: any ProcessPlan,
    peak: ArithmeticPeak? = nil
  ) throws -> Int32 {
    try awaitLock(beginning.directory)
    // The process that held the lock can have finished the run meanwhile.
    if try isFinished(beginning.directory, call) { return ExitStatus.done }
    let key = ClusterAccess.path(settings.operation, beginning.directory)
    // The run's own key is made here, before a process needs it.
    _ = try ClusterAccess.key(key, isOwn: settings.operation.key.isEmpty)
    let status = try Supervisor(
      beginning.directory, settings: settings, steps: beginning.settings.method.steps, key: key, plan: plan,
      peak: peak
    ).run()
    if status == ExitStatus.done { try showResult(beginning.directory, call) }
    return status
  }

  /// Whether the run is finished. Then its results are shown.
  static func isFinished(_ directory: RunDirectory, _ call: CallSettings) throws -> Bool {
    guard try Files.exists(directory.summary) else { return false }
    say("the run in \(directory.path) is finished; its results:")
    try showResult(directory, call)
    return true
  }

  /// Refuses a run that another coordinator has open. It waits 2 s, because the coordinator can be about to end, after
  /// a `kill -9` of the `train` that started it.
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

  /// Tells the user what the run is and needs.
  ///
  /// - Parameter processes: what is started, if it is not the settings' numbers on this machine.
  static func announce(
    _ beginning: RunBeginning.Outcome, _ settings: RunSettings, _ call: CallSettings, processes: String? = nil
  ) {
    let (workers, learners) = (settings.operation.workers, settings.operation.learners)
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
    say("prompts: \(beginning.prompting)")
    guard method.steps > 0 else {
      say("\(beginning.prompts) prompts to evaluate, none to train on; \(beginning.settings.dtype.rawValue)")
      return say("processes: " + (processes ?? "1 coordinator, workers: \(workers)"))
    }
    say(
      "\(beginning.prompts) prompts, \(method.steps) steps of \(min(method.promptsPerStep, beginning.prompts)) prompts "
        + "× \(method.votes) votes, \(method.trainSamples) trained; labels: \(method.labels.rawValue); "
        + "\(beginning.settings.dtype.rawValue)")
    say(
      "memory: about \(MemoryPlan.mebibytes(beginning.memory.bytes)) of \(MemoryPlan.mebibytes(Machine.memoryLimit))"
        + (call.isDryRun ? "\n\(beginning.memory.text)" : ""))
    if call.isDryRun, processes == nil, let model = try? ModelDirectory(beginning.settings.model) {
      for rank in 0..<min(2, learners) {
        let plan = RunMemory.learner(
          beginning.settings, model: model.configuration.model, rank: rank, of: learners)
        say("of this, \(rank == 0 ? "learner rank 0" : "each other rank"):\n\(plan.text)")
      }
    }
    say(
      "processes: "
        + (processes
          ?? "1 coordinator, workers: \(workers), learner ranks under mpirun: \(learners) (sharing "
          + "cores\(geteuid() == 0 ? ", allowed to run as root" : ""))"))
  }

  /// Threads of all processes of a role on this machine, at most as many as it has cores.
  private static func threads(of processes: Int, _ operation: OperationSettings) -> Int {
    operation.threads > 0 ? min(processes * operation.threads, Machine.coreCount) : Machine.coreCount
  }

  /// Prints the estimated time of a step. It is an upper bound, because responses can end earlier.
  ///
  /// - Parameters:
  ///   - settings: the run's.
  ///   - threads: of all machines. They are taken to be as fast as those of this machine.
  ///   - machines: if there are several, their links are taken to carry `StepTime.usualLink`.
  static func sayStepTime(
    _ settings: RunSettings, on threads: (sampling: Int, training: Int), ranks: Int, machines: Int = 1
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
        + "\(threads.training)\(network). This is an estimate for threads of \(Int(perThread.rounded())) GFLOP/s, as "
        + "here"
    )
  }

  private static func showResult(_ directory: RunDirectory, _ call: CallSettings) throws {
    let history = try RunSummary.history(try Ledger(path: directory.ledger, mode: .readOnly))
    if call.isJSON { showJSON(try Files.readText(directory.summary), terminator: "") }
    let table = FinalTable.text(history)
    if !table.isEmpty { say("\n" + table) }
    if let saved = FinalTable.savedSamples(history) { say(saved) }
    if let problem = FinalTable.nothingToVoteOn(history) { say(problem + "; the weights are the base model's\n") }
    say("report: \(directory.report)")
  }

  private static func say(_ text: String) { complain(text) }

  // MARK: Roles

  @Sendable static func coordinator(_ settings: RunSettings, _ call: CallSettings) throws -> Int32 {
    var settings = settings
    settings.operation.makePathsAbsolute()
    let operation = settings.operation
    Log.start(role: "coordinator", level: Log.Level(operation.logLevel))
    let directory = RunDirectory(operation.run)
    if try !Files.exists(directory.settings) { _ = try RunBeginning.begin(settings, given: call.given) }
    // Before the key is put there.
    try OwnedDirectory.require(directory.path)
    let key = try ClusterAccess.key(ClusterAccess.path(operation, directory), isOwn: operation.key.isEmpty)
    let shell = try CoordinatorShell(try Run(opening: directory), key: key)
    // Under `train` and `launch`, their process records how the run ends.
    guard !directory.isSupervised else { return try shell.serve(on: try HostPort(parsing: operation.listen)) }
    let next = "ttrl coordinator --run \(Reach.word(directory.path)), with its workers and its learner"
    RunEnding.clear(directory)
    do {
      let status = try shell.serve(on: try HostPort(parsing: operation.listen))
      if status == ExitStatus.interrupted {
        try? RunEnding(.stopped, time: WallClock.seconds(), what: "its coordinator was stopped", next: next)
          .write(to: directory)
      }
      return status
    } catch {
      try? RunEnding(
        .failed, time: WallClock.seconds(), process: "coordinator", what: "coordinator failed", reason: "\(error)",
        next: next
      ).write(to: directory)
      throw error
    }
  }

  @Sendable static func worker(_ settings: OperationSettings, _ call: CallSettings) throws -> Int32 {
    let name = settings.name.isEmpty ? "\(Machine.hostName)-\(ThisProcess.id)" : settings.name
    Log.start(role: name, level: Log.Level(settings.logLevel))
    let options = WorkerOptions(
      coordinator: try HostPort(parsing: settings.coordinator), key: try ClusterAccess.key(settings.key), name: name,
      threads: settings.threads(sharedBy: 1, cores: Machine.coreCount),
      keyValueBytesMax: settings.keyValueBytesMax,
      relay: settings.relay == "none" ? nil : try HostPort(parsing: settings.relay))
    return try WorkerShell(options).run()
  }

  @Sendable static func learner(_ settings: OperationSettings, _ call: CallSettings) throws -> Int32 {
    // mpirun can be killed before it ends its ranks.
    _ = ThisProcess.dieWithParent()
    let ranks = try MPICollectives()
    Log.start(role: "learner-\(ranks.rank)", level: Log.Level(settings.logLevel))
    do {
      let directory = RunDirectory(ThisProcess.absolute(settings.run))
      // The other ranks can be on other machines: they have neither the directory nor the key.
      let isLeading = ranks.rank == 0
      if isLeading {
        try ClusterAccess.require(settings.coordinator, key: settings.key)
        try OwnedDirectory.require(directory.path)
      }
      let run = try isLeading ? Run(opening: directory) : RunParcel.open(try ranks.receiveFromRoot())
      if isLeading { try ranks.sendToAll(try RunParcel.pack(run)) }
      let here = try ranks.countHere()
      let options = LearnerOptions(
        coordinator: try HostPort(parsing: settings.coordinator),
        key: isLeading ? try ClusterAccess.key(ClusterAccess.path(settings, directory)) : nil,
        threads: settings.threads(sharedBy: here, cores: Machine.coreCount),
        checkpointEvery: settings.checkpointEvery, keepCheckpoints: settings.keepCheckpoints)
      let rank = try LearnerRank(run, threads: options.threads, ranks)
      var status = ExitStatus.done
      if isLeading { status = try LearnerShell(rank, options).serve() } else { try rank.follow() }
      try ranks.finish()
      return status
    } catch {
      Log.error("learner.failed", ["reason": "\(error)"])
      complain("ttrl learner: \(error)")
      // The other ranks wait in a collective operation that this rank will not join.
      ranks.abort(status: ExitStatus.of(error, isRole: true))
    }
  }
}

extension Log.Level {
  /// The level with the same name.
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
