// CheckpointConfiguration: config.json and generation_config.json of a Hugging Face model folder, read and written.
//
// A config.json can switch on many things that change the arithmetic. The supported ones become a ModelConfiguration.
// Any other that is switched on is refused by name, because a model that is computed slightly wrong looks like a model
// that learns badly. Two keys that say different things are refused too. Some keys changed with transformers 5:
// rope_theta and rope_scaling became rope_parameters, torch_dtype became dtype. Both forms are read. The older form is
// written, because every version can open it.
//
// Not here: the keys of rotary positions (RotaryKeys.swift), of blocks (BlockKeys.swift), which layers have windows
// (WindowKeys.swift), a model inside another one (WrapperKeys.swift), what only Qwen3.5 has (HybridKeys.swift), keys of
// other models (OtherArithmetic.swift), the weights (LoadPlan.swift), the tokenizer.

package import Base

/// How weights are stored in a file.
package enum WeightType: String, Sendable, CaseIterable {
  case float32 = "F32"
  case bfloat16 = "BF16"
  case float16 = "F16"

  package var byteCount: Int { self == .float32 ? 4 : 2 }

  /// Its name in config.json.
  package var configName: String {
    switch self {
    case .float32: "float32"
    case .bfloat16: "bfloat16"
    case .float16: "float16"
    }
  }
}

/// What a model folder says about its model, without the weights.
package struct CheckpointConfiguration: Sendable, Equatable {
  package var model: ModelConfiguration
  package var bosToken: Int32?
  /// Each of these ends a response. From generation_config.json if it names any, else from config.json.
  package var eosTokens: [Int32]
  /// How the weights are stored, according to config.json. What counts is each tensor's own header.
  package var weightType: WeightType?

  package init(model: ModelConfiguration, bosToken: Int32?, eosTokens: [Int32], weightType: WeightType?) {
    self.model = model
    self.bosToken = bosToken
    self.eosTokens = eosTokens
    self.weightType = weightType
  }
}

/// Why a config.json or generation_config.json cannot be used.
package enum ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
  case notJSON(file: String, JSONError)
  /// Everything that is wrong with each of the two files, in the order of reading.
  case problems(config: [Problem], generation: [Problem])

  package enum Problem: Equatable, Sendable {
    case unknownArchitecture(found: String, known: [String])
    case malformed(key: String, found: String, expected: String)
    case unsupported(key: String, found: String, supported: String)
    /// Two keys of one file say different things.
    case conflict(key: String, found: String, otherKey: String, otherFound: String)
  }

  package var description: String {
    switch self {
    case .notJSON(let file, let error): "\(file) is not JSON: \(error)"
    case .problems(let config, let generation):
      (config.map { "config.json: \($0)" } + generation.map { "generation_config.json: \($0)" })
        .map(\.visible).joined(separator: "\n")
    }
  }
}

extension ConfigurationError.Problem: CustomStringConvertible {
  package var description: String {
    switch self {
    case .unknownArchitecture(let found, let known):
      "the architecture is \(found), which ttrl does not know; known: \(known.joined(separator: ", "))"
    case .malformed(let key, let found, let expected): "\(key) is \(found), expected \(expected)"
    case .unsupported(let key, let found, let supported):
      "\(key) is \(found), which ttrl does not support; supported: \(supported)"
    case .conflict(let key, let found, let otherKey, let otherFound):
      "\(key) is \(found), but \(otherKey) is \(otherFound); remove the one that is wrong"
    }
  }
}

extension ModelConfiguration.Family {
  /// Its name in `architectures` of config.json.
  package var architecture: String {
    switch self {
    case .qwen2: "Qwen2ForCausalLM"
    case .llama: "LlamaForCausalLM"
    case .qwen3: "Qwen3ForCausalLM"
    case .mistral: "MistralForCausalLM"
    case .qwen35: "Qwen3_5ForCausalLM"
    case .phi3: "Phi3ForCausalLM"
    case .smolLM3: "SmolLM3ForCausalLM"
    case .ministral: "MinistralForCausalLM"
    case .ministral3: "Ministral3ForCausalLM"
    case .granite: "GraniteForCausalLM"
    case .olmo2: "Olmo2ForCausalLM"
    case .olmo3: "Olmo3ForCausalLM"
    case .gemma3: "Gemma3ForCausalLM"
    }
  }
}

// MARK: - Reading

extension CheckpointConfiguration {
  /// - Parameters:
  ///   - config: the bytes of config.json.
  ///   - generation: the bytes of generation_config.json, if there is one.
  /// - Throws: every problem of the files at once.
  package init(config: [UInt8], generation: [UInt8]? = nil) throws(ConfigurationError) {
    var reader = ConfigurationReader(try Self.parse(config, file: "config.json"))
    let model = reader.model()
    let weightType = reader.weightType()
    var other: ConfigurationReader?
    if let generation { other = ConfigurationReader(try Self.parse(generation, file: "generation_config.json")) }
    // What generation_config.json names counts, else what config.json names.
    func tokens(_ key: String) -> [Int32] {
      let named = other?.tokens(key, below: model?.vocabularySize) ?? []
      return named.isEmpty ? reader.tokens(key, below: model?.vocabularySize) : named
    }
    let (bos, eos) = (tokens("bos_token_id"), tokens("eos_token_id"))
    let problems = (config: reader.problems, generation: other?.problems ?? [])
    guard problems.config.isEmpty, problems.generation.isEmpty, let model else {
      throw .problems(config: problems.config, generation: problems.generation)
    }
    self.init(model: model, bosToken: bos.first, eosTokens: eos, weightType: weightType)
  }

  private static func parse(_ bytes: [UInt8], file: String) throws(ConfigurationError) -> JSON {
    do { return try JSON.parse(bytes) } catch { throw .notJSON(file: file, error) }
  }
}

/// Reads keys and collects their problems. A bad value is replaced by a harmless one, so that reading can continue.
struct ConfigurationReader {
  var json: JSON
  private(set) var family: ModelConfiguration.Family?
  var problems: [ConfigurationError.Problem] = []

  /// Limits far above any model. Together they keep the number of parameters within 64 bits.
  private static let vocabularyMax = 1 << 22
  static let widthMax = 1 << 20
  private static let layersMax = 1 << 10
  static let positionsMax = 1 << 30

  init(_ json: JSON) { self.json = json }

  mutating func model() -> ModelConfiguration? {
    guard json.members != nil else {
      problems.append(.malformed(key: "the file", found: json.summary, expected: "an object"))
      return nil
    }
    guard unwrapText() else { return nil }
    guard let family = readFamily() else { return nil }
    self.family = family
    refuseOtherArithmetic(family)
    let hidden = size("hidden_size", max: Self.widthMax)
    let heads = size("num_attention_heads", max: Self.widthMax)
    let maxPositions = size("max_position_embeddings", max: Self.positionsMax)
    let rotary = rotary(maxPositions: maxPositions)
    var model = ModelConfiguration(
      family: family,
      vocabularySize: size("vocab_size", max: Self.vocabularyMax),
      hiddenSize: hidden,
      feedForwardSize: size("intermediate_size", max: Self.widthMax),
      layerCount: size("num_hidden_layers", max: Self.layersMax),
      headCount: heads,
      keyValueHeadCount: size(
        "num_key_value_heads", max: Self.widthMax, default: family.sizeDefault("num_key_value_heads", heads: heads)),
      headDimension: headDimension(family, hidden: hidden, heads: heads),
      normEpsilon: Float(positive("rms_norm_eps", default: family.normEpsilonDefault)),
      ropeTheta: rotary.whole.theta,
      ropeScaling: rotary.whole.scaling,
      maxPositions: maxPositions,
      hasTiedEmbeddings: flag(
        "tie_word_embeddings", value: json["tie_word_embeddings"], default: family.hasTiedEmbeddingsByDefault),
      hasAttentionBias: family == .qwen2)
    model.windowRotary = rotary.window
    readBlocks(&model)
    if family == .qwen35 {
      readHybrid(&model)
    } else {
      model.layerKinds = layerKinds(family, model)
    }
    if let part = partOfRotary(family) {
      model.rotatedDimension = rotatedDimension(of: model.headDimension, usual: part)
    }
    model.queryScaling = queryScaling(family, maxPositions: maxPositions)
    limitPositions(&model)
    checkHeads(model)
    return model
  }

  mutating func weightType() -> WeightType? {
    let given = ["dtype", "torch_dtype"].compactMap { key in
      json[key].flatMap { $0.isNull ? nil : (key: key, name: $0) }
    }
    let types = given.map { type in
      // Some versions wrote Python's name of the type, "torch.float32".
      WeightType.allCases.first {
        type.name == .string($0.configName) || type.name == .string("torch.\($0.configName)")
      }
    }
    for (given, type) in zip(given, types) where type == nil {
      refuse(given.key, given.name, "float32, bfloat16, float16")
    }
    if types.count == 2, types[0] != types[1], !types.contains(nil) {
      conflict(given[0].key, given[0].name, given[1].key, given[1].name)
    }
    return types.first ?? nil
  }

  /// A token id, a list of them, or nothing.
  mutating func tokens(_ key: String, below vocabulary: Int?) -> [Int32] {
    guard let value = json[key], !value.isNull else { return [] }
    let ids = (value.elements ?? [value]).map { $0.int.flatMap { $0 >= 0 ? Int32(exactly: $0) : nil } }
    if ids.contains(nil) {
      problems.append(.malformed(key: key, found: value.summary, expected: "a token id, a list of them, or null"))
    }
    // The vocabulary's size is compared only if it is known.
    if let vocabulary, vocabulary > 1, let stray = ids.compactMap({ $0 }).first(where: { Int($0) >= vocabulary }) {
      problems.append(
        .malformed(key: key, found: "\(stray)", expected: "a token of the vocabulary, 0 to \(vocabulary - 1)"))
    }
    return ids.compactMap { $0 }
  }
}

// MARK: - The parts of a configuration

extension ConfigurationReader {
  private mutating func readFamily() -> ModelConfiguration.Family? {
    let families = ModelConfiguration.Family.allCases
    let names = (json["architectures"]?.elements ?? []).compactMap(\.string)
    // A folder that was written by hand can have the model type only.
    let type = json["model_type"]?.string
    if let found = families.first(where: { names.contains($0.architecture) || names.isEmpty && type == $0.rawValue }) {
      // transformers goes by the type, other programs by the architecture.
      if let type, type != found.rawValue {
        conflict("model_type", .string(type), "architectures", .string(found.architecture))
      }
      return found
    }
    let found = names.isEmpty ? type ?? "not named" : names.joined(separator: ", ")
    problems.append(.unknownArchitecture(found: found, known: families.map(\.architecture)))
    return nil
  }

  private mutating func headDimension(_ family: ModelConfiguration.Family, hidden: Int, heads: Int) -> Int {
    if let value = json["head_dim"], !value.isNull { return size("head_dim", max: Self.widthMax) }
    // The default of transformers for this family. It does not depend on the other sizes.
    if family == .qwen3 || family == .ministral3 { return 128 }
    if family == .qwen35 || family == .gemma3 { return 256 }
    if problems.isEmpty, hidden % heads != 0 {
      problems.append(
        .malformed(key: "hidden_size", found: "\(hidden)", expected: "a multiple of num_attention_heads (\(heads))"))
    }
    return max(hidden / heads, 1)
  }

  private mutating func checkHeads(_ model: ModelConfiguration) {
    // Sizes can be compared with each other only if each one is valid.
    guard problems.isEmpty else { return }
    if model.headCount % model.keyValueHeadCount != 0 {
      problems.append(
        .malformed(
          key: "num_key_value_heads", found: "\(model.keyValueHeadCount)",
          expected: "a divisor of num_attention_heads (\(model.headCount))"))
    }
    if model.headDimension % 2 != 0 {
      problems.append(
        .malformed(
          key: "head_dim", found: "\(model.headDimension)", expected: "an even number: rotary positions rotate pairs"))
    }
    if model.headCount * model.headDimension > Self.widthMax {
      problems.append(
        .malformed(
          key: "head_dim", found: "\(model.headDimension)",
          expected: "at most \(Self.widthMax) over all \(model.headCount) heads"))
    }
  }
}

// MARK: - Single values

extension ConfigurationReader {
  /// Without `default`, the family's counts.
  mutating func size(_ key: String, max: Int, default: Int? = nil) -> Int {
    size(key, value: json[key], max: max, default: `default` ?? family?.sizeDefault(key))
  }

  mutating func size(_ key: String, value: JSON?, max: Int, default: Int? = nil) -> Int {
    if value?.isNull ?? true, let `default` { return `default` }
    if let size = value?.int, (1...max).contains(size) { return size }
    problems.append(.malformed(key: key, found: value?.summary ?? "missing", expected: "an integer from 1 to \(max)"))
    return 1
  }

  private mutating func positive(_ key: String, default: Double) -> Double {
    positive(key, value: json[key], default: `default`)
  }

  /// A number that is above 0 also after rounding to Float.
  mutating func positive(_ key: String, value: JSON?, default: Double? = nil) -> Double {
    if value?.isNull ?? true, let `default` { return `default` }
    if let number = value?.double, Float(number) > 0, Float(number).isFinite { return number }
    problems.append(.malformed(key: key, found: value?.summary ?? "missing", expected: "a number above 0"))
    return 1
  }

  mutating func flag(_ key: String) -> Bool { flag(key, value: json[key], default: false) }

  mutating func flag(_ key: String, value: JSON?, default: Bool) -> Bool {
    guard let value, !value.isNull else { return `default` }
    if let flag = value.bool { return flag }
    problems.append(.malformed(key: key, found: value.summary, expected: "true or false"))
    return `default`
  }

  mutating func refuse(_ key: String, _ found: JSON, _ supported: String) {
    problems.append(.unsupported(key: key, found: found.summary, supported: supported))
  }

  mutating func conflict(_ key: String, _ found: JSON, _ otherKey: String, _ otherFound: JSON, note: String = "") {
    let otherFound = otherFound.summary + (note.isEmpty ? "" : " \(note)")
    problems.append(.conflict(key: key, found: found.summary, otherKey: otherKey, otherFound: otherFound))
  }
}

// MARK: - Writing

extension CheckpointConfiguration {
  /// A config.json that old and new versions of transformers open. Reading it gives this configuration again.
  package func configFile() -> [UInt8] {
    var members: [JSON.Member] = [
      .init("architectures", [.string(model.family.architecture)]),
      .init("attention_bias", .bool(model.hasAttentionBias)),
      .init("bos_token_id", bosToken.map { .int(Int($0)) } ?? .null),
      .init("eos_token_id", eosTokensValue),
      .init("head_dim", .int(model.headDimension)),
      .init("hidden_size", .int(model.hiddenSize)),
      .init("intermediate_size", .int(model.feedForwardSize)),
      .init("max_position_embeddings", .int(writtenPositions)),
      .init("model_type", .string(model.family.rawValue)),
      .init("num_attention_heads", .int(model.headCount)),
      .init("num_hidden_layers", .int(model.layerCount)),
      .init("num_key_value_heads", .int(model.keyValueHeadCount)),
      .init("rms_norm_eps", .float(model.normEpsilon)),
      .init("tie_word_embeddings", .bool(model.hasTiedEmbeddings)),
      .init("vocab_size", .int(model.vocabularySize)),
    ]
    // transformers' default for these families can be outside the vocabulary.
    if [.phi3, .smolLM3, .ministral3].contains(model.family) { members.append(.init("pad_token_id", .null)) }
    members += rotaryMembers + blockMembers + (model.family == .qwen35 ? hybridMembers : layerMembers)
    members.sort { $0.key < $1.key }
    if let weightType { members.append(.init("torch_dtype", .string(weightType.configName))) }
    return JSON.object(members).bytes(.pretty) + [UInt8(ascii: "\n")]
  }

  /// A generation_config.json with the tokens that begin and end a text.
  package func generationFile() -> [UInt8] {
    let json: JSON = ["bos_token_id": bosToken.map { .int(Int($0)) } ?? .null, "eos_token_id": eosTokensValue]
    return json.bytes(.pretty) + [UInt8(ascii: "\n")]
  }

  private var eosTokensValue: JSON {
    switch eosTokens.count {
    case 0: .null
    case 1: .int(Int(eosTokens[0]))
    default: .array(eosTokens.map { .int(Int($0)) })
    }
  }
}
