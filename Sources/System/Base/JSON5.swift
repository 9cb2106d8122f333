// JSON5: what users write by hand, with the place of everything in it.
//
// JSON5 is JSON with comments, commas after the last member, names without quotes, single quotes and more forms of
// numbers. A file of settings can have several mistakes, and all are reported with their places, so every value keeps
// its line and column. Any bytes give a value or an error with its place. Nothing traps, and recursion is bounded.
// Source: https://spec.json5.org. A name without quotes is ASCII letters, digits, "_", "$" and "-" here. The "-" is in
// names of settings; JSON5 itself wants quotes around them. A name that occurs twice is refused, as in JSON.
// Not here: what the values mean.

/// A value and where it begins.
package struct JSON5: Sendable, Equatable {
  /// Counted from 1.
  package let line: Int
  /// Counted from 1, in characters (Unicode scalars).
  package let column: Int
  package let value: Value

  package enum Value: Sendable, Equatable {
    case null
    case bool(Bool)
    /// As a plain decimal: an integer without a point if it is one, and if it is within 64 bits.
    case number(String)
    case text(String)
    case list([JSON5])
    case object([Member])
  }

  package struct Member: Sendable, Equatable {
    package let name: String
    package let line: Int
    package let column: Int
    package let value: JSON5
  }

  /// The one value of a file.
  package static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSON5 {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw JSONError(line: 1, column: 1, problem: .invalidUTF8)
    }
    var parser = JSON5Parser(text)
    let value = try parser.value(depth: 0)
    try parser.space()
    guard parser.isAtEnd else { throw parser.error(.trailingBytes(found: parser.found)) }
    return value
  }
}

private struct JSON5Parser {
  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var line = 1
  private var column = 1

  init(_ text: String) {
    scalars = Array(text.unicodeScalars)
    // The mark with which some editors begin a file is white space in JSON5, and has no column.
    if scalars.first == "\u{FEFF}" { position = 1 }
  }

  var isAtEnd: Bool { position == scalars.count }

  private var next: Unicode.Scalar? { isAtEnd ? nil : scalars[position] }

  var found: String { next.map { "\"\(String(Character($0)).visible)\"" } ?? "the end of the file" }

  func error(_ problem: JSONError.Problem) -> JSONError { JSONError(line: line, column: column, problem: problem) }

  private func unexpected(_ expected: String) -> JSONError { error(.unexpected(found: found, expected: expected)) }

  private mutating func advance() {
    let isBreak = scalars[position] == "\n" || scalars[position] == "\r" && following != "\n"
    (line, column) = isBreak ? (line + 1, 1) : (line, column + 1)
    position += 1
  }

  private var following: Unicode.Scalar? { position + 1 < scalars.count ? scalars[position + 1] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard next == scalar else { return false }
    advance()
    return true
  }

  /// White space and comments.
  mutating func space() throws(JSONError) {
    while let scalar = next {
      if scalar.properties.isWhitespace || scalar == "\u{FEFF}" {
        advance()
      } else if scalar == "/", following == "/" {
        while let scalar = next, scalar != "\n", scalar != "\r" { advance() }
      } else if scalar == "/", following == "*" {
        let start = error(.unexpected(found: "a comment without its end", expected: "*/"))
        advance()
        advance()
        while !(next == "*" && following == "/") {
          guard !isAtEnd else { throw start }
          advance()
        }
        advance()
        advance()
      } else {
        return
      }
    }
  }

  mutating func value(depth: Int) throws(JSONError) -> JSON5 {
    try space()
    guard depth < JSON.depthMax else { throw error(.tooDeep(limit: JSON.depthMax)) }
    let (line, column) = (line, column)
    let value: JSON5.Value
    switch next {
    case "{": value = .object(try members(depth: depth))
    case "[":
      advance()
      var elements: [JSON5] = []
      while try !ends(with: "]", after: elements.isEmpty) { elements.append(try self.value(depth: depth + 1)) }
      value = .list(elements)
    case "\"", "'": value = .text(try text())
    case let scalar? where Self.isOfNumber(scalar): value = .number(try number())
    default:
      let start = self
      switch word() {
      case "true": value = .bool(true)
      case "false": value = .bool(false)
      case "null": value = .null
      case "Infinity", "NaN": throw start.unexpected("a finite number")
      default: throw start.unexpected("a value: text in quotes, a number, true or false")
      }
    }
    return JSON5(line: line, column: column, value: value)
  }

  /// Whether a list or object ends here; between elements there has to be a comma, which can also follow the last one.
  private mutating func ends(with bracket: Unicode.Scalar, after isFirst: Bool) throws(JSONError) -> Bool {
    try space()
    if take(bracket) { return true }
    guard !isFirst else { return false }
    guard take(",") else { throw unexpected("\",\" or \"\(bracket)\"") }
    try space()
    return take(bracket)
  }

  private mutating func members(depth: Int) throws(JSONError) -> [JSON5.Member] {
    advance()
    var members: [JSON5.Member] = []
    while try !ends(with: "}", after: members.isEmpty) {
      let start = self
      let name = try next == "\"" || next == "'" ? text() : word()
      guard position > start.position else { throw unexpected("a name") }
      try space()
      guard take(":") else { throw unexpected("\":\"") }
      members.append(
        JSON5.Member(name: name, line: start.line, column: start.column, value: try value(depth: depth + 1)))
    }
    if let repeated = Self.firstRepeated(members) {
      throw JSONError(line: repeated.line, column: repeated.column, problem: .duplicateKey(repeated.name))
    }
    return members
  }

  /// The first member that has the name of an earlier one.
  private static func firstRepeated(_ members: [JSON5.Member]) -> JSON5.Member? {
    // Sorted, equal names are neighbours: a file can have a million.
    let order = members.indices.sorted { left, right in
      let (first, second) = (members[left].name, members[right].name)
      return first.isSameBytes(as: second) ? left < right : first.utf8.lexicographicallyPrecedes(second.utf8)
    }
    let repeated = zip(order, order.dropFirst()).filter { members[$0].name.isSameBytes(as: members[$1].name) }.map(\.1)
    return repeated.min().map { members[$0] }
  }

  private mutating func word() -> String {
    var word = ""
    while let scalar = next, Self.isOfName(scalar) {
      word.unicodeScalars.append(scalar)
      advance()
    }
    return word
  }

  private static func isOfName(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "a"..."z", "A"..."Z", "0"..."9", "_", "$", "-": true
    default: false
    }
  }

  // MARK: Numbers

  private static func isOfNumber(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "0"..."9", "+", "-", ".": true
    default: false
    }
  }

  private mutating func number() throws(JSONError) -> String {
    let start = self
    var text = ""
    while let scalar = next, Self.isOfName(scalar) || Self.isOfNumber(scalar) {
      text.unicodeScalars.append(scalar)
      advance()
    }
    guard let number = Self.decimal(text) else { throw start.error(.unexpected(found: text, expected: "a number")) }
    return number
  }

  /// A JSON5 number as a plain decimal; nil if it is none, or not finite.
  static func decimal(_ text: String) -> String? {
    let isNegative = text.hasPrefix("-")
    let body = text.dropFirst(isNegative || text.hasPrefix("+") ? 1 : 0)
    let sign = isNegative ? "-" : ""
    if body.lowercased().hasPrefix("0x") { return UInt64(body.dropFirst(2), radix: 16).map { "\(sign)\($0)" } }
    guard let first = body.unicodeScalars.first, first == "." || ("0"..."9").contains(first), body != "." else {
      return nil
    }
    if let integer = UInt64(body) { return integer == 0 ? "0" : "\(sign)\(integer)" }
    // Double reads neither ".5" nor "5.".
    var spelled = body.hasPrefix(".") ? "0\(body)" : String(body)
    if let point = spelled.firstIndex(of: "."), !(spelled[point...].dropFirst().first?.isNumber ?? false) {
      spelled.insert("0", at: spelled.index(after: point))
    }
    guard spelled.unicodeScalars.allSatisfy({ ("0"..."9").contains($0) || "+-.eE".unicodeScalars.contains($0) }),
      let value = Double(sign + spelled), value.isFinite
    else { return nil }
    return Int64(exactly: value).map { "\($0)" } ?? "\(value)"
  }

  // MARK: Text

  private mutating func text() throws(JSONError) -> String {
    let start = unexpected("the closing quote of this text")
    guard let quote = next else { throw start }
    advance()
    var text = ""
    while let scalar = next {
      if take(quote) { return text }
      guard scalar != "\n", scalar != "\r" else { throw start }
      if scalar == "\\" {
        try escape(into: &text)
      } else {
        text.unicodeScalars.append(scalar)
        advance()
      }
    }
    throw start
  }

  private mutating func escape(into text: inout String) throws(JSONError) {
    advance()
    guard let scalar = next else { throw unexpected("the rest of an escape") }
    advance()
    switch scalar {
    case "b": text += "\u{8}"
    case "f": text += "\u{C}"
    case "n": text += "\n"
    case "r": text += "\r"
    case "t": text += "\t"
    case "v": text += "\u{B}"
    case "0": text += "\0"
    case "x": text.unicodeScalars.append(Unicode.Scalar(UInt8(try hexadecimal(digits: 2))))
    case "u": text.unicodeScalars.append(try unicode())
    // A line that goes on in the next one.
    case "\n", "\u{2028}", "\u{2029}": break
    case "\r": _ = take("\n")
    case "1"..."9": throw unexpected("an escape: \\1 to \\9 mean nothing")
    default: text.unicodeScalars.append(scalar)
    }
  }

  private mutating func unicode() throws(JSONError) -> Unicode.Scalar {
    let unit = UInt16(try hexadecimal(digits: 4))
    if let scalar = Unicode.Scalar(unit) { return scalar }
    guard unit < 0xDC00, take("\\"), take("u") else { throw error(.loneSurrogate(unit)) }
    let low = UInt16(try hexadecimal(digits: 4))
    guard (0xDC00...0xDFFF).contains(low),
      let scalar = Unicode.Scalar(0x10000 + (UInt32(unit & 0x3FF) << 10 | UInt32(low & 0x3FF)))
    else { throw error(.loneSurrogate(unit)) }
    return scalar
  }

  private mutating func hexadecimal(digits: Int) throws(JSONError) -> Int {
    var value = 0
    for _ in 0..<digits {
      guard let scalar = next, scalar.isASCII, let digit = Character(scalar).hexDigitValue else {
        throw unexpected("\(digits) hexadecimal digits")
      }
      value = value << 4 | digit
      advance()
    }
    return value
  }
}
