// RotaryKeys: what a config.json says about rotary positions, in whichever of its places.
//
// Up to transformers 4 the keys are rope_theta and rope_scaling; from 5 on, both are inside rope_parameters. Files with
// both are common, because tools add the one they know to the one that is there. transformers 5 takes rope_scaling, if
// it is not empty, instead of rope_parameters. Here that is done where rope_parameters says nothing else; where the two
// say different things, the file is refused.
//
// In Gemma 3 and OLMo 3, layers with a window have positions of their own. There, rope_parameters has an object for
// each type of layer, and the older keys are those of the layers without a window.
//
// Source: transformers 5.24, modeling_rope_utils.py, `convert_rope_params_to_dict`, also of Gemma3TextConfig and
// Olmo3Config.

import Base
import Tensors

/// One of the two objects.
private struct RotaryObject {
  var key: String
  var json: JSON

  func name(_ member: String) -> String { "\(key).\(member)" }

  /// A member; nil if it is missing or null.
  subscript(_ member: String) -> JSON? { json[member].flatMap { $0.isNull ? nil : $0 } }

  var type: JSON { self["rope_type"] ?? self["type"] ?? "default" }

  /// The name that transformers 5 has for the type: Phi-3's first files have older ones.
  func type(of family: ModelConfiguration.Family?) -> JSON {
    family == .phi3 && ["su", "yarn"].contains(type) ? "longrope" : type
  }
}

/// Layers that have positions of their own.
private enum RotaryLayers: String {
  case whole = "full_attention"
  case windowed = "sliding_attention"
}

extension ModelConfiguration.Family {
  /// Whether layers with a window have positions of their own.
  var hasTwoRotaries: Bool { self == .gemma3 || self == .olmo3 }
}

extension ConfigurationReader {
  /// transformers' default.
  private func thetaDefault(_ layers: RotaryLayers?) -> Double {
    switch family {
    case .smolLM3: 2_000_000
    case .olmo3: olmo3Theta
    case .gemma3: layers == .whole ? 1_000_000 : 10_000
    default: 10_000
    }
  }

  private var olmo3Theta: Double { 500_000 }

  /// The older key of the base of the frequencies.
  private func thetaKey(_ layers: RotaryLayers?) -> String {
    family == .gemma3 && layers == .windowed ? "rope_local_base_freq" : "rope_theta"
  }

  /// - Returns: the positions of the layers, and those of layers with a window where they are others.
  mutating func rotary(
    maxPositions: Int
  ) -> (whole: ModelConfiguration.Rotary, window: ModelConfiguration.Rotary?) {
    guard family?.hasTwoRotaries == true else { return (rotary(of: nil, maxPositions: maxPositions), nil) }
    checkTypesOfLayers()
    let whole = rotary(of: .whole, maxPositions: maxPositions)
    let window = rotary(of: .windowed, maxPositions: maxPositions)
    return (whole, window == whole ? nil : window)
  }

  private mutating func rotary(of layers: RotaryLayers?, maxPositions: Int) -> ModelConfiguration.Rotary {
    let older = layers == .windowed ? nil : rotaryObject("rope_scaling")
    let newer = rotaryObject("rope_parameters", of: layers)
    let theta = rotaryTheta(older, newer, layers)
    let scaling = older.flatMap { rotaryScaling($0, maxPositions: maxPositions) }
    guard let newer else { return .init(theta: theta, scaling: scaling) }
    let newerScaling = rotaryScaling(newer, maxPositions: maxPositions)
    guard let older else { return .init(theta: theta, scaling: newerScaling) }
    if newer.type != "default", problems.isEmpty, scaling != newerScaling {
      conflict(older.key, older.type, newer.key, newer.type, note: "with other values")
    }
    return .init(theta: theta, scaling: scaling)
  }

  /// What two programs could read differently of the positions of layers with a window.
  private mutating func checkTypesOfLayers() {
    let types = [RotaryLayers.whole, .windowed].map(\.rawValue)
    let parameters = json["rope_parameters"]
    if let stray = parameters?.members?.first(where: { !types.contains($0.key) }) {
      problems.append(
        .malformed(
          key: "rope_parameters", found: "an object with \(stray.key)",
          expected: "an object for each of \(types.joined(separator: ", "))"))
    }
    let windowed = parameters?[RotaryLayers.windowed.rawValue]
    if let scaling = windowed?["rope_type"], !scaling.isNull, scaling != "default" {
      refuse("rope_parameters.\(RotaryLayers.windowed.rawValue).rope_type", scaling, "default")
    }
    // transformers 4 gives rope_theta to all layers, 5 does not give it to those with a window.
    if family == .olmo3, windowed?["rope_theta"] == nil, let theta = json["rope_theta"], !theta.isNull,
      theta.double != olmo3Theta
    {
      refuse("rope_theta", theta, "\(Int(olmo3Theta)), or one for each type of layer in rope_parameters")
    }
  }

  /// nil if the key is missing, null, or an empty object.
  private mutating func rotaryObject(_ key: String, of layers: RotaryLayers? = nil) -> RotaryObject? {
    guard var json = json[key], !json.isNull else { return nil }
    var key = key
    if let layers {
      guard let part = json[layers.rawValue], !part.isNull else { return nil }
      json = part
      key += "." + layers.rawValue
    }
    guard let members = json.members else {
      problems.append(.malformed(key: key, found: json.summary, expected: "an object or null"))
      return nil
    }
    let object = RotaryObject(key: key, json: json)
    if let type = object["type"], let newer = object["rope_type"], type != newer {
      conflict(object.name("type"), type, object.name("rope_type"), newer)
    }
    return members.isEmpty ? nil : object
  }

  private mutating func rotaryTheta(_ older: RotaryObject?, _ newer: RotaryObject?, _ layers: RotaryLayers?) -> Float {
    let (outerKey, key, usual) = (thetaKey(layers), "rope_theta", thetaDefault(layers))
    var given = [
      (outerKey, json[outerKey].flatMap { $0.isNull ? nil : $0 }), (older?.name(key) ?? "", older?[key]),
      (newer?.name(key) ?? "", newer?[key]),
    ].compactMap { name, value in value.map { (name: name, value: $0) } }
    // transformers 5 does not look into rope_parameters for it if there is a rope_scaling.
    if layers == nil, older != nil, given.count == 1, newer?[key] != nil {
      given.insert(("the default of rope_theta beside rope_scaling", .double(usual)), at: 0)
    }
    guard let first = given.first else { return Float(usual) }
    for other in given.dropFirst() where other.value.double != first.value.double {
      conflict(first.name, first.value, other.name, other.value)
    }
    return Float(positive(first.name, value: first.value))
  }

  /// The members that each type reads; what else an object has is refused. `finetuned` is in the files of the first
  /// YaRN models; no program reads it.
  private static let membersOfAll = ["rope_type", "type", "rope_theta", "partial_rotary_factor", "finetuned"]
  private static let members: [(type: String, members: [String])] = [
    ("default", []),
    ("linear", ["factor"]),
    ("dynamic", ["factor"]),
    ("llama3", ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]),
    (
      "yarn",
      [
        "factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale",
        "mscale_all_dim", "truncate",
      ]
    ),
    ("longrope", ["factor", "original_max_position_embeddings", "attention_factor", "short_factor", "long_factor"]),
  ]

  /// Members that a family has in addition, for all types. Those of Qwen3.5 and Ministral's second one have no effect
  /// on text; its last one is where its query scaling begins to grow.
  private var membersOfFamily: [String] {
    switch family {
    case .qwen35: ["mrope_section", "mrope_interleaved"]
    case .ministral3: ["llama_4_scaling_beta", "max_position_embeddings", "original_max_position_embeddings"]
    default: []
    }
  }

  /// transformers refuses the other types for Phi-3.
  private var knownTypes: [(type: String, members: [String])] {
    Self.members.filter { family != .phi3 || ["default", "longrope"].contains($0.type) }
  }

  private mutating func rotaryScaling(_ rope: RotaryObject, maxPositions: Int) -> RotaryScaling? {
    if family.flatMap(partOfRotary) == nil, let part = rope["partial_rotary_factor"], part.double != 1 {
      refuse(rope.name("partial_rotary_factor"), part, "1")
    }
    guard let known = knownTypes.first(where: { rope.type(of: family) == .string($0.type) }) else {
      refuse(rope.name("rope_type"), rope.type, knownTypes.map(\.type).joined(separator: ", "))
      return nil
    }
    let strange = (rope.json.members ?? []).filter {
      !$0.value.isNull && !(Self.membersOfAll + known.members + membersOfFamily).contains($0.key)
    }
    for member in strange {
      let expected =
        member.value.members == nil ? "no such key for rope_type \(known.type)" : "the same positions in all layers"
      refuse(rope.name(member.key), member.value, expected)
    }
    guard strange.isEmpty else { return nil }
    return switch known.type {
    case "llama3": .llama3(llama3(rope, maxPositions: maxPositions))
    case "yarn": .yarn(yarn(rope, maxPositions: maxPositions))
    case "linear": .linear(factor: positive(rope.name("factor"), value: rope["factor"]))
    case "dynamic": .dynamic(factor: positive(rope.name("factor"), value: rope["factor"]))
    case "longrope": .longRoPE(longRoPE(rope, maxPositions: maxPositions))
    default: nil
    }
  }

  private mutating func longRoPE(_ rope: RotaryObject, maxPositions: Int) -> LongRoPEScaling {
    func factors(_ member: String) -> [Double] {
      let name = rope.name(member)
      guard let list = rope[member]?.elements, !list.isEmpty else {
        problems.append(
          .malformed(key: name, found: rope[member]?.summary ?? "missing", expected: "a list of numbers above 0"))
        return [1]
      }
      return list.enumerated().map { index, value in positive("\(name)[\(index)]", value: value) }
    }
    let scaling = LongRoPEScaling(
      shortFactors: factors("short_factor"), longFactors: factors("long_factor"),
      originalMaxPositions: originalPositions(rope, maxPositions: maxPositions), longMaxPositions: maxPositions,
      factor: rope["factor"].map { positive(rope.name("factor"), value: $0) },
      attentionFactor: rope["attention_factor"].map { positive(rope.name("attention_factor"), value: $0) })
    if !Float(scaling.attentionFactor).isFinite {
      problems.append(
        .malformed(
          key: rope.name("original_max_position_embeddings"), found: "\(scaling.originalMaxPositions)",
          expected: "a context of at least 2 tokens"))
    }
    return scaling
  }

  private mutating func llama3(_ rope: RotaryObject, maxPositions: Int) -> Llama3Scaling {
    Llama3Scaling(
      factor: positive(rope.name("factor"), value: rope["factor"]),
      lowFrequencyFactor: positive(rope.name("low_freq_factor"), value: rope["low_freq_factor"]),
      highFrequencyFactor: positive(rope.name("high_freq_factor"), value: rope["high_freq_factor"]),
      originalMaxPositions: originalPositions(rope, maxPositions: maxPositions))
  }

  private mutating func yarn(_ rope: RotaryObject, maxPositions: Int) -> YaRNScaling {
    /// nil if it is missing, null or 0: transformers then uses its default.
    func optional(_ member: String) -> Double? {
      guard let value = rope[member], value.double != 0 else { return nil }
      return positive(rope.name(member), value: value)
    }
    let scales = optional("mscale").flatMap { each in optional("mscale_all_dim").map { (each: each, all: $0) } }
    return YaRNScaling(
      factor: positive(rope.name("factor"), value: rope["factor"]),
      originalMaxPositions: originalPositions(rope, maxPositions: maxPositions),
      betaFast: optional("beta_fast") ?? 32, betaSlow: optional("beta_slow") ?? 1,
      attentionFactor: rope["attention_factor"].map { positive(rope.name("attention_factor"), value: $0) },
      scales: scales, truncates: flag(rope.name("truncate"), value: rope["truncate"], default: true))
  }

  /// The length of the texts that the model learned from. Some files have it beside the object.
  private mutating func originalPositions(_ rope: RotaryObject, maxPositions: Int) -> Int {
    let key = "original_max_position_embeddings"
    // transformers gives Phi-3's key its default beside the object, and that one counts.
    let outer = json[key].flatMap { $0.isNull ? nil : $0 } ?? (family == .phi3 ? 4096 : nil)
    if let inner = rope[key], let outer, inner.double != outer.double {
      conflict(key, outer, rope.name(key), inner)
    }
    return size(rope.name(key), value: rope[key] ?? outer, max: Self.positionsMax, default: maxPositions)
  }
}

// MARK: - Parts of heads, and what grows with the position

extension ConfigurationReader {
  /// Which part of a head a family rotates where its files say nothing; nil if it always rotates whole heads.
  func partOfRotary(_ family: ModelConfiguration.Family) -> Double? {
    switch family {
    case .qwen35: 0.25
    case .phi3: 1
    default: nil
    }
  }

  /// How many of a head's dimensions are rotated.
  mutating func rotatedDimension(of dimension: Int, usual: Double) -> Int {
    let key = "partial_rotary_factor"
    let given = [
      (key, json[key]), ("rope_parameters.\(key)", json["rope_parameters"]?[key]),
      ("rope_scaling.\(key)", json["rope_scaling"]?[key]),
    ].compactMap { name, value in value.flatMap { $0.isNull ? nil : (name: name, value: $0) } }
    for other in given.dropFirst() where other.value.double != given[0].value.double {
      conflict(given[0].name, given[0].value, other.name, other.value)
    }
    let factor = positive(given.first?.name ?? key, value: given.first?.value, default: usual)
    let rotated = Int((Double(dimension) * min(factor, 2)))
    if problems.isEmpty, rotated < 2 || rotated > dimension || rotated % 2 != 0 {
      problems.append(
        .malformed(
          key: given.first?.name ?? key, found: "\(factor)",
          expected: "a part of head_dim (\(dimension)) that is an even number of dimensions"))
    }
    return rotated
  }

  /// Ministral 3's queries grow with their position.
  mutating func queryScaling(_ family: ModelConfiguration.Family, maxPositions: Int) -> QueryScaling? {
    guard family == .ministral3 else { return nil }
    let key = "llama_4_scaling_beta"
    guard let rope = rotaryObject("rope_scaling") ?? rotaryObject("rope_parameters"), let beta = rope[key] else {
      problems.append(
        .malformed(key: "rope_parameters.\(key)", found: "missing", expected: "a number, as in every Ministral 3"))
      return nil
    }
    guard let number = beta.double, number >= 0, number < 1e6 else {
      problems.append(.malformed(key: rope.name(key), found: beta.summary, expected: "a number from 0"))
      return nil
    }
    return QueryScaling(beta: number, originalMaxPositions: originalPositions(rope, maxPositions: maxPositions))
  }

  /// The lists of longrope must fit the heads. Its model has positions for texts with the first list only.
  mutating func limitPositions(_ model: inout ModelConfiguration) {
    guard case .longRoPE(let scaling) = model.ropeScaling else { return }
    for (member, factors) in [("short_factor", scaling.shortFactors), ("long_factor", scaling.longFactors)]
    where problems.isEmpty && factors.count != model.rotatedDimension / 2 {
      problems.append(
        .malformed(
          key: "rope_scaling.\(member)", found: "a list of \(factors.count)",
          expected: "one number for each of the \(model.rotatedDimension / 2) pairs of rotated dimensions"))
    }
    model.maxPositions = min(model.maxPositions, scaling.originalMaxPositions)
  }
}

// MARK: - Writing

extension CheckpointConfiguration {
  /// The keys of rotary positions: in the older form, except for families that came with transformers 5.
  var rotaryMembers: [JSON.Member] {
    var inner = model.ropeScaling?.members ?? [.init("rope_type", "default")]
    switch model.family {
    case .qwen35:
      inner += [.init("partial_rotary_factor", .double(rotaryFactor)), .init("rope_theta", .float(model.ropeTheta))]
      return [.init("rope_parameters", .object(inner))]
    case .ministral3:
      inner.append(.init("rope_theta", .float(model.ropeTheta)))
      if let scaling = model.queryScaling {
        let original = "original_max_position_embeddings"
        inner.append(.init("llama_4_scaling_beta", .double(scaling.beta)))
        if !inner.contains(where: { $0.key == original }) {
          inner.append(.init(original, .int(scaling.originalMaxPositions)))
        }
      }
      return [.init("rope_parameters", .object(inner))]
    case .olmo3 where model.ropeTheta != 500_000 || (model.windowRotary?.theta ?? model.ropeTheta) != 500_000:
      // The older form cannot say it.
      let window: JSON = ["rope_theta": .float(model.windowRotary?.theta ?? model.ropeTheta), "rope_type": "default"]
      inner.append(.init("rope_theta", .float(model.ropeTheta)))
      return [.init("rope_parameters", ["full_attention": .object(inner), "sliding_attention": window])]
    default: break
    }
    var members: [JSON.Member] = [
      .init("rope_scaling", model.ropeScaling.map { .object($0.members) } ?? .null),
      .init("rope_theta", .float(model.ropeTheta)),
    ]
    if model.family == .gemma3 {
      members.append(.init("rope_local_base_freq", .float(model.windowRotary?.theta ?? model.ropeTheta)))
    }
    if model.rotatedDimension != model.headDimension {
      members.append(.init("partial_rotary_factor", .double(rotaryFactor)))
    }
    if case .longRoPE(let scaling) = model.ropeScaling {
      members.append(.init("original_max_position_embeddings", .int(scaling.originalMaxPositions)))
    }
    return members
  }

  /// max_position_embeddings. The context of longrope is longer in files than here.
  var writtenPositions: Int {
    if case .longRoPE(let scaling) = model.ropeScaling { return scaling.longMaxPositions }
    return model.maxPositions
  }

  /// The factor that gives the number of rotated dimensions when their product is cut to an integer.
  private var rotaryFactor: Double {
    let factor = Double(model.rotatedDimension) / Double(model.headDimension)
    return Int(Double(model.headDimension) * factor) == model.rotatedDimension ? factor : factor.nextUp
  }
}

extension RotaryScaling {
  /// The members of the object that means this.
  var members: [JSON.Member] {
    switch self {
    case .linear(let factor): return [.init("factor", .double(factor)), .init("rope_type", "linear")]
    case .dynamic(let factor): return [.init("factor", .double(factor)), .init("rope_type", "dynamic")]
    case .longRoPE(let scaling):
      // Versions before 4.52 open Phi-3's files with these three members only, and call the last one so.
      var members: [JSON.Member] = [
        .init("long_factor", .array(scaling.longFactors.map { .double($0) })),
        .init("short_factor", .array(scaling.shortFactors.map { .double($0) })), .init("type", "longrope"),
      ]
      if scaling.attentionFactor != scaling.usualAttentionFactor {
        members.append(.init("attention_factor", .double(scaling.attentionFactor)))
      }
      return members
    case .llama3(let scaling):
      return [
        .init("factor", .double(scaling.factor)), .init("high_freq_factor", .double(scaling.highFrequencyFactor)),
        .init("low_freq_factor", .double(scaling.lowFrequencyFactor)),
        .init("original_max_position_embeddings", .int(scaling.originalMaxPositions)), .init("rope_type", "llama3"),
      ]
    case .yarn(let scaling):
      var members: [JSON.Member] = [
        .init("attention_factor", .double(scaling.attentionFactor)), .init("beta_fast", .double(scaling.betaFast)),
        .init("beta_slow", .double(scaling.betaSlow)), .init("factor", .double(scaling.factor)),
        .init("original_max_position_embeddings", .int(scaling.originalMaxPositions)), .init("rope_type", "yarn"),
      ]
      // Versions before 4.56 do not know the key, and always do what it means if it is missing.
      if !scaling.truncates { members.append(.init("truncate", false)) }
      return members
    }
  }
}
