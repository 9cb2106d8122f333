// TextNormalizer: what a tokenizer does to text before it splits it.
//
// Byte-level tokenizers compose characters (NFC), or do nothing. Tokenizers made from SentencePiece write a space as
// "▁" and put one in front of the text.

struct TextNormalizer: Sendable {
  enum Step: Sendable {
    case compose
    /// Text that is not empty gets these bytes in front.
    case prepend([UInt8])
    case replace(Replacement)
  }

  var steps: [Step] = []

  func normalize(_ text: [UInt8]) -> [UInt8] {
    steps.reduce(text) { text, step in
      switch step {
      case .compose: CanonicalComposition.compose(text)
      case .prepend(let bytes): text.isEmpty ? text : bytes + text
      case .replace(let replacement): replacement.applied(to: text)
      }
    }
  }
}

/// Puts `content` in the place of each `pattern`.
struct Replacement: Sendable {
  /// Not empty.
  var pattern: [UInt8]
  var content: [UInt8]

  func applied(to text: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(text.count)
    pattern.forEachStretch(of: text, in: 0..<text.count) { range, isMatch in
      out.append(contentsOf: isMatch ? content[...] : text[range])
    }
    return out
  }
}

extension [UInt8] {
  /// Calls `body` for each place of `text` where these bytes are, from left to right, and for each stretch between two
  /// places.
  func forEachStretch(of text: [UInt8], in range: Range<Int>, _ body: (_ range: Range<Int>, _ isMatch: Bool) -> Void) {
    var done = range.lowerBound
    var position = done
    while position + count <= range.upperBound {
      guard text[position] == self[0], text[position..<position + count].elementsEqual(self) else {
        position += 1
        continue
      }
      if done < position { body(done..<position, false) }
      body(position..<position + count, true)
      position += count
      done = position
    }
    if done < range.upperBound { body(done..<range.upperBound, false) }
  }
}
