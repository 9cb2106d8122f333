// GrowthBenchmark: how sampling's speed changes with the number of samples and the length of the context.
//
// One prompt, shared by all samples, as a vote has it. The prompt's own time is measured apart (a rollout of one token)
// and taken off, so the rate is that of decoding: new tokens after the first, over the time they take.

import Base
import LanguageModel
import Platform
import Tensors

/// Measures every number of samples with every length of context.
///
/// The value is the rate of the last case, the largest; the ceiling is the best of all rates.
/// - Throws: if the model cannot be loaded or run, or has too few positions.
package func benchmarkGrowth(_ options: BenchmarkOptions) throws -> BenchmarkResult {
  let plan = TransformerPlan(options.model.configuration, type: options.type)
  let model = try PreparedModel(plan: plan, parameters: try options.model.parameters(), forTraining: false)
  let newTokens = min(16, options.rollout.newTokens)
  var rows: [(work: Workload, promptSeconds: Double, rate: Double)] = []
  for context in contexts(options, newTokens) {
    for samples in [8, 64, 512] {
      let work = Workload(prompts: 1, samples: samples, promptTokens: context, newTokens: newTokens + 1)
      let prompt = try medianSeconds(of: work, newTokens: 1, model, options)
      let whole = try medianSeconds(of: work, newTokens: newTokens + 1, model, options)
      rows.append((work, prompt, Double(samples * newTokens) / max(whole - prompt, 1e-9)))
    }
  }
  let rates = rows.map(\.rate)
  return BenchmarkResult(
    name: "growth", value: rates.last ?? 0, unit: "tokens/s", ceiling: rates.max() ?? 0,
    peakBytes: Machine.peakResidentBytes, conditions: options.conditions + [.init("new_tokens", .int(newTokens))],
    parts: rows.map { row in
      .init(
        name:
          "\(row.work.samples) samples, context \(row.work.promptTokens): \(Int(row.rate.rounded())) tokens/s, prompt",
        seconds: row.promptSeconds, gigaflops: nil)
    },
    times: [],
    limits: rows.map { ("\($0.work.samples)x\($0.work.promptTokens)", $0.rate) }, hash: "")
}

/// Contexts that the model has positions for, at most 8,192.
private func contexts(_ options: BenchmarkOptions, _ newTokens: Int) -> [Int] {
  [128, 1024, 8192].filter { $0 + newTokens < options.model.configuration.maxPositions }
}

private func medianSeconds(
  of work: Workload, newTokens: Int, _ model: PreparedModel, _ options: BenchmarkOptions
) throws -> Double {
  var work = work
  work.newTokens = newTokens
  return median(try (0..<options.runs).map { _ in try elapsed { _ = try sample(work, model: model, options) } })
}
