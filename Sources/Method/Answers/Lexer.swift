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
    var lexer = Lexer(text: trimmed(Array(text.unicodeScalars)))
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
    } else if scalar.isDigit || (scalar == "." && peek(1)?.isDigit == true) {
      lexNumeral()
    } else if scalar.properties.isAlphabetic && unicodeSpelling(of: scalar) == nil {
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
    if let spelling = unicodeSpelling(of: scalar) {
      insert(spelling.unicodeScalars, asProse: false)
      return
    }
    switch scalar {
    case "$", "€", "£", "`", "\"", "\u{200B}", "\u{FEFF}": break
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

// MARK: Numerals

extension Lexer {
  mutating func lexNumeral() {
    var numeral = Numeral(digits: takeDigits())
    takeThousands(into: &numeral)
    if peek() == ".", peek(1)?.isDigit == true {
      position += 1
      let fraction = takeDigits()
      numeral.digits += fraction
      numeral.scale = fraction.count
    }
    takePeriod(into: &numeral)
    takeExponent(into: &numeral)
    emit(.numeral(numeral))
  }

  mutating func takeDigits() -> [UInt8] {
    var digits: [UInt8] = []
    while let scalar = peek(), scalar.isDigit {
      digits.append(UInt8(scalar.value - 48))
      position += 1
    }
    return digits
  }

  /// `1,234,567`, `1{,}234`, `1,\!234`, `1\,234` and `10 000`: groups of exactly three digits after a first group of
  /// one to three digits that does not start with 0. A plain comma groups only outside brackets, and only if all groups
  /// are well-formed.
  mutating func takeThousands(into numeral: inout Numeral) {
    guard (1...3).contains(numeral.digits.count), numeral.digits[0] != 0 else { return }
    let start = position
    let plain = numeral
    var usesPlainComma = false
    while let separator = thousandsSeparator() {
      usesPlainComma = usesPlainComma || separator.isPlainComma
      position += separator.length
      numeral.digits += takeDigits()
    }
    if usesPlainComma, peek() == ",", peek(1)?.isDigit == true {
      // All of `1,234,5` is a list.
      position = start
      numeral = plain
    }
  }

  private static let separators: [(mark: String, scalars: [Unicode.Scalar], isPlainComma: Bool)] =
    [("{,}", false), (",\\!", false), ("\\,", false), (",", true), (" ", false)]
    .map { ($0.0, Array($0.0.unicodeScalars), $0.1) }

  func thousandsSeparator() -> (length: Int, isPlainComma: Bool)? {
    for (mark, scalars, isPlainComma) in Self.separators {
      guard scalars.indices.allSatisfy({ peek($0) == scalars[$0] }) else { continue }
      if mark == "," || mark == " ", depth > 0 { continue }
      var length = scalars.count
      if mark == ",\\!" { while peek(length) == " " { length += 1 } }
      let isThreeDigits = (0..<3).allSatisfy { peek(length + $0)?.isDigit == true }
      let next = peek(length + 3)
      guard isThreeDigits, next?.isDigit != true else { continue }
      // `2 100/300` is a mixed number.
      if mark == " ", next == "/" { continue }
      return (length, isPlainComma)
    }
    return nil
  }

  /// `0.1\overline{6}` and `0.\bar{3}`: the digits under the bar repeat.
  mutating func takePeriod(into numeral: inout Numeral) {
    let start = position
    let scale = numeral.scale
    if scale == 0 {
      guard peek() == "." else { return }
      position += 1
    }
    for name in ["\\overline{", "\\bar{"] {
      let scalars = Array(name.unicodeScalars)
      guard scalars.indices.allSatisfy({ peek($0) == scalars[$0] }) else { continue }
      position += scalars.count
      let period = takeDigits()
      guard !period.isEmpty, peek() == "}" else { break }
      position += 1
      numeral.digits += period
      numeral.scale = scale + period.count
      numeral.repeating = period.count
      return
    }
    position = start
    // In `5.` without a digit after it, the dot means nothing.
    if numeral.scale == 0, peek() == ".", peek(1)?.isDigit != true { position += 1 }
  }

  /// `3e8` and `1.5E-3`. With more than four digits it is not read as an exponent, but as a product.
  mutating func takeExponent(into numeral: inout Numeral) {
    guard peek() == "e" || peek() == "E" else { return }
    let sign = peek(1) == "-" || peek(1) == "+" ? 1 : 0
    guard peek(1 + sign)?.isDigit == true else { return }
    let start = position
    let isNegative = peek(1) == "-"
    position += 1 + sign
    let digits = takeDigits()
    guard digits.count <= 4, peek()?.properties.isAlphabetic != true else {
      position = start
      return
    }
    let magnitude = digits.reduce(0) { $0 * 10 + Int($1) }
    numeral.exponent = isNegative ? -magnitude : magnitude
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

/// The LaTeX form of a Unicode character, or nil. Full-width characters become their ASCII counterparts.
func unicodeSpelling(of scalar: Unicode.Scalar) -> String? {
  guard !scalar.isASCII else { return nil }
  if scalar.value >= 0xFF01 && scalar.value <= 0xFF5E, let ascii = Unicode.Scalar(scalar.value - 0xFEE0) {
    return String(Character(ascii))
  }
  return unicodeSpellings[scalar]
}

private let unicodeSpellings: [Unicode.Scalar: String] = [
  "−": "-", "–": "-", "—": "-", "×": "\\cdot ", "·": "\\cdot ", "⋅": "\\cdot ", "∙": "\\cdot ", "÷": "/", "∕": "/",
  "√": "\\sqrt ", "∛": "\\sqrt[3]", "π": "\\pi ", "∞": "\\infty ", "≤": "\\le ", "≥": "\\ge ", "≠": "\\ne ",
  "≈": "\\approx ", "±": "\\pm ", "∓": "\\mp ", "°": "^\\circ ", "∪": "\\cup ", "∩": "\\cap ", "∈": "\\in ",
  "∅": "\\emptyset ", "ℝ": "\\reals ", "⟨": "\\langle ", "⟩": "\\rangle ", "θ": "\\theta ", "α": "\\alpha ",
  "β": "\\beta ", "γ": "\\gamma ", "δ": "\\delta ", "λ": "\\lambda ", "μ": "\\mu ", "φ": "\\phi ", "ω": "\\omega ",
  "σ": "\\sigma ", "²": "^2", "³": "^3", "¹": "^1", "⁻": "^-", "½": "\\frac12", "⅓": "\\frac13", "⅔": "\\frac23",
  "¼": "\\frac14", "¾": "\\frac34", "⅕": "\\frac15", "、": ",", "。": ".", "′": "'", "’": "'",
]
