// BenchCommand: `ttrl bench gemm|rollout|learner`: throughput beside what this machine could do at most.

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
