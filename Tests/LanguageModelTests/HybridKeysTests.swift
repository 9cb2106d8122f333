// HybridKeysTests: Qwen3.5's config.json, with and without the whole around the language model.

import Base
import LanguageModel
import Tensors
import Testing

@Suite struct `The configuration of a Qwen3.5` {
  private static let text: JSON = [
    "attn_output_gate": true, "full_attention_interval": 4, "head_dim": 32, "hidden_act": "silu", "hidden_size": 64,
    "intermediate_size": 96, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 24, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4, "linear_value_head_dim": 40, "max_position_embeddings": 512, "mlp_only_layers": [],
    "model_type": "qwen3_5_text", "mtp_num_hidden_layers": 1, "num_attention_heads": 4, "num_hidden_layers": 8,
    "num_key_value_heads": 2, "rms_norm_eps": .double(1e-6), "tie_word_embeddings": true, "vocab_size": 320,
    "rope_parameters": [
      "mrope_interleaved": true, "mrope_section": [2, 1, 1], "partial_rotary_factor": .double(0.25),
      "rope_theta": 10_000_000,
      "rope_type": "default",
    ],
  ]

  private static func read(
    _ changes: [(String, JSON?)] = [], whole: [(String, JSON?)] = []
  ) throws(ConfigurationError) -> ModelConfiguration {
    var outer: [JSON.Member] = [
      .init("architectures", ["Qwen3_5ForConditionalGeneration"]), .init("model_type", "qwen3_5"),
      .init("text_config", changed(text, changes)), .init("tie_word_embeddings", true),
      .init("vision_config", ["depth": 1, "hidden_act": "gelu_pytorch_tanh"]),
    ]
    outer = changed(.object(outer), whole).members ?? []
    return try CheckpointConfiguration(config: JSON.object(outer).bytes()).model
  }

  private static func changed(_ json: JSON, _ changes: [(String, JSON?)]) -> JSON {
    var members = json.members ?? []
    for (key, value) in changes {
      members.removeAll { $0.key == key }
      if let value { members.append(JSON.Member(key, value)) }
    }
    return .object(members)
  }

  private static func problems(
    _ changes: [(String, JSON?)] = [], whole: [(String, JSON?)] = []
  ) -> [ConfigurationError.Problem] {
    do {
      _ = try read(changes, whole: whole)
      return []
    } catch {
      guard case .problems(let config, _) = error else { return [] }
      return config
    }
  }

  @Test func `is that of the language model inside the whole`() throws {
    let model = try Self.read()
    let kinds: [ModelConfiguration.LayerKind] = [.deltaRule, .deltaRule, .deltaRule, .attention(.whole)]
    #expect(
      model
        == ModelConfiguration(
          family: .qwen35, vocabularySize: 320, hiddenSize: 64, feedForwardSize: 96, layerCount: 8, headCount: 4,
          keyValueHeadCount: 2, headDimension: 32, ropeTheta: 10_000_000, maxPositions: 512, hasTiedEmbeddings: true,
          hasAttentionBias: false, queryKeyNorm: .head, rotatedDimension: 8, hasOutputGates: true,
          hasZeroCentredNorms: true, layerKinds: kinds + kinds,
          deltaHeads: DeltaHeads(key: 2, value: 4, keyDimension: 24, valueDimension: 40)))
    let alone = CheckpointConfiguration(model: model, bosToken: nil, eosTokens: [], weightType: nil)
    #expect(try CheckpointConfiguration(config: alone.configFile()).model == model)
  }

  @Test func `names its layers by a list or by an interval, which must agree`() throws {
    let types: JSON = .array((0..<8).map { $0 % 4 == 3 ? "full_attention" : "linear_attention" })
    #expect(try Self.read([("layer_types", types), ("full_attention_interval", nil)]) == Self.read())
    #expect(try Self.read([("layer_types", types)]) == Self.read())
    let found = Self.problems([("layer_types", types), ("full_attention_interval", 2)])
    guard case .conflict("full_attention_interval", _, "layer_types", _)? = found.first, found.count == 1 else {
      Issue.record("\(found)")
      return
    }
    #expect(Self.problems([("layer_types", ["full_attention"])]).count == 1)
    #expect(Self.problems([("layer_types", .array((0..<8).map { _ in "sliding_attention" }))]).count == 8)
  }

  @Test func `may not say one thing of the whole and another of the language model`() {
    let found = Self.problems(whole: [("tie_word_embeddings", false)])
    guard case .conflict("tie_word_embeddings", _, "text_config.tie_word_embeddings", _)? = found.first else {
      Issue.record("\(found)")
      return
    }
    #expect(Self.problems([("partial_rotary_factor", .double(0.5))]).count == 1)
    #expect(Self.problems(whole: [("model_type", "qwen3_5_moe")]).count == 1)
  }

  @Test(
    arguments: [
      ("attn_output_gate", false), ("linear_conv_kernel_dim", 3), ("linear_num_value_heads", 3), ("hidden_act", "gelu"),
      ("attention_bias", true), ("num_experts", 8), ("partial_rotary_factor", .double(0.3)),
      ("linear_value_head_dim", 1_000_000),
    ] as [(String, JSON)])
  func `is refused by the name of what is not computed`(_ key: String, _ value: JSON) {
    let rope: [(String, JSON?)] = key == "partial_rotary_factor" ? [("rope_parameters", nil)] : []
    let found = Self.problems([(key, value)] + rope)
    #expect(found.count == 1 && "\(found)".contains(key), "\(found)")
  }

  @Test func `is refused with experts, with the names of what is known`() {
    let found = Self.problems(
      whole: [("architectures", ["Qwen3_5MoeForConditionalGeneration"]), ("model_type", "qwen3_5_moe")])
    guard case .unknownArchitecture("Qwen3_5MoeForConditionalGeneration", let known)? = found.first else {
      Issue.record("\(found)")
      return
    }
    #expect(known.contains("Qwen3_5ForCausalLM"))
  }

  @Test func `is refused without a language model, and with quantized weights`() {
    #expect(Self.problems(whole: [("text_config", nil)]).count == 1)
    #expect(Self.problems(whole: [("quantization_config", ["quant_method": "fp8"])]).count == 1)
  }
}
