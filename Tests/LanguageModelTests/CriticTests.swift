// A critic: the model of a policy with a value head. Its gradient against finite differences, and what it begins with.

import Base
import LanguageModel
import Records
import TTRL
import Tensors
import Testing

/// A critic, with a head that is not zero, and sequences that it values.
private struct CriticTrial {
  let plan: TransformerPlan
  let parameters: Floats
  private let base: PreparedModel?
  private let sequences: [TrainingSequence]

  init(_ tiny: TinyModel, _ targets: AdapterTargets?, type: DataType = .float32) throws {
    var random = choices(9)
    let layout = ParameterLayout(tiny.configuration)
    let adapter = try targets.map {
      try AdapterLayout(AdapterConfiguration(rank: 3, alpha: 12, targets: $0.names(in: layout)), of: layout)
    }
    let policy = TransformerPlan(tiny.configuration, type: type, adapter: adapter)
    plan = TransformerPlan(criticOf: policy)
    let model = tiny.parameters(seed: 4)
    base = adapter.map { _ in PreparedModel(plan: policy, parameters: model) }
    // An adapter's products are scaled by 4.
    let (shared, spread) = (plan.sharedWithPolicy, 0.4)
    parameters = Floats(
      (0..<plan.trained.count).map { Float((random.uniform() - 0.5) * ($0 < shared ? spread : 1)) })
    if adapter == nil { parameters[0..<shared].copy(from: model[0..<shared]) }
    let v = tiny.configuration.vocabularySize
    let prompts = [5, 16].map { random.tokens($0, below: v) }
    sequences = [(0, 7), (0, 1), (0, 14), (1, 20), (1, 3)].map { prompt, length in
      TrainingSequence(prompt: prompts[prompt], response: random.tokens(length, below: v), group: UInt32(prompt))
    }
  }

  func model(_ parameters: Floats) -> PreparedModel {
    base.map { PreparedModel(adapting: $0, as: plan, parameters: ParameterSource(parameters)) }
      ?? PreparedModel(plan: plan, parameters: parameters)
  }

  func values(_ parameters: Floats) throws -> [[Float]] {
    try Backpropagation(plan).score(
      sequences, model: model(parameters),
      distribution: DistributionSettings(Sampling(temperature: 1, maxNewTokens: 20, stopTokens: []))
    ).map(\.logprobs)
  }

  static func target(_ sequence: Int, _ place: Int) -> Float { Float((5 * sequence + 3 * place) % 7) / 3 - 1 }

  func loss(_ parameters: Floats) throws -> Double {
    try values(parameters).enumerated().reduce(0) { sum, row in
      row.element.enumerated().reduce(sum) { sum, value in
        let distance = Double(value.element) - Double(Self.target(row.offset, value.offset))
        return sum + distance * distance / 2
      }
    }
  }

  func gradient() throws -> Floats {
    let gradient = Floats(count: plan.trained.count)
    try Backpropagation(plan).run(
      sequences, model: model(parameters),
      distribution: DistributionSettings(Sampling(temperature: 1, maxNewTokens: 20, stopTokens: [])),
      gradient: gradient
    ) { sequence, place, value in
      valueLoss(value: value, old: value, target: Self.target(sequence, place), clip: 0).slope
    }
    return gradient
  }
}

struct CriticTests {
  @Test(arguments: TinyModel.allCases, [nil, AdapterTargets.all])
  func `the gradient of a critic agrees with finite differences in every tensor`(
    _ tiny: TinyModel, _ targets: AdapterTargets?
  ) throws {
    let trial = try CriticTrial(tiny, targets)
    let gradient = try trial.gradient().array.map(Double.init)
    var random = choices(5)
    #expect(trial.plan.trained.stored.last?.name == "score.weight")
    for tensor in trial.plan.trained.stored {
      let found = try DirectionalSlope(tensor.range, trial.parameters, gradient: gradient, &random, loss: trial.loss)
      // As in ObjectiveGradientTests; the loss here is a sum, of 45 tokens.
      let tolerance = 0.006 * found.scale + 0.001 * 45
      #expect(abs(found.measured - found.predicted) < tolerance, "\(tensor.name): \(found)")
    }
  }

  /// The value before a token does not depend on that token, so all responses to a prompt begin with the same value.
  @Test(arguments: DataType.allCases) func `the value before the first token is the prompt's`(_ type: DataType) throws {
    let trial = try CriticTrial(.qwen2, nil, type: type)
    let values = try trial.values(trial.parameters)
    #expect(values[0][0] == values[1][0] && values[1][0] == values[2][0] && values[3][0] == values[4][0])
    #expect(values[0][0] != values[3][0] && Set(values[3]).count == 20)
  }

  @Test(arguments: [nil, AdapterTargets.all])
  func `a value head of zeroes values everything at 0, and learns`(_ targets: AdapterTargets?) throws {
    var training = TinyTraining(vocabulary: TinyModel.qwen2.configuration.vocabularySize)
    training.adapterTargets = targets
    training.method.objective = .ppo
    training.method.criticLearningRate = 1e-2
    var policy = try training.policy(.bfloat16)
    let slots = (0..<8).map { Slot(round: .train(step: 0), prompt: 0, sample: UInt32($0)) }
    let members = try policy.sample(training.prompts[0], slots: slots, sampling: training.method.sampling).map {
      TrainedTrajectory(prompt: training.prompts[0], trajectory: $0)
    }
    #expect(try policy.values(of: members, sampling: training.method.sampling).joined().allSatisfy { $0 == 0 })
    var losses: [Double] = []
    for step in UInt32(0)..<8 {
      let groups = [Group(prompt: 0, trajectories: members.map(\.trajectory))]
      var method = training.method
      // The same samples in every step, as if their own version had sampled them.
      method.staleness = step
      let lesson = try learn(&policy, step: step, from: groups, prompts: training.prompts, method: method)
      let reports = lesson.updates.compactMap(\.critic)
      #expect(reports.count == lesson.updates.count && !reports.isEmpty)
      losses.append(reports.reduce(0) { $0 + $1.lossSum })
    }
    #expect(losses[7] < losses[0] / 2, "\(losses)")
    #expect(try policy.values(of: members, sampling: training.method.sampling).joined().contains { $0 != 0 })
  }
}
