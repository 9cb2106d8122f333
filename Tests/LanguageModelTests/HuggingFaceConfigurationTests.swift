// config.json: old and new keys, the defaults of transformers, and everything that is refused.

import Base
import Foundation
import LanguageModel
import Testing

@Suite struct HuggingFaceConfigurationTests {
  /// A config.json with some keys changed; nil removes a key.
  private static func config(_ changes: [(String, JSON?)] = []) -> [UInt8] {
    var members: [JSON.Member] = [
      .init("architectures", ["Qwen2ForCausalLM"]), .init("hidden_size", 64), .init("intermediate_size", 176),
      .init("num_hidden_layers", 3), .init("num_attention_heads", 4), .init("num_key_value_heads", 2),
      .init("vocab_size", 320), .init("max_position_embeddings", 2048), .init("tie_word_embeddings", true),
      .init("eos_token_id", 2),
    ]
    for (key, value) in changes {
      members.removeAll { $0.key == key }
      if let value { members.append(.init(key, value)) }
    }
    return JSON.object(members).bytes()
  }

  private static func read(_ changes: [(String, JSON?)]) throws -> ModelConfiguration {
    try CheckpointConfiguration(config: config(changes)).model
  }

  private static func problems(_ changes: [(String, JSON?)]) -> [ConfigurationError.Problem] {
    do {
      _ = try CheckpointConfiguration(config: config(changes))
      return []
    } catch {
      guard case .problems(let problems) = error else { return [] }
      return problems
    }
  }

  @Test func `missing keys have the defaults of transformers`() throws {
    let model = try Self.read([])
    #expect(
      model
        == ModelConfiguration(
          family: .qwen2, vocabularySize: 320, hiddenSize: 64, feedForwardSize: 176, layerCount: 3, headCount: 4,
          keyValueHeadCount: 2, headDimension: 16, normEpsilon: 1e-6, ropeTheta: 10000, maxPositions: 2048,
          hasTiedEmbeddings: true, hasAttentionBias: true, hasQueryKeyNorm: false))
    #expect(try !Self.read([("tie_word_embeddings", nil)]).hasTiedEmbeddings)
    #expect(try Self.read([("architectures", ["Qwen3ForCausalLM"])]).headDimension == 128)
    let llama = try Self.read([("architectures", ["LlamaForCausalLM"]), ("num_key_value_heads", nil)])
    #expect(llama.keyValueHeadCount == 4 && !llama.hasAttentionBias)
  }

  @Test func `old keys and new keys give the same configuration`() throws {
    let scaling: [JSON.Member] = [
      .init("factor", 8), .init("low_freq_factor", 1), .init("high_freq_factor", 4),
      .init("original_max_position_embeddings", 64), .init("rope_type", "llama3"),
    ]
    let old = try Self.read([("rope_theta", 500000), ("rope_scaling", .object(scaling)), ("torch_dtype", "float32")])
    let new = try Self.read([
      ("rope_parameters", .object(scaling + [.init("rope_theta", 500000)])), ("dtype", "float32"),
    ])
    #expect(old == new)
    #expect(old.ropeTheta == 500000)
    let expected = ModelConfiguration.RopeScaling(
      factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 64)
    #expect(old.ropeScaling == expected)
  }

  @Test func `stop tokens come from generation_config, if it has any, one or several`() throws {
    let config = Self.config([("eos_token_id", [3, 4]), ("bos_token_id", 1)])
    #expect(try CheckpointConfiguration(config: config).eosTokens == [3, 4])
    func eos(_ generation: String) throws -> [Int32] {
      try CheckpointConfiguration(config: config, generation: Array(generation.utf8)).eosTokens
    }
    #expect(try eos(#"{"eos_token_id": [7, 8]}"#) == [7, 8])
    #expect(try eos(#"{"eos_token_id": 9}"#) == [9])
    #expect(try eos(#"{"eos_token_id": null}"#) == [3, 4])
    #expect(throws: ConfigurationError.self) { try eos(#"{"eos_token_id": "x"}"#) }
    #expect(throws: ConfigurationError.self) { try eos(#"{"eos_token_id": -1}"#) }
  }

  @Test func `the refusal of an unknown architecture names the known ones`() {
    let known = ["Qwen2ForCausalLM", "LlamaForCausalLM", "Qwen3ForCausalLM", "MistralForCausalLM"]
    let found = "Gemma2ForCausalLM"
    #expect(
      Self.problems([("architectures", [.string(found)])]) == [.unknownArchitecture(found: found, known: known)])
  }

  /// The changes, the key that must be named, and whether it is refused as unsupported (or as malformed).
  static let refusals: [(changes: [(String, JSON?)], key: String, isUnsupported: Bool)] = [
    ([("hidden_act", "gelu")], "hidden_act", true),
    ([("use_sliding_window", true), ("sliding_window", 1024)], "sliding_window", true),
    ([("architectures", ["MistralForCausalLM"]), ("max_position_embeddings", 32768)], "sliding_window", true),
    ([("layer_types", ["full_attention", "sliding_attention"])], "layer_types[1]", true),
    ([("rope_scaling", ["type": "yarn", "factor": 4])], "rope_scaling.rope_type", true),
    ([("rope_parameters", ["rope_type": "linear", "factor": 4])], "rope_parameters.rope_type", true),
    ([("rope_parameters", ["rope_type": "llama3"])], "rope_parameters.factor", false),
    ([("architectures", ["LlamaForCausalLM"]), ("attention_bias", true)], "attention_bias", true),
    ([("mlp_bias", true)], "mlp_bias", true),
    ([("quantization_config", ["quant_method": "awq"])], "quantization_config", true),
    ([("partial_rotary_factor", 0)], "partial_rotary_factor", true),
    ([("torch_dtype", "int8")], "torch_dtype", true),
    ([("num_attention_heads", 3)], "hidden_size", false),
    ([("num_key_value_heads", 3)], "num_key_value_heads", false),
    ([("head_dim", 15)], "head_dim", false),
    ([("hidden_size", nil)], "hidden_size", false),
    ([("vocab_size", 0)], "vocab_size", false),
    ([("vocab_size", .double(1e9))], "vocab_size", false),
    ([("num_hidden_layers", 100_000)], "num_hidden_layers", false),
    ([("rms_norm_eps", .double(1e-60))], "rms_norm_eps", false),
    ([("tie_word_embeddings", "yes")], "tie_word_embeddings", false),
  ]

  @Test(arguments: refusals.indices)
  func `what is not computed is refused by name`(index: Int) {
    let (changes, key, isUnsupported) = Self.refusals[index]
    let named = Self.problems(changes).contains { problem in
      switch problem {
      case .unsupported(let found, _, _): isUnsupported && found == key
      case .malformed(let found, _, _): !isUnsupported && found == key
      case .unknownArchitecture: false
      }
    }
    #expect(named, "\(key): \(Self.problems(changes))")
  }

  @Test func `a window that is off, or not shorter than the longest sequence, is accepted`() throws {
    _ = try Self.read([("use_sliding_window", false), ("sliding_window", 1024)])
    _ = try Self.read([("architectures", ["MistralForCausalLM"]), ("sliding_window", .null)])
    _ = try Self.read([("architectures", ["MistralForCausalLM"]), ("sliding_window", 2048)])
  }

  @Test func `all problems are reported at once`() {
    let problems = Self.problems([("hidden_size", nil), ("hidden_act", "relu"), ("vocab_size", "many")])
    #expect(problems.count == 3)
  }

  @Test(arguments: ModelConfiguration.Family.allCases)
  func `a configuration is the same after writing and reading`(family: ModelConfiguration.Family) throws {
    let model = ModelConfiguration(
      family: family, vocabularySize: 1000, hiddenSize: 96, feedForwardSize: 100, layerCount: 2, headCount: 6,
      keyValueHeadCount: 3, headDimension: 20, normEpsilon: 1e-5, ropeTheta: 123456.7,
      ropeScaling: .init(factor: 2, lowFrequencyFactor: 1.25, highFrequencyFactor: 3, originalMaxPositions: 17),
      maxPositions: 77, hasTiedEmbeddings: family == .qwen3, hasAttentionBias: family == .qwen2,
      hasQueryKeyNorm: family == .qwen3)
    for stops: [Int32] in [[], [3], [4, 3]] {
      let written = CheckpointConfiguration(model: model, bosToken: 1, eosTokens: stops, weightType: .bfloat16)
      let file = written.configFile()
      #expect(try CheckpointConfiguration(config: file) == written)
      #expect(try CheckpointConfiguration(config: file, generation: written.generationFile()) == written)
    }
  }

  @Test func `reading a damaged config never traps`() {
    let config = Self.config([("rope_scaling", ["rope_type": "llama3", "factor": 8]), ("head_dim", 16)])
    var random = Damage(seed: 3)
    for _ in 0..<5000 { _ = try? CheckpointConfiguration(config: random.mutation(of: config)) }
  }
}

/// Damages bytes at random, as a function of the seed.
struct Damage {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func below(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % bound
  }

  /// Replaces, removes or inserts up to three bytes; sometimes cuts off the end.
  mutating func mutation(of document: [UInt8]) -> [UInt8] {
    var bytes = document
    for _ in 0...below(3) where !bytes.isEmpty {
      let place = below(bytes.count)
      switch below(4) {
      case 0: bytes[place] = UInt8(below(256))
      case 1: bytes.remove(at: place)
      case 2: bytes.insert(bytes[below(bytes.count)], at: place)
      default: bytes[place] = UInt8(ascii: "0") + UInt8(below(10))
      }
    }
    if below(20) == 0 { bytes.removeLast(below(bytes.count + 1)) }
    return bytes
  }
}
