// TokenTexts: the text of each token.
//
// A worker has no tokenizer. If a run has stop strings, the welcome contains this table, and the sampler uses it to
// find the token that completes a stop string. The tokenizer (LanguageModel) makes it.

/// The bytes of every token, by token number. Empty if the run has no stop strings.
package struct TokenTexts: Sendable, Equatable {
  /// All texts, one after the other. A text can be a part of a character.
  package let bytes: [UInt8]
  /// [tokens] the end of each text; it begins at the end of the text before it.
  package let ends: [Int32]

  package static let none = TokenTexts()

  private init() {
    bytes = []
    ends = []
  }

  package init(_ texts: [[UInt8]]) {
    var ends: [Int32] = []
    var total: Int32 = 0
    ends.reserveCapacity(texts.count)
    for text in texts {
      total += Int32(text.count)
      ends.append(total)
    }
    bytes = Array(texts.joined())
    self.ends = ends
  }

  /// Made from the parts that a message carries.
  /// - Returns: nil if the ends do not ascend, or do not end with the bytes.
  package init?(bytes: [UInt8], ends: [Int32]) {
    var previous: Int32 = 0
    for end in ends {
      guard end >= previous else { return nil }
      previous = end
    }
    guard Int(previous) == bytes.count else { return nil }
    self.bytes = bytes
    self.ends = ends
  }

  package var count: Int { ends.count }

  /// The text of a token; empty if there is no token of this number.
  package subscript(token: Int32) -> ArraySlice<UInt8> {
    guard token >= 0, token < ends.count else { return [] }
    let start = token == 0 ? 0 : Int(ends[Int(token) - 1])
    return bytes[start..<Int(ends[Int(token)])]
  }
}
