// HybridKeys: what only Qwen3.5's config.json says: the model inside the wrapper, and the kinds of layers.
//
// Qwen3.5's models see pictures too: config.json describes the whole, and the language model inside it as text_config.
// ttrl uses the language model. What is written is the language model alone (Qwen3_5ForCausalLM), which transformers
// opens without the rest. Keys of the whole that the language model also has must say the same.
//
// Three positions for pictures (mrope_section) are one position where there is only text, so those keys have no effect.
//
// Source: transformers 5.24, configuration_qwen3_5.py; its defaults are used where a key is missing.

import Base
import Tensors

// MARK: - Reading

extension ConfigurationReader {
  private static let wrapper = (architecture: "Qwen3_5ForConditionalGeneration", type: "qwen3_5")

  /// Keys that count for the language model wherever they are.
  private static let sharedKeys = [
    "bos_token_id", "dtype", "eos_token_id", "quantization_config", "tie_word_embeddings", "torch_dtype",
  ]

  /// If the file describes a model that sees pictures, goes on with the language model alone.
  ///
  /// - Returns: false if there is none.
  mutating func unwrapText() -> Bool {
    let names = (json["architectures"]?.elements ?? []).compactMap(\.string)
    let type = json["model_type"]?.string
    guard names.contains(Self.wrapper.architecture) || names.isEmpty && type == Self.wrapper.type else { return true }
    if let type, type != Self.wrapper.type {
      conflict("model_type", .string(type), "architectures", .string(Self.wrapper.architecture))
    }
    guard let text = json["text_config"], let inner = text.members else {
      problems.append(
        .malformed(
          key: "text_config", found: json["text_config"]?.summary ?? "missing",
          expected: "an object: the language model of \(Self.wrapper.architecture)"))
      return false
    }
    var members = inner.filter { $0.key != "architectures" }
    members.append(JSON.Member("architectures", [.string(ModelConfiguration.Family.qwen35.architecture)]))
    for key in Self.sharedKeys {
      guard let outer = json[key], !outer.isNull else { continue }
      guard let own = text[key], !own.isNull else {
        members = members.filter { $0.key != key } + [JSON.Member(key, outer)]
        continue
      }
      if own != outer { conflict(key, outer, "text_config.\(key)", own) }
    }
    json = .object(members)
    return true
  }

  /// Members of rope_parameters that this family has too.
  var hybridRotaryMembers: [String] { family == .qwen35 ? ["mrope_section", "mrope_interleaved"] : [] }

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
    model.rotatedDimension = rotatedDimension(of: model.headDimension)
    model.deltaHeads = deltaHeads()
    model.layerKinds = layerKinds(model.layerCount)
  }

  private mutating func rotatedDimension(of dimension: Int) -> Int {
    let key = "partial_rotary_factor"
    let given = [
      (key, json[key]), ("rope_parameters.\(key)", json["rope_parameters"]?[key]),
      ("rope_scaling.\(key)", json["rope_scaling"]?[key]),
    ].compactMap { name, value in value.flatMap { $0.isNull ? nil : (name: name, value: $0) } }
    for other in given.dropFirst() where other.value.double != given[0].value.double {
      conflict(given[0].name, given[0].value, other.name, other.value)
    }
    let factor = positive(given.first?.name ?? key, value: given.first?.value, default: 0.25)
    let rotated = Int((Double(dimension) * min(factor, 2)))
    if problems.isEmpty, rotated < 2 || rotated > dimension || rotated % 2 != 0 {
      problems.append(
        .malformed(
          key: given.first?.name ?? key, found: "\(factor)",
          expected: "a part of head_dim (\(dimension)) that is an even number of dimensions"))
    }
    return rotated
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
      (layer + 1) % interval == 0 ? .attention : .deltaRule
    }
    guard let types = json["layer_types"], !types.isNull else { return byInterval }
    guard let elements = types.elements, elements.count == count else {
      problems.append(
        .malformed(
          key: "layer_types", found: types.elements.map { "a list of \($0.count)" } ?? types.summary,
          expected: "a list of num_hidden_layers (\(count))"))
      return byInterval
    }
    let kinds = elements.enumerated().map { index, type -> ModelConfiguration.LayerKind in
      if let kind = ModelConfiguration.LayerKind.allCases.first(where: { type == .string($0.configName) }) {
        return kind
      }
      refuse(
        "layer_types[\(index)]", type, ModelConfiguration.LayerKind.allCases.map(\.configName).joined(separator: ", "))
      return .attention
    }
    if let given = json["full_attention_interval"], !given.isNull, kinds != byInterval, problems.isEmpty {
      conflict("full_attention_interval", given, "layer_types", types)
    }
    return kinds
  }
}

extension ModelConfiguration.LayerKind {
  /// Its name in `layer_types`.
  var configName: String {
    switch self {
    case .attention: "full_attention"
    case .deltaRule: "linear_attention"
    }
  }
}

// MARK: - Writing

extension CheckpointConfiguration {
  var hybridMembers: [JSON.Member] {
    guard let heads = model.deltaHeads else { return [] }
    var rotary: [JSON.Member] = [
      .init("partial_rotary_factor", .double(rotaryFactor)), .init("rope_theta", .float(model.ropeTheta)),
    ]
    rotary += model.ropeScaling?.json.members ?? [.init("rope_type", "default")]
    return [
      .init("attn_output_gate", true),
      .init("layer_types", .array(model.layerKinds.map { .string($0.configName) })),
      .init("linear_conv_kernel_dim", .int(DeltaHeads.convolutionTaps)),
      .init("linear_key_head_dim", .int(heads.keyDimension)), .init("linear_num_key_heads", .int(heads.key)),
      .init("linear_num_value_heads", .int(heads.value)), .init("linear_value_head_dim", .int(heads.valueDimension)),
      .init("rope_parameters", .object(rotary)),
    ]
  }

  /// The factor that gives the number of rotated dimensions when their product is cut to an integer.
  private var rotaryFactor: Double {
    let factor = Double(model.rotatedDimension) / Double(model.headDimension)
    return Int(Double(model.headDimension) * factor) == model.rotatedDimension ? factor : factor.nextUp
  }
}
