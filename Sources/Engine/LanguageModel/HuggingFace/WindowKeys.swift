// WindowKeys: which layers of a model see a window of positions only, and which do not know the distance (NoPE).
//
// Each family has its own way to say it: a window in all layers (Mistral, Phi-3, Ministral 3), a switch and the first
// layer that has one (Qwen2, Qwen3), a list of layer types (Ministral 8B, and what transformers writes for most), an
// interval of layers without one (Gemma 3, OLMo 3), a list of layers without rotary positions (SmolLM3). Where two of
// them say different things, the file is refused.
// Not here: Qwen3.5's layers (HybridKeys.swift).
//
// Source: the configuration classes of transformers 5.24; their defaults are used where a key is missing.

import Base

// MARK: - Reading

extension ConfigurationReader {
  typealias LayerKind = ModelConfiguration.LayerKind

  mutating func layerKinds(_ family: ModelConfiguration.Family, _ model: ModelConfiguration) -> [LayerKind] {
    let rotated = rotatedLayers(family, model.layerCount)
    let windows = windows(family, rotated)
    return zip(windows, rotated).map { .attention(.init(window: $0, isRotated: $1)) }
  }

  /// The window of each layer; nil where a layer has none.
  private mutating func windows(_ family: ModelConfiguration.Family, _ rotated: [Bool]) -> [Int?] {
    let count = rotated.count
    switch family {
    case .mistral, .phi3, .ministral3:
      // Without the key, transformers uses 4096 for a Mistral model.
      let window = window(default: family == .mistral ? 4096 : nil)
      if let window, json["use_sliding_window"] == false {
        conflict("use_sliding_window", false, "sliding_window", .int(window))
      }
      return layerTypes(count, window: window, agree: Array(repeating: window, count: count))
    case .ministral:
      let window = window(default: 4096)
      return layerTypes(count, window: window) ?? Array(repeating: window, count: count)
    case .qwen2, .qwen3:
      let window = flag("use_sliding_window") ? window(default: 4096) : nil
      let (key, usual) = ("max_window_layers", 28)
      let first = natural(key, default: usual)
      let byNumber = (0..<count).map { $0 >= first ? window : nil }
      guard let byType = layerTypes(count, window: window) else { return byNumber }
      // transformers writes its default beside every list.
      if first != usual, byType != byNumber { conflict(key, .int(first), "layer_types", json["layer_types"] ?? .null) }
      return byType
    case .smolLM3:
      let window = flag("use_sliding_window") ? window(default: nil) : nil
      return layerTypes(count, window: window) ?? rotated.map { $0 ? nil : window }
    case .gemma3, .olmo3:
      let window = window(default: 4096)
      let key = "sliding_window_pattern"
      let interval = family == .gemma3 ? size(key, max: Self.widthMax, default: 6) : 4
      let byInterval = (0..<count).map { ($0 + 1) % interval == 0 ? nil : window }
      guard let byType = layerTypes(count, window: window) else { return byInterval }
      if family == .gemma3, let given = json[key], !given.isNull, byType != byInterval, problems.isEmpty {
        conflict(key, given, "layer_types", json["layer_types"] ?? .null)
      }
      return byType
    case .llama, .qwen35, .granite, .olmo2:
      if flag("use_sliding_window") { refuse("use_sliding_window", true, "false: this family has no windows") }
      return layerTypes(count, window: nil) ?? Array(repeating: nil, count: count)
    }
  }

  private mutating func window(default usual: Int?) -> Int? {
    guard let value = json["sliding_window"] else { return usual }
    return value.isNull ? nil : size("sliding_window", max: Self.positionsMax)
  }

  private mutating func natural(_ key: String, default usual: Int) -> Int {
    guard let value = json[key], !value.isNull else { return usual }
    if let number = value.int, number >= 0 { return number }
    problems.append(.malformed(key: key, found: value.summary, expected: "an integer from 0"))
    return usual
  }

  /// layer_types, one for each layer; nil if there is no such key, or it is not such a list.
  mutating func layerTypes(_ count: Int) -> [JSON]? {
    guard let types = json["layer_types"], !types.isNull else { return nil }
    if let elements = types.elements, elements.count == count { return elements }
    problems.append(
      .malformed(
        key: "layer_types", found: types.elements.map { "a list of \($0.count)" } ?? types.summary,
        expected: "a list of num_hidden_layers (\(count))"))
    return nil
  }

  /// The windows that layer_types gives; nil if it gives none.
  private mutating func layerTypes(_ count: Int, window: Int?) -> [Int?]? {
    layerTypes(count)?.enumerated().map { index, type in
      switch type {
      case "full_attention": return nil
      case "sliding_attention" where window != nil: return window
      default:
        refuse("layer_types[\(index)]", type, window == nil ? "full_attention" : "full_attention, sliding_attention")
        return nil
      }
    }
  }

  /// `windows`, with which layer_types, which the family does not have, must agree.
  private mutating func layerTypes(_ count: Int, window: Int?, agree windows: [Int?]) -> [Int?] {
    if let types = layerTypes(count, window: window), types != windows, problems.isEmpty {
      conflict("sliding_window", window.map { .int($0) } ?? .null, "layer_types", json["layer_types"] ?? .null)
    }
    return windows
  }

  /// Whether each layer has rotary positions.
  private mutating func rotatedLayers(_ family: ModelConfiguration.Family, _ count: Int) -> [Bool] {
    guard family == .smolLM3 else { return Array(repeating: true, count: count) }
    let (key, usual) = ("no_rope_layer_interval", 4)
    let interval = size(key, max: Self.widthMax, default: usual)
    let byInterval = (0..<count).map { ($0 + 1) % interval != 0 }
    guard let list = json["no_rope_layers"], !list.isNull else { return byInterval }
    let layers = list.elements?.map(\.int) ?? []
    guard layers.count == count, layers.allSatisfy({ $0 == 0 || $0 == 1 }) else {
      problems.append(
        .malformed(
          key: "no_rope_layers", found: list.elements.map { "a list of \($0.count)" } ?? list.summary,
          expected: "a list of num_hidden_layers (\(count)): 1 with rotary positions, 0 without"))
      return byInterval
    }
    let rotated = layers.map { $0 == 1 }
    // transformers writes its default beside every list.
    if interval != usual, rotated != byInterval { conflict(key, .int(interval), "no_rope_layers", list) }
    return rotated
  }
}

// MARK: - Writing

extension CheckpointConfiguration {
  /// The keys from which `layerKinds` are read again.
  var layerMembers: [JSON.Member] {
    let reaches = model.layerKinds.compactMap { kind in
      if case .attention(let reach) = kind { reach } else { nil }
    }
    let window = reaches.compactMap(\.window).first
    var members: [JSON.Member] = [.init("sliding_window", window.map { .int($0) } ?? .null)]
    let types = JSON.Member("layer_types", .array(model.layerKinds.map { .string($0.configName) }))
    switch model.family {
    case .mistral, .phi3, .ministral3: break
    case .ministral, .olmo3: members.append(types)
    case .gemma3:
      members.append(types)
      // Versions that do not know layer_types go by the interval.
      let interval = (1...model.layerCount + 1).first { interval in
        reaches.indices.allSatisfy { (($0 + 1) % interval == 0) == (reaches[$0].window == nil) }
      }
      if let interval { members.append(.init("sliding_window_pattern", .int(interval))) }
    case .smolLM3:
      members += [
        .init("no_rope_layers", .array(reaches.map { .int($0.isRotated ? 1 : 0) })), types,
        .init("use_sliding_window", .bool(window != nil)),
      ]
    case .llama, .qwen2, .qwen3, .qwen35, .granite, .olmo2:
      members.append(.init("use_sliding_window", .bool(window != nil)))
      guard window != nil else { break }
      // Versions that do not know layer_types go by the first layer with a window.
      let first = reaches.firstIndex { $0.window != nil } ?? 0
      let isSuffix = reaches[first...].allSatisfy { $0.window != nil }
      members += [types] + (isSuffix ? [.init("max_window_layers", .int(first))] : [])
    }
    return members
  }
}
