// RolloutBenchmark: sampling as a worker does it, compared with what matrix products alone would allow.

import Base
import Ceilings
import LanguageModel
import Platform
import Records
import Tensors

/// Samples the workload several times.
///
/// The value is the number of new tokens divided by the whole time, including prompts, attention and sampling.
/// - Throws: if the model cannot be loaded or run.
package func benchmarkRollout(_ options: BenchmarkOptions) throws -> BenchmarkResult {
  let plan = TransformerPlan(options.model.configuration, type: options.type, products: options.products)
  let model = PreparedModel(plan: plan, parameters: try options.model.source())
  let work = options.rollout
  var trajectories: [Trajectory] = []
  var drafts = (computed: 0, accepted: 0)
  let times = try (0...options.runs).map { _ in
    let progress = SamplingProgress()
    defer { drafts = progress.drafts }
    return try elapsed { trajectories = try sample(work, model: model, options, progress) }
  }.dropFirst()
  let (seconds, peakBytes) = (median(Array(times)), Machine.peakResidentBytes)
  let tokens = trajectories.reduce(0) { $0 + $1.tokens.count }
  let ceilings = try RolloutCeilings(options, tokens: tokens)
  let peak = try peakMultiplyAdds(options)
  let drawing = try secondsOfDrawing(options)
  return BenchmarkResult(
    name: "rollout", value: Double(tokens) / seconds, unit: "tokens/s",
    ceiling: Double(tokens) / ceilings.librarySeconds, peakBytes: peakBytes,
    conditions: options.conditions + work.members,
    parts: [
      .init(name: "products", seconds: ceilings.engineSeconds, gigaflops: ceilings.gigaflops(ceilings.engineSeconds)),
      .init(name: "drawing", seconds: drawing, gigaflops: nil),
      .init(
        name: "attention and the rest", seconds: max(0, seconds - ceilings.engineSeconds - drawing), gigaflops: nil),
      .init(name: "all", seconds: seconds, gigaflops: ceilings.gigaflops(seconds)),
    ],
    times: Array(times),
    limits: [("onednn_gflops", ceilings.gigaflops(ceilings.librarySeconds))] + peak.all
      + [("memory_gigabytes_per_second", try Ceilings.memoryReads(threads: options.threads))],
    counts: [("drafted_tokens", drafts.computed), ("accepted_drafts", drafts.accepted)],
    hash: hash(of: trajectories))
}

/// Samples the workload. No response ends early.
func sample(
  _ work: Workload, model: PreparedModel, _ options: BenchmarkOptions, _ progress: SamplingProgress? = nil
) throws -> [Trajectory] {
  try sampleAll(
    (0..<work.prompts).map { request($0, of: work, options) }, model: model, policy: PolicyVersion(0),
    seed: options.seed, sampling: sampling(work), threads: options.threads, progress: progress)
}

/// All samples of a prompt.
func request(_ prompt: Int, of work: Workload, _ options: BenchmarkOptions) -> GenerationRequest {
  GenerationRequest(
    prompt: promptTokens(prompt, work, options), round: .train(step: 0), promptIndex: UInt32(prompt),
    samples: Array(0..<UInt32(work.samples)))
}

/// Settings without stop tokens, so that every response has the full length.
func sampling(_ work: Workload) -> Sampling {
  Sampling(temperature: 1, maxNewTokens: Int32(work.newTokens), stopTokens: [])
}

/// The random tokens of a prompt.
func promptTokens(_ prompt: Int, _ work: Workload, _ options: BenchmarkOptions) -> [Int32] {
  var random = RandomSequence(
    seed: options.seed, purpose: .questions, stream: SIMD3(UInt32(truncatingIfNeeded: prompt), 0, 0))
  return (0..<work.promptTokens).map { _ in Int32(random.index(below: options.model.configuration.vocabularySize)) }
}

/// The time that a rollout's matrix products take alone.
private struct RolloutCeilings {
  var librarySeconds = 0.0
  var engineSeconds = 0.0
  var flops = 0.0

  init(_ options: BenchmarkOptions, tokens: Int) throws {
    let work = options.rollout
    // Each thread decodes its share of the samples together; the last token of a response is never fed.
    let rows = max(1, min(Generator.batchRowsMax, work.sequences / options.threads))
    let bodyRows = Double(work.prompts * work.promptTokens + work.sequences * (work.newTokens - 1))
    let headRows = Double(work.prompts + work.sequences * (work.newTokens - 1))
    for shape in MatrixShape.all(of: options.model.configuration) {
      let needed = shape.isHead ? headRows : bodyRows
      let products = needed / Double(rows * options.threads) * Double(shape.uses)
      librarySeconds +=
        products * (try shape.seconds(.library, rows: rows, type: options.type, threads: options.threads))
      engineSeconds += products * (try shape.seconds(.engine, rows: rows, type: options.type, threads: options.threads))
      flops += needed * shape.flops
    }
  }

  func gigaflops(_ seconds: Double) -> Double { flops / seconds / 1e9 }
}

/// The time that it takes, for all tokens, to turn logits into a distribution and draw from it.
private func secondsOfDrawing(_ options: BenchmarkOptions) throws -> Double {
  let vocabulary = options.model.configuration.vocabularySize
  let rows = max(8, min(Generator.batchRowsMax, (1 << 22) / vocabulary))
  let seconds = try (0..<5).map { _ in
    let logits = (0..<options.threads).map { _ in Matrix(rows: rows, columns: vocabulary) }
    return try elapsed {
      try inParallel(options.threads, threads: options.threads) { _, thread in
        let scratch = DistributionScratch(vocabularySize: vocabulary)
        for row in 0..<rows {
          let z = logits[thread].row(row)
          let distribution = Kernels.best.distribution(
            of: z, inverseTemperature: 1, topK: 0, topP: 1, scratch: scratch)
          guard let distribution else { continue }
          _ = Kernels.best.sample(z, distribution, uniform: Double(row) / Double(rows))
        }
      }
    }
  }
  let work = options.rollout
  return median(seconds) / Double(rows * options.threads) * Double(work.sequences * work.newTokens)
}

/// SHA-256 over the tokens and the bits of the log-probabilities.
private func hash(of trajectories: [Trajectory]) -> String {
  var hash = SHA256()
  for trajectory in trajectories {
    trajectory.tokens.withUnsafeBytes { hash.update($0) }
    trajectory.logprobs.withUnsafeBytes { hash.update($0) }
  }
  return hash.hex()
}

extension Workload {
  var members: [JSON.Member] {
    [
      .init("prompts", .int(prompts)), .init("samples", .int(samples)), .init("prompt_tokens", .int(promptTokens)),
      .init("new_tokens", .int(newTokens)),
    ]
  }
}

extension BenchmarkOptions {
  var conditions: [JSON.Member] {
    [
      .init("model", .string(model.name)), .init("dtype", .string(type.text(products))),
      .init("threads", .int(threads)),
    ]
  }
}
