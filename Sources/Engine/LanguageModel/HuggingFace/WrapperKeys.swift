// WrapperKeys: the language model inside a model that sees pictures.
//
// config.json then describes the whole, and the language model inside it as text_config. ttrl uses the language model.
// What is written is the language model alone, which transformers opens without the rest. Keys of the whole that the
// language model also has must say the same.
//
// Three positions for pictures (mrope_section) are one position where there is only text, so those keys have no effect.
//
// Source: transformers 5.24, configuration_qwen3_5.py, configuration_mistral3.py and configuration_gemma3.py.

import Base

/// A model that sees pictures, and the language models that can be inside it.
private struct Wrapper {
  var architecture: String
  var type: String
  /// The first one is meant where text_config does not name its type.
  var families: [ModelConfiguration.Family]
  /// Keys of which that of the whole counts: transformers writes their defaults into text_config.
  var keysOfWhole: [String] = []

  static let all = [
    Wrapper(architecture: "Qwen3_5ForConditionalGeneration", type: "qwen3_5", families: [.qwen35]),
    Wrapper(architecture: "Mistral3ForConditionalGeneration", type: "mistral3", families: [.mistral, .ministral3]),
    Wrapper(
      architecture: "Gemma3ForConditionalGeneration", type: "gemma3", families: [.gemma3],
      keysOfWhole: ["bos_token_id", "eos_token_id"]),
  ]
}

extension ConfigurationReader {
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
    let wrapper = Wrapper.all.first { names.contains($0.architecture) || names.isEmpty && type == $0.type }
    guard let wrapper else { return true }
    if let type, type != wrapper.type {
      conflict("model_type", .string(type), "architectures", .string(wrapper.architecture))
    }
    guard let text = json["text_config"], let inner = text.members else {
      problems.append(
        .malformed(
          key: "text_config", found: json["text_config"]?.summary ?? "missing",
          expected: "an object: the language model of \(wrapper.architecture)"))
      return false
    }
    let innerType = text["model_type"].flatMap { $0.isNull ? nil : $0 }
    guard
      let family = innerType.map({ type in wrapper.families.first { type == .string($0.rawValue) } })
        ?? wrapper.families.first
    else {
      refuse(
        "text_config.model_type", innerType ?? .null, wrapper.families.map(\.rawValue).joined(separator: ", "))
      return false
    }
    var members = inner.filter { $0.key != "architectures" }
    members.append(JSON.Member("architectures", [.string(family.architecture)]))
    for key in Self.sharedKeys {
      guard let outer = json[key], !outer.isNull else { continue }
      guard let own = text[key], !own.isNull, !wrapper.keysOfWhole.contains(key) else {
        members = members.filter { $0.key != key } + [JSON.Member(key, outer)]
        continue
      }
      if own != outer { conflict(key, outer, "text_config.\(key)", own) }
    }
    json = .object(members)
    return true
  }
}
