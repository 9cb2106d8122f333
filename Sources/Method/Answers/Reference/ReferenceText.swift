// ReferenceText: a text that is rewritten, rule after rule, as the reference rewrites answers.
//
// The reference's answer semantics is a long list of textual substitutions, and what it gets wrong follows from their
// order. The two normal forms (ReferenceNormalForm, ReferenceGrader) are such lists; this is the tool they are
// written with. Bytes, because every pattern is ASCII, which no other character of UTF-8 contains. Every operation
// takes one pass.

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

  /// The pieces between the occurrences of a separator; one more than there are of it.
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

  /// Takes white space off both ends.
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

  /// Rewrites `\name{argument}` by its argument, for the argument up to the next closing brace, nested or not.
  ///
  /// - Parameter rewrite: what stands there instead, given the argument.
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

  /// Rewrites what follows each occurrence of a command.
  ///
  /// - Parameter rewrite: takes the rest of the text behind the command up to its next occurrence; nil gives up and
  ///   leaves the whole text as it was.
  mutating func rewriteTails(of command: String, _ rewrite: (ReferenceText) -> [UInt8]?) {
    let pieces = split(at: command)
    var result = pieces[0].bytes
    for piece in pieces.dropFirst() {
      guard let tail = rewrite(piece) else { return }
      result += command.bytes + tail
    }
    bytes = result
  }

  /// Keeps the right side of a single `=` whose left side has at most two characters.
  mutating func dropShortLeftSide() {
    let sides = split(at: "=")
    if sides.count == 2, sides[0].string.unicodeScalars.count <= 2 { self = sides[1] }
  }

  /// Takes the commas out of a number grouped by thousands: `1,024` is 1024, `1,24` stays.
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
