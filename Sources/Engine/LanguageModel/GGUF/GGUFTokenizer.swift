// GGUFTokenizer: the vocabulary in a .gguf file's metadata as tokenizer.json and tokenizer_config.json.
//
// A .gguf file has the tokens, their types, the merges or scores, and one word that names how text is split before it
// is merged (`tokenizer.ggml.pre`). The original tokenizer.json has the splitting itself. Here each known word becomes
// what the tokenizers of that word have; an unknown word is refused, because a splitting that is almost right gives
// tokens that the model never saw. Special tokens lose two properties that the format does not have: whether they take
// the spaces around them, and whether they are found in normalised text.
//
// Sources: llama.cpp, llama-vocab.cpp (the words); transformers 5.24, integrations/gguf/gguf_tokenizer_mapping.py, and
// LlamaTokenizer (sentencepiece vocabularies); the tokenizer.json of Llama 3, Qwen 2.5 and SmolLM2.

import Base
import GGUF

/// The files of a tokenizer.
struct GGUFTokenizerFiles {
  var file: JSON
  var config: JSON
  /// "byte-level BPE, split as qwen2": for reports.
  var kind: String
}

extension GGUFMetadata {
  /// nil if something is missing or not supported; `problems` says what.
  mutating func tokenizer() -> GGUFTokenizerFiles? {
    let found = problems.count
    refuseOtherTokenizers()
    guard let name = text("tokenizer.ggml.model") else {
      problems.append(.missing(key: "tokenizer.ggml.model", expected: "gpt2 or llama"))
      return nil
    }
    guard let vocabulary = vocabulary() else { return nil }
    let parts: (members: [JSON.Member], kind: String)?
    switch name {
    case "gpt2": parts = byteLevel(vocabulary)
    case "llama": parts = sentencePiece(vocabulary)
    default:
      refuse("tokenizer.ggml.model", .string(name), "gpt2 (byte-level BPE), llama (sentencepiece BPE)")
      return nil
    }
    // llama.cpp adds BOS where such a file does not say otherwise.
    let addsBOS = flag("tokenizer.ggml.add_bos_token") ?? (name == "llama" || isLlama3)
    let addsEOS = flag("tokenizer.ggml.add_eos_token") ?? false
    let special = specialTokens(vocabulary)
    guard let parts, problems.count == found else { return nil }
    func token(_ name: String) -> (token: String, id: Int)? {
      special.first { $0.name == name }.map { ($0.token, $0.id) }
    }
    let processor = Self.processor(
      first: addsBOS ? token("bos_token") : nil, last: addsEOS ? token("eos_token") : nil)
    let file =
      [JSON.Member("version", "1.0"), .init("truncation", .null), .init("padding", .null)]
      + [.init("added_tokens", vocabulary.addedTokens)] + parts.members + [.init("post_processor", processor)]
    notes.append(
      "whether special tokens take the spaces around them (lstrip, rstrip) is not in a GGUF file; none does here")
    return GGUFTokenizerFiles(
      file: .object(file), config: config(special, addsBOS: addsBOS, addsEOS: addsEOS), kind: parts.kind)
  }

  // MARK: Keys

  /// Read in this file, or without effect on the tokens of a text.
  private static let tokenizerKeys = [
    "model", "pre", "tokens", "token_type", "scores", "merges", "add_bos_token", "add_eos_token", "add_sep_token",
    "add_space_prefix",
  ]

  private mutating func refuseOtherTokenizers() {
    let prefix = "tokenizer.ggml."
    for key in keys where key.hasPrefix(prefix) {
      let name = String(key.dropFirst(prefix.count))
      guard let value = self[key], !Self.tokenizerKeys.contains(name), !name.hasSuffix("_token_id"),
        !name.hasSuffix("_token_ids")
      else { continue }
      // Sentencepiece files can say that nothing is removed.
      if name == "remove_extra_whitespaces", value == .bool(false) { continue }
      refuse(key, value, "no such key")
    }
    let templates = keys.filter { $0.hasPrefix("tokenizer.chat_template.") }
    if !templates.isEmpty {
      notes.append("further chat templates are left out: \(templates.map { $0.dropFirst(24) }.joined(separator: ", "))")
    }
  }

  private func isPre(_ names: [String]) -> Bool { names.contains(self["tokenizer.ggml.pre"]?.string ?? "") }
  private var isLlama3: Bool { isPre(["llama3", "llama-v3", "llama-bpe"]) }

  // MARK: Vocabulary

  private mutating func vocabulary() -> GGUFVocabulary? {
    guard let tokens = list("tokenizer.ggml.tokens", "texts", \.string) else {
      if self["tokenizer.ggml.tokens"] == nil {
        problems.append(.missing(key: "tokenizer.ggml.tokens", expected: "a list of texts"))
      }
      return nil
    }
    let types = list("tokenizer.ggml.token_type", "types", \.int) ?? Array(repeating: 1, count: tokens.count)
    let scores = list("tokenizer.ggml.scores", "numbers") { $0.number.flatMap { $0.isFinite ? $0 : nil } }
    for (key, count) in [("token_type", types.count), ("scores", scores?.count ?? tokens.count)]
    where count != tokens.count {
      problems.append(
        .malformed(
          key: "tokenizer.ggml.\(key)", found: "a list of \(count)", expected: "one for each of \(tokens.count) tokens")
      )
    }
    guard types.count == tokens.count, scores?.count ?? tokens.count == tokens.count else { return nil }
    var index = Vocabulary(reserving: tokens.count)
    for (id, token) in tokens.enumerated() where types[id] != GGUFVocabulary.unused {
      guard token.utf8.count <= Limits.addedTokenBytes else {
        problems.append(
          .malformed(
            key: "tokenizer.ggml.tokens[\(id)]", found: "\(token.utf8.count) bytes",
            expected: "at most \(Limits.addedTokenBytes)"))
        return nil
      }
      do { try index.add(token, id: id) } catch {
        problems.append(
          .malformed(
            key: "tokenizer.ggml.tokens[\(id)]", found: "\"\(token)\"", expected: "a token that is not in the list yet")
        )
        return nil
      }
    }
    return GGUFVocabulary(tokens: tokens, types: types, scores: scores, index: index)
  }

  private mutating func specialTokens(_ vocabulary: GGUFVocabulary) -> [(name: String, token: String, id: Int)] {
    let keys = [("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding")]
    return keys.compactMap { name, key in
      guard let id = natural("tokenizer.ggml.\(key)_token_id") else { return nil }
      guard id < vocabulary.tokens.count, vocabulary.types[id] != GGUFVocabulary.unused else {
        problems.append(
          .malformed(
            key: "tokenizer.ggml.\(key)_token_id", found: "\(id)",
            expected: "a token that is in use, from 0 to \(vocabulary.tokens.count - 1)"))
        return nil
      }
      return (name, vocabulary.tokens[id], id)
    }
  }

  /// "a b" as a pair. Only the first of a pair can begin with a space.
  private mutating func merges() -> JSON? {
    let key = "tokenizer.ggml.merges"
    guard let rules = list(key, "pairs of tokens", \.string) else { return nil }
    var pairs: [JSON] = []
    pairs.reserveCapacity(rules.count)
    for (rank, rule) in rules.enumerated() {
      let bytes = Array(rule.utf8)
      guard let space = bytes.dropFirst().firstIndex(of: UInt8(ascii: " ")), space + 1 < bytes.count else {
        problems.append(.malformed(key: "\(key)[\(rank)]", found: "\"\(rule)\"", expected: "two tokens and a space"))
        return nil
      }
      pairs.append([
        .string(String(decoding: bytes[..<space], as: UTF8.self)),
        .string(String(decoding: bytes[(space + 1)...], as: UTF8.self)),
      ])
    }
    return .array(pairs)
  }

  // MARK: Byte-level BPE

  private mutating func byteLevel(_ vocabulary: GGUFVocabulary) -> ([JSON.Member], kind: String)? {
    if flag("tokenizer.ggml.add_space_prefix") == true {
      refuse("tokenizer.ggml.add_space_prefix", .bool(true), "false for tokenizer.ggml.model gpt2")
    }
    guard let splitting = splitting() else { return nil }
    guard let merges = merges() else {
      if self["tokenizer.ggml.merges"] == nil {
        problems.append(.missing(key: "tokenizer.ggml.merges", expected: "a list of pairs of tokens"))
      }
      return nil
    }
    let byteLevel: JSON = ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true]
    let model: JSON = [
      "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
      "end_of_word_suffix": .null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": .bool(isLlama3),
      "vocab": vocabulary.json, "merges": merges,
    ]
    return (
      [
        .init("normalizer", splitting.composes ? ["type": "NFC"] : .null), .init("pre_tokenizer", splitting.steps),
        .init("decoder", byteLevel), .init("model", model),
      ], "byte-level BPE, split as \(splitting.name)"
    )
  }

  /// How text is split before it is merged, and whether it is composed (NFC) before that.
  private mutating func splitting() -> (name: String, steps: JSON, composes: Bool)? {
    func byteLevel(splits: Bool) -> JSON {
      ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": .bool(splits)]
    }
    func sequence(_ first: JSON, splits: Bool) -> JSON {
      ["type": "Sequence", "pretokenizers": [first, byteLevel(splits: splits)]]
    }
    func split(numbers: String) -> JSON {
      let regex =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + numbers
        + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
      return sequence(
        ["type": "Split", "pattern": ["Regex": .string(regex)], "behavior": "Isolated", "invert": false],
        splits: false)
    }
    let key = "tokenizer.ggml.pre"
    guard let name = text(key) else {
      problems.append(.missing(key: key, expected: "the word for how text is split, such as qwen2 or llama-bpe"))
      return nil
    }
    if isLlama3 { return (name, split(numbers: #"\p{N}{1,3}"#), false) }
    switch name {
    case "qwen2", "deepseek-r1-qwen": return (name, split(numbers: #"\p{N}"#), true)
    case "gpt-2": return (name, byteLevel(splits: true), false)
    // All have each digit alone, then GPT-2's words.
    case "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b":
      return (name, sequence(["type": "Digits", "individual_digits": true], splits: true), false)
    default:
      refuse(
        key, .string(name),
        "llama-bpe (also llama3, llama-v3), qwen2, deepseek-r1-qwen, gpt-2, smollm (also starcoder, refact, command-r, "
          + "codeshell, exaone, minerva-7b)")
      return nil
    }
  }

  // MARK: Sentencepiece

  private mutating func sentencePiece(_ vocabulary: GGUFVocabulary) -> ([JSON.Member], kind: String)? {
    let space = "▁"
    let prefixes = flag("tokenizer.ggml.add_space_prefix") ?? true
    let merges = self["tokenizer.ggml.merges"] == nil ? vocabulary.mergesByScore() : merges()
    guard let merges else {
      if vocabulary.scores == nil {
        problems.append(.missing(key: "tokenizer.ggml.scores", expected: "a score for each token"))
      }
      return nil
    }
    let model: JSON = [
      "type": "BPE", "dropout": .null,
      "unk_token": .optional(vocabulary.types.firstIndex(of: GGUFVocabulary.unknown).map { vocabulary.tokens[$0] }),
      "continuing_subword_prefix": .null, "end_of_word_suffix": .null, "fuse_unk": true, "byte_fallback": true,
      "ignore_merges": false, "vocab": vocabulary.json, "merges": merges,
    ]
    let preTokenizer: JSON = [
      "type": "Metaspace", "replacement": .string(space), "prepend_scheme": prefixes ? "first" : "never",
      "split": false,
    ]
    var decoders: [JSON] = [
      ["type": "Replace", "pattern": ["String": .string(space)], "content": " "], ["type": "ByteFallback"],
      ["type": "Fuse"],
    ]
    if prefixes { decoders.append(["type": "Strip", "content": " ", "start": 1, "stop": 0]) }
    return (
      [
        .init("normalizer", .null), .init("pre_tokenizer", preTokenizer),
        .init("decoder", ["type": "Sequence", "decoders": .array(decoders)]), .init("model", model),
      ], "sentencepiece BPE"
    )
  }

  // MARK: Around it

  /// What other programs do around the tokens of a text: BOS before it, EOS after it.
  private static func processor(first: (token: String, id: Int)?, last: (token: String, id: Int)?) -> JSON {
    guard first != nil || last != nil else { return .null }
    func special(_ token: (token: String, id: Int)?, _ type: Int) -> [JSON] {
      token.map { [["SpecialToken": ["id": .string($0.token), "type_id": .int(type)]]] } ?? []
    }
    func text(_ name: String, _ type: Int) -> [JSON] {
      special(first, type) + [["Sequence": ["id": .string(name), "type_id": .int(type)]]] + special(last, type)
    }
    let tokens = [first, last].compactMap { $0 }.reduce(into: [JSON.Member]()) { members, token in
      guard !members.contains(where: { $0.key.isSameBytes(as: token.token) }) else { return }
      let entry: JSON = [
        "id": .string(token.token), "ids": [.int(token.id)], "tokens": [.string(token.token)],
      ]
      members.append(.init(token.token, entry))
    }
    return [
      "type": "TemplateProcessing", "single": .array(text("A", 0)), "pair": .array(text("A", 0) + text("B", 1)),
      "special_tokens": .object(tokens),
    ]
  }

  private func config(
    _ special: [(name: String, token: String, id: Int)], addsBOS: Bool, addsEOS: Bool
  ) -> JSON {
    .object(
      [JSON.Member("add_bos_token", .bool(addsBOS)), .init("add_eos_token", .bool(addsEOS))]
        + special.map { .init($0.name, .string($0.token)) }
        + [.init("clean_up_tokenization_spaces", false), .init("tokenizer_class", "PreTrainedTokenizerFast")])
  }
}
