// Supervised training against transformers' own loss of labels, and packed against one by one.

import Base
import LanguageModel
import Records
import TTRL
import Tensors
import Testing

/// The model and the conversations of Tests/Fixtures/gradients/qwen2, and what sft.py made of them.
private struct SupervisedFixture {
  let configuration: ModelConfiguration
  let parameters: Floats
  let expected: JSON
  private let sequences: [TrainingSequence]

  init() throws {
    func bytes(_ name: String) throws -> [UInt8] { try TestFiles.fixture("gradients/qwen2/\(name)") }
    configuration = try CheckpointConfiguration(config: bytes("config.json")).model
    let file = try bytes("model.safetensors")
    let header = try SafeTensorsHeader(file, fileBytes: file.count)
    let plan = try LoadPlan(ParameterLayout(configuration), shards: [("model.safetensors", header)])
    parameters = Floats(try plan.load([file]))
    sequences = try GradientCases(bytes("cases.json")).sequences
    expected = try JSON.parse(bytes("sft.json"))
  }

  /// One update on all conversations, without a change of the weights: its report, and the gradient.
  ///
  /// With beta1 = 1/2, the first moment after one update is half of the gradient.
  func update(microBatchTokens: Int, order: [Int]? = nil) throws -> (report: UpdateReport, gradient: [Float]) {
    var method = Method()
    (method.objective, method.sampling.maxNewTokens) = (.sft, 20)
    var groups = [TrainedGroup(members: [])]
    for (index, sequence) in sequences.enumerated() {
      let slot = Slot(round: .train(step: 0), prompt: sequence.group, sample: UInt32(index))
      groups[0].members.append(
        TrainedTrajectory(
          prompt: Prompt(index: sequence.group, tokens: sequence.prompt, kind: .string),
          trajectory: Trajectory(
            slot: slot, policy: PolicyVersion(0), tokens: sequence.response,
            logprobs: sequence.response.map { _ in 0 }, entropySum: 0, finish: .stop)))
    }
    assignAdvantages(to: &groups, method: method)
    var policy = try LanguageModelPolicy(
      plan: TransformerPlan(configuration, type: .float32),
      optimizer: AdamW(AdamWSettings(beta1: 0.5, gradientNormMax: .infinity), parameters: Floats(parameters.array)),
      version: PolicyVersion(0),
      options: TrainerOptions(microBatchTokens: microBatchTokens, isExact: true, threads: 1), seed: 1,
      reader: SumOfTokens())
    // The first mini-batch of a step: nothing is compared with a sampler, because there is none.
    let batch = MiniBatch(step: 0, index: 0, trajectories: groups[0].members)
    let report = try policy.update(batch, method: method, learningRate: 0)
    return (report, policy.optimizer.firstMoment.array.map { 2 * $0 })
  }
}

@Suite struct `Supervised training` {
  @Test func `has the loss and the gradient of transformers, within 1e-4 of every tensor's largest value`() throws {
    let fixture = try SupervisedFixture()
    let (report, gradient) = try fixture.update(microBatchTokens: 4096)
    let loss = try #require(fixture.expected["loss"]?.double)
    #expect(abs(report.lossSum / Double(report.tokens) - loss) < 1e-5 && report.logprobGap == 0)
    let tensors = ParameterLayout(fixture.configuration).tensors
    #expect(fixture.expected["gradients"]?.members?.count == tensors.count)
    for tensor in tensors {
      let expected = try #require(fixture.expected["gradients"]?[tensor.name], "\(tensor.name)")
      let values = gradient[tensor.range]
      let norm = values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      #expect(abs(norm - (expected["norm"]?.double ?? 0)) < 1e-4 * norm, "\(tensor.name): \(norm)")
      let largest = Double(values.map(abs).max() ?? 0)
      for (found, first) in zip(values, expected["first"]?.elements?.compactMap(\.double) ?? []) {
        #expect(abs(Double(found) - first) < 1e-4 * largest, "\(tensor.name)")
      }
    }
  }

  /// A response's log-probabilities do not depend on what it is packed with, so the losses are equal, bit for bit. The
  /// sum of the gradients is exact within a micro-batch's products only.
  @Test func `packed has the losses of one by one, and its gradient within float32 rounding`() throws {
    let fixture = try SupervisedFixture()
    let packed = try fixture.update(microBatchTokens: 4096)
    let single = try fixture.update(microBatchTokens: 16)
    #expect(packed.report.lossSum == single.report.lossSum)
    let largest = packed.gradient.map(abs).max() ?? 0
    #expect(largest > 1e-3)
    for (one, other) in zip(packed.gradient, single.gradient) { #expect(abs(one - other) < 2e-6 * largest) }
  }
}
