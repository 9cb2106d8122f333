// BenchCommand: `ttrl-dev bench …`: throughput, compared with this machine's limits.

import Base
import Benchmarks
import Collectives
import Commands
import Foundation
import LanguageModel
import Platform
import Records
import Settings
import Tensors

extension Command {
  /// - Parameter measure: the benchmark.
  static func bench(
    _ settings: BenchmarkSettings, _ call: CallSettings, _ measure: (BenchmarkOptions) throws -> BenchmarkResult
  ) throws -> Int32 {
    let result = try measure(try options(settings))
    print(call.isJSON ? result.json.text() : result.text)
    return ExitStatus.done
  }

  private static func options(_ settings: BenchmarkSettings) throws -> BenchmarkOptions {
    let model = try BenchmarkModel(settings.model)
    let options = BenchmarkOptions(
      model: model, rollout: workload(settings, model.rollout), training: workload(settings, model.training),
      type: settings.dtype,
      products: settings.products.order ?? Arithmetic.fastestOrder,
      threads: settings.threads > 0 ? settings.threads : Machine.coreCount, runs: settings.runs,
      seed: settings.seed, microBatchTokens: settings.microBatchTokens, isStreamed: settings.gradient == .streamed,
      hasAdapter: settings.adapter == RunSettings.newAdapter)
    try check(options)
    return options
  }

  /// The source of a broadcast, with receivers or without; or one receiver, if `--coordinator` is given.
  @Sendable static func benchBroadcast(_ settings: BroadcastSettings, _ call: CallSettings) throws -> Int32 {
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
    print(call.isJSON ? result.json.text() : result.text)
    return ExitStatus.done
  }

  /// 10,000 responses, or 64 for each of the prompts that are asked for.
  @Sendable static func benchRewards(_ settings: BenchmarkSettings, _ call: CallSettings) throws -> Int32 {
    let responses = settings.prompts > 0 ? 64 * Int(settings.prompts) : 10_000
    let result = try benchmarkRewards(responses: responses, runs: settings.runs)
    print(call.isJSON ? result.json.text() : result.text)
    return ExitStatus.done
  }

  private static func workload(_ settings: BenchmarkSettings, _ usual: Workload) -> Workload {
    func or(_ given: some BinaryInteger, _ usual: Int) -> Int { given > 0 ? Int(given) : usual }
    return Workload(
      prompts: or(settings.prompts, usual.prompts), samples: or(settings.samples, usual.samples),
      promptTokens: or(settings.promptTokens, usual.promptTokens), newTokens: or(settings.maxNewTokens, usual.newTokens)
    )
  }

  // MARK: Ranks

  @Sendable static func benchAllReduce(_ settings: BenchmarkSettings, _ call: CallSettings) throws -> Int32 {
    try onRanks("bench allreduce", settings, call) { try benchmarkAllReduce($0, runs: settings.runs) }
  }

  @Sendable static func benchRanks(_ settings: BenchmarkSettings, _ call: CallSettings) throws -> Int32 {
    try onRanks("bench ranks", settings, call) { ranks in
      var options = try options(settings)
      if settings.threads == 0 { options.threads = max(1, Machine.coreCount / (try ranks.countHere())) }
      return try benchmarkRanks(options, ranks, trace: settings.trace)
    }
  }

  /// Starts itself under mpirun. If mpirun has started it already, it measures that job, on its machines.
  private static func onRanks(
    _ command: String, _ settings: BenchmarkSettings, _ call: CallSettings,
    _ measure: (MPICollectives) throws -> BenchmarkResult
  ) throws -> Int32 {
    let launched: [String] = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"]
    guard launched.contains(where: { getenv($0) != nil }) else {
      return try startRanks(command, settings, call)
    }
    let ranks = try MPICollectives()
    do {
      if let keys = try ClusterAccess.key(settings.key) { try ranks.protect(with: keys.ring.first) }
      let result = try measure(ranks)
      if ranks.rank == 0 { print(call.isJSON ? result.json.text() : result.text) }
      try ranks.finish()
      return ExitStatus.done
    } catch {
      complain("ttrl-dev \(command): \(error)")
      ranks.abort(status: ExitStatus.failed)
    }
  }

  private static func startRanks(_ name: String, _ settings: BenchmarkSettings, _ call: CallSettings) throws -> Int32 {
    let launcher = try MPILauncher.find()
    let given = SettingTable.all.filter { call.given.contains($0.name) && !["learners", "config"].contains($0.name) }
    let words = given.flatMap { setting in
      setting.placeholder == nil ? ["--\(setting.name)"] : ["--\(setting.name)", setting.value(in: settings)]
    }
    let call = launcher.local(
      ranks: settings.learners,
      [try ThisProcess.executablePath()] + name.split(separator: " ").map(String.init) + words)
    var command = ChildProcess.Command(launcher.program, call.arguments)
    command.environment = call.environment
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
        "\(work.promptTokens) prompt tokens and \(work.newTokens) new tokens are more than the \(positions) positions "
          + "of \(options.model.name); lower --prompt-tokens or --max-new-tokens", status: ExitStatus.usage)
    }
  }
}
