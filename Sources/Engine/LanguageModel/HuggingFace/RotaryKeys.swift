// RotaryKeys: what a config.json says about rotary positions, in whichever of its places.
//
// Up to transformers 4 the keys are rope_theta and rope_scaling; from 5 on, both are inside rope_parameters. Files with
// both are common, because tools add the one they know to the one that is there. transformers 5 takes rope_scaling, if
// it is not empty, instead of rope_parameters. Here that is done where rope_parameters says nothing else; where the two
// say different things, the file is refused.
//
// Source: transformers 5.24, modeling_rope_utils.py, `convert_rope_params_to_dict`.

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
}

extension ConfigurationReader {
  /// transformers' default, for all families.
  private static let thetaDefault = 10000.0

  mutating func rotary(maxPositions: Int) -> (theta: Float, scaling: RotaryScaling?) {
    let (older, newer) = (rotaryObject("rope_scaling"), rotaryObject("rope_parameters"))
    let theta = rotaryTheta(older, newer)
    let scaling = older.flatMap { rotaryScaling($0, maxPositions: maxPositions) }
    guard let newer else { return (theta, scaling) }
    let newerScaling = rotaryScaling(newer, maxPositions: maxPositions)
    guard let older else { return (theta, newerScaling) }
    if newer.type != "default", problems.isEmpty, scaling != newerScaling {
      conflict(older.key, older.type, newer.key, newer.type, note: "with other values")
    }
    return (theta, scaling)
  }

  /// nil if the key is missing, null, or an empty object.
  private mutating func rotaryObject(_ key: String) -> RotaryObject? {
    guard let json = json[key], !json.isNull else { return nil }
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

  private mutating func rotaryTheta(_ older: RotaryObject?, _ newer: RotaryObject?) -> Float {
    let key = "rope_theta"
    var given = [
      (key, json[key].flatMap { $0.isNull ? nil : $0 }), (older?.name(key) ?? "", older?[key]),
      (newer?.name(key) ?? "", newer?[key]),
    ].compactMap { name, value in value.map { (name: name, value: $0) } }
    // transformers 5 does not look into rope_parameters for it if there is a rope_scaling.
    if older != nil, given.count == 1, newer?[key] != nil {
      given.insert(("the default of rope_theta beside rope_scaling", .double(Self.thetaDefault)), at: 0)
    }
    guard let first = given.first else { return Float(Self.thetaDefault) }
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
    ("llama3", ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]),
    (
      "yarn",
      [
        "factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale",
        "mscale_all_dim", "truncate",
      ]
    ),
  ]

  private mutating func rotaryScaling(_ rope: RotaryObject, maxPositions: Int) -> RotaryScaling? {
    if family != .qwen35, let part = rope["partial_rotary_factor"], part.double != 1 {
      refuse(rope.name("partial_rotary_factor"), part, "1")
    }
    guard let known = Self.members.first(where: { rope.type == .string($0.type) }) else {
      refuse(rope.name("rope_type"), rope.type, Self.members.map(\.type).joined(separator: ", "))
      return nil
    }
    let strange = (rope.json.members ?? []).filter {
      !$0.value.isNull && !(Self.membersOfAll + known.members + hybridRotaryMembers).contains($0.key)
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
    default: nil
    }
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
    let outer = json[key].flatMap { $0.isNull ? nil : $0 }
    if let inner = rope[key], let outer, inner.double != outer.double {
      conflict(key, outer, rope.name(key), inner)
    }
    return size(rope.name(key), value: rope[key] ?? outer, max: Self.positionsMax, default: maxPositions)
  }
}

// MARK: - Writing

extension RotaryScaling {
  /// The object that means this, for rope_scaling.
  var json: JSON {
    switch self {
    case .llama3(let scaling):
      return [
        "factor": .double(scaling.factor), "high_freq_factor": .double(scaling.highFrequencyFactor),
        "low_freq_factor": .double(scaling.lowFrequencyFactor),
        "original_max_position_embeddings": .int(scaling.originalMaxPositions), "rope_type": "llama3",
      ]
    case .yarn(let scaling):
      var members: [JSON.Member] = [
        .init("attention_factor", .double(scaling.attentionFactor)), .init("beta_fast", .double(scaling.betaFast)),
        .init("beta_slow", .double(scaling.betaSlow)), .init("factor", .double(scaling.factor)),
        .init("original_max_position_embeddings", .int(scaling.originalMaxPositions)), .init("rope_type", "yarn"),
      ]
      // Versions before 4.56 do not know the key, and always do what it means if it is missing.
      if !scaling.truncates { members.append(.init("truncate", false)) }
      return .object(members)
    }
  }
}
