// TokenizerFile: makes a Tokenizer from tokenizer.json.
//
// The file can describe thousands of pipelines; models use a few. Anything else that changes the tokens is refused by
// name, and the message quotes it. Parts that cannot change the tokens of one text are ignored: padding, truncation,
// offsets, and the post-processor, which would only add BOS and EOS.

package import Base

/// Why a tokenizer.json cannot be used.
package enum TokenizerError: Error, Equatable, Sendable, CustomStringConvertible {
  case notJSON(JSONError)
  /// `path` as in "model.merges[17]".
  case malformed(path: String, found: String, expected: String)
  case unsupported(path: String, found: String, supported: String)

  package var description: String {
    switch self {
    case .notJSON(let error): "tokenizer.json is not JSON: \(error)"
    case .malformed(let path, let found, let expected): "tokenizer.json: \(path) is \(found), expected \(expected)"
    case .unsupported(let path, let found, let supported):
      "tokenizer.json: \(path) is \(found), which ttrl does not support; supported: \(supported)"
    }
  }
}

extension Tokenizer {
  /// - Parameter bytes: a tokenizer.json. 5 MB take a quarter of a second.
  /// - Throws: the first part that is malformed or not supported.
  package init(file bytes: [UInt8]) throws(TokenizerError) {
    let json: JSON
    do { json = try JSON.parse(bytes) } catch { throw .notJSON(error) }
    try self.init(json)
  }

  init(_ json: JSON) throws(TokenizerError) {
    let model = try Self.model(of: json)
    let vocabulary = try Self.vocabulary(of: model)
    try Self.checkDecoder(json["decoder"])
    self.init(
      vocabulary: vocabulary,
      merges: try Self.merges(of: model, vocabulary),
      wholeWordsFirst: model["ignore_merges"]?.bool ?? false,
      composesText: try Self.composesText(json["normalizer"], path: "normalizer"),
      splitting: try Self.splitting(json["pre_tokenizer"]),
      addedTokens: try Self.addedTokens(json["added_tokens"], vocabulary))
  }
}

// MARK: - The model

extension Tokenizer {
  private static func model(of json: JSON) throws(TokenizerError) -> JSON {
    guard let model = json["model"], model.members != nil else {
      throw .malformed(path: "model", found: summary(json["model"]), expected: "an object")
    }
    if let type = model["type"], type != "BPE" {
      throw .unsupported(path: "model.type", found: type.summary, supported: "BPE")
    }
    // Each of these would change the tokens if it were on.
    for key in ["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"] {
      guard let value = model[key], !value.isNull, value != "", value != false, value.double != 0 else { continue }
      throw .unsupported(path: "model.\(key)", found: value.summary, supported: "none")
    }
    return model
  }

  private static func vocabulary(of model: JSON) throws(TokenizerError) -> Vocabulary {
    guard let members = model["vocab"]?.members else {
      throw .malformed(path: "model.vocab", found: summary(model["vocab"]), expected: "an object of tokens and ids")
    }
    var vocabulary = Vocabulary(reserving: members.count)
    for member in members {
      guard let id = member.value.int else {
        throw .malformed(path: "model.vocab[\"\(member.key)\"]", found: member.value.summary, expected: "an id")
      }
      do { try vocabulary.add(member.key, id: id) } catch {
        throw .malformed(path: "model.vocab[\"\(member.key)\"]", found: "\(id)", expected: expectation(after: error))
      }
    }
    return vocabulary
  }

  private static func expectation(after refusal: Vocabulary.Refusal) -> String {
    switch refusal {
    case .idOutOfRange(let limit): "an id from 0 to \(limit - 1)"
    case .idTaken(let token): "an id of its own: \"\(token)\" has this one"
    case .repeated: "one entry for each token"
    }
  }

  private static func merges(of model: JSON, _ vocabulary: Vocabulary) throws(TokenizerError) -> BytePairMerges {
    guard let rules = model["merges"]?.elements else {
      throw .malformed(path: "model.merges", found: summary(model["merges"]), expected: "an array of pairs of tokens")
    }
    var merges = BytePairMerges(reserving: rules.count)
    var pair = TokenPair()
    for (rank, rule) in rules.enumerated() {
      guard pair.read(rule), let left = vocabulary.id(of: pair.left), let right = vocabulary.id(of: pair.right),
        let result = vocabulary.id(of: pair.both)
      else {
        throw .malformed(
          path: "model.merges[\(rank)]", found: rule.text(),
          expected: "two tokens that together are a token, all in vocab")
      }
      merges.add(left, right, rank: rank, result: result)
    }
    return merges
  }
}

/// The two tokens of a merge rule, one after the other. All rules use the same memory.
private struct TokenPair {
  private(set) var both: [UInt8] = []
  private var leftCount = 0

  var left: ArraySlice<UInt8> { both[..<leftCount] }
  var right: ArraySlice<UInt8> { both[leftCount...] }

  /// - Parameter rule: "a b" or ["a", "b"].
  /// - Returns: whether it is one of these.
  mutating func read(_ rule: JSON) -> Bool {
    both.removeAll(keepingCapacity: true)
    switch rule {
    case .string(let text):
      both.append(contentsOf: text.utf8)
      let space = UInt8(ascii: " ")
      guard let place = both.firstIndex(of: space), both.lastIndex(of: space) == place else { return false }
      both.remove(at: place)
      leftCount = place
      return true
    case .array(let parts):
      guard parts.count == 2, let left = parts[0].string, let right = parts[1].string else { return false }
      both.append(contentsOf: left.utf8)
      leftCount = both.count
      both.append(contentsOf: right.utf8)
      return true
    default: return false
    }
  }
}

// MARK: - The pipeline around it

extension Tokenizer {
  /// Whether the normalizer is NFC. The only other supported case is no normalizer.
  private static func composesText(_ normalizer: JSON?, path: String) throws(TokenizerError) -> Bool {
    guard let normalizer, !normalizer.isNull else { return false }
    switch normalizer["type"]?.string {
    case "NFC": return true
    case "Sequence":
      var composes = false
      for (index, step) in (normalizer["normalizers"]?.elements ?? []).enumerated() {
        if try composesText(step, path: "\(path).normalizers[\(index)]") { composes = true }
      }
      return composes
    default:
      throw .unsupported(path: path, found: typeName(normalizer), supported: "null, NFC, a Sequence of NFC")
    }
  }

  private static func splitting(_ json: JSON?) throws(TokenizerError) -> [SplittingStep] {
    let isSequence = json?["type"] == "Sequence"
    let parts = isSequence ? json?["pretokenizers"]?.elements ?? [] : [json ?? .null]
    func path(_ index: Int) -> String { isSequence ? "pre_tokenizer.pretokenizers[\(index)]" : "pre_tokenizer" }
    var steps: [SplittingStep] = []
    for (index, part) in parts.enumerated() {
      switch part["type"]?.string {
      case "ByteLevel" where index == parts.count - 1:
        if part["add_prefix_space"]?.bool ?? true { steps.append(.spaceInFront) }
        if part["use_regex"]?.bool ?? true { steps.append(.words(.gpt2)) }
        return steps
      case "Split": steps.append(.words(try wordPattern(of: part, path: path(index))))
      default:
        throw .unsupported(
          path: path(index), found: typeName(part), supported: "ByteLevel, or a Sequence of Split and, last, ByteLevel")
      }
    }
    throw .unsupported(
      path: "pre_tokenizer", found: "without ByteLevel at its end", supported: "byte-level tokenizers only")
  }

  private static func wordPattern(of split: JSON, path: String) throws(TokenizerError) -> WordPattern {
    guard let regex = split["pattern"]?["Regex"]?.string, let pattern = WordPattern(regex: regex) else {
      throw .unsupported(
        path: "\(path).pattern", found: split["pattern"]?.text() ?? "missing",
        supported: "exactly the regular expressions of GPT-2, Qwen 2 and Llama 3")
    }
    // The patterns match every character, so cutting out the matches and removing the rest is the same thing.
    switch (split["behavior"]?.string, split["invert"]?.bool ?? false) {
    case ("Isolated", false), ("Removed", true): return pattern
    case (let behavior, let isInverted):
      throw .unsupported(
        path: "\(path).behavior", found: "\(behavior ?? "missing")\(isInverted ? ", inverted" : "")",
        supported: "Isolated")
    }
  }

  private static func checkDecoder(_ decoder: JSON?) throws(TokenizerError) {
    guard decoder?["type"] == "ByteLevel" else {
      throw .unsupported(path: "decoder", found: decoder.map(typeName) ?? "missing", supported: "ByteLevel")
    }
  }

  private static func addedTokens(
    _ json: JSON?, _ vocabulary: Vocabulary
  ) throws(TokenizerError) -> [AddedToken] {
    guard let json, !json.isNull else { return [] }
    guard let entries = json.elements else {
      throw .malformed(path: "added_tokens", found: json.summary, expected: "an array")
    }
    var tokens: [AddedToken] = []
    for (index, entry) in entries.enumerated() {
      tokens.append(try addedToken(entry, path: "added_tokens[\(index)]", vocabulary))
    }
    return try distinct(tokens)
  }

  private static func addedToken(
    _ entry: JSON, path: String, _ vocabulary: Vocabulary
  ) throws(TokenizerError) -> AddedToken {
    guard let content = entry["content"]?.string, !content.isEmpty else {
      throw .malformed(path: "\(path).content", found: summary(entry["content"]), expected: "some text")
    }
    guard content.utf8.count <= Limits.addedTokenBytes else {
      throw .malformed(
        path: "\(path).content", found: "\(content.utf8.count) bytes",
        expected: "at most \(Limits.addedTokenBytes) bytes")
    }
    guard let id = entry["id"]?.int, (0..<Vocabulary.idLimit).contains(id) else {
      throw .malformed(
        path: "\(path).id", found: summary(entry["id"]), expected: "an id from 0 to \(Vocabulary.idLimit - 1)")
    }
    if let known = vocabulary.token(Int32(id)), !known.elementsEqual(content.utf8) {
      throw .malformed(
        path: "\(path).id", found: "\(id)",
        expected: "an id that is free; the vocabulary gives it to \"\(String(decoding: known, as: UTF8.self))\"")
    }
    let isSpecial = entry["special"]?.bool ?? false
    return AddedToken(
      id: Int32(id), content: Array(content.utf8), isSpecial: isSpecial,
      isSingleWord: entry["single_word"]?.bool ?? false, takesSpaceBefore: entry["lstrip"]?.bool ?? false,
      takesSpaceAfter: entry["rstrip"]?.bool ?? false, isNormalized: entry["normalized"]?.bool ?? !isSpecial)
  }

  /// Sorted by id. Two entries must not have the same id or the same content.
  private static func distinct(_ tokens: [AddedToken]) throws(TokenizerError) -> [AddedToken] {
    func check(_ sorted: [AddedToken], _ isSame: (AddedToken, AddedToken) -> Bool) throws(TokenizerError) {
      for (one, other) in zip(sorted, sorted.dropFirst()) where isSame(one, other) {
        throw .malformed(
          path: "added_tokens",
          found: "\(name(one)) and \(name(other))",
          expected: "ids and contents that occur once")
      }
    }
    try check(tokens.sorted { $0.content.lexicographicallyPrecedes($1.content) }) { $0.content == $1.content }
    let byID = tokens.sorted { $0.id < $1.id }
    try check(byID) { $0.id == $1.id }
    return byID
  }

  private static func name(_ token: AddedToken) -> String {
    "\"\(String(decoding: token.content, as: UTF8.self))\" with id \(token.id)"
  }

  private static func typeName(_ json: JSON) -> String { json["type"]?.string ?? json.summary }
  private static func summary(_ json: JSON?) -> String { json?.summary ?? "missing" }
}
