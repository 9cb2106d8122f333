// ReferenceText: a text that is rewritten rule by rule, as the reference rewrites answers.
//
// The reference defines the meaning of answers by a long list of textual substitutions; its errors follow from their
// order. ReferenceNormalForm and ReferenceGrader are such lists, and this type has the operations that they use. It
// holds bytes, because every pattern is ASCII, which is never part of another character in UTF-8. Every operation takes
// one pass.

struct ReferenceText: Equatable {
  var bytes: [UInt8]

  init(_ text: String) { bytes = Array(text.utf8) }
  init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

  var string: String { String(decoding: bytes, as: UTF8.self) }
  var isEmpty: Bool { bytes.isEmpty }
  var count: Int { bytes.count }

  func contains(_ part: String) -> Bool { bytes.contains(part.utf8) }
  func starts(with part: String) -> Bool { bytes.starts(with: part.utf8) }
  func ends(with part: String) -> Bool {
    bytes.count >= part.utf8.count && bytes.suffix(part.utf8.count) == part.bytes[...]
  }

  /// The pieces between the occurrences of a separator: one more than there are occurrences.
  func split(at separator: String) -> [ReferenceText] {
    var pieces: [ReferenceText] = []
    var start = 0
    for range in bytes.ranges(of: separator.utf8) {
      pieces.append(ReferenceText(bytes[start..<range.lowerBound]))
      start = range.upperBound
    }
    return pieces + [ReferenceText(bytes[start...])]
  }

  // MARK: Rewriting

  mutating func replace(_ part: String, with replacement: String) {
    bytes = bytes.replacing(part.utf8, with: replacement.utf8)
  }

  mutating func delete(_ parts: String...) { for part in parts { replace(part, with: "") } }

  mutating func delete(where shouldDelete: (UInt8) -> Bool) { bytes.removeAll(where: shouldDelete) }

  /// Removes white space from both ends.
  mutating func trim() {
    bytes = Array(bytes[(bytes.firstIndex { !$0.isSpace } ?? bytes.count)...])
    while bytes.last?.isSpace == true { bytes.removeLast() }
  }

  var trimmed: ReferenceText {
    var text = self
    text.trim()
    return text
  }

  mutating func dropLast(_ mark: String) { if ends(with: mark) { bytes.removeLast(mark.utf8.count) } }
  mutating func dropFirst(_ mark: String) { if starts(with: mark) { bytes.removeFirst(mark.utf8.count) } }

  /// Replaces `\name{argument}`. The argument ends at the next closing brace, even if that belongs to a brace inside.
  ///
  /// - Parameter rewrite: returns the replacement for an argument.
  mutating func replaceCommand(_ opening: String, by rewrite: (ArraySlice<UInt8>) -> [UInt8]) {
    var result: [UInt8] = []
    var rest = bytes[...]
    while let range = rest.firstRange(of: opening.utf8),
      let close = rest[range.upperBound...].firstIndex(of: UInt8(ascii: "}"))
    {
      result += rest[..<range.lowerBound] + rewrite(rest[range.upperBound..<close])
      rest = rest[(close + 1)...]
    }
    bytes = result + rest
  }

  /// Rewrites the text after each occurrence of a command.
  ///
  /// - Parameter rewrite: gets the text from the command to its next occurrence, and returns the replacement; nil: the
  ///   whole text stays unchanged.
  mutating func rewriteTails(of command: String, _ rewrite: (ReferenceText) -> [UInt8]?) {
    let pieces = split(at: command)
    var result = pieces[0].bytes
    for piece in pieces.dropFirst() {
      guard let tail = rewrite(piece) else { return }
      result += command.bytes + tail
    }
    bytes = result
  }

  /// If there is a single `=` and its left side has at most two characters, keeps only the right side.
  mutating func dropShortLeftSide() {
    let sides = split(at: "=")
    if sides.count == 2, sides[0].string.unicodeScalars.count <= 2 { self = sides[1] }
  }

  /// Removes the commas of a number that is grouped by thousands: `1,024` becomes 1024, `1,24` stays.
  mutating func dropThousandsCommas() {
    var result: [UInt8] = []
    for (index, byte) in bytes.enumerated() {
      let following = bytes[(index + 1)...].prefix(4).prefix { $0.isDigit }
      if byte == UInt8(ascii: ","), following.count == 3, index > 0, bytes[index - 1].isDigit { continue }
      result.append(byte)
    }
    bytes = result
  }
}

extension String {
  var bytes: [UInt8] { Array(utf8) }
}

extension UInt8 {
  var isDigit: Bool { (48...57).contains(self) }
  var isSpace: Bool { self == 32 || (9...13).contains(self) }
  /// A letter, a digit, an underscore, or part of a character beyond ASCII.
  var isWord: Bool { isDigit || (self | 32) >= 97 && (self | 32) <= 122 || self == UInt8(ascii: "_") || self >= 128 }
}
