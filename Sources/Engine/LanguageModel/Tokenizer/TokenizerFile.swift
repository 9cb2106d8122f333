// TokenizerFile: makes a Tokenizer from tokenizer.json.
//
// The file can describe thousands of pipelines; models use a few. Anything else that changes the tokens is refused by
// name, and the message quotes it. Parts that cannot change the tokens of one text are ignored: padding, truncation and
// offsets. This file reads the model and the added tokens; TokenizerPipeline.swift reads the rest.

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
    // First of all: files of another kind differ in everything else too.
    try Self.requireBytePairs(json["model"])
    let normalizer = try Self.normalizer(json["normalizer"])
    let (splitting, isByteLevel) = try Self.splitting(json["pre_tokenizer"], normalizer)
    let decoding = try Self.decoding(json["decoder"], isByteLevel: isByteLevel)
    let model = try Self.model(of: json, isByteLevel: isByteLevel)
    let around: Result<TokensAround, TokenizerError>
    do { around = .success(try Self.tokensAround(json["post_processor"])) } catch { around = .failure(error) }
    self.init(
      model: model, normalizer: normalizer, splitting: splitting, decoding: decoding,
      addedTokens: try Self.addedTokens(json["added_tokens"], model.vocabulary, normalizer), around: around)
  }
}

// MARK: - The model

extension Tokenizer {
  private static func requireBytePairs(_ model: JSON?) throws(TokenizerError) {
    guard let model, model.members != nil else {
      throw .malformed(path: "model", found: summary(model), expected: "an object")
    }
    if let type = model["type"], type != "BPE" {
      throw .unsupported(path: "model.type", found: type.summary, supported: "BPE")
    }
  }

  private static func model(of json: JSON, isByteLevel: Bool) throws(TokenizerError) -> BytePairModel {
    guard let model = json["model"] else { throw .malformed(path: "model", found: "missing", expected: "an object") }
    // Each of these would change the tokens if it were on.
    for key in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
      guard let value = model[key], !value.isNull, value != "", value != false, value.double != 0 else { continue }
      throw .unsupported(path: "model.\(key)", found: value.summary, supported: "none")
    }
    let vocabulary = try vocabulary(of: model)
    return BytePairModel(
      vocabulary: vocabulary,
      merges: try merges(of: model, vocabulary),
      wholeWordsFirst: try flag("ignore_merges", of: model),
      isByteLevel: isByteLevel,
      unknown: try unknown(of: model, vocabulary, isByteLevel: isByteLevel),
      fusesUnknown: try flag("fuse_unk", of: model),
      hasByteFallback: try flag("byte_fallback", of: model))
  }

  private static func flag(_ key: String, of model: JSON) throws(TokenizerError) -> Bool {
    guard let value = model[key], !value.isNull else { return false }
    guard let flag = value.bool else {
      throw .malformed(path: "model.\(key)", found: value.summary, expected: "true or false")
    }
    return flag
  }

  private static func unknown(
    of model: JSON, _ vocabulary: Vocabulary, isByteLevel: Bool
  ) throws(TokenizerError) -> Int32? {
    guard let token = model["unk_token"], !token.isNull else { return nil }
    if let text = token.string, let id = vocabulary.id(of: text.utf8) { return id }
    // A vocabulary with all bytes never needs it.
    if isByteLevel, ByteAlphabet.spellings.allSatisfy({ vocabulary.id(of: $0) != nil }) { return nil }
    throw .malformed(path: "model.unk_token", found: token.summary, expected: "a token of vocab")
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

// MARK: - Added tokens

extension Tokenizer {
  /// Sorted by id. The library takes a token's id from the vocabulary. For a token that is not there it ignores the
  /// file's id and takes the next number; a file with another id is refused.
  private static func addedTokens(
    _ json: JSON?, _ vocabulary: Vocabulary, _ normalizer: TextNormalizer
  ) throws(TokenizerError) -> [AddedToken] {
    guard let json, !json.isNull else { return [] }
    guard let entries = json.elements else {
      throw .malformed(path: "added_tokens", found: json.summary, expected: "an array")
    }
    var tokens: [AddedToken] = []
    var nextID = vocabulary.count
    for (index, entry) in entries.enumerated() {
      let path = "added_tokens[\(index)]"
      var token = try addedToken(entry, path: path)
      if let known = vocabulary.id(of: token.content) {
        token.id = known
      } else {
        guard token.id == nextID else {
          throw .malformed(
            path: "\(path).id", found: "\(token.id)",
            expected: "\(nextID), the number after the vocabulary and the added tokens before this one: the tokenizers "
              + "library ignores the id and takes that number")
        }
        nextID += 1
      }
      if token.isNormalized { token.normalized = normalizer.normalize(token.content) }
      guard !token.normalized.isEmpty else {
        throw .malformed(path: "\(path).content", found: name(token), expected: "some text after normalization")
      }
      tokens.append(token)
    }
    let special = Set(tokens.filter(\.isSpecial).map(\.content))
    for index in tokens.indices { tokens[index].isLeftOut = special.contains(tokens[index].normalized) }
    return try distinct(tokens)
  }

  private static func addedToken(_ entry: JSON, path: String) throws(TokenizerError) -> AddedToken {
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
    let isSpecial = entry["special"]?.bool ?? false
    return AddedToken(
      id: Int32(id), content: Array(content.utf8), normalized: Array(content.utf8), isSpecial: isSpecial,
      isLeftOut: false, isSingleWord: entry["single_word"]?.bool ?? false,
      takesSpaceBefore: entry["lstrip"]?.bool ?? false, takesSpaceAfter: entry["rstrip"]?.bool ?? false,
      isNormalized: entry["normalized"]?.bool ?? !isSpecial)
  }

  /// Sorted by id. Two entries must not have the same id or content, nor be the same text to search for.
  private static func distinct(_ tokens: [AddedToken]) throws(TokenizerError) -> [AddedToken] {
    func check(_ sorted: [AddedToken], _ isSame: (AddedToken, AddedToken) -> Bool) throws(TokenizerError) {
      for (one, other) in zip(sorted, sorted.dropFirst()) where isSame(one, other) {
        throw .malformed(
          path: "added_tokens", found: "\(name(one)) and \(name(other))",
          expected: "ids and contents that occur once, also after normalization")
      }
    }
    for isNormalized in [false, true] {
      let alike = tokens.filter { $0.isNormalized == isNormalized }
      try check(alike.sorted { $0.normalized.lexicographicallyPrecedes($1.normalized) }) {
        $0.normalized == $1.normalized
      }
    }
    let byID = tokens.sorted { $0.id < $1.id }
    try check(byID) { $0.id == $1.id }
    return byID
  }

  private static func name(_ token: AddedToken) -> String {
    "\"\(String(decoding: token.content, as: UTF8.self))\" with id \(token.id)"
  }
}
