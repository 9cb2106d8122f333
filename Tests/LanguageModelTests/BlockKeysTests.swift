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

  @Test(arguments: ["LlamaForCausalLM", "Olmo2ForCausalLM", "Qwen2ForCausalLM"])
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
