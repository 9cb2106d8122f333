// Lexer: turns the text of an answer into tokens. This is tier 1 of the equivalence: it removes differences of
// spelling.
//
// It reads LaTeX, Unicode mathematics and plain text. It never fails (an unknown character becomes a mark), and it
// reads each character a bounded number of times. It never deletes a pattern inside other text: only whole tokens are
// dropped. (The reference deletes patterns; so it loses the `pm` of `\pm` and the `a` of `a+b`.)
//
// The hard part is a run of letters without a backslash: `east` is a word, `abc` a product, `sinx` a function, the `cm`
// of `12 cm` a unit. The rule is in LexerLetters.

struct Lexer {
  let text: [Unicode.Scalar]
  var position = 0
  var isSpaced = false
  /// How deep `\text{\text{...}}` is nested here. Content at the limit is left out, so that no text can use up the
  /// stack.
  var nesting = 0
  static let nestingMax = 8
  /// The number of open round brackets, square brackets and braces of sets. Inside them, a comma is a separator and
  /// never groups thousands.
  var depth = 0
  var isProse = false
  var tokens: [Token] = []

  /// Splits `text` into tokens. With `asProse`, every run of letters is a word.
  static func tokens(of text: String, asProse isProse: Bool = false) -> [Token] {
    var lexer = Lexer(text: trimmed(normalized(text)))
    lexer.isProse = isProse
    lexer.run()
    while lexer.tokens.last?.isCommand("\\") == true { lexer.tokens.removeLast() }
    return lexer.tokens
  }

  init(text: [Unicode.Scalar]) { self.text = text }

  mutating func run() {
    while position < text.count { lexOne() }
  }

  func peek(_ offset: Int = 0) -> Unicode.Scalar? {
    position + offset < text.count ? text[position + offset] : nil
  }

  /// Whether the scalar is a part of a word. `π` and `ⁿ` are read as LaTeX.
  func isLetter(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isAlphabetic && unicodeSpelling(of: scalar) == nil && scriptLevel(of: scalar) == nil
  }

  mutating func emit(_ kind: Token.Kind) {
    tokens.append(Token(kind: kind, isSpaced: isSpaced))
    isSpaced = false
  }

  mutating func lexOne() {
    let scalar = text[position]
    if scalar.properties.isWhitespace || scalar == "~" {
      position += 1
      isSpaced = true
    } else if scalar == "\\" {
      lexCommand()
    } else if scalar.isDigit || (scalar == "." && (peek(1)?.isDigit == true || startsPeriod(at: 1))) {
      lexNumeral()
    } else if isLetter(scalar) {
      lexLetters()
    } else {
      lexMark(scalar)
    }
  }
}

// MARK: Marks and Unicode

extension Lexer {
  mutating func lexMark(_ scalar: Unicode.Scalar) {
    position += 1
    if let level = scriptLevel(of: scalar) {
      insert(takeScripts(from: scalar, level), asProse: false)
      return
    }
    if let spelling = unicodeSpelling(of: scalar) {
      insert(spelling.unicodeScalars, asProse: false)
      return
    }
    switch scalar {
    case "€": emit(.command(Token.currency + "euro"))
    case "£": emit(.command(Token.currency + "sterling"))
    case "¥": emit(.command(Token.currency + "yen"))
    case "₹": emit(.command(Token.currency + "rupee"))
    case "$", "`", "\"": break
    // Format characters, such as the zero-width space and the byte order mark, have no meaning.
    case _ where scalar.properties.generalCategory == .format: break
    case "*" where peek() == "*":
      position += 1
      emit(.mark("^"))
    case "(", "[":
      depth += 1
      emit(.mark(Character(scalar)))
    case ")", "]":
      depth = max(0, depth - 1)
      emit(.mark(Character(scalar)))
    case "<", ">", "!":
      lexComparison(scalar)
    default:
      emit(.mark(Character(scalar)))
    }
  }

  mutating func lexComparison(_ scalar: Unicode.Scalar) {
    guard peek() == "=" else { return emit(.mark(Character(scalar))) }
    position += 1
    emit(.command(scalar == "<" ? "le" : scalar == ">" ? "ge" : "ne"))
  }

  /// Reads `text` at this place: the content of a command, or the LaTeX form of a character.
  mutating func insert(_ text: some Sequence<Unicode.Scalar>, asProse isProse: Bool) {
    guard nesting < Self.nestingMax else { return }
    var inner = Lexer(text: Array(text))
    inner.nesting = nesting + 1
    inner.isProse = isProse
    inner.isSpaced = isSpaced
    inner.depth = depth
    inner.run()
    tokens += inner.tokens
    isSpaced = inner.isSpaced
  }
}

// MARK: Characters

extension Unicode.Scalar {
  var isDigit: Bool { value >= 48 && value <= 57 }
  var isASCIILetter: Bool { (value >= 65 && value <= 90) || (value >= 97 && value <= 122) }
}

func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
  var view = String.UnicodeScalarView()
  view.append(contentsOf: scalars)
  return String(view)
}

/// The text without the characters around an answer that are not part of it: white space, bold marks, a colon before
/// it, and stops, commas and colons after it.
private func trimmed(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
  let around: Set<Unicode.Scalar> = ["*", ":", "。", "，", "：", "`", "$"]
  let behind: Set<Unicode.Scalar> = [".", ",", ";", "．", "；"]
  var start = 0
  var end = text.count
  while start < end, text[start].properties.isWhitespace || around.contains(text[start]) { start += 1 }
  while start < end {
    let last = text[end - 1]
    let isAround = last.properties.isWhitespace || around.contains(last)
    // `\,` and `\;` at the end are spaces. Their mark must not be separated from the backslash.
    let isBehind = behind.contains(last) && !(end - start > 1 && text[end - 2] == "\\")
    guard isAround || isBehind else { break }
    if last == "$" && end - start > 1 && text[end - 2] == "\\" { break }
    // `0.333...` continues, so it is not 0.333.
    if last == "." && end - start > 1 && text[end - 2] == "." { break }
    end -= 1
  }
  return Array(text[start..<end])
}
