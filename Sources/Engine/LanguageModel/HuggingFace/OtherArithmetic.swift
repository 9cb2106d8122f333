// OtherArithmetic: keys of config.json that change what other models compute, and that nothing here computes.
//
// transformers ignores most of them for the architectures that ttrl knows. A file that has one nevertheless was made
// for another model, or by a program that means something by it. To ignore it could mean to compute the model slightly
// wrong, which looks like a model that learns badly. So each is refused by its name, except with a value that changes
// nothing. A key that is in no table here is ignored: files are full of notes of the tools that made them.
//
// Sources: the configuration classes of transformers 5.24 (LlamaConfig, Qwen2Config, Qwen3Config, MistralConfig, and
// those of the families named below). Which of these keys a family has: BlockKeys.swift.

import Base

extension ConfigurationReader {
  /// Null, false, 0 and an empty list switch these off.
  private static let switches = [
    // Biases that no family here has.
    "mlp_bias", "lm_head_bias", "use_bias", "add_bias_linear",
    // Positions other than rotary ones, or none in some layers (Falcon, Llama 4).
    "alibi", "use_alibi", "rope_interleave", "rope_interleaved", "use_mrope", "mrope_section", "nope_layer_interval",
    // Other blocks (GPT-NeoX, Falcon, Cohere).
    "parallel_attn", "use_parallel_residual", "parallel_residual",
    // Other attention (Gemma, Llama 4, GPT-2, MiniMax, BERT-like uses).
    "use_bidirectional_attention", "attn_temperature_tuning", "scale_attn_by_inverse_layer_idx",
    "reorder_and_upcast_attn", "attention_chunk_size", "attention_sink_size", "add_full_attention_sink_bias",
    "add_swa_attention_sink_bias", "multi_latent_attention", "kv_lora_rank", "q_lora_rank", "rotary_dim",
    // Experts (Mixtral, Qwen MoE, DeepSeek).
    "num_experts", "num_local_experts", "n_routed_experts", "n_shared_experts", "num_experts_per_tok",
    // Bounds on activations and logits (Gemma 2, OLMo, gpt-oss).
    "attn_logit_softcapping", "final_logit_softcapping", "attn_logit_soft_cap", "final_logit_soft_cap",
    "logits_soft_cap", "clip_qkv", "swiglu_limit",
    // Scales that are 1/√D or follow from other sizes where they are not given (Granite, Gemma, MiniCPM).
    "attention_multiplier", "query_pre_attn_scalar", "attention_scale", "scale_depth", "dim_model_base",
    "rope_local_base_freq",
    // Layers of linear attention (Qwen3.5).
    "attn_output_gate", "full_attention_interval", "linear_num_value_heads",
  ]

  /// Null and 1 leave these without effect (Granite, Cohere, MiniCPM, GPT-NeoX).
  private static let factors = [
    "rotary_pct", "rotary_percent", "embedding_multiplier", "residual_multiplier",
    "logits_scaling", "logit_scale", "scale_emb", "embedding_scale", "rope_ratio",
  ]

  /// Whether q and k are normalised, under the names of several families.
  private static let queryKeyNorms = ["use_qk_norm", "qk_norm", "qk_layernorm", "use_qk_layernorm"]

  /// Refuses what would change the arithmetic of a model of this family. The family's own keys are read elsewhere.
  mutating func refuseOtherArithmetic(_ family: ModelConfiguration.Family) {
    for key in ["hidden_act", "hidden_activation"] {
      guard let activation = json[key], !activation.isNull else { continue }
      if let name = activation.string, family.activationNames.contains(name) { continue }
      refuse(key, activation, family.activationNames[0])
    }
    // Qwen 2 always has biases, on q, k and v only. This key would add one to the output projection too.
    if family != .qwen2, flag("attention_bias") { refuse("attention_bias", true, "false") }
    let own = family.ownKeys
    for key in Self.switches where !own.contains(key) {
      guard let value = json[key], !isOff(value) else { continue }
      refuse(key, value, "null, or no such key")
    }
    for key in Self.factors where !own.contains(key) {
      guard let value = json[key], !value.isNull, value.double != 1 else { continue }
      refuse(key, value, "1")
    }
    for key in Self.queryKeyNorms {
      guard let value = json[key], !isOff(value), !(family == .qwen3 && value == true) else { continue }
      refuse(key, value, "null, or no such key")
    }
    if family != .smolLM3 { refuseMissingPositions() }
    if partOfRotary(family) == nil, let part = json["partial_rotary_factor"], !part.isNull, part.double != 1 {
      refuse("partial_rotary_factor", part, "1")
    }
    if let positions = json["position_embedding_type"], !positions.isNull, positions != "rope", positions != "rotary" {
      refuse("position_embedding_type", positions, "rope")
    }
    if let quantization = json["quantization_config"], !quantization.isNull {
      refuse("quantization_config", quantization["quant_method"] ?? quantization, "weights that are not quantized")
    }
  }

  private mutating func refuseMissingPositions() {
    if let interval = json["no_rope_layer_interval"], !isOff(interval) {
      refuse("no_rope_layer_interval", interval, "null, or no such key")
    }
    if let layers = json["no_rope_layers"], !layers.isNull, layers.elements?.allSatisfy({ $0.int == 1 }) != true {
      refuse("no_rope_layers", layers, "rotary positions in all layers")
    }
  }

  private func isOff(_ value: JSON) -> Bool {
    value.isNull || value == false || value.double == 0 || value.elements?.isEmpty == true
  }
}
