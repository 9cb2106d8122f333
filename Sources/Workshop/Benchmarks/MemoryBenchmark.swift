// MemoryBenchmark: the memory of a learner rank that trains on one large micro-batch, compared with the plan.
//
// The peak is that of one update, after the model has been loaded. The responses are made up, because values change no
// size. So long responses and large models can be measured that would take hours to sample.

import Base
import Ceilings
import LanguageModel
import Platform
import Records
import Runs
import TTRL
import Tensors

/// Measures the memory of an update with one micro-batch, which has all sequences of the training workload. The ceiling
/// is the plan's.
///
/// - Throws: if the model cannot be loaded or trained.
package func benchmarkMemory(_ options: BenchmarkOptions) throws -> BenchmarkResult {
  let work = options.training
  let rank = try MeasuredRank(options)
  try Machine.forgetPeakResidentBytes()
  let seconds = try elapsed { try rank.update() }
  let peak = Machine.peakResidentBytes
  return BenchmarkResult(
    name: "memory", value: Double(peak) / 1e6, unit: "MB", ceiling: Double(rank.plan.bytes) / 1e6, peakBytes: peak,
    conditions: options.conditions + work.members, parts: [], times: [seconds], limits: [],
    counts: rank.plan.items.map { ("planned: \($0.name)", $0.bytes) } + [("planned", rank.plan.bytes), ("used", peak)],
    hash: "")
}

/// A rank of one, and the plan of its memory.
private final class MeasuredRank {
  let plan: MemoryPlan
  private let shape: TransformerPlan
  private let work: Workload
  private var policy: LanguageModelPolicy

  init(_ options: BenchmarkOptions) throws {
    work = options.training
    let microBatchTokens = work.sequences * (work.promptTokens + work.newTokens)
    let configuration = options.model.configuration
    let layout = ParameterLayout(configuration)
    let adapter =
      options.hasAdapter
      ? try AdapterLayout(
        AdapterConfiguration(rank: 16, alpha: 32, targets: AdapterTargets.all.names(in: layout)), of: layout) : nil
    let shape = TransformerPlan(configuration, type: options.type, products: options.products, adapter: adapter)
    self.shape = shape
    let base = try adapter.map { _ in PreparedModel(plan: shape, parameters: try options.model.source()) }
    let parameters = try adapter.map { initialAdapter($0, seed: options.seed) } ?? options.model.parameters()
    var trainer = TrainerOptions(
      microBatchTokens: microBatchTokens, isExact: true, threads: options.threads,
      activationBytesMax: RunMemory.activationBytesMax(ranks: 1))
    trainer.isStreamed = options.isStreamed
    policy = try LanguageModelPolicy(
      plan: shape, optimizer: AdamW(AdamWSettings(), parameters: parameters), version: PolicyVersion(0), base: base,
      options: trainer, seed: options.seed, reader: UnreadResponses())
    plan = MemoryPlan.training(
      shape, rank: 0, of: 1, microBatchTokens: microBatchTokens,
      sequenceTokens: work.promptTokens + work.newTokens, isExact: true, isStreamed: options.isStreamed,
      isSingle: true,
      recomputes: microBatchTokens * Backpropagation.bytesPerRow(shape) > trainer.activationBytesMax,
      threads: options.threads)
  }

  func update() throws {
    var method = Method()
    method.sampling = Sampling(temperature: 1, maxNewTokens: Int32(work.newTokens), stopTokens: [])
    let members = (0..<UInt32(work.sequences)).map { index in
      let trajectory = Trajectory(
        slot: Slot(round: .train(step: 0), prompt: index, sample: 0), policy: policy.version,
        tokens: tokens(work.newTokens, of: index), logprobs: [Float](repeating: -1, count: work.newTokens),
        entropySum: 0, finish: .length)
      return TrainedTrajectory(
        prompt: Prompt(index: index, tokens: tokens(work.promptTokens, of: index + 1), kind: .math),
        trajectory: trajectory, advantage: 1)
    }
    // With index 0, the log-probabilities would be compared with the sampler's.
    let batch = MiniBatch(step: 0, index: 1, trajectories: members)
    _ = try policy.update(batch, method: method, learningRate: 1e-6)
  }

  /// Different ones, as in real text.
  private func tokens(_ count: Int, of sequence: UInt32) -> [Int32] {
    (0..<count).map { Int32(($0 * 7919 + Int(sequence) * 104_729) % shape.configuration.vocabularySize) }
  }
}
