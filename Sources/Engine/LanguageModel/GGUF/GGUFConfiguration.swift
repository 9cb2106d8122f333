// GGUFConfiguration: the keys of a .gguf file's metadata that make a config.json.
//
// Keys that begin with the architecture's name say what the model computes. All that are known here are read or
// checked; an unknown one is refused by name. The result is JSON under the names of config.json, which
// CheckpointConfiguration then reads as any other.
//
// Llama 3's stretched frequencies are not in the metadata but in a tensor, rope_freqs.weight, with what each frequency
// is divided by. The numbers of config.json from which it was made are found by trying those of the released models.
//
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; gguf-py/gguf/constants.py.

import Base
import GGUF
import Tensors

extension GGUFMetadata {
  /// The architectures that are read, by the names that ggml has for them. Mistral's models are "llama" there.
  private static let families: [(name: String, family: ModelConfiguration.Family)] = [
    ("llama", .llama), ("qwen2", .qwen2), ("qwen3", .qwen3),
  ]

  func architecture() throws(GGUFModelError) -> ModelConfiguration.Family {
    let supported = Self.families.map(\.name).joined(separator: ", ")
    guard let name = self["general.architecture"] else {
      throw GGUFModelError(problems: [.missing(key: "general.architecture", expected: supported)])
    }
    guard let family = Self.families.first(where: { name == .string($0.name) })?.family else {
      throw GGUFModelError(
        problems: [.unsupported(key: "general.architecture", found: name.summary, supported: supported)])
    }
    return family
  }

  /// nil if something is missing; `problems` says what.
  mutating func config(
    _ family: ModelConfiguration.Family, _ file: GGUFFile, data: UnsafeRawBufferPointer
  ) -> JSON? {
    refuseOtherFiles(file)
    let prefix = family.rawValue + "."
    for key in keys where key.hasPrefix(prefix) { check(String(key.dropFirst(prefix.count)), prefix) }
    func size(_ key: String) -> Int? {
      let value = natural(prefix + key)
      if value == nil, self[prefix + key] == nil {
        problems.append(.missing(key: prefix + key, expected: "an integer"))
      }
      return value
    }
    let (layers, positions, width, inner) = (
      size("block_count"), size("context_length"), size("embedding_length"), size("feed_forward_length")
    )
    let heads = size("attention.head_count")
    let keyValueHeads = natural(prefix + "attention.head_count_kv") ?? heads
    let epsilonKey = prefix + "attention.layer_norm_rms_epsilon"
    let epsilon = number(epsilonKey)
    if self[epsilonKey] == nil { problems.append(.missing(key: epsilonKey, expected: "a number")) }
    guard let layers, let positions, let width, let inner, let heads, let keyValueHeads, let epsilon else { return nil }
    guard let vocabulary = vocabularySize(prefix, file) else { return nil }
    let headSize = headDimension(prefix, width: width, heads: heads)
    let theta = number(prefix + "rope.freq_base") ?? 10000
    var members: [JSON.Member] = [
      .init("architectures", [.string(family.architecture)]), .init("model_type", .string(family.rawValue)),
      .init("vocab_size", .int(vocabulary)), .init("num_hidden_layers", .int(layers)),
      .init("max_position_embeddings", .int(positions)), .init("hidden_size", .int(width)),
      .init("intermediate_size", .int(inner)), .init("num_attention_heads", .int(heads)),
      .init("num_key_value_heads", .int(keyValueHeads)), .init("head_dim", .int(headSize)),
      .init("rms_norm_eps", .double(epsilon)),
      .init("rope_theta", .double(theta)),
      .init("tie_word_embeddings", .bool(!file.tensors.contains { $0.name == "output.weight" })),
      .init("bos_token_id", natural("tokenizer.ggml.bos_token_id").map { .int($0) } ?? .null),
      .init("eos_token_id", .array(stopTokens().map { .int($0) })),
    ]
    if let scaling = ropeScaling(prefix, positions: positions) { members.append(.init("rope_scaling", scaling)) }
    if let scaling = frequencyScaling(theta: theta, dimension: headSize, file, data: data) {
      if members.contains(where: { $0.key == "rope_scaling" }) {
        problems.append(
          .unsupported(key: "rope_freqs.weight", found: "beside \(prefix)rope.scaling", supported: "one of the two"))
      }
      members.append(.init("rope_scaling", .object(scaling.members)))
    }
    return .object(members)
  }

  // MARK: Whole files

  /// Files of the same format that are not a model, or not all of it.
  private mutating func refuseOtherFiles(_ file: GGUFFile) {
    if let type = self["general.type"], type != .string("model") { refuse("general.type", type, "model") }
    if let parts = self["split.count"], let count = parts.int, count > 1 {
      refuse("split.count", parts, "a model in one file: join the parts with llama-gguf-split --merge")
    }
    if let version = self["general.quantization_version"], version != .integer(2),
      file.tensors.contains(where: { $0.type.blockCount > 1 })
    {
      refuse("general.quantization_version", version, "2")
    }
  }

  // MARK: Keys of the architecture

  /// Read elsewhere in this file.
  private static let readKeys = [
    "block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count",
    "attention.head_count_kv", "attention.layer_norm_rms_epsilon", "attention.key_length", "attention.value_length",
    "rope.freq_base", "rope.dimension_count", "vocab_size", "rope.scaling.type", "rope.scaling.factor",
    "rope.scaling.original_context_length", "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow",
    "rope.scale_linear",
  ]

  /// No effect on what is computed: a layout that all files of these architectures have, and whether the model learned
  /// with its scaling.
  private static let idleKeys = ["tensor_data_layout", "rope.scaling.finetuned"]

  /// No effect with this value.
  private static let idleValues: [(key: String, value: Double)] = [
    ("expert_count", 0), ("expert_used_count", 0), ("rope.scaling.attn_factor", 1),
    ("rope.scaling.yarn_attn_factor", 1), ("rope.scaling.yarn_ext_factor", 1), ("rope.scaling.yarn_log_multiplier", 0),
    ("logit_scale", 1), ("embedding_scale", 1), ("residual_scale", 1), ("attention.sliding_window", 0),
    ("attention.max_alibi_bias", 0), ("attention.clamp_kqv", 0),
  ]

  private mutating func check(_ key: String, _ prefix: String) {
    guard let value = self[prefix + key], !(Self.readKeys + Self.idleKeys).contains(key) else { return }
    if key == "attention.causal", value == .bool(true) { return }
    if key == "use_parallel_residual", value == .bool(false) { return }
    if let idle = Self.idleValues.first(where: { $0.key == key }) {
      if value.number != idle.value { refuse(prefix + key, value, "\(idle.value), or no such key") }
      return
    }
    refuse(prefix + key, value, "no such key")
  }

  private mutating func vocabularySize(_ prefix: String, _ file: GGUFFile) -> Int? {
    let name = "token_embd.weight"
    guard let embedding = file.tensors.first(where: { $0.name == name }), embedding.shape.count == 2 else {
      problems.append(.missingTensor(name, shape: []))
      return nil
    }
    let rows = embedding.shape[0]
    if let stated = natural(prefix + "vocab_size"), stated != rows {
      problems.append(
        .malformed(key: prefix + "vocab_size", found: "\(stated)", expected: "\(rows), the rows of \(name)"))
    }
    if let tokens = self["tokenizer.ggml.tokens"]?.elements?.count, tokens > rows {
      problems.append(
        .malformed(
          key: "tokenizer.ggml.tokens", found: "a list of \(tokens)", expected: "at most \(rows), the rows of \(name)"))
    }
    return rows
  }

  private mutating func headDimension(_ prefix: String, width: Int, heads: Int) -> Int {
    let stated = natural(prefix + "attention.key_length")
    let size = stated ?? (heads > 0 ? width / heads : 0)
    if stated == nil, heads > 0, width % heads != 0 {
      problems.append(
        .malformed(key: prefix + "embedding_length", found: "\(width)", expected: "a multiple of \(heads), the heads"))
    }
    for key in ["attention.value_length", "rope.dimension_count"] {
      guard let other = natural(prefix + key), other != size else { continue }
      refuse(prefix + key, .integer(other), "\(size), the size of a head")
    }
    return size
  }

  /// The tokens that end a response: of the text, and, where they are named, of a turn and of a message.
  mutating func stopTokens() -> [Int] {
    ["eos", "eot", "eom"].compactMap { natural("tokenizer.ggml.\($0)_token_id") }
      .reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }

  // MARK: Rotary positions

  private mutating func ropeScaling(_ prefix: String, positions: Int) -> JSON? {
    let scaling = prefix + "rope.scaling."
    if let factor = number(prefix + "rope.scale_linear"), factor != 1 {
      return ["rope_type": "linear", "factor": .double(factor)]
    }
    guard let type = text(scaling + "type"), type != "none" else { return nil }
    var members: [JSON.Member] = [.init("rope_type", .string(type))]
    let keys = [
      ("factor", "factor"), ("yarn_beta_fast", "beta_fast"), ("yarn_beta_slow", "beta_slow"),
    ]
    for (key, name) in keys {
      if let value = number(scaling + key) { members.append(.init(name, .double(value))) }
    }
    if type != "linear", let original = natural(scaling + "original_context_length") {
      members.append(.init("original_max_position_embeddings", .int(original)))
    }
    return .object(members)
  }

  /// What rope_freqs.weight means.
  private mutating func frequencyScaling(
    theta: Double, dimension: Int, _ file: GGUFFile, data: UnsafeRawBufferPointer
  ) -> RotaryScaling? {
    let name = "rope_freqs.weight"
    guard let tensor = file.tensors.first(where: { $0.name == name }) else { return nil }
    guard tensor.shape == [dimension / 2] else {
      problems.append(.wrongShape(tensor: name, found: tensor.shape, expected: [dimension / 2]))
      return nil
    }
    let divisors = tensor.values(in: data)
    if divisors.allSatisfy({ $0 == 1 }) { return nil }
    for power in 8...20 {
      let scaling = RotaryScaling.llama3(
        Llama3Scaling(
          factor: Double(divisors.max() ?? 1), lowFrequencyFactor: 1, highFrequencyFactor: 4,
          originalMaxPositions: 1 << power))
      let expected = scaling.divisors(theta: theta, dimension: dimension)
      if zip(divisors, expected).allSatisfy({ abs(Double($0) - $1) <= 1e-5 * $1 }) { return scaling }
    }
    problems.append(
      .unsupported(
        key: name, found: "a table of frequencies of its own", supported: "those of Llama 3 (low 1, high 4)"))
    return nil
  }
}
