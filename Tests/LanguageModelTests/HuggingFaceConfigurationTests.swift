// config.json: old and new keys, the defaults of transformers, and everything that is refused.

import Base
import Foundation
import LanguageModel
import Tensors
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

  static func read(_ changes: [(String, JSON?)]) throws -> ModelConfiguration {
    try CheckpointConfiguration(config: config(changes)).model
  }

  private static func problems(_ changes: [(String, JSON?)]) -> [ConfigurationError.Problem] {
    do {
      _ = try CheckpointConfiguration(config: config(changes))
      return []
    } catch {
      guard case .problems(let problems, _) = error else { return [] }
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
          hasTiedEmbeddings: true, hasAttentionBias: true))
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
    let expected = Llama3Scaling(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 64)
    #expect(old.ropeScaling == .llama3(expected))
  }

  @Test func `rope_scaling counts beside rope_parameters that say nothing else, as in transformers 5`() throws {
    let plain: JSON = ["rope_type": "default", "rope_theta": 500000]
    for type in ["llama3", "yarn"] {
      var scaling: JSON = ["rope_type": .string(type), "factor": 8, "original_max_position_embeddings": 64]
      if type == "llama3", case .object(let members) = scaling {
        scaling = .object(members + [.init("low_freq_factor", 1), .init("high_freq_factor", 4)])
      }
      let alone = try Self.read([("rope_scaling", scaling), ("rope_theta", 500000)])
      #expect(alone.ropeScaling != nil && alone.ropeTheta == 500000)
      #expect(
        try Self.read([("rope_scaling", scaling), ("rope_parameters", plain), ("rope_theta", 500000)]) == alone)
      #expect(try Self.read([("rope_scaling", [:]), ("rope_parameters", scaling), ("rope_theta", 500000)]) == alone)
      #expect(
        try Self.read([("rope_scaling", scaling), ("rope_parameters", scaling), ("rope_theta", 500000)]) == alone)
    }
  }

  @Test func `the keys of YaRN have the defaults of transformers`() throws {
    func yarn(_ more: [JSON.Member]) throws -> RotaryScaling? {
      let members: [JSON.Member] = [.init("type", "yarn"), .init("factor", 4)] + more
      return try Self.read([("rope_scaling", .object(members))]).ropeScaling
    }
    // max_position_embeddings is 2048; 0.1 · ln 4 + 1.
    let scaling = YaRNScaling(factor: 4, originalMaxPositions: 2048)
    #expect(try yarn([]) == .yarn(scaling))
    #expect(scaling.betaFast == 32 && scaling.betaSlow == 1 && scaling.truncates)
    #expect(abs(scaling.attentionFactor - 1.1386294361119891) < 1e-15)
    #expect(
      try yarn([
        .init("beta_fast", 0), .init("beta_slow", .null), .init("mscale", 2), .init("finetuned", true),
        .init("original_max_position_embeddings", 2048),
      ]) == .yarn(scaling), "one of the two scales alone has no effect")
    let other = YaRNScaling(
      factor: 4, originalMaxPositions: 100, betaFast: 16, betaSlow: 2, scales: (each: 1, all: 0.5), truncates: false)
    #expect(
      try yarn([
        .init("beta_fast", 16), .init("beta_slow", 2), .init("mscale", 1), .init("mscale_all_dim", .double(0.5)),
        .init("original_max_position_embeddings", 100), .init("truncate", false),
      ]) == .yarn(other))
    #expect(abs(other.attentionFactor - 1.1386294361119891 / 1.0693147180559945) < 1e-15)
    #expect(
      try yarn([.init("attention_factor", .double(1.5)), .init("mscale", 1), .init("mscale_all_dim", 1)])
        == .yarn(YaRNScaling(factor: 4, originalMaxPositions: 2048, attentionFactor: 1.5)))
  }

  @Test func `Python's name of a type is accepted`() throws {
    for key in ["dtype", "torch_dtype"] {
      let config = try CheckpointConfiguration(config: Self.config([(key, "torch.bfloat16")]))
      #expect(config.weightType == .bfloat16)
    }
  }

  /// Two keys, and the two names that the refusal must have.
  static let conflicts: [(changes: [(String, JSON?)], keys: [String])] = [
    (
      [
        ("architectures", ["Qwen3ForCausalLM"]), ("use_sliding_window", true), ("max_window_layers", 1),
        ("layer_types", ["sliding_attention", "full_attention", "full_attention"]),
      ], ["max_window_layers", "layer_types"]
    ),
    (
      [
        ("architectures", ["SmolLM3ForCausalLM"]), ("no_rope_layer_interval", 2), ("no_rope_layers", [0, 1, 1]),
      ], ["no_rope_layer_interval", "no_rope_layers"]
    ),
    (
      [("architectures", ["MistralForCausalLM"]), ("use_sliding_window", false), ("sliding_window", 9)],
      ["use_sliding_window", "sliding_window"]
    ),
    (
      [
        ("architectures", ["MistralForCausalLM"]), ("sliding_window", 9),
        ("layer_types", ["sliding_attention", "full_attention", "full_attention"]),
      ], ["sliding_window", "layer_types"]
    ),
    (
      [
        ("architectures", ["Phi3ForCausalLM"]),
        (
          "rope_scaling",
          [
            "type": "longrope", "short_factor": [1, 1, 1, 1, 1, 1, 1, 1], "long_factor": [1, 1, 1, 1, 1, 1, 1, 1],
            "original_max_position_embeddings": 8192,
          ]
        ),
      ], ["original_max_position_embeddings", "rope_scaling.original_max_position_embeddings"]
    ),
    (
      [("rope_theta", 10000), ("rope_parameters", ["rope_theta": 500000])],
      ["rope_theta", "rope_parameters.rope_theta"]
    ),
    (
      [("rope_theta", 10000), ("rope_scaling", ["rope_type": "default", "rope_theta": 500000])],
      ["rope_theta", "rope_scaling.rope_theta"]
    ),
    // transformers 5 uses 10000 here.
    (
      [("rope_scaling", ["rope_type": "yarn", "factor": 4]), ("rope_parameters", ["rope_theta": 500000])],
      ["the default of rope_theta beside rope_scaling", "rope_parameters.rope_theta"]
    ),
    (
      [("rope_scaling", ["type": "yarn", "factor": 4]), ("rope_parameters", ["rope_type": "yarn", "factor": 8])],
      ["rope_scaling", "rope_parameters"]
    ),
    (
      [("rope_scaling", ["type": "default"]), ("rope_parameters", ["rope_type": "yarn", "factor": 8])],
      ["rope_scaling", "rope_parameters"]
    ),
    (
      [("rope_scaling", ["type": "default", "rope_type": "yarn", "factor": 4])],
      ["rope_scaling.type", "rope_scaling.rope_type"]
    ),
    (
      [
        ("rope_scaling", ["type": "yarn", "factor": 4, "original_max_position_embeddings": 64]),
        ("original_max_position_embeddings", 128),
      ], ["original_max_position_embeddings", "rope_scaling.original_max_position_embeddings"]
    ),
    ([("dtype", "float32"), ("torch_dtype", "torch.bfloat16")], ["dtype", "torch_dtype"]),
    ([("model_type", "qwen3")], ["model_type", "architectures"]),
  ]

  @Test(arguments: conflicts.indices)
  func `what two keys say differently is refused by both names`(index: Int) {
    let (changes, keys) = Self.conflicts[index]
    let found = Self.problems(changes)
    guard case .conflict(let key, _, let other, _)? = found.first, found.count == 1 else {
      Issue.record("\(keys): \(found)")
      return
    }
    #expect([key, other] == keys)
  }

  @Test func `a stop token beyond the vocabulary is a problem of the file that names it`() {
    let config = Self.config([("eos_token_id", [2, 99999])])
    func message(_ config: [UInt8], _ generation: String?) -> String {
      do {
        _ = try CheckpointConfiguration(config: config, generation: generation.map { Array($0.utf8) })
        return ""
      } catch { return "\(error)" }
    }
    let words = "eos_token_id is 99999, expected a token of the vocabulary, 0 to 319"
    #expect(message(config, nil) == "config.json: " + words)
    #expect(message(Self.config(), #"{"eos_token_id":[2,99999]}"#) == "generation_config.json: " + words)
    #expect(message(config, #"{"eos_token_id":3}"#) == "", "the other file's tokens count")
    #expect(message(Self.config(), #"{"bos_token_id":320}"#).hasPrefix("generation_config.json: bos_token_id is 320"))
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
    let known = [
      "Qwen2ForCausalLM", "LlamaForCausalLM", "Qwen3ForCausalLM", "MistralForCausalLM", "Qwen3_5ForCausalLM",
      "Phi3ForCausalLM", "SmolLM3ForCausalLM", "MinistralForCausalLM", "Ministral3ForCausalLM", "GraniteForCausalLM",
      "Olmo2ForCausalLM", "Olmo3ForCausalLM", "Gemma3ForCausalLM",
    ]
    let found = "Gemma2ForCausalLM"
    #expect(
      Self.problems([("architectures", [.string(found)])]) == [.unknownArchitecture(found: found, known: known)])
  }

  /// The changes, the key that must be named, and whether it is refused as unsupported (or as malformed).
  static let refusals: [(changes: [(String, JSON?)], key: String, isUnsupported: Bool)] = [
    ([("hidden_act", "gelu")], "hidden_act", true),
    (
      [("architectures", ["LlamaForCausalLM"]), ("use_sliding_window", true), ("sliding_window", 1024)],
      "use_sliding_window", true
    ),
    ([("use_sliding_window", true), ("sliding_window", 0)], "sliding_window", false),
    ([("layer_types", ["full_attention", "sliding_attention", "full_attention"])], "layer_types[1]", true),
    ([("layer_types", ["full_attention"])], "layer_types", false),
    ([("use_sliding_window", true), ("max_window_layers", -1)], "max_window_layers", false),
    ([("rope_scaling", ["type": "longrope", "factor": 4])], "rope_scaling.short_factor", false),
    (
      [("rope_scaling", ["type": "longrope", "short_factor": [1, 2], "long_factor": [1, 2]])],
      "rope_scaling.short_factor", false
    ),
    (
      [("rope_scaling", ["type": "longrope", "short_factor": [1, 0], "long_factor": [1, 2]])],
      "rope_scaling.short_factor[1]", false
    ),
    (
      [("architectures", ["Phi3ForCausalLM"]), ("rope_scaling", ["type": "linear", "factor": 2])],
      "rope_scaling.rope_type", true
    ),
    (
      [("architectures", ["Phi3ForCausalLM"]), ("partial_rotary_factor", .double(0.2))], "partial_rotary_factor", false
    ),
    ([("architectures", ["SmolLM3ForCausalLM"]), ("no_rope_layers", [1])], "no_rope_layers", false),
    ([("architectures", ["SmolLM3ForCausalLM"]), ("no_rope_layers", [1, 2])], "no_rope_layers", false),
    ([("architectures", ["SmolLM3ForCausalLM"]), ("no_rope_layer_interval", 0)], "no_rope_layer_interval", false),
    ([("architectures", ["Ministral3ForCausalLM"])], "rope_parameters.llama_4_scaling_beta", false),
    ([("rope_scaling", "yarn")], "rope_scaling", false),
    ([("rope_scaling", ["type": "yarn", "factor": 0])], "rope_scaling.factor", false),
    ([("rope_scaling", ["type": "yarn", "factor": 4, "truncate": 1])], "rope_scaling.truncate", false),
    ([("rope_scaling", ["type": "yarn", "factor": 4, "long_factor": [1]])], "rope_scaling.long_factor", true),
    ([("rope_scaling", ["factor": 4])], "rope_scaling.factor", true),
    ([("rope_parameters", ["partial_rotary_factor": .double(0.5)])], "rope_parameters.partial_rotary_factor", true),
    (
      [("rope_parameters", ["full_attention": ["rope_type": "default", "rope_theta": 1_000_000]])],
      "rope_parameters.full_attention", true
    ),
    ([("rope_parameters", ["rope_type": "linear", "factor": 0])], "rope_parameters.factor", false),
    ([("rope_parameters", ["rope_type": "proportional"])], "rope_parameters.rope_type", true),
    ([("no_rope_layer_interval", 4)], "no_rope_layer_interval", true),
    ([("rope_parameters", ["rope_type": "llama3"])], "rope_parameters.factor", false),
    ([("architectures", ["LlamaForCausalLM"]), ("attention_bias", true)], "attention_bias", true),
    ([("mlp_bias", true)], "mlp_bias", true),
    ([("quantization_config", ["quant_method": "awq"])], "quantization_config", true),
    ([("partial_rotary_factor", 0)], "partial_rotary_factor", true),
    ([("torch_dtype", "int8")], "torch_dtype", true),
    ([("final_logit_softcapping", 30)], "final_logit_softcapping", true),
    ([("attn_logit_softcapping", .double(50))], "attn_logit_softcapping", true),
    ([("attention_multiplier", .double(0.0078125))], "attention_multiplier", true),
    ([("residual_multiplier", .double(0.22))], "residual_multiplier", true),
    ([("logits_scaling", 8)], "logits_scaling", true),
    ([("logit_scale", .double(0.0625))], "logit_scale", true),
    ([("query_pre_attn_scalar", 256)], "query_pre_attn_scalar", true),
    ([("no_rope_layers", [1, 1, 0])], "no_rope_layers", true),
    ([("use_qk_norm", true)], "use_qk_norm", true),
    ([("num_local_experts", 8)], "num_local_experts", true),
    ([("clip_qkv", .double(8))], "clip_qkv", true),
    ([("hidden_activation", "gelu_pytorch_tanh")], "hidden_activation", true),
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
      case .unknownArchitecture, .conflict: false
      }
    }
    #expect(named, "\(key): \(Self.problems(changes))")
  }

  @Test func `keys of other models with which nothing changes are accepted, and so are notes of tools`() throws {
    let keys: [(String, JSON?)] = [
      ("mlp_bias", false), ("final_logit_softcapping", .null), ("residual_multiplier", .double(1.0)),
      ("logit_scale", 1),
      ("no_rope_layers", [1, 1, 1]), ("use_mrope", false), ("hidden_act", "swish"), ("partial_rotary_factor", .null),
      ("num_experts", 0), ("rope_scaling", .null), ("rope_parameters", [:]), ("pretraining_tp", 1),
      ("unsloth_version", "2025.1"), ("initializer_range", .double(0.02)), ("use_cache", true),
    ]
    #expect(try Self.read(keys) == Self.read([]))
    #expect(
      try Self.read([("architectures", ["Qwen3ForCausalLM"]), ("use_qk_norm", true)])
        == Self.read([("architectures", ["Qwen3ForCausalLM"])]))
  }

  @Test func `all problems are reported at once`() {
    let problems = Self.problems([("hidden_size", nil), ("hidden_act", "relu"), ("vocab_size", "many")])
    #expect(problems.count == 3)
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
