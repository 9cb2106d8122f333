// TokenTexts: what each token adds to the text of a response.
//
// A worker has no tokenizer. Where a run has stop strings, the welcome brings it this table, and with it the worker
// finds the token that completes one. Made by the tokenizer (LanguageModel), read by the sampler.

/// The bytes of every token, by token number. Empty where nobody needs them.
package struct TokenTexts: Sendable, Equatable {
  /// All texts, one after the other. They need not be whole characters.
  package let bytes: [UInt8]
  /// [tokens] where each text ends; it begins where the one before ends.
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

  /// From its parts as they travel.
  /// - Returns: nil if the ends do not ascend to the end of the bytes.
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

  /// What a token adds; nothing for a number that no token has.
  package subscript(token: Int32) -> ArraySlice<UInt8> {
    guard token >= 0, token < ends.count else { return [] }
    let start = token == 0 ? 0 : Int(ends[Int(token) - 1])
    return bytes[start..<Int(ends[Int(token)])]
  }
}
