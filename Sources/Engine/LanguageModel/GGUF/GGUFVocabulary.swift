// GGUFVocabulary: the tokens of a .gguf file's metadata, and the merges that a sentencepiece vocabulary implies.

import Base

struct GGUFVocabulary {
  /// The types of tokens, by ggml's numbers. The others are 1, normal, and 6, a byte of a sentencepiece vocabulary.
  static let unknown = 2
  static let control = 3
  static let userDefined = 4
  /// Rows of the embedding that no token has; converters give them texts such as "[PAD151936]".
  static let unused = 5

  /// By id.
  let tokens: [String]
  let types: [Int]
  /// Higher is merged first.
  let scores: [Double]?
  /// All tokens but the unused ones.
  let index: Vocabulary

  /// The tokens that are cut out of a text before anything else. Control tokens are special.
  var addedTokens: JSON {
    let added = tokens.indices.filter { [Self.unknown, Self.control, Self.userDefined].contains(types[$0]) }
    return .array(
      added.filter { !tokens[$0].isEmpty }.map { id in
        [
          "id": .int(id), "content": .string(tokens[id]), "single_word": false, "lstrip": false, "rstrip": false,
          "normalized": false, "special": .bool(types[id] != Self.userDefined),
        ]
      })
  }

  var json: JSON {
    .object(
      tokens.indices.filter { types[$0] != Self.unused }.map { JSON.Member(tokens[$0], .int($0)) })
  }

  /// The merges of a vocabulary that has scores instead: every token that is two tokens is a merge; those with higher
  /// scores come first, then those with a longer left part, then those with a longer right part.
  ///
  /// - Returns: nil without scores.
  /// - Source: transformers, tokenization_utils_base.py, `generate_merges`.
  func mergesByScore() -> JSON? {
    guard let scores else { return nil }
    struct Merge {
      var score: Double
      /// In characters (Unicode scalars).
      var leftLength, rightLength: Int
      /// Where the right part begins in the token's bytes.
      var token, place: Int
      var left, right: Int32
    }
    var merges: [Merge] = []
    for (id, token) in tokens.enumerated() where types[id] != Self.unused {
      let bytes = Array(token.utf8)
      let starts = bytes.indices.filter { bytes[$0] & 0xC0 != 0x80 }
      var own: [Merge] = []
      for (length, place) in starts.enumerated().dropFirst() {
        guard let left = index.id(of: bytes[..<place]), let right = index.id(of: bytes[place...]) else { continue }
        own.append(
          Merge(
            score: scores[id], leftLength: length, rightLength: starts.count - length, token: id, place: place,
            left: left, right: right))
      }
      merges += own.sorted { ($0.left, $0.right) < ($1.left, $1.right) }
    }
    // Equal ones stay in their order; so the order of the tokens decides at last.
    let order = merges.indices.sorted { one, other in
      let (a, b) = (merges[one], merges[other])
      if a.score != b.score { return a.score > b.score }
      if a.leftLength != b.leftLength { return a.leftLength > b.leftLength }
      return a.rightLength != b.rightLength ? a.rightLength > b.rightLength : one < other
    }
    return .array(
      order.map { index in
        let bytes = Array(tokens[merges[index].token].utf8)
        return [
          .string(String(decoding: bytes[..<merges[index].place], as: UTF8.self)),
          .string(String(decoding: bytes[merges[index].place...], as: UTF8.self)),
        ]
      })
  }
}
