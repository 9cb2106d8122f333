// StopStrings: texts that end a response, found at the token that completes one.
//
// The text of a response is the bytes of its tokens, one after the other; special tokens add nothing. A string may
// begin and end within tokens and span many. Each string is followed by itself (Knuth, Morris, Pratt): per string one
// number says how many of its bytes the text so far ends with, so a token costs time in proportion to its bytes and
// nothing is ever decoded twice. What ends a response is a function of its tokens alone.

package import Records

/// Looks for some strings in texts of tokens. Immutable; shared by all samples.
package struct StopStrings: Sendable {
  private let strings: [[UInt8]]
  /// By string and length: the longest proper beginning that is also an end of its first `length` bytes.
  private let fallbacks: [[Int]]
  private let texts: TokenTexts

  /// How far into each string the text of one response is.
  package struct Progress: Sendable {
    fileprivate var matched: [Int]
  }

  /// - Parameters:
  ///   - strings: each at least one byte.
  ///   - texts: of every token that can be sampled.
  package init(_ strings: [String], texts: TokenTexts) {
    precondition(strings.isEmpty || texts.count > 0, "stop strings need the texts of the tokens")
    self.strings = strings.map { Array($0.utf8) }
    precondition(self.strings.allSatisfy { !$0.isEmpty }, "a stop string is empty: every response would end at once")
    fallbacks = self.strings.map(Self.fallbacks)
    self.texts = texts
  }

  package var isEmpty: Bool { strings.isEmpty }

  package var beginning: Progress { Progress(matched: strings.map { _ in 0 }) }

  /// Goes on by one token.
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
  /// What each token adds to a response's text. Special tokens add nothing.
  package var tokenTexts: TokenTexts { TokenTexts((0..<idBound).map { bytes(of: Int32($0), skipSpecial: true) }) }
}
