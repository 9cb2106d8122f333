// GrowthBenchmark: how the speed of sampling changes with the number of samples and the length of the context.
//
// All samples share one prompt, as in a vote. The first pass computes the prompt and the first tokens of a batch. The
// rate is that of all later passes, their tokens divided by their time, so it is the rate of decoding.

import Base
import Ceilings
import LanguageModel
import Platform
import Records
import Tensors

/// Measures every number of samples with every length of context.
///
/// The value is the rate of the last case, the largest; the ceiling is the best of all rates.
/// - Throws: if the model cannot be loaded or run, or has too few positions.
package func benchmarkGrowth(_ options: BenchmarkOptions) throws -> BenchmarkResult {
  let plan = TransformerPlan(options.model.configuration, type: options.type, products: options.products)
  let model = try PreparedModel(
    plan: plan, parameters: try options.model.parameters(), forTraining: false, consumesParameters: true)
  let newTokens = min(32, options.rollout.newTokens)
  var rows: [(work: Workload, promptSeconds: Double, rate: Double)] = []
  for context in contexts(options, newTokens) {
    for samples in [8, 64, 512] {
      let work = Workload(prompts: 1, samples: samples, promptTokens: context, newTokens: newTokens)
      let runs = try (0..<options.runs).map { _ in try decode(work, model, options) }
      rows.append((work, median(runs.map(\.promptSeconds)), median(runs.map(\.rate))))
    }
  }
  let rates = rows.map(\.rate)
  return BenchmarkResult(
    name: "growth", value: rates.last ?? 0, unit: "tokens/s", ceiling: rates.max() ?? 0,
    peakBytes: Machine.peakResidentBytes, conditions: options.conditions + [.init("new_tokens", .int(newTokens))],
    parts: rows.map { row in
      let (samples, context) = (row.work.samples, row.work.promptTokens)
      return .init(
        name: "\(counted(samples, "sample")), context \(context): \(Int(row.rate.rounded())) tokens/s, "
          + "prompt and first tokens",
        seconds: row.promptSeconds, gigaflops: nil)
    },
    times: [],
    limits: rows.map { ("\($0.work.samples)x\($0.work.promptTokens)", $0.rate) }, hash: "")
}

/// The contexts for which the model has enough positions, at most 8,192.
private func contexts(_ options: BenchmarkOptions, _ newTokens: Int) -> [Int] {
  [128, 1024, 8192].filter { $0 + newTokens < options.model.configuration.maxPositions }
}

private func decode(
  _ work: Workload, _ model: PreparedModel, _ options: BenchmarkOptions
) throws -> (promptSeconds: Double, rate: Double) {
  let batch = min(Generator.batchRowsMax, work.samples)
  let generator = Generator(
    model: model, policy: PolicyVersion(0), seed: options.seed, sampling: sampling(work), batchRows: batch,
    team: Team(options.threads))
  try generator.add(request(0, of: work, options))
  let promptSeconds = try elapsed { _ = try generator.advance() }
  let seconds = try elapsed { while generator.hasWork { _ = try generator.advance() } }
  // In the first pass every sample of the batch gets two tokens: one from the prompt, and one from a row of its own.
  return (promptSeconds, Double(work.samples * work.newTokens - 2 * batch) / max(seconds, 1e-9))
}
