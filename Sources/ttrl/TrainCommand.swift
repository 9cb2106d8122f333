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
import TTRL
import WorkerRole

extension Command {
  @Sendable static func train(_ given: RunSettings, _ call: CallSettings) throws -> Int32 {
    if let course = call.course { return try follow(course, call, train) }
    var settings = given
    settings.operation.makePathsAbsolute()
    let operation = settings.operation
    let launcher = settings.method.steps > 0 ? try MPILauncher.find() : nil
    let beginning = try RunBeginning.begin(settings, given: call.given, isDryRun: call.isDryRun) { complain($0) }
    if try isFinished(beginning.directory, call) { return ExitStatus.done }
    settings.operation.keyValueMemory = beginning.memory.keyValueMemory
    settings.operation.gradient = beginning.memory.gradient
    announce(beginning, settings, call)
    if let exposure = launcher?.exposure { say(exposure) }
    if call.isDryRun {
      let threads = (threads(of: operation.workers, operation), threads(of: operation.learners, operation))
      let estimate = try RunEstimate(beginning, on: threads, ranks: operation.learners, call: (given, call))
      if let estimate { say(estimate.text) }
      if beginning.settings.method.estimator != .vote { say(MethodNotes(beginning.settings).text) }
      if let note = beginning.settings.objectiveNote { say(note) }
      say(Comparison(beginning.settings).text)
      if call.isJSON { showJSON(DryRun(beginning, settings.operation, estimate: estimate).json.text()) }
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
    if method.klCoefficient > 0, beginning.adapter == nil, let model = try? ModelDirectory(beginning.settings.model) {
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
    if let adapter = beginning.adapter {
      say("adapter: \(description(of: adapter)) trained; the model's weights stay as they are")
    }
    if let note = beginning.adapterNote { say(note) }
    if let filtered = beginning.filtered { say(filtered.text) }
    let example = beginning.example
    say("prompts: \(example.form)")
    say(
      "the prompt of \(example.title):\n"
        + example.text.split(separator: "\n", omittingEmptySubsequences: false).map { "  " + $0 }
        .joined(separator: "\n"))
    for note in notes(unused: beginning.unusedParts, context: beginning.contextNote) { say(note) }
    guard method.steps > 0 else {
      say("\(counted(beginning.prompts, "prompt")) to evaluate, none to train on; \(beginning.settings.dtype.rawValue)")
      sayMemory(beginning, settings, call, learners: 0)
      return say("processes: " + (processes ?? "1 coordinator, \(counted(workers, "worker"))"))
    }
    let work =
      "\(counted(beginning.prompts, "prompt")), \(counted(method.steps, "step")) of "
      + counted(min(method.promptsPerStep, beginning.prompts), "prompt")
    let type = beginning.settings.dtype.rawValue
    if let forms = beginning.settings.forms.text(prompts: beginning.prompts) { say("questions: \(forms)") }
    if let given = beginning.given { say("learned: \(given)") }
    say(
      method.objective.takesResponses
        ? "\(work), at most \(counted(method.trainSamples, "given response")) each, \(passes(beginning)); \(type)"
        : "\(work) × \(counted(method.votes, "vote")), \(method.trainSamples) trained; labels: "
          + "\(method.labels.rawValue); \(type)")
    sayRewardCommand(beginning.settings, settings.operation)
    sayMemory(beginning, settings, call, learners: processes == nil ? learners : 0)
    say(
      "processes: "
        + (processes
          ?? "1 coordinator, \(counted(workers, "worker")), \(counted(learners, "learner rank")) under mpirun (sharing "
          + "cores\(geteuid() == 0 ? ", allowed to run as root" : ""))"))
  }

  /// How often the steps go over the questions, the last time possibly not over all.
  private static func passes(_ beginning: RunBeginning.Outcome) -> String {
    let method = beginning.settings.method
    let passes = passOfStep(method.steps - 1, promptCount: beginning.prompts, method: method) + 1
    return counted(passes, "pass", plural: "passes")
  }

  private static func sayRewardCommand(_ settings: RunSettings, _ operation: OperationSettings) {
    guard settings.hasRewardCommand else { return }
    let memory = settings.rewardMemory > 0 ? "at most \(settings.rewardMemory) MiB each" : "no limit of memory"
    let network =
      Confinement.Isolation.here.noNetwork ? "no network" : "with the network, which this kernel leaves them"
    say(
      "reward command: \(settings.rewardWords.joined(separator: " ")); "
        + "\(counted(operation.rewardProcessCount, "process", plural: "processes")), "
        + "at most \(settings.rewardSeconds) s per answer, \(memory), \(network)")
  }

  /// "LoRA of rank 16, alpha 32 on q_proj, v_proj: 1234 parameters".
  static func description(of adapter: AdapterLayout) -> String {
    let c = adapter.configuration
    return "LoRA of rank \(c.rank), alpha \(c.alpha)\(c.isRankStabilized ? " (rsLoRA)" : "") on "
      + "\(c.targets.joined(separator: ", ")): \(counted(adapter.tensors.count, "parameter"))"
  }

  /// - Parameter learners: how many ranks are here, for a dry run that shows what each of them needs.
  private static func sayMemory(
    _ beginning: RunBeginning.Outcome, _ settings: RunSettings, _ call: CallSettings, learners: Int
  ) {
    let memory = beginning.memory
    say("memory: about \(MemoryPlan.mebibytes(memory.plan.bytes)) of \(MemoryPlan.mebibytes(Machine.memoryLimit))")
    if let note = memory.note { say(note) }
    if beginning.settings.method.steps > 0 { say(beginning.disk.text) }
    guard call.isDryRun else { return }
    say(memory.plan.text)
    guard let model = try? ModelDirectory(beginning.settings.model), learners > 1 else { return }
    var planned = beginning.settings
    planned.operation = settings.operation
    let plan = RunMemory(
      planned, model: model.configuration.model, adapter: beginning.adapter, questions: beginning.questions,
      share: MachineShare(planned, planned.operation))
    for rank in 0..<2 {
      say("of this, \(rank == 0 ? "learner rank 0" : "each other rank"):\n\(plan.learner(rank: rank).text)")
    }
  }

  /// Threads of all processes of a role on this machine, at most as many as it has cores.
  private static func threads(of processes: Int, _ operation: OperationSettings) -> Int {
    operation.threads > 0 ? min(processes * operation.threads, Machine.coreCount) : Machine.coreCount
  }

  private static func showResult(_ directory: RunDirectory, _ call: CallSettings) throws {
    let history = try RunSummary.history(try Ledger(path: directory.ledger, mode: .readOnly))
    if call.isJSON { showJSON(try Files.readText(directory.summary), terminator: "") }
    let table = FinalTable.text(history)
    if !table.isEmpty { say("\n" + table) }
    if let saved = FinalTable.savedSamples(history) { say(saved) }
    if let problem = FinalTable.fewVotes(history) { say(problem + "\n") }
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
    if try !Files.exists(directory.settings) {
      // The other processes are started elsewhere, or by hand.
      _ = try RunBeginning.begin(settings, given: call.given, here: MachineShare(workers: 0, ranks: 0..<0, of: 1))
    } else if try !Files.exists(directory.summary) {
      try RunManifest(reading: directory).checkEdition()
    }
    // Before the key is put there.
    try OwnedDirectory.require(directory.path)
    let keys = try ClusterAccess.key(ClusterAccess.path(operation, directory), isOwn: operation.key.isEmpty)
    let seat = CoordinatorSeat(operation, directory, keys)
    let turn = CoordinatorSeat.Turn.lead(nil, at: try HostPort(parsing: operation.listen))
    // Under `train` and `launch`, their process records how the run ends.
    guard !directory.isSupervised else { return try seat.serve(beginning: turn) }
    let next = "ttrl coordinator --run \(Reach.word(directory.path)), with its workers and its learner"
    RunEnding.clear(directory)
    do {
      let status = try seat.serve(beginning: turn)
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
      coordinators: try HostPort.list(parsing: settings.coordinator), keys: try ClusterAccess.key(settings.key),
      name: name,
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
      let here = try ranks.countHere()
      if let key = try Self.rankKey(settings, directory, isLeading: isLeading, isSpread: here < ranks.size) {
        try ranks.protect(with: key)
      }
      let run = try isLeading ? Run(opening: directory) : RunParcel.open(try ranks.receiveFromRoot())
      if isLeading { try ranks.sendToAll(try RunParcel.pack(run)) }
      let options = LearnerOptions(
        coordinators: try HostPort.list(parsing: settings.coordinator),
        keys: isLeading ? try ClusterAccess.key(ClusterAccess.path(settings, directory)) : nil,
        threads: settings.threads(sharedBy: here, cores: Machine.coreCount),
        checkpointEvery: settings.checkpointEvery, keepCheckpoints: settings.keepCheckpoints)
      let rank = try LearnerRank(
        run, threads: options.threads, gradient: settings.gradient, here: here, ranks)
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

extension Command {
  /// The key under which ranks talk to each other; nil if they do so in the clear. A rank on another machine finds it
  /// where `ttrl attend` has put it (Reach).
  ///
  /// - Parameter isSpread: the ranks are on several machines.
  /// - Throws: if a key is needed and there is none.
  private static func rankKey(
    _ settings: OperationSettings, _ directory: RunDirectory, isLeading: Bool, isSpread: Bool
  ) throws -> ClusterKey? {
    let files = isLeading ? nil : getenv(Reach.filesVariable).map { String(cString: $0) }
    let path = files.map(Reach.keyFile) ?? ClusterAccess.path(settings, directory)
    switch settings.rankProtection {
    case .off: return nil
    case .auto: guard isSpread, path != OperationSettings.plainTCP else { return nil }
    case .on:
      guard path != OperationSettings.plainTCP else {
        throw SettingsError(problems: ["protect-mpi is on, and key is none; give the cluster's key with --key FILE"])
      }
    }
    do {
      return try KeyRing(reading: path).first
    } catch {
      throw UserError(
        "a learner rank on \(Machine.hostName) cannot read the key with which ranks encrypt what they send to each "
          + "other: \(error). Copy the coordinator's key file there and give its path with --key, or, if everybody on "
          + "the network is trusted, --protect-mpi off")
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
