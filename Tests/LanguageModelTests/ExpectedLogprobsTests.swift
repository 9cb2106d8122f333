// ExpectedLogprobsTests: checkpoints that transformers wrote, and what transformers computes with them.
//
// expected.jsonl has, for each line of ids, the log-probabilities of ids[1:] in float32 and the next 12 greedy tokens.
// The engine's log-probabilities in float32 must agree within 1e-4 nats, and its tokens must be the same.

import Base
import LanguageModel
import Records
import Tensors
import Testing

@Suite struct `What transformers computes` {
  @Test(
    .enabled(if: TestFiles.hasShared, "needs TTRL_SHARED: checkpoints that transformers wrote"),
    arguments: [
      ("qwen2-tied", ["model.safetensors"]),
      ("qwen2-untied-sharded-bf16", (1...3).map { "model-0000\($0)-of-00003.safetensors" }),
      ("llama3-rope-scaled", ["model.safetensors"]), ("qwen3-qknorm", ["model.safetensors"]),
    ])
  func `with a checkpoint is what the engine computes`(_ name: String, _ files: [String]) throws {
    _ = try compare(name, files) { try TestFiles.shared("models/\(name)/\($0)") }
  }

  @Test(
    arguments: [
      "mistral", "qwen2", "qwen3", "phi3", "smollm3", "smollm3-windows", "ministral", "qwen3_5-yarn", "granite",
      "olmo2", "olmo3", "gemma3_text",
    ])
  func `with a tiny model of each family, whose windows are short, is what the engine computes`(_ name: String) throws {
    let plan = try compare(name, ["model.safetensors"]) { try TestFiles.fixture("transformers/\(name)/\($0)") }
    #expect(plan.unused.isEmpty)
  }

  @Test(
    arguments: [
      ("qwen3_5", [("the vision part", 21), ("the multi-token prediction head", 1)]),
      ("ministral3", [("the vision part", 15)]), ("gemma3", [("the vision part", 23)]),
    ])
  func `with the text part of a model that sees pictures is what the engine computes`(
    _ name: String, _ unused: [(part: String, tensors: Int)]
  ) throws {
    let plan = try compare(name, ["model.safetensors"]) { try TestFiles.fixture("transformers/\(name)/\($0)") }
    #expect(plan.unused.map(\.name) == unused.map(\.part))
    #expect(plan.unused.map(\.tensors) == unused.map(\.tensors))
  }

  /// - Returns: the plan of the loaded weights.
  private func compare(
    _ name: String, _ files: [String], _ read: (_ file: String) throws -> [UInt8]
  ) throws -> LoadPlan {
    let configuration = try CheckpointConfiguration(config: read("config.json")).model
    let plan = TransformerPlan(configuration, type: .float32)
    let bytes = try files.map(read)
    let shards = try zip(files, bytes).map { ($0, try SafeTensorsHeader($1, fileBytes: $1.count)) }
    let loading = try LoadPlan(plan.layout, shards: shards)
    let parameters = Floats(try loading.load(bytes))
    let model = PreparedModel(plan: plan, parameters: parameters)
    let engine = Backpropagation(plan)
    var largest = 0.0
    let lines = try read("expected.jsonl").split(separator: UInt8(ascii: "\n")).map { try JSON.parse(Array($0)) }
    #expect(lines.count > 3)
    for line in lines {
      func numbers(_ key: String) -> [Double] { line[key]?.elements?.compactMap(\.double) ?? [] }
      let ids = numbers("ids").map { Int32($0) }
      let scored = try engine.score([TrainingSequence(ids: ids, group: 0)], model: model, distribution: .plain)[0]
      let expected = numbers("logprobs")
      #expect(scored.logprobs.count == expected.count && expected.count == ids.count - 1)
      for (one, other) in zip(scored.logprobs, expected) { largest = max(largest, abs(Double(one) - other)) }
      let greedy = numbers("greedy_next").map { Int32($0) }
      let request = GenerationRequest(prompt: ids, round: .train(step: 3), promptIndex: 0, samples: [0])
      let sampling = Sampling(temperature: 0, maxNewTokens: Int32(greedy.count), stopTokens: [])
      #expect(try generate([request], model: model, sampling: sampling, batchRows: 1)[0].tokens == greedy)
    }
    print("\(name): the largest difference of a log-probability is \(largest)")
    #expect(largest < 1e-4)
    return loading
  }
}
