// RanksBenchmark: an optimizer step of several learner ranks, in four variants, in turns: exact sums, exact sums that
// begin only after the backward pass, float32 sums, and streamed gradients.
//
// The first and the third variant show what exactness costs; the first and the second show what overlap gains; the
// first and the fourth show what less memory costs. With `--gradient streamed` only the fourth runs, so that the peak
// is its own, apart from the copy of all parameters that the shards are taken from. All ranks run on the same batch,
// each with its share of the micro-batches. Rank 0's times count, from a barrier to rank 0's end of the step.

import Base
import Ceilings
package import Collectives
import LanguageModel
import Platform
import Records
import TTRL
import Tensors

/// - Parameters:
///   - options: model and training workload; `threads` is the number per rank.
///   - ranks: the job's ranks.
///   - trace: where rank 0 writes the timeline of its last step of the first variant; empty: nowhere.
/// - Returns: tokens per second with exact sums. The ceiling is the rate with float32 sums.
/// - Throws: if the model cannot be run, or MPI fails.
package func benchmarkRanks(
  _ options: BenchmarkOptions, _ ranks: MPICollectives, trace: String
) throws -> BenchmarkResult {
  let work = options.training
  let prepared = try PreparedTraining(options)
  var variants = try (options.isStreamed ? [.streamed] : [Variant.exact, .notOverlapped, .fast, .streamed]).map {
    variant in
    try RanksRun(variant, prepared.plan, prepared.parameters, options, ranks)
  }
  for run in 0...options.runs {
    // The order changes from run to run, so that a variant does not always come after the same one.
    for place in variants.indices {
      let index = (place + run) % variants.count
      let timeline = run == options.runs && index == 0 && !trace.isEmpty ? Timeline() : nil
      // Not index 0, for which log-probabilities are checked: after the first run, the weights have changed.
      let batch = MiniBatch(step: 0, index: 1 + run, trajectories: prepared.members)
      try variants[index].step(batch, prepared.method, ranks, timeline)
      if let timeline, ranks.rank == 0 { try Files.write(timeline.text, to: ThisProcess.absolute(trace)) }
    }
  }
  let tokens = Double(work.sequences * (work.promptTokens + work.newTokens))
  func seconds(_ index: Int) -> Double { median(variants[index].seconds) }
  return BenchmarkResult(
    name: "ranks", value: tokens / seconds(0), unit: "tokens/s",
    ceiling: tokens / seconds(options.isStreamed ? 0 : 2),
    peakBytes: Machine.peakResidentBytes,
    conditions: [.init("ranks", .int(ranks.size))] + options.conditions + work.members + [
      .init("micro_batch_tokens", .int(options.microBatchTokens)),
      .init("buckets", .int(variants[0].times.last?.buckets ?? 0)),
      .init("buckets_hidden", .int(variants[0].times.last?.bucketsHidden ?? 0)),
    ],
    parts: variants.flatMap { variant in
      [
        .init(name: "\(variant.name), all", seconds: median(variant.seconds), gigaflops: nil),
        .init(
          name: "\(variant.name), waiting for sums", seconds: median(variant.times.map(\.waiting)), gigaflops: nil),
        .init(
          name: "\(variant.name), gathering weights", seconds: median(variant.times.map(\.gathering)), gigaflops: nil),
      ]
    },
    times: variants[0].seconds, limits: [], hash: "")
}

private enum Variant: String {
  case exact = "exact"
  case notOverlapped = "exact, not overlapped"
  case fast = "fast"
  case streamed = "streamed"
}

/// One variant, and the times of its steps.
private struct RanksRun {
  let name: String
  private let exchange: TimedExchange
  private var policy: LanguageModelPolicy
  private(set) var seconds: [Double] = []
  private(set) var times: [UpdateTimes] = []

  init(
    _ variant: Variant, _ plan: TransformerPlan, _ parameters: Floats, _ options: BenchmarkOptions,
    _ ranks: MPICollectives
  ) throws {
    name = variant.rawValue
    exchange = TimedExchange(ranks)
    let shards = Shards(count: plan.layout.count, size: ranks.size)
    let masters = Floats(count: shards.count(of: ranks.rank))
    for (whole, shard) in shards.slices(of: ranks.rank) { masters[shard].copy(from: parameters[whole]) }
    var trainer = TrainerOptions(
      microBatchTokens: options.microBatchTokens, isExact: variant != .fast, threads: options.threads)
    trainer.overlaps = variant != .notOverlapped
    trainer.isStreamed = variant == .streamed
    policy = try LanguageModelPolicy(
      plan: plan, optimizer: AdamW(AdamWSettings(), parameters: masters), version: PolicyVersion(0),
      options: trainer, seed: options.seed, ranks: exchange, reader: UnreadResponses())
  }

  mutating func step(_ batch: MiniBatch, _ method: Method, _ ranks: MPICollectives, _ timeline: Timeline?) throws {
    try ranks.barrier()
    exchange.begin(timeline)
    let taken = try elapsed { _ = try policy.update(batch, method: method, learningRate: 1e-6) }
    exchange.end()
    // The first step is not timed: it allocates memory and opens connections.
    guard batch.index > 1 else { return }
    seconds.append(taken)
    times.append(exchange.times)
  }
}
