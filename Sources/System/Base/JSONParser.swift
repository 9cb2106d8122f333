// JSONParser: bytes to JSON, total and linear.
//
// Any bytes give a value or a named error with its line and column. Nothing traps, recursion is bounded, and the time
// is linear in the number of bytes (n log n for the search for duplicate keys in large objects). The parser refuses
// what many parsers accept, because each of these can hide a damaged file: duplicate keys, lone surrogates, invalid
// UTF-8, bytes after the value.

/// Why text is not JSON, and where.
package struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
  package enum Problem: Equatable, Sendable {
    case unexpected(found: String, expected: String)
    case invalidUTF8
    case loneSurrogate(UInt16)
    case duplicateKey(String)
    case trailingBytes(found: String)
    case tooDeep(limit: Int)
    case tooLong(limit: Int)
  }

  /// Counted from 1 in the bytes given to the parser.
  package let line: Int
  /// Counted from 1, in characters (Unicode scalars).
  package let column: Int
  package let problem: Problem

  package init(line: Int, column: Int, problem: Problem) {
    self.line = line
    self.column = column
    self.problem = problem
  }

  package var description: String { "line \(line), column \(column): \(problem)" }
}

extension JSONError.Problem: CustomStringConvertible {
  package var description: String {
    switch self {
    case .unexpected(let found, let expected): "found \(found), expected \(expected)"
    case .invalidUTF8: "the bytes are not valid UTF-8; was the file saved in another encoding?"
    case .loneSurrogate(let unit):
      "\\u\(String(unit, radix: 16)) is half of a surrogate pair; expected both halves, \\ud83d\\ude00 for example"
    case .duplicateKey(let key): "the key \"\(key.prefix(60).visible)\" occurs twice in one object"
    case .trailingBytes(let found): "found \(found) after the end of the value, expected nothing more"
    case .tooDeep(let limit): "values are nested more than \(limit) deep"
    case .tooLong(let limit): "the value has more than \(limit) bytes"
    }
  }
}

extension JSON {
  /// Enough for any file that ttrl reads; other parsers allow 100 to 1,000.
  package static let depthMax = 128

  /// The one value in `bytes`, with nothing but white space around it.
  package static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSON { try parse(bytes, in: 0..<bytes.count) }

  /// The one value in a part of `bytes`. Errors count lines from the beginning of `bytes`, so that a line of a JSONL
  /// file reports the file's line.
  package static func parse(_ bytes: [UInt8], in range: Range<Int>) throws(JSONError) -> JSON {
    var parser = JSONParser(bytes, in: range)
    let value = try parser.value(depth: 0)
    try parser.finish()
    return value
  }

  package static func parse(_ text: String) throws(JSONError) -> JSON { try parse(Array(text.utf8)) }

  /// Reads the elements of the one array in `bytes`, one after the other.
  /// - Parameters:
  ///   - bytes: the text of the array.
  ///   - limit: the bytes that one element can have.
  ///   - body: gets each element, with the line on which it begins.
  package static func parseElements(
    _ bytes: [UInt8], limit: Int, _ body: (_ line: Int, JSON) -> Void
  ) throws(JSONError) {
    var parser = JSONParser(bytes, in: 0..<bytes.count)
    var line = 1
    var counted = 0
    parser.skipSpace()
    try parser.array { (parser: inout JSONParser) throws(JSONError) in
      parser.skipSpace()
      while counted < parser.position {
        if bytes[counted] == UInt8(ascii: "\n") { line += 1 }
        counted += 1
      }
      body(line, try parser.value(depth: 1, bytesMax: limit))
    }
    try parser.finish()
  }
}

/// Reads one value, front to back.
struct JSONParser {
  private let bytes: [UInt8]
  private(set) var position: Int
  private var end: Int
  /// Where each key of the objects being read begins; a stack shared by all depths.
  private var keyStarts: [Int] = []

  init(_ bytes: [UInt8], in range: Range<Int>) {
    self.bytes = bytes
    position = range.lowerBound
    end = range.upperBound
  }

  mutating func finish() throws(JSONError) {
    skipSpace()
    guard position == end else { throw error(.trailingBytes(found: found)) }
  }

  mutating func skipSpace() {
    while position < end {
      switch bytes[position] {
      case 0x20, 0x0A, 0x0D, 0x09: position += 1
      default: return
      }
    }
  }

  /// The value that follows, after white space.
  mutating func value(depth: Int) throws(JSONError) -> JSON {
    skipSpace()
    guard position < end else { throw unexpected("a value") }
    switch bytes[position] {
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "{"): return .object(try object(depth: depth))
    case UInt8(ascii: "["):
      guard depth < JSON.depthMax else { throw error(.tooDeep(limit: JSON.depthMax)) }
      var elements: [JSON] = []
      try array { (parser: inout JSONParser) throws(JSONError) in elements.append(try parser.value(depth: depth + 1)) }
      return .array(elements)
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
    default: throw unexpected("a value")
    }
  }

  /// The value that follows, if it is not longer than `bytesMax`. No more bytes than that are read.
  mutating func value(depth: Int, bytesMax: Int) throws(JSONError) -> JSON {
    skipSpace()
    let (start, whole) = (position, end)
    guard whole - start > bytesMax else { return try value(depth: depth) }
    end = start + bytesMax + 1
    defer { end = whole }
    do throws(JSONError) {
      let value = try value(depth: depth)
      // A number at the end can be a part of a longer one.
      if position < end { return value }
    } catch {
      // A value that was cut off is an error at the cut, at most a word such as "false" before it.
      if position + 8 < end { throw error }
    }
    throw error(.tooLong(limit: bytesMax), at: start)
  }

  /// Calls `element` at the beginning of each element.
  mutating func array(_ element: (inout JSONParser) throws(JSONError) -> Void) throws(JSONError) {
    guard take("[") else { throw unexpected("\"[\"") }
    skipSpace()
    if take("]") { return }
    while true {
      try element(&self)
      skipSpace()
      if take("]") { return }
      guard take(",") else { throw unexpected("\",\" or \"]\"") }
    }
  }

  private mutating func object(depth: Int) throws(JSONError) -> [JSON.Member] {
    guard depth < JSON.depthMax else { throw error(.tooDeep(limit: JSON.depthMax)) }
    position += 1
    skipSpace()
    if take("}") { return [] }
    let firstKey = keyStarts.count
    var members: [JSON.Member] = []
    while true {
      skipSpace()
      guard position < end, bytes[position] == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
      keyStarts.append(position)
      let key = try string()
      skipSpace()
      guard take(":") else { throw unexpected("\":\"") }
      members.append(JSON.Member(key, try value(depth: depth + 1)))
      skipSpace()
      if take("}") { break }
      guard take(",") else { throw unexpected("\",\" or \"}\"") }
    }
    if let index = firstRepeatedKey(in: members) {
      throw error(.duplicateKey(members[index].key), at: keyStarts[firstKey + index])
    }
    keyStarts.removeLast(members.count)
    return members
  }

  private mutating func word(_ text: String, _ value: JSON) throws(JSONError) -> JSON {
    let word = text.utf8
    guard position + word.count <= end, bytes[position..<position + word.count].elementsEqual(word) else {
      throw unexpected("a value; did you mean \(text)?")
    }
    position += word.count
    return value
  }

  /// - Returns: whether the next byte is `byte`; if so, it is consumed.
  private mutating func take(_ byte: Unicode.Scalar) -> Bool {
    guard position < end, bytes[position] == UInt8(ascii: byte) else { return false }
    position += 1
    return true
  }
}

// MARK: - Numbers

extension JSONParser {
  private mutating func number() throws(JSONError) -> JSON.Number {
    let start = position
    _ = take("-")
    if take("0") {
      if isDigit { throw unexpected("no digit after a leading 0") }
    } else {
      try digits()
    }
    if take(".") { try digits() }
    if take("e") || take("E") {
      if !take("+") { _ = take("-") }
      try digits()
    }
    return JSON.Number(literal: String(decoding: bytes[start..<position], as: UTF8.self))
  }

  private var isDigit: Bool {
    position < end && (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position])
  }

  private mutating func digits() throws(JSONError) {
    guard isDigit else { throw unexpected("a digit") }
    while isDigit { position += 1 }
  }
}

// MARK: - Strings

extension JSONParser {
  /// The string whose opening quote is the next byte.
  private mutating func string() throws(JSONError) -> String {
    position += 1
    let start = position
    while position < end {
      switch bytes[position] {
      case UInt8(ascii: "\""):
        let text = try validated(bytes[start..<position], from: start)
        position += 1
        return text
      case UInt8(ascii: "\\"): return try escapedString(from: start)
      case 0..<0x20: throw unexpected("an escape: control characters are written \\u00xx")
      default: position += 1
      }
    }
    throw unexpected("the closing quote of a string")
  }

  /// The rest of a string, from its first backslash on. `start` is where its text begins.
  private mutating func escapedString(from start: Int) throws(JSONError) -> String {
    var text = Array(bytes[start..<position])
    while position < end {
      let byte = bytes[position]
      switch byte {
      case UInt8(ascii: "\""):
        // Escapes only ever add valid UTF-8, so an error in `text` is an error in the source.
        if String(validating: text, as: UTF8.self) == nil { _ = try validated(bytes[start..<position], from: start) }
        position += 1
        return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"): try escape(into: &text)
      case 0..<0x20: throw unexpected("an escape: control characters are written \\u00xx")
      default:
        text.append(byte)
        position += 1
      }
    }
    throw unexpected("the closing quote of a string")
  }

  private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
    let start = position
    position += 1
    guard position < end else { throw unexpected("the rest of an escape") }
    switch bytes[position] {
    case UInt8(ascii: "\""): text.append(UInt8(ascii: "\""))
    case UInt8(ascii: "\\"): text.append(UInt8(ascii: "\\"))
    case UInt8(ascii: "/"): text.append(UInt8(ascii: "/"))
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"):
      position += 1
      text.append(contentsOf: String(Character(try unicodeEscape(from: start))).utf8)
      return
    default: throw unexpected("one of \" \\ / b f n r t u after a backslash")
    }
    position += 1
  }

  /// The scalar of \uXXXX or of a surrogate pair. `start` is the position of its backslash; the "u" has been consumed.
  private mutating func unicodeEscape(from start: Int) throws(JSONError) -> Unicode.Scalar {
    let unit = try fourHexDigits()
    if let scalar = Unicode.Scalar(unit) { return scalar }
    guard unit < 0xDC00, take("\\"), take("u") else { throw error(.loneSurrogate(unit), at: start) }
    let low = try fourHexDigits()
    let offset = UInt32(unit & 0x3FF) << 10 | UInt32(low & 0x3FF)
    guard (0xDC00...0xDFFF).contains(low), let scalar = Unicode.Scalar(0x10000 + offset) else {
      throw error(.loneSurrogate(unit), at: start)
    }
    return scalar
  }

  private mutating func fourHexDigits() throws(JSONError) -> UInt16 {
    var value: UInt16 = 0
    for _ in 0..<4 {
      guard position < end, let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue,
        bytes[position] < 0x80
      else { throw unexpected("four hexadecimal digits") }
      value = value << 4 | UInt16(digit)
      position += 1
    }
    return value
  }

  private func validated(_ raw: ArraySlice<UInt8>, from start: Int) throws(JSONError) -> String {
    if let text = String(validating: raw, as: UTF8.self) { return text }
    var firstBadByte = 0
    do { _ = try UTF8Span(validating: Array(raw).span) } catch { firstBadByte = error.byteOffsets.lowerBound }
    throw error(.invalidUTF8, at: start + firstBadByte)
  }
}

// MARK: - Duplicate keys

/// The first member that has the same key as an earlier member.
private func firstRepeatedKey(in members: [JSON.Member]) -> Int? {
  // For the few members of an ordinary object, comparing all pairs is fastest.
  guard members.count > 8 else {
    return members.indices.first { index in
      members[..<index].contains { $0.key.isSameBytes(as: members[index].key) }
    }
  }
  // After sorting by hash, equal keys are neighbours. Keys that were made to collide cost more comparisons, but the
  // number never becomes quadratic.
  var order: [(hash: UInt64, index: Int)] = []
  order.reserveCapacity(members.count)
  for (index, member) in members.enumerated() { order.append((stableHash(member.key), index)) }
  order.sort { left, right in
    if left.hash != right.hash { return left.hash < right.hash }
    let (first, second) = (members[left.index].key, members[right.index].key)
    return first.isSameBytes(as: second)
      ? left.index < right.index : first.utf8.lexicographicallyPrecedes(second.utf8)
  }
  var first: Int?
  for (one, other) in zip(order, order.dropFirst()) where one.hash == other.hash {
    guard members[one.index].key.isSameBytes(as: members[other.index].key) else { continue }
    first = min(first ?? other.index, other.index)
  }
  return first
}

/// FNV-1a over the UTF-8 bytes: the same in every process, unlike Swift's own hash.
package func stableHash(_ text: String) -> UInt64 {
  var hash: UInt64 = 0xCBF2_9CE4_8422_2325
  for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
  return hash
}

// MARK: - Errors

extension JSONParser {
  private func unexpected(_ expected: String) -> JSONError {
    error(.unexpected(found: found, expected: expected))
  }

  /// The next byte, for messages.
  private var found: String {
    guard position < end else { return "the end of the text" }
    let byte = bytes[position]
    return (0x21..<0x7F).contains(byte)
      ? "\"\(Unicode.Scalar(byte))\"" : "byte 0x\(byte < 16 ? "0" : "")\(String(byte, radix: 16))"
  }

  private func error(_ problem: JSONError.Problem, at place: Int? = nil) -> JSONError {
    let place = place ?? position
    let before = bytes[..<place]
    let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    return JSONError(
      line: 1 + before.count { $0 == UInt8(ascii: "\n") },
      column: 1 + bytes[lineStart..<place].count { $0 & 0xC0 != 0x80 },
      problem: problem)
  }
}
