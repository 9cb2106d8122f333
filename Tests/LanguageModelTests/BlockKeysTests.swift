// BlockKeysTests: what config.json says about blocks, in the families that are unlike Llama there.

import Base
import LanguageModel
import Tensors
import Testing

@Suite struct `The configuration of a family with other blocks` {
  private static func config(_ architecture: String, _ changes: [(String, JSON?)]) -> [UInt8] {
    let json: JSON = [
      "hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 512, "num_attention_heads": 4,
      "num_hidden_layers": 2, "num_key_value_heads": 2, "vocab_size": 320,
    ]
    var members = (json.members ?? []) + [.init("architectures", [.string(architecture)])]
    for (key, value) in changes {
      members.removeAll { $0.key == key }
      if let value { members.append(JSON.Member(key, value)) }
    }
    return JSON.object(members).bytes()
  }

  private static func read(
    _ architecture: String, _ changes: [(String, JSON?)] = []
  ) throws(ConfigurationError) -> ModelConfiguration {
    try CheckpointConfiguration(config: config(architecture, changes)).model
  }

  private static func refused(_ architecture: String, _ changes: [(String, JSON?)]) -> [ConfigurationError.Problem] {
    do {
      _ = try read(architecture, changes)
      return []
    } catch {
      guard case .problems(let config, _) = error else { return [] }
      return config
    }
  }

  private static let multipliers: [(String, JSON?)] = [
    ("attention_multiplier", .double(0.015625)), ("embedding_multiplier", 12), ("logits_scaling", .double(8)),
    ("residual_multiplier", .double(0.22)),
  ]

  @Test func `has Granite's multipliers, and transformers' defaults for those that are missing`() throws {
    let model = try Self.read("GraniteForCausalLM", Self.multipliers)
    #expect(model.embeddingScale == .factor(12) && model.attentionScale == 0.015625)
    #expect(model.residualScale == 0.22 && model.logitDivisor == 8)
    let plain = try Self.read("GraniteForCausalLM", [("num_key_value_heads", nil)])
    #expect(plain.embeddingScale == .factor(1) && plain.residualScale == 1 && plain.logitDivisor == 1)
    // Not 1/√D.
    #expect(plain.attentionScale == 1)
    #expect(plain.keyValueHeadCount == 4 && plain.normEpsilon == 1e-6)
  }

  @Test func `has OLMo 2's norms after the blocks, and over all heads`() throws {
    let model = try Self.read("Olmo2ForCausalLM", [("num_key_value_heads", nil)])
    #expect(model.normPlacement == .after && model.queryKeyNorm == .allHeads)
    #expect(model.keyValueHeadCount == 4 && model.normEpsilon == 1e-5)
    let names = ParameterLayout(model).tensors.map(\.name).filter { $0.hasPrefix("model.layers.1.") }
    #expect(
      names.map { $0.dropFirst("model.layers.1.".count) } == [
        "self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight", "self_attn.q_norm.weight",
        "self_attn.k_norm.weight", "self_attn.o_proj.weight", "post_attention_layernorm.weight", "mlp.gate_proj.weight",
        "mlp.up_proj.weight", "mlp.down_proj.weight", "post_feedforward_layernorm.weight",
      ])
  }

  // MARK: Gemma 3 and OLMo 3

  private static let gemma = ModelConfiguration.Family.gemma3.architecture
  private static let olmo3 = ModelConfiguration.Family.olmo3.architecture

  @Test func `has Gemma 3's blocks and sizes where its files leave them out`() throws {
    let sizes = ["max_position_embeddings", "num_attention_heads", "num_key_value_heads", "vocab_size"]
    let model = try Self.read(Self.gemma, sizes.map { ($0, nil) } + [("num_hidden_layers", 7)])
    #expect(model.normPlacement == .both && model.queryKeyNorm == .head && model.hasZeroCentredNorms)
    #expect(model.gateActivation == .geluTanh && model.embeddingScale == .rootOfWidth)
    #expect(model.attentionScale == 1 / 16 && model.hasTiedEmbeddings)
    #expect(model.vocabularySize == 262_208 && model.maxPositions == 131_072 && model.headDimension == 256)
    #expect(model.headCount == 8 && model.keyValueHeadCount == 4)
    // Five layers with a window, then one without.
    let windowed = ModelConfiguration.LayerKind.attention(.init(window: 4096))
    #expect(model.layerKinds == Array(repeating: windowed, count: 5) + [.attention(.whole), windowed])
    #expect(model.ropeTheta == 1_000_000 && model.windowRotary == .init(theta: 10_000))
  }

  @Test func `has two kinds of positions, in the older form and in the newer one`() throws {
    let scaling: JSON = ["rope_type": "linear", "factor": 8]
    let newer: JSON = [
      "full_attention": ["rope_type": "linear", "factor": 8, "rope_theta": 5000],
      "sliding_attention": ["rope_type": "default", "rope_theta": 70],
    ]
    let older: [(String, JSON?)] = [
      ("rope_theta", 5000), ("rope_local_base_freq", 70), ("rope_scaling", scaling),
    ]
    let model = try Self.read(Self.gemma, older)
    #expect(model.ropeTheta == 5000 && model.ropeScaling == .linear(factor: 8))
    #expect(model.windowRotary == .init(theta: 70))
    #expect(try Self.read(Self.gemma, [("rope_parameters", newer)]) == model)
    #expect(try Self.read(Self.gemma, older + [("rope_parameters", newer)]) == model)
    #expect(try Self.read(Self.olmo3, [("rope_parameters", newer)]).windowRotary == .init(theta: 70))
    let conflict = Self.refused(Self.gemma, [("rope_local_base_freq", 71), ("rope_parameters", newer)])
    let key = "rope_parameters.sliding_attention.rope_theta"
    #expect(conflict.count == 1 && "\(conflict)".contains(key), "\(conflict)")
  }

  @Test func `has OLMo 3's scaling in layers without a window only`() throws {
    let yarn: JSON = ["rope_type": "yarn", "factor": 8, "original_max_position_embeddings": 64]
    let model = try Self.read(Self.olmo3, [("rope_scaling", yarn), ("rope_theta", 500_000), ("num_hidden_layers", 4)])
    #expect(model.ropeScaling != nil && model.windowRotary == .init(theta: 500_000))
    #expect(model.layerKinds.map { $0 == .attention(.whole) } == [false, false, false, true])
    // transformers 4 and 5 do not agree which layers another base is for.
    #expect(Self.refused(Self.olmo3, [("rope_theta", 10_000)]).count == 1)
  }

  @Test(
    arguments: [
      ("attn_logit_softcapping", 50), ("final_logit_softcapping", 30), ("use_bidirectional_attention", true),
      ("hidden_activation", "silu"), ("hidden_act", "gelu"), ("query_pre_attn_scalar", .double(0.5)),
      ("attention_bias", true), ("embedding_multiplier", 2), ("sliding_window_pattern", 0),
      ("rope_parameters", ["rope_type": "default"]),
      ("rope_parameters", ["sliding_attention": ["rope_type": "linear", "factor": 2]]),
      ("layer_types", ["sliding_attention", "chunked_attention"]),
    ] as [(String, JSON)])
  func `of Gemma 3 is refused by the name of what is not computed`(_ key: String, _ value: JSON) {
    let found = Self.refused(Self.gemma, [(key, value)])
    #expect(!found.isEmpty && found.allSatisfy { "\($0)".contains(key) }, "\(key): \(found)")
  }

  @Test func `is that of the Gemma 3 inside a model that sees pictures, whose stop tokens count`() throws {
    let text: JSON = [
      "eos_token_id": 1, "hidden_size": 64, "intermediate_size": 96, "model_type": "gemma3_text",
      "num_hidden_layers": 2, "sliding_window": 24,
    ]
    let whole: JSON = [
      "architectures": ["Gemma3ForConditionalGeneration"], "eos_token_id": [1, 106], "model_type": "gemma3",
      "text_config": text, "vision_config": ["hidden_act": "gelu_pytorch_tanh"],
    ]
    let found = try CheckpointConfiguration(config: whole.bytes())
    #expect(found.model.family == .gemma3 && found.eosTokens == [1, 106])
    #expect(found.model.layerKinds == Array(repeating: .attention(.init(window: 24)), count: 2))
  }

  @Test(arguments: ["LlamaForCausalLM", "Olmo2ForCausalLM", "Qwen2ForCausalLM", "Gemma3ForCausalLM"])
  func `is refused with the keys of another family`(_ architecture: String) {
    for change in Self.multipliers {
      let found = Self.refused(architecture, [change])
      #expect(found.count == 1 && "\(found)".contains(change.0), "\(architecture), \(change.0): \(found)")
    }
  }

  @Test(
    arguments: [
      ("attention_bias", true), ("mlp_bias", true), ("hidden_act", "gelu_pytorch_tanh"), ("clip_qkv", 8),
      ("num_local_experts", 8), ("use_qk_norm", true), ("residual_multiplier", .double(-1)),
    ] as [(String, JSON)])
  func `is refused by the name of what is not computed`(_ key: String, _ value: JSON) {
    for architecture in ["GraniteForCausalLM", "Olmo2ForCausalLM"] {
      let found = Self.refused(architecture, [(key, value)])
      #expect(found.count == 1 && "\(found)".contains(key), "\(architecture), \(key): \(found)")
    }
  }
}
