// HybridKeys: what only Qwen3.5's config.json says: the kinds of layers, and the heads of linear attention.
//
// Source: transformers 5.24, configuration_qwen3_5.py; its defaults are used where a key is missing.

import Base
import Tensors

// MARK: - Reading

extension ConfigurationReader {
  /// Reads what the other families do not have.
  mutating func readHybrid(_ model: inout ModelConfiguration) {
    if !flag("attn_output_gate", value: json["attn_output_gate"], default: true) {
      refuse("attn_output_gate", false, "true")
    }
    let taps = size("linear_conv_kernel_dim", max: Self.widthMax, default: DeltaHeads.convolutionTaps)
    if taps != DeltaHeads.convolutionTaps {
      refuse("linear_conv_kernel_dim", .int(taps), "\(DeltaHeads.convolutionTaps)")
    }
    model.hasOutputGates = true
    model.hasZeroCentredNorms = true
    model.deltaHeads = deltaHeads()
    model.layerKinds = layerKinds(model.layerCount)
  }

  private mutating func deltaHeads() -> DeltaHeads? {
    let key = size("linear_num_key_heads", max: Self.widthMax, default: 16)
    let value = size("linear_num_value_heads", max: Self.widthMax, default: 32)
    let keyDimension = size("linear_key_head_dim", max: Self.widthMax, default: 128)
    let valueDimension = size("linear_value_head_dim", max: Self.widthMax, default: 128)
    guard problems.isEmpty else { return nil }
    guard value % key == 0 else {
      problems.append(
        .malformed(
          key: "linear_num_value_heads", found: "\(value)", expected: "a multiple of linear_num_key_heads (\(key))"))
      return nil
    }
    guard key * keyDimension <= Self.widthMax, value * valueDimension <= Self.widthMax else {
      problems.append(
        .malformed(
          key: "linear_value_head_dim", found: "\(valueDimension), and linear_key_head_dim is \(keyDimension)",
          expected: "at most \(Self.widthMax) over all heads"))
      return nil
    }
    return DeltaHeads(key: key, value: value, keyDimension: keyDimension, valueDimension: valueDimension)
  }

  /// From layer_types; without it, every fourth layer has attention (full_attention_interval).
  private mutating func layerKinds(_ count: Int) -> [ModelConfiguration.LayerKind] {
    let interval = size("full_attention_interval", max: Self.widthMax, default: 4)
    let byInterval = (0..<count).map { layer -> ModelConfiguration.LayerKind in
      (layer + 1) % interval == 0 ? .attention(.whole) : .deltaRule
    }
    guard let types = layerTypes(count) else { return byInterval }
    let kinds = types.enumerated().map { index, type -> ModelConfiguration.LayerKind in
      switch type {
      case "full_attention": return .attention(.whole)
      case "linear_attention": return .deltaRule
      default:
        refuse("layer_types[\(index)]", type, "full_attention, linear_attention")
        return .deltaRule
      }
    }
    if let given = json["full_attention_interval"], !given.isNull, kinds != byInterval, problems.isEmpty {
      conflict("full_attention_interval", given, "layer_types", .array(types))
    }
    return kinds
  }
}

extension ModelConfiguration.LayerKind {
  /// Its name in `layer_types`.
  var configName: String {
    switch self {
    case .attention(let reach): reach.window == nil ? "full_attention" : "sliding_attention"
    case .deltaRule: "linear_attention"
    }
  }
}

// MARK: - Writing

extension CheckpointConfiguration {
  var hybridMembers: [JSON.Member] {
    guard let heads = model.deltaHeads else { return [] }
    return [
      .init("attn_output_gate", true),
      .init("layer_types", .array(model.layerKinds.map { .string($0.configName) })),
      .init("linear_conv_kernel_dim", .int(DeltaHeads.convolutionTaps)),
      .init("linear_key_head_dim", .int(heads.keyDimension)), .init("linear_num_key_heads", .int(heads.key)),
      .init("linear_num_value_heads", .int(heads.value)), .init("linear_value_head_dim", .int(heads.valueDimension)),
    ]
  }
}
