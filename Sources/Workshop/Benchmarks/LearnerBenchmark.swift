// LearnerBenchmark: one optimizer step as a learner rank does it, compared with what matrix products alone would allow.
//
// The engine's own sampler samples the batch first, so the first update also checks that the trainer's
// log-probabilities equal the sampler's (E2 in docs/guarantees.md). The following updates are timed.

import Base
import Ceilings
import LanguageModel
import Platform
import Records
import TTRL
import Tensors

/// Trains on the workload several times.
///
/// The value is the number of all tokens of the sequences, prompts included, divided by the whole time of a step:
/// forward, backward, the exact sum, AdamW, and packing the new weights.
/// - Throws: if the model cannot be loaded or run, or if trainer and sampler disagree.
package func benchmarkLearner(_ options: BenchmarkOptions) throws -> BenchmarkResult {
  let work = options.training
  let prepared = try PreparedTraining(options)
  let method = prepared.method
  let optimizer = AdamW(
    AdamWSettings(beta2: method.beta2, weightDecay: method.weightDecay), parameters: prepared.parameters)
  var trainer = TrainerOptions(
    microBatchTokens: options.microBatchTokens, isExact: true, threads: options.threads)
  trainer.isStreamed = options.isStreamed
  var policy = try LanguageModelPolicy(
    plan: prepared.plan, optimizer: optimizer, version: PolicyVersion(0), options: trainer, seed: options.seed,
    reader: UnreadResponses())
  var reports: [UpdateReport] = []
  let times = try (0...options.runs).map { run in
    // Only in the first run is the index 0, for which log-probabilities are checked: later the weights have changed.
    let batch = MiniBatch(step: 0, index: run, trajectories: prepared.members)
    return try elapsed { reports.append(try policy.update(batch, method: method, learningRate: 1e-6)) }
  }.dropFirst()
  let (seconds, peakBytes) = (median(Array(times)), Machine.peakResidentBytes)
  let tokens = work.sequences * (work.promptTokens + work.newTokens)
  let ceilings = try TrainingCeilings(options)
  let peak = try peakMultiplyAdds(options)
  return BenchmarkResult(
    name: "learner", value: Double(tokens) / seconds, unit: "tokens/s",
    ceiling: Double(tokens) / ceilings.librarySeconds, peakBytes: peakBytes,
    conditions: options.conditions + work.members + [.init("micro_batch_tokens", .int(options.microBatchTokens))],
    parts: [
      .init(
        name: "products, by the library", seconds: ceilings.librarySeconds,
        gigaflops: ceilings.gigaflops(ceilings.librarySeconds)),
      .init(name: "optimizer", seconds: try secondsOfOptimizer(prepared.plan), gigaflops: nil),
      .init(name: "packing", seconds: secondsOfPacking(prepared.plan, prepared.parameters), gigaflops: nil),
      .init(name: "all", seconds: seconds, gigaflops: ceilings.gigaflops(seconds)),
    ],
    times: Array(times),
    limits: [("onednn_gflops", ceilings.gigaflops(ceilings.librarySeconds))] + peak.all
      + [("memory_gigabytes_per_second", try Ceilings.memoryReads(threads: options.threads))],
    hash: hash(of: reports))
}

/// What a timed step trains on: the workload's responses, with advantages that differ.
struct PreparedTraining {
  let plan: TransformerPlan
  let parameters: Floats
  let method: Method
  let members: [TrainedTrajectory]

  /// - Throws: if the model cannot be loaded or sampled from.
  init(_ options: BenchmarkOptions) throws {
    let work = options.training
    plan = TransformerPlan(options.model.configuration, type: options.type, products: options.products)
    parameters = try options.model.parameters()
    var method = Method()
    method.sampling = Sampling(temperature: 1, maxNewTokens: Int32(work.newTokens), stopTokens: [])
    self.method = method
    let model = PreparedModel(plan: plan, parameters: parameters)
    members = try sample(work, model: model, options).enumerated().map { index, trajectory in
      let prompt = trajectory.slot.prompt
      return TrainedTrajectory(
        prompt: Prompt(index: prompt, tokens: promptTokens(Int(prompt), work, options), kind: .math),
        trajectory: trajectory, advantage: index % 2 == 0 ? 1 : -1)
    }
  }
}

/// The time that a step's matrix products take alone: forward, the input's gradient, the weights' gradient.
private struct TrainingCeilings {
  var librarySeconds = 0.0
  var flops = 0.0

  init(_ options: BenchmarkOptions) throws {
    let work = options.training
    // A prompt goes through the model once per group. The last token of a response does not go through it.
    let bodyRows = work.prompts * work.promptTokens + work.sequences * (work.newTokens - 1)
    let headRows = work.prompts + work.sequences * (work.newTokens - 1)
    for shape in MatrixShape.all(of: options.model.configuration) {
      let needed = shape.isHead ? headRows : bodyRows
      let rows = max(1, min(1024, needed / options.threads))
      let products = Double(needed) / Double(rows * options.threads) * Double(shape.uses)
      let back = MatrixShape(
        name: shape.name, inner: shape.columns, columns: shape.inner, uses: shape.uses, isHead: shape.isHead)
      let outer = MatrixShape(name: shape.name, inner: rows, columns: shape.inner, uses: 1, isHead: shape.isHead)
      librarySeconds +=
        products
        * (try shape.seconds(.library, rows: rows, type: options.type, threads: options.threads)
          + back.seconds(.library, rows: rows, type: options.type, threads: options.threads)
          + outer.seconds(.plain, rows: shape.columns, type: options.type, threads: options.threads))
      flops += 3 * Double(needed) * shape.flops
    }
  }

  func gigaflops(_ seconds: Double) -> Double { flops / seconds / 1e9 }
}

private func secondsOfOptimizer(_ plan: TransformerPlan) throws -> Double {
  var optimizer = AdamW(AdamWSettings(), parameters: Floats(count: plan.layout.count))
  let gradient = Floats(count: plan.layout.count)
  gradient.fill(1e-3)
  return median((0..<3).map { _ in elapsed { _ = optimizer.apply(gradient, learningRate: 1e-6) } })
}

private func secondsOfPacking(_ plan: TransformerPlan, _ parameters: Floats) -> Double {
  elapsed { _ = PreparedModel(plan: plan, parameters: parameters) }
}

/// SHA-256 over the bits of what the updates reported.
private func hash(of reports: [UpdateReport]) -> String {
  var hash = SHA256()
  for report in reports {
    let words = [report.lossSum.bitPattern, report.gradientNorm.bitPattern, UInt64(report.clippedTokens)]
    words.withUnsafeBytes { hash.update($0) }
  }
  return hash.hex()
}
