// BlockKeys: what a family says about its blocks: where norms are, what gates go through, what is multiplied with what.
//
// Most of it follows from the family and has no key. The multipliers of Granite and Gemma 3 have keys. Where a key is
// missing, transformers' default counts; Gemma's own files leave out most of them.
//
// Source: transformers 5.24, configuration_*.py and modeling_*.py of the families.

import Base
import Tensors

extension ModelConfiguration.Family {
  /// Keys that this family has, and that change what other models would compute (OtherArithmetic.swift).
  var ownKeys: [String] {
    switch self {
    case .qwen35: ["attn_output_gate", "full_attention_interval", "linear_num_value_heads"]
    case .granite: ["attention_multiplier", "embedding_multiplier", "logits_scaling", "residual_multiplier"]
    case .gemma3: ["query_pre_attn_scalar", "rope_local_base_freq"]
    case .qwen2, .llama, .qwen3, .mistral, .phi3, .smolLM3, .ministral, .ministral3, .olmo2, .olmo3: []
    }
  }

  /// Names of the activation of the feed-forward block's gates. The first one is written.
  var activationNames: [String] { self == .gemma3 ? ["gelu_pytorch_tanh"] : ["silu", "swish"] }

  /// The default of a size where a file can leave it out.
  func sizeDefault(_ key: String, heads: Int = 0) -> Int? {
    switch (self, key) {
    case (.gemma3, "max_position_embeddings"): 131_072
    case (.gemma3, "num_attention_heads"): 8
    case (.gemma3, "num_key_value_heads"): 4
    case (.gemma3, "vocab_size"): 262_208
    // The first Llama models had no grouped-query attention and no such key.
    case (.llama, "num_key_value_heads"), (.phi3, "num_key_value_heads"), (.granite, "num_key_value_heads"),
      (.olmo2, "num_key_value_heads"), (.olmo3, "num_key_value_heads"):
      heads
    default: nil
    }
  }

  var normEpsilonDefault: Double { [.phi3, .ministral3, .olmo2, .olmo3].contains(self) ? 1e-5 : 1e-6 }

  var hasTiedEmbeddingsByDefault: Bool { [.smolLM3, .gemma3].contains(self) }
}

extension ConfigurationReader {
  mutating func readBlocks(_ model: inout ModelConfiguration) {
    switch model.family {
    case .granite:
      model.embeddingScale = .factor(factor("embedding_multiplier"))
      model.attentionScale = factor("attention_multiplier")
      model.residualScale = factor("residual_multiplier")
      model.logitDivisor = factor("logits_scaling")
    case .olmo2, .olmo3:
      model.normPlacement = .after
      model.queryKeyNorm = .allHeads
    case .gemma3:
      let scalar = size("query_pre_attn_scalar", max: Self.widthMax, default: 256)
      model.normPlacement = .both
      model.hasZeroCentredNorms = true
      model.queryKeyNorm = .head
      model.gateActivation = .geluTanh
      model.embeddingScale = .rootOfWidth
      model.attentionScale = Float(1 / Double(scalar).squareRoot())
    case .qwen3, .qwen35: model.queryKeyNorm = .head
    case .qwen2, .llama, .mistral, .phi3, .smolLM3, .ministral, .ministral3: break
    }
  }

  private mutating func factor(_ key: String) -> Float { Float(positive(key, value: json[key], default: 1)) }
}

// MARK: - Writing

extension CheckpointConfiguration {
  var blockMembers: [JSON.Member] {
    let activation: JSON = .string(model.family.activationNames[0])
    let attention = model.attentionScale ?? 1 / Float(model.headDimension).squareRoot()
    switch (model.family, model.embeddingScale) {
    case (.gemma3, _):
      // transformers expects an integer. The root of one has enough digits to tell it from its neighbours.
      let scalar = (1 / (attention * attention)).rounded()
      return [.init("hidden_activation", activation), .init("query_pre_attn_scalar", .int(Int(scalar)))]
    case (.granite, .factor(let embedding)):
      return [
        .init("attention_multiplier", .float(attention)), .init("embedding_multiplier", .float(embedding)),
        .init("hidden_act", activation), .init("logits_scaling", .float(model.logitDivisor)),
        .init("residual_multiplier", .float(model.residualScale)),
      ]
    default: return [.init("hidden_act", activation)]
    }
  }
}
