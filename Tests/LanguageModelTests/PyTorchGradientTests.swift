// PyTorchGradientTests: the gradient of a small model of each family, compared with PyTorch's.
//
// Tests/Fixtures/gradients/make.py wrote weights, sequences and gradients with transformers' own models, in float64.
// They are read like every checkpoint.

import Base
import LanguageModel
import Tensors
import Testing

/// A fixture's cases.json.
struct GradientCases {
  let sequences: [TrainingSequence]
  let coefficients: [[Float]]
  let logprobs: [[Double]]

  init(_ bytes: [UInt8]) throws {
    let cases = try #require(try JSON.parse(bytes).elements)
    sequences = cases.map { json in
      TrainingSequence(
        prompt: Self.numbers(json, "prompt").map { Int32($0) },
        response: Self.numbers(json, "response").map { Int32($0) }, group: UInt32(json["group"]?.int ?? 0))
    }
    coefficients = cases.map { Self.numbers($0, "coefficients").map { Float($0) } }
    logprobs = cases.map { Self.numbers($0, "logprobs") }
  }

  private static func numbers(_ json: JSON, _ key: String) -> [Double] {
    json[key]?.elements?.compactMap(\.double) ?? []
  }
}

/// The fixture's folder of one family.
private struct GradientFixture {
  let configuration: ModelConfiguration
  let parameters: Floats
  let gradients: [Float]
  let cases: GradientCases

  init(_ family: String) throws {
    func bytes(_ name: String) throws -> [UInt8] { try TestFiles.fixture("gradients/\(family)/\(name)") }
    configuration = try CheckpointConfiguration(config: bytes("config.json")).model
    let layout = ParameterLayout(configuration)
    func read(_ name: String) throws -> [Float] {
      let file = try bytes(name)
      let header = try SafeTensorsHeader(file, fileBytes: file.count)
      return try LoadPlan(layout, shards: [(name, header)]).load([file])
    }
    parameters = Floats(try read("model.safetensors"))
    gradients = try read("gradients.safetensors")
    cases = try GradientCases(bytes("cases.json"))
  }
}

@Suite struct `The gradient of PyTorch` {
  @Test(
    arguments: [
      "qwen2", "llama", "qwen3", "qwen3_5_text", "mistral", "phi3", "smollm3", "ministral3", "granite", "olmo2",
      "olmo3", "gemma3_text",
    ])
  func `is the gradient of the engine, within 1e-4 of every tensor's largest value`(_ family: String) throws {
    let fixture = try GradientFixture(family)
    #expect(fixture.configuration.family.rawValue == family && fixture.cases.sequences.count == 5)
    let plan = TransformerPlan(fixture.configuration, type: .float32)
    let model = PreparedModel(plan: plan, parameters: fixture.parameters)
    let gradient = Floats(count: plan.layout.count)
    let scored = try Backpropagation(plan).run(
      fixture.cases.sequences, model: model, distribution: .plain, gradient: gradient
    ) { index, place, _ in fixture.cases.coefficients[index][place] }
    for (own, other) in zip(scored, fixture.cases.logprobs) {
      #expect(own.logprobs.count == other.count)
      for (one, two) in zip(own.logprobs, other) { #expect(abs(Double(one) - two) < 1e-4) }
    }
    var worst = (error: 0.0, tensor: "")
    for tensor in plan.layout.tensors {
      let expected = fixture.gradients[tensor.range]
      let largest = Double(expected.map(abs).max() ?? 0)
      #expect(largest > 1e-3, "\(tensor.name) has no gradient to compare with")
      let error = tensor.range.map { Double(abs(gradient[$0] - fixture.gradients[$0])) }.max() ?? 0
      #expect(error <= 1e-4 * largest, "\(tensor.name): \(error) of \(largest)")
      if error / largest > worst.error { worst = (error / largest, tensor.name) }
    }
    print("\(family): largest difference \(worst.error) of a tensor's largest gradient, in \(worst.tensor)")
  }
}
