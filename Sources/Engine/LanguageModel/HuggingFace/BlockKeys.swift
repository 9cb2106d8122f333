// BlockKeys: what a family says about its blocks: where norms are, what gates go through, what is multiplied with what.
//
// Most of it follows from the family and has no key. Granite's multipliers have keys, with the defaults of transformers
// where they are missing.
//
// Source: transformers 5.24, configuration_*.py and modeling_*.py of the families.

import Base

extension ModelConfiguration.Family {
  /// Keys that this family has, and that change what other models would compute (OtherArithmetic.swift).
  var ownKeys: [String] {
    switch self {
    case .qwen35: ["attn_output_gate", "full_attention_interval", "linear_num_value_heads", "partial_rotary_factor"]
    case .granite: ["attention_multiplier", "embedding_multiplier", "logits_scaling", "residual_multiplier"]
    case .qwen2, .llama, .qwen3, .mistral, .olmo2: []
    }
  }

  /// transformers' default of rms_norm_eps.
  var normEpsilonDefault: Double { self == .olmo2 ? 1e-5 : 1e-6 }

  /// Whether a missing num_key_value_heads means one for each query head.
  var hasKeyHeadsForAll: Bool { [.llama, .granite, .olmo2].contains(self) }
}

extension ConfigurationReader {
  mutating func readBlocks(_ model: inout ModelConfiguration) {
    switch model.family {
    case .granite:
      model.embeddingScale = .factor(factor("embedding_multiplier"))
      model.attentionScale = factor("attention_multiplier")
      model.residualScale = factor("residual_multiplier")
      model.logitDivisor = factor("logits_scaling")
    case .olmo2:
      model.normPlacement = .after
      model.queryKeyNorm = .allHeads
    case .qwen3, .qwen35: model.queryKeyNorm = .head
    case .qwen2, .llama, .mistral: break
    }
  }

  private mutating func factor(_ key: String) -> Float { Float(positive(key, value: json[key], default: 1)) }
}

// MARK: - Writing

extension CheckpointConfiguration {
  var blockMembers: [JSON.Member] {
    guard model.family == .granite, case .factor(let embedding) = model.embeddingScale else { return [] }
    return [
      .init("attention_multiplier", .float(model.attentionScale ?? 1 / Float(model.headDimension).squareRoot())),
      .init("embedding_multiplier", .float(embedding)), .init("logits_scaling", .float(model.logitDivisor)),
      .init("residual_multiplier", .float(model.residualScale)),
    ]
  }
}
