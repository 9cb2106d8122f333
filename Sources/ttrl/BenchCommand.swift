// BenchCommand: `ttrl bench gemm|rollout|learner|growth|broadcast`: throughput beside what could be reached at most.

import Base
import Benchmarks
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
    let model = try BenchmarkModel(settings.model)
    let options = BenchmarkOptions(
      model: model, rollout: workload(settings, model.rollout), training: workload(settings, model.training),
      type: settings.dtype, threads: settings.threads > 0 ? settings.threads : Machine.coreCount, runs: settings.runs,
      seed: settings.method.seed, microBatchTokens: settings.microBatchTokens)
    try check(options)
    let result = try measure(options)
    print(settings.isJSON ? result.json.text() : result.text)
    return ExitStatus.done
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

  private static func check(_ options: BenchmarkOptions) throws {
    let positions = options.model.configuration.maxPositions
    for work in [options.rollout, options.training] where work.promptTokens + work.newTokens > positions {
      throw UserError(
        "\(work.promptTokens) prompt tokens and \(work.newTokens) new ones are more than the \(positions) positions of "
          + "\(options.model.name); lower --prompt-tokens or --max-new-tokens", status: ExitStatus.usage)
    }
  }
}
