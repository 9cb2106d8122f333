// BenchCommand: `ttrl bench …`: throughput beside what this machine could do at most.

import Base
import Benchmarks
import Collectives
import Commands
import Foundation
import LanguageModel
import Platform
import Records
import Settings

extension Command {
  /// Nothing given: the amounts of the model's own shape.
  @Sendable static func benchmarkDefaults(isBuiltIn: Bool) -> Settings {
    var settings = Settings()
    settings.model = "tiny"
    settings.samples = 0
    settings.maxNewTokens = 0
    return settings
  }

  /// - Parameter measure: the benchmark.
  static func bench(
    _ settings: Settings, _ measure: (BenchmarkOptions) throws -> BenchmarkResult
  ) throws -> Int32 {
    let result = try measure(try options(settings))
    print(settings.isJSON ? result.json.text() : result.text)
    return ExitStatus.done
  }

  private static func options(_ settings: Settings) throws -> BenchmarkOptions {
    let model = try BenchmarkModel(settings.model)
    let options = BenchmarkOptions(
      model: model, rollout: workload(settings, model.rollout), training: workload(settings, model.training),
      type: settings.dtype, threads: settings.threads > 0 ? settings.threads : Machine.coreCount, runs: settings.runs,
      seed: settings.method.seed, microBatchTokens: settings.microBatchTokens)
    try check(options)
    return options
  }

  @Sendable static func broadcastDefaults(isBuiltIn: Bool) -> Settings {
    var settings = benchmarkDefaults(isBuiltIn: isBuiltIn)
    settings.model = "small"
    settings.listen = ""
    settings.key = Settings.plainTCP
    settings.workers = 4
    settings.runs = 3
    return settings
  }

  /// The source of a broadcast, with its receivers or without; or one receiver, where `--coordinator` is given.
  @Sendable static func benchBroadcast(_ settings: Settings, given: [String]) throws -> Int32 {
    let address = settings.coordinator.isEmpty ? settings.listen : settings.coordinator
    if !address.isEmpty { try ClusterAccess.require(address, key: settings.key) }
    let key = try ClusterAccess.key(settings.key)
    guard settings.coordinator.isEmpty else {
      try BroadcastReceiver.run(
        coordinator: try HostPort(parsing: settings.coordinator), key: key,
        name: settings.name.isEmpty ? "\(Machine.hostName)-\(ThisProcess.id)" : settings.name)
      return ExitStatus.done
    }
    let result = try benchmarkBroadcast(
      BroadcastOptions(
        model: try BenchmarkModel(settings.model),
        base: settings.base.isEmpty ? nil : try BenchmarkModel(settings.base), type: settings.dtype,
        receivers: max(settings.workers, 1), runs: settings.runs,
        listen: settings.listen.isEmpty ? nil : try HostPort(parsing: settings.listen), key: key,
        linkRate: Double(settings.linkRate) * 1e6 / 8))
    print(settings.isJSON ? result.json.text() : result.text)
    return ExitStatus.done
  }

  private static func workload(_ settings: Settings, _ usual: Workload) -> Workload {
    func or(_ given: some BinaryInteger, _ usual: Int) -> Int { given > 0 ? Int(given) : usual }
    return Workload(
      prompts: or(settings.prompts, usual.prompts), samples: or(settings.samples, usual.samples),
      promptTokens: or(settings.promptTokens, usual.promptTokens), newTokens: or(settings.maxNewTokens, usual.newTokens)
    )
  }

  // MARK: Ranks

  @Sendable static func allReduceDefaults(isBuiltIn: Bool) -> Settings { withTwoRanks(Settings()) }

  @Sendable static func ranksDefaults(isBuiltIn: Bool) -> Settings { withTwoRanks(benchmarkDefaults(isBuiltIn: false)) }

  private static func withTwoRanks(_ settings: Settings) -> Settings {
    var settings = settings
    settings.learners = 2
    return settings
  }

  @Sendable static func benchAllReduce(_ settings: Settings, given: [String]) throws -> Int32 {
    try onRanks("bench allreduce", settings, given) { try benchmarkAllReduce($0, runs: settings.runs) }
  }

  @Sendable static func benchRanks(_ settings: Settings, given: [String]) throws -> Int32 {
    try onRanks("bench ranks", settings, given) { ranks in
      var options = try options(settings)
      if settings.threads == 0 { options.threads = max(1, Machine.coreCount / (try ranks.countHere())) }
      return try benchmarkRanks(options, ranks, trace: settings.trace)
    }
  }

  /// Starts itself under mpirun; started by somebody's mpirun, it measures that job, on whatever machines it is.
  private static func onRanks(
    _ command: String, _ settings: Settings, _ given: [String], _ measure: (MPICollectives) throws -> BenchmarkResult
  ) throws -> Int32 {
    let launched: [String] = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"]
    guard launched.contains(where: { getenv($0) != nil }) else {
      return try startRanks(command, settings, given)
    }
    let ranks = try MPICollectives()
    do {
      let result = try measure(ranks)
      if ranks.rank == 0 { print(settings.isJSON ? result.json.text() : result.text) }
      try ranks.finish()
      return ExitStatus.done
    } catch {
      complain("ttrl \(command): \(error)")
      ranks.abort(status: ExitStatus.failed)
    }
  }

  private static func startRanks(_ name: String, _ settings: Settings, _ given: [String]) throws -> Int32 {
    let launcher = try MPILauncher.find()
    let words = SettingTable.all.filter { given.contains($0.name) && $0.name != "learners" }.flatMap { setting in
      setting.placeholder == nil ? ["--\(setting.name)"] : ["--\(setting.name)", setting.value(in: settings)]
    }
    var command = ChildProcess.Command(
      launcher.program,
      launcher.arguments(ranks: settings.learners) + [try ThisProcess.executablePath()]
        + name.split(separator: " ").map(String.init) + words)
    command.environment = launcher.environment
    let loop = try EventLoop()
    var status: ChildProcess.ExitStatus?
    let process = try ChildProcess(command, loop: loop) { end in
      status = end
      loop.stop()
    }
    return withExtendedLifetime(process) {
      loop.run()
      if case .exited(let code) = status { return code }
      return ExitStatus.failed
    }
  }

  private static func check(_ options: BenchmarkOptions) throws {
    let positions = options.model.configuration.maxPositions
    for work in [options.rollout, options.training] where work.promptTokens + work.newTokens > positions {
      throw UserError(
        "\(work.promptTokens) prompt tokens and \(work.newTokens) new ones are more than the \(positions) positions of "
          + "\(options.model.name); lower --prompt-tokens or --max-new-tokens", status: ExitStatus.usage)
    }
  }
}
