// GradientTests: the gradient of the whole model against finite differences, in float32.

import Base
import LanguageModel
import Tensors
import Testing

/// A small batch of two groups. One shared prompt ends within a page, the other fills its page.
private func batch(_ configuration: ModelConfiguration) -> [TrainingSequence] {
  var random = choices(3)
  let v = configuration.vocabularySize
  let prompts = [random.tokens(5, below: v), random.tokens(16, below: v)]
  return [(0, 7), (1, 20), (0, 1), (0, 14), (1, 3)].map { group, length in
    TrainingSequence(
      prompt: prompts[group], response: random.tokens(length, below: v), group: UInt32(group))
  }
}

/// d loss / d logprob: different for every token.
private func slope(_ sequence: Int, _ position: Int) -> Float { Float((7 * sequence + 3 * position) % 11) / 10 - 0.4 }

@Suite struct `The gradient of the model` {
  @Test(arguments: TinyModel.allCases)
  func `agrees with finite differences in every tensor`(_ tiny: TinyModel) throws {
    let configuration = tiny.configuration
    let plan = TransformerPlan(configuration, type: .float32)
    let sequences = batch(configuration)
    let parameters = tiny.parameters(seed: 4)
    let trainer = Backpropagation(plan)
    let distribution = DistributionSettings(temperature: 0.8, topP: 1, topK: 0)

    func loss(_ parameters: Floats) throws -> Double {
      let model = PreparedModel(plan: plan, parameters: parameters)
      var total = 0.0
      for (index, scored) in try trainer.score(sequences, model: model, distribution: distribution).enumerated() {
        for (position, logprob) in scored.logprobs.enumerated() {
          total += Double(slope(index, position)) * Double(logprob)
        }
      }
      return total
    }

    let model = PreparedModel(plan: plan, parameters: parameters)
    let gradient = Floats(count: plan.layout.count)
    try trainer.run(sequences, model: model, distribution: distribution, gradient: gradient) { index, place, _ in
      slope(index, place)
    }
    var random = choices(5)
    let slopes = gradient.array.map(Double.init)
    for tensor in plan.layout.tensors {
      let found = try DirectionalSlope(tensor.range, parameters, gradient: slopes, &random, loss: loss)
      #expect(abs(found.measured - found.predicted) < 0.004 * found.scale + 0.001, "\(tensor.name): \(found)")
    }
  }

  @Test func `is added to the previous contents`() throws {
    let plan = TransformerPlan(TinyModel.llama.configuration, type: .float32)
    let model = PreparedModel(plan: plan, parameters: TinyModel.llama.parameters(seed: 4))
    let trainer = Backpropagation(plan)
    let sequences = batch(plan.configuration)
    func add(to gradient: Floats) throws {
      try trainer.run(sequences, model: model, distribution: .plain, gradient: gradient) { index, place, _ in
        slope(index, place)
      }
    }
    let once = Floats(count: plan.layout.count)
    try add(to: once)
    let twice = Floats(count: plan.layout.count)
    try add(to: twice)
    try add(to: twice)
    for index in 0..<once.count {
      #expect(abs(twice[index] - 2 * once[index]) <= 1e-5 * (1 + abs(once[index])))
    }
  }

  @Test(arguments: TinyModel.allCases)
  func `has almost the same direction in bfloat16 as in float32`(_ tiny: TinyModel) throws {
    var gradients: [[Float]] = []
    for type in DataType.allCases {
      let plan = TransformerPlan(tiny.configuration, type: type)
      let model = PreparedModel(plan: plan, parameters: tiny.parameters(seed: 4))
      let gradient = Floats(count: plan.layout.count)
      try Backpropagation(plan).run(
        batch(tiny.configuration), model: model, distribution: .plain, gradient: gradient
      ) { index, place, _ in slope(index, place) }
      gradients.append(gradient.array)
    }
    func dot(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
    let cosine =
      dot(gradients[0], gradients[1])
      / (dot(gradients[0], gradients[0]) * dot(gradients[1], gradients[1])).squareRoot()
    #expect(cosine > 0.99, "cosine \(cosine)")
  }
}
