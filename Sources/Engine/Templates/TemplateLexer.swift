// TemplateLexer: a template's source as tokens, with the rules for white space that chat templates rely on.
//
// They are those of Jinja as the transformers library sets it up: the newline after a statement goes, and so do blanks
// before a statement that is first in its line (trim_blocks, lstrip_blocks); a minus at a tag's end takes all white
// space on that side, and a plus keeps it. The last newline of the source goes.

struct TemplateToken: Equatable {
  enum Kind: Equatable {
    /// Text between tags.
    case data([Unicode.Scalar])
    case outputBegin, outputEnd, statementBegin, statementEnd
    case name(String)
    case text([Unicode.Scalar])
    case int(Int)
    case float(Double)
    case mark(String)
    case end
  }

  var kind: Kind
  var place: TemplatePlace
}

struct TemplateLexer {
  private let source: [Unicode.Scalar]
  private var index = 0
  private var place = TemplatePlace(line: 1, column: 1)
  private var tokens: [TemplateToken] = []
  /// White space at the beginning of the next data goes.
  private var stripsNext = false
  /// A newline at the beginning of the next data goes.
  private var trimsNext = false

  static func tokens(_ text: String, limits: TemplateLimits) throws(TemplateError) -> [TemplateToken] {
    var lexer = TemplateLexer(text)
    guard lexer.source.count <= limits.source else {
      throw .limit(TemplatePlace(line: 1, column: 1), name: "characters of source", value: limits.source)
    }
    try lexer.run()
    return lexer.tokens
  }

  /// Every line end becomes a newline, and the last one goes.
  private init(_ text: String) {
    var source: [Unicode.Scalar] = []
    var afterReturn = false
    for scalar in text.unicodeScalars {
      if scalar == "\r" {
        source.append("\n")
      } else if scalar != "\n" || !afterReturn {
        source.append(scalar)
      }
      afterReturn = scalar == "\r"
    }
    if source.last == "\n" { source.removeLast() }
    self.source = source
  }

  // MARK: Text and tags

  private mutating func run() throws(TemplateError) {
    while index < source.count {
      skipAfterTag()
      let begin = place
      let data = takeData()
      guard index < source.count else {
        add(.data(data), at: begin)
        break
      }
      let opening = source[index + 1]
      let start = place
      skip(2)
      let sign = index < source.count && (source[index] == "-" || source[index] == "+") ? source[index] : nil
      if sign != nil { skip(1) }
      add(.data(stripped(data, before: opening, sign: sign, beganLine: begin.column == 1)), at: begin)
      switch opening {
      case "#": try skipComment(from: start)
      case "{":
        add(.outputBegin, at: start)
        let end = try takeExpressions(until: "}}", from: start)
        add(.outputEnd, at: end)
      default: try takeStatement(from: start)
      }
    }
    add(.end, at: place)
  }

  /// The white space that the last tag takes.
  private mutating func skipAfterTag() {
    if stripsNext {
      while index < source.count, source[index].isPythonSpace { skip(1) }
    } else if trimsNext, index < source.count, source[index] == "\n" {
      skip(1)
    }
    (stripsNext, trimsNext) = (false, false)
  }

  /// Up to the next tag or the end.
  private mutating func takeData() -> [Unicode.Scalar] {
    let start = index
    while index < source.count {
      if source[index] == "{", index + 1 < source.count, "{%#".unicodeScalars.contains(source[index + 1]) { break }
      skip(1)
    }
    return Array(source[start..<index])
  }

  /// Data without the white space that the tag after it takes.
  ///
  /// - Parameter beganLine: the data begins at the beginning of a line.
  private func stripped(
    _ data: [Unicode.Scalar], before opening: Unicode.Scalar, sign: Unicode.Scalar?, beganLine: Bool
  ) -> [Unicode.Scalar] {
    if sign == "-" { return Array(data[..<((data.lastIndex { !$0.isPythonSpace } ?? -1) + 1)]) }
    guard sign == nil, opening != "{" else { return data }
    let line = (data.lastIndex(of: "\n") ?? -1) + 1
    guard line > 0 || beganLine, data[line...].allSatisfy({ $0 == " " || $0 == "\t" }) else { return data }
    return Array(data[..<line])
  }

  private mutating func skipComment(from start: TemplatePlace) throws(TemplateError) {
    while index < source.count {
      if isNext("#}") {
        stripsNext = source[index - 1] == "-" && place.column > start.column
        trimsNext = source[index - 1] != "+"
        return skip(2)
      }
      skip(1)
    }
    throw .syntax(start, problem: "this comment does not end")
  }

  private mutating func takeStatement(from start: TemplatePlace) throws(TemplateError) {
    let before = tokens.count
    add(.statementBegin, at: start)
    let end = try takeExpressions(until: "%}", from: start)
    add(.statementEnd, at: end)
    guard tokens.count == before + 3, tokens[before + 1].kind == .name("raw") else { return }
    // What is raw is data, up to the statement that ends it.
    tokens.removeSubrange(before...)
    // The newline after it stays.
    trimsNext = false
    skipAfterTag()
    let begin = place
    let first = index
    while index < source.count {
      if isNext("{%"), let (length, sign, closing) = rawEnd(at: index) {
        let data = Array(source[first..<index])
        skip(length)
        stripsNext = closing == "-"
        trimsNext = closing != "+"
        return add(.data(stripped(data, before: "%", sign: sign, beganLine: begin.column == 1)), at: begin)
      }
      skip(1)
    }
    throw .syntax(start, problem: "this raw does not end; expected {% endraw %}")
  }

  /// The length of `{% endraw %}` at an index, and the signs at its ends.
  private func rawEnd(at start: Int) -> (length: Int, sign: Unicode.Scalar?, closing: Unicode.Scalar?)? {
    var at = start + 2
    func sign() -> Unicode.Scalar? { at < source.count && (source[at] == "-" || source[at] == "+") ? source[at] : nil }
    let opening = sign()
    if opening != nil { at += 1 }
    while at < source.count, source[at].isPythonSpace { at += 1 }
    let word = Array("endraw".unicodeScalars)
    guard source[at...].starts(with: word) else { return nil }
    at += word.count
    while at < source.count, source[at].isPythonSpace { at += 1 }
    let closing = sign()
    if closing != nil { at += 1 }
    guard source[min(at, source.count)...].starts(with: "%}".unicodeScalars) else { return nil }
    return (at + 2 - start, opening, closing)
  }

  // MARK: Inside tags

  private static let marks = [
    "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", ".", ",", ":", "|", "(", ")", "[",
    "]", "{", "}", ";",
  ]

  /// - Returns: where the mark that closes the tag stands.
  private mutating func takeExpressions(
    until closing: String, from start: TemplatePlace
  ) throws(TemplateError) -> TemplatePlace {
    var open: [String] = []
    while index < source.count {
      if source[index].isPythonSpace {
        skip(1)
        continue
      }
      if open.isEmpty {
        let (sign, end) = (source[index], place)
        if isNext(closing) {
          skip(2)
          trimsNext = closing == "%}"
          return end
        }
        if sign == "-" && isNext("-" + closing) || sign == "+" && closing == "%}" && isNext("+" + closing) {
          skip(3)
          stripsNext = sign == "-"
          return end
        }
      }
      let here = place
      if let number = try takeNumber() {
        add(number, at: here)
      } else if source[index].properties.isXIDStart || source[index] == "_" {
        add(.name(takeName()), at: here)
      } else if source[index] == "'" || source[index] == "\"" {
        add(.text(try takeText()), at: here)
      } else if let mark = Self.marks.first(where: isNext) {
        switch mark {
        case "(", "[", "{": open.append(mark)
        case ")", "]", "}":
          let expected = ["(": ")", "[": "]", "{": "}"][open.popLast() ?? ""]
          guard expected == mark else {
            throw .syntax(here, problem: "unexpected \(mark)" + (expected.map { ", expected \($0)" } ?? ""))
          }
        default: break
        }
        skip(mark.unicodeScalars.count)
        add(.mark(mark), at: here)
      } else {
        throw .syntax(here, problem: "unexpected character \(TemplateValue.text([source[index]]).represented)")
      }
    }
    throw .syntax(start, problem: "this tag does not end; expected \(closing)")
  }

  private mutating func takeName() -> String {
    var name = ""
    while index < source.count, source[index].properties.isXIDContinue {
      name.unicodeScalars.append(source[index])
      skip(1)
    }
    return name
  }

  private mutating func takeNumber() throws(TemplateError) -> TemplateToken.Kind? {
    guard source[index].isDigit else { return nil }
    let here = place
    var text = ""
    var isFloat = false
    func digit(_ offset: Int) -> Bool { index + offset < source.count && source[index + offset].isDigit }
    while index < source.count {
      let scalar = source[index]
      if scalar.isDigit || scalar == "_" && digit(1) {
        if scalar != "_" { text.unicodeScalars.append(scalar) }
      } else if scalar == ".", !isFloat, digit(1), tokens.last?.kind != .mark(".") {
        isFloat = true
        text += "."
      } else if scalar == "e" || scalar == "E",
        digit(1) || index + 1 < source.count && "+-".unicodeScalars.contains(source[index + 1]) && digit(2)
      {
        isFloat = true
        text += "e"
        if !digit(1) {
          skip(1)
          text.unicodeScalars.append(source[index])
        }
      } else {
        break
      }
      skip(1)
    }
    if isFloat, let value = Double(text) { return .float(value) }
    guard let value = Int(text) else { throw .unsupported(here, what: "a number of more than 64 bits") }
    return .int(value)
  }

  private mutating func takeText() throws(TemplateError) -> [Unicode.Scalar] {
    let (start, quote) = (place, source[index])
    skip(1)
    var text: [Unicode.Scalar] = []
    while index < source.count {
      let scalar = source[index]
      skip(1)
      if scalar == quote { return text }
      guard scalar == "\\", index < source.count else {
        text.append(scalar)
        continue
      }
      let escaped = source[index]
      skip(1)
      switch escaped {
      case "\n": break
      case "\\", "'", "\"": text.append(escaped)
      case "n": text.append("\n")
      case "t": text.append("\t")
      case "r": text.append("\r")
      case "a": text.append("\u{7}")
      case "b": text.append("\u{8}")
      case "f": text.append("\u{C}")
      case "v": text.append("\u{B}")
      case "x": text.append(try takeCode(2, start))
      case "u": text.append(try takeCode(4, start))
      case "U": text.append(try takeCode(8, start))
      case "N", "0"..."7": throw .unsupported(start, what: "the escape \\\(escaped)")
      default: text += ["\\", escaped]
      }
    }
    throw .syntax(start, problem: "this text does not end; expected \(quote)")
  }

  private mutating func takeCode(_ digits: Int, _ start: TemplatePlace) throws(TemplateError) -> Unicode.Scalar {
    var value: UInt32 = 0
    for _ in 0..<digits {
      guard index < source.count, let digit = Character(source[index]).hexDigitValue else {
        throw .syntax(start, problem: "an escape in this text has fewer than \(digits) digits")
      }
      value = value << 4 | UInt32(digit)
      skip(1)
    }
    guard let scalar = Unicode.Scalar(value) else {
      throw .unsupported(start, what: "the escape of half a character (\(String(value, radix: 16)))")
    }
    return scalar
  }

  // MARK: Source

  private func isNext(_ text: String) -> Bool { source[index...].starts(with: text.unicodeScalars) }

  private mutating func skip(_ count: Int) {
    for _ in 0..<count where index < source.count {
      if source[index] == "\n" {
        place = TemplatePlace(line: place.line + 1, column: 1)
      } else {
        place.column += 1
      }
      index += 1
    }
  }

  private mutating func add(_ kind: TemplateToken.Kind, at place: TemplatePlace) {
    if case .data(let scalars) = kind, scalars.isEmpty { return }
    tokens.append(TemplateToken(kind: kind, place: place))
  }
}

extension Unicode.Scalar {
  fileprivate var isDigit: Bool { ("0"..."9").contains(self) }
}
