// StopStrings: texts that end a response, found at the token that completes one.
//
// The text of a response is the bytes of its tokens, one after the other; special tokens add nothing. A stop string can
// begin and end inside tokens and span many. Each string is searched for separately with the algorithm of Knuth, Morris
// and Pratt: one number per string says how many of its first bytes the text so far ends with. So a token takes time in
// proportion to its bytes, and nothing is decoded twice. Where a response ends depends on its tokens alone.

package import Records

/// Searches the texts of tokens for stop strings. Immutable; shared by all samples.
package struct StopStrings: Sendable {
  private let strings: [[UInt8]]
  /// By string and length: the length of the longest proper prefix of the string's first `length` bytes that is also
  /// their suffix.
  private let fallbacks: [[Int]]
  private let texts: TokenTexts

  /// By string: how many of its first bytes the text of one response ends with.
  package struct Progress: Sendable {
    fileprivate var matched: [Int]
  }

  /// - Parameters:
  ///   - strings: each has at least one byte.
  ///   - texts: the texts of all tokens that can be sampled.
  package init(_ strings: [String], texts: TokenTexts) {
    precondition(strings.isEmpty || texts.count > 0, "stop strings need the texts of the tokens")
    self.strings = strings.map { Array($0.utf8) }
    precondition(self.strings.allSatisfy { !$0.isEmpty }, "a stop string is empty: every response would end at once")
    fallbacks = self.strings.map(Self.fallbacks)
    self.texts = texts
  }

  package var isEmpty: Bool { strings.isEmpty }

  package var beginning: Progress { Progress(matched: strings.map { _ in 0 }) }

  /// Adds one token to a response's text.
  /// - Returns: whether the token completes one of the strings.
  package func isCompleted(by token: Int32, _ progress: inout Progress) -> Bool {
    guard !isEmpty else { return false }
    for byte in texts[token] {
      for index in strings.indices {
        var matched = progress.matched[index]
        while matched > 0, strings[index][matched] != byte { matched = fallbacks[index][matched] }
        if strings[index][matched] == byte { matched += 1 }
        if matched == strings[index].count { return true }
        progress.matched[index] = matched
      }
    }
    return false
  }

  private static func fallbacks(of string: [UInt8]) -> [Int] {
    var table = Array(repeating: 0, count: string.count + 1)
    var length = 0
    for index in 1..<max(1, string.count) {
      while length > 0, string[index] != string[length] { length = table[length] }
      if string[index] == string[length] { length += 1 }
      table[index + 1] = length
    }
    return table
  }
}

extension Tokenizer {
  /// By token: what it adds to a response's text. Special tokens add nothing.
  package var tokenTexts: TokenTexts { TokenTexts((0..<idBound).map { bytes(of: Int32($0), skipSpecial: true) }) }
}
