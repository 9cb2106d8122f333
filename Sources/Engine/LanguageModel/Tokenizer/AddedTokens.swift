// AddedTokens: the tokens that are searched for in the text itself, before it is split into words.
//
// "<|im_end|>" must become one token wherever it is in the text. Most added tokens are matched in the text as it is,
// some after normalisation. Among matches the leftmost wins; among those with the same start, the longest. A token can
// also require to be a whole word, and can include the white space before or after it.

/// One entry of `added_tokens`.
struct AddedToken: Sendable, Equatable {
  var id: Int32
  var content: [UInt8]
  /// The content after normalisation, if `isNormalized`: it is searched for in normalised text, and decoded.
  var normalized: [UInt8]
  var isSpecial: Bool
  /// Left out of decoded text if the caller asks for that: what is decoded is a special token's content.
  var isLeftOut: Bool
  /// Matched only if the characters before and after it are not part of a word.
  var isSingleWord: Bool
  var takesSpaceBefore: Bool
  var takesSpaceAfter: Bool
  /// Matched in the normalised text, not in the raw text.
  var isNormalized: Bool
}

/// A piece of text, or an added token.
enum TextSegment: Equatable {
  case text(Range<Int>)
  case token(Int32)
}

/// Finds a set of added tokens in text.
struct AddedTokenMatcher: Sendable {
  /// Sorted by what is searched for, so that all tokens with a common beginning are adjacent, the shortest first.
  private let tokens: [AddedToken]
  private let beginsToken: [Bool]

  /// - Parameter tokens: what is searched for is distinct and not empty.
  init(_ tokens: [AddedToken]) {
    self.tokens = tokens.sorted { $0.normalized.lexicographicallyPrecedes($1.normalized) }
    var beginsToken = Array(repeating: false, count: 256)
    for token in tokens { beginsToken[Int(token.normalized[0])] = true }
    self.beginsToken = beginsToken
  }

  /// `text` cut into added tokens and the pieces of text between them, in order. No piece is empty. The time is
  /// proportional to the bytes times the length of the longest token.
  func segments(of text: [UInt8]) -> [TextSegment] {
    var segments: [TextSegment] = []
    var done = 0
    var position = 0
    while position < text.count {
      guard beginsToken[Int(text[position])], let token = longestToken(in: text, at: position) else {
        position += 1
        continue
      }
      let match = position..<position + token.normalized.count
      position = match.upperBound
      guard !token.isSingleWord || isSingleWord(match, in: text) else { continue }
      let start =
        token.takesSpaceBefore
        ? spaceStart(before: match.lowerBound, in: text, after: done) : max(done, match.lowerBound)
      if done < start { segments.append(.text(done..<start)) }
      segments.append(.token(token.id))
      // A token of white space can be inside the white space that the token before it includes, and ends where that
      // ends. Looking for the end again, for each of many such tokens, would take quadratic time.
      if match.upperBound <= done { continue }
      done = token.takesSpaceAfter ? spaceEnd(after: match.upperBound, in: text) : match.upperBound
    }
    if done < text.count { segments.append(.text(done..<text.count)) }
    return segments
  }

  private func longestToken(in text: [UInt8], at position: Int) -> AddedToken? {
    var candidates = tokens[...]
    var longest: AddedToken?
    var length = 0
    while position + length < text.count {
      let byte = Int(text[position + length])
      // -1 for a token that has ended: it is sorted before longer ones.
      func next(_ token: AddedToken) -> Int { length < token.normalized.count ? Int(token.normalized[length]) : -1 }
      let low = firstIndex(in: candidates) { next($0) >= byte }
      candidates = candidates[low..<firstIndex(in: candidates[low...]) { next($0) > byte }]
      guard let first = candidates.first else { break }
      length += 1
      if first.normalized.count == length { longest = first }
    }
    return longest
  }

  /// Binary search for the first token for which `isAbove` holds; it holds for all tokens after that one.
  private func firstIndex(in slice: ArraySlice<AddedToken>, _ isAbove: (AddedToken) -> Bool) -> Int {
    var low = slice.startIndex
    var high = slice.endIndex
    while low < high {
      let middle = (low + high) / 2
      if isAbove(slice[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

// MARK: - The text around a match

extension AddedTokenMatcher {
  private func isSingleWord(_ match: Range<Int>, in text: [UInt8]) -> Bool {
    let before = lastScalar(of: text[..<match.lowerBound])
    let after = firstScalar(of: text[match.upperBound...])
    return !(before.map(isWordCharacter) ?? false) && !(after.map(isWordCharacter) ?? false)
  }

  /// - Parameter bound: no further back than this.
  private func spaceStart(before end: Int, in text: [UInt8], after bound: Int) -> Int {
    var start = max(end, bound)
    while start > bound, let scalar = lastScalar(of: text[bound..<start]), scalar.properties.isWhitespace {
      start -= UTF8.width(scalar)
    }
    return start
  }

  private func spaceEnd(after start: Int, in text: [UInt8]) -> Int {
    var end = start
    while let scalar = firstScalar(of: text[end...]), scalar.properties.isWhitespace { end += UTF8.width(scalar) }
    return end
  }

  private func firstScalar(of text: ArraySlice<UInt8>) -> Unicode.Scalar? {
    String(decoding: text.prefix(4), as: UTF8.self).unicodeScalars.first
  }

  private func lastScalar(of text: ArraySlice<UInt8>) -> Unicode.Scalar? {
    guard let start = text.suffix(4).lastIndex(where: { $0 & 0xC0 != 0x80 }) else { return nil }
    return String(decoding: text[start...], as: UTF8.self).unicodeScalars.last
  }

  /// `\w` of regular expressions: Unicode Technical Standard 18, Annex C.
  private func isWordCharacter(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: true
    default: scalar.properties.isAlphabetic || scalar.properties.isJoinControl
    }
  }
}
