// Lexer: the text of an answer → tokens. Tier 1 of the equivalence: all differences of spelling end here.
//
// It reads LaTeX, Unicode mathematics and plain typing alike, never fails (a character it does not know becomes a mark)
// and looks at each character a bounded number of times. Nothing is deleted by pattern anywhere in the text, which is
// how the reference lost the `pm` of `\pm` and the `a` of `a+b`: a token is dropped only where it stands as a whole.
//
// The hard part is a run of letters without a backslash: `east` is a word, `abc` a product, `sinx` a function, the `cm`
// of `12 cm` a unit. The rule is in `lexLetters`, in one place.

struct Lexer {
  private let text: [Unicode.Scalar]
  private var position = 0
  private var isSpaced = false
  /// Open round and square brackets and braces of sets: inside, a comma separates and never groups thousands.
  private var depth = 0
  private var isProse = false
  private(set) var tokens: [Token] = []

  /// Splits `text` into tokens; as prose, every run of letters is a word.
  static func tokens(of text: String, asProse isProse: Bool = false) -> [Token] {
    var lexer = Lexer(text: trimmed(Array(text.unicodeScalars)))
    lexer.isProse = isProse
    lexer.run()
    while lexer.tokens.last?.isCommand("\\") == true { lexer.tokens.removeLast() }
    return lexer.tokens
  }

  private init(text: [Unicode.Scalar]) { self.text = text }

  private mutating func run() {
    while position < text.count { lexOne() }
  }

  private func peek(_ offset: Int = 0) -> Unicode.Scalar? {
    position + offset < text.count ? text[position + offset] : nil
  }

  private mutating func emit(_ kind: Token.Kind) {
    tokens.append(Token(kind: kind, isSpaced: isSpaced))
    isSpaced = false
  }

  private mutating func lexOne() {
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
  private mutating func lexMark(_ scalar: Unicode.Scalar) {
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

  private mutating func lexComparison(_ scalar: Unicode.Scalar) {
    guard peek() == "=" else { return emit(.mark(Character(scalar))) }
    position += 1
    emit(.command(scalar == "<" ? "le" : scalar == ">" ? "ge" : "ne"))
  }

  /// Reads `text` in place: the content of a command, or LaTeX for a character.
  private mutating func insert(_ text: some Sequence<Unicode.Scalar>, asProse isProse: Bool) {
    var inner = Lexer(text: Array(text))
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
  private mutating func lexNumeral() {
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

  private mutating func takeDigits() -> [UInt8] {
    var digits: [UInt8] = []
    while let scalar = peek(), scalar.isDigit {
      digits.append(UInt8(scalar.value - 48))
      position += 1
    }
    return digits
  }

  /// `1,234,567`, `1{,}234`, `1,\!234`, `1\,234` and `10 000`: groups of exactly three digits after a first of one to
  /// three that does not start with 0. A plain comma groups only outside brackets, and only if no group is ill-formed.
  private mutating func takeThousands(into numeral: inout Numeral) {
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
      // `1,234,5` is a list, all of it.
      position = start
      numeral = plain
    }
  }

  private func thousandsSeparator() -> (length: Int, isPlainComma: Bool)? {
    for (mark, isPlainComma) in [("{,}", false), (",\\!", false), ("\\,", false), (",", true), (" ", false)] {
      let scalars = Array(mark.unicodeScalars)
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
  private mutating func takePeriod(into numeral: inout Numeral) {
    let start = position
    var scale = numeral.scale
    if scale == 0 {
      guard peek() == "." else { return }
      position += 1
      scale = 0
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
    // `5.` before anything but a digit: the dot says nothing.
    if numeral.scale == 0, peek() == ".", peek(1)?.isDigit != true { position += 1 }
  }

  /// `3e8` and `1.5E-3`. An exponent of more than four digits is left to be read as a product.
  private mutating func takeExponent(into numeral: inout Numeral) {
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

// MARK: Letters

extension Lexer {
  /// A run of letters. In `\text` it is a word. Elsewhere, in this order: a known name (`pi`, `sqrt`, `or`), a function
  /// glued to its argument (`sinx`), a unit after a numeral (`12 cm`), a word (three letters or more that can be
  /// pronounced), a run of capitals (the parser decides), a product of its letters.
  private mutating func lexLetters() {
    let start = position
    while let scalar = peek(),
      scalar.properties.isAlphabetic && unicodeSpelling(of: scalar) == nil
        || (isProse && (scalar == "'" || scalar == "’" || scalar == "-") && peek(1)?.properties.isAlphabetic == true)
    {
      position += 1
    }
    let run = string(text[start..<position])
    if isProse {
      // The `x` of `\text{2x}` is no unit; the `m` of `2\text{ m}` is.
      let isFactor = run.count == 1 && !isSpaced && followsNumeral
      emit(isFactor ? .letter(run) : .word(run, isProse: true))
    } else if let kind = Self.knownRuns[run] {
      emit(kind)
    } else if let name = gluedFunction(run) {
      emit(.command(name))
      for letter in run.dropFirst(name.count) { emit(.letter(String(letter))) }
    } else if followsNumeral && (Self.shortUnits.contains(run) || (run == "in" && isSpaced)) || readsAsWord(run) {
      emit(.word(run, isProse: true))
    } else if run.count > 1 && run.allSatisfy({ $0.isUppercase }) {
      emit(.word(run, isProse: false))
    } else {
      for letter in run { emit(.letter(String(letter))) }
    }
  }

  private var followsNumeral: Bool {
    if case .numeral = tokens.last?.kind { true } else { false }
  }

  private func gluedFunction(_ run: String) -> String? {
    for name in Self.functionNames where run.hasPrefix(name) && run.count <= name.count + 1 { return name }
    return nil
  }

  /// Three letters or more, with a vowel, not all capitals, and not one of the usual products `abc` and `xyz`.
  private func readsAsWord(_ run: String) -> Bool {
    guard run.count >= 3, !run.allSatisfy({ $0.isUppercase }) else { return false }
    if run.allSatisfy({ "abc".contains($0) }) || run.allSatisfy({ "xyz".contains($0) }) { return false }
    return run.contains { "aeiouyAEIOUY".contains($0) || !$0.isASCII }
  }

  static let functionNames = [
    "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "log",
    "ln", "exp",
  ]

  private static let knownRuns: [String: Token.Kind] = [
    "pi": .letter("pi"), "theta": .letter("theta"), "infinity": .command("infty"), "inf": .command("infty"),
    "Infinity": .command("infty"), "oo": .command("infty"), "or": .word("or", isProse: true),
    "and": .word("and", isProse: true), "no": .word("no", isProse: true), "No": .word("No", isProse: true),
  ]

  /// Units of two letters, honoured right after a numeral only; longer ones read as words anyway.
  private static let shortUnits: Set<String> = [
    "cm", "mm", "km", "nm", "kg", "mg", "lb", "lbs", "oz", "ft", "yd", "mi", "hr", "hrs", "ms", "ml", "mL", "Hz", "kJ",
    "mph", "kmh", "sq",
  ]
}

// MARK: Commands

extension Lexer {
  private mutating func lexCommand() {
    position += 1
    guard let first = peek() else { return }
    guard first.isASCIILetter else {
      position += 1
      return lexControlSymbol(first)
    }
    let start = position
    while peek()?.isASCIILetter == true { position += 1 }
    if peek() == "*" { position += 1 }
    let name = string(text[start..<position].filter { $0 != "*" })
    lexControlWord(name)
  }

  private mutating func lexControlSymbol(_ symbol: Unicode.Scalar) {
    switch symbol {
    case "{":
      depth += 1
      emit(.command("{"))
    case "}":
      depth = max(0, depth - 1)
      emit(.command("}"))
    case "\\":
      skipOptionalLength()
      emit(.command("\\"))
    case "|": emit(.command("Vert"))
    case "%": emit(.mark("%"))
    case "$", "(", ")", "[", "]", "!": break
    case ",", ";", ":", " ", ">": isSpaced = true
    default:
      if !symbol.properties.isWhitespace { emit(.mark(Character(symbol))) } else { isSpaced = true }
    }
  }

  /// The `[2pt]` after a row end.
  private mutating func skipOptionalLength() {
    guard peek() == "[", let end = text[position...].prefix(12).firstIndex(of: "]") else { return }
    if text[position..<end].contains("p") || text[position..<end].contains("e") { position = end + 1 }
  }

  private mutating func lexControlWord(_ name: String) {
    if Self.prose.contains(name) { return lexProse() }
    if Self.transparent.contains(name) { return }
    if Self.spaces.contains(name) {
      isSpaced = true
      return
    }
    switch name {
    case "left", "right":
      if peek() == "." { position += 1 }
    case "hspace", "vspace", "phantom", "label": _ = takeBraced()
    case "begin", "end": lexEnvironment(name)
    case "mathrm", "operatorname", "rm": lexRoman()
    case "mathbb", "mathbf", "Bbb", "bf": lexBold()
    default: emit(Self.canonical(name))
    }
  }

  private static func canonical(_ name: String) -> Token.Kind {
    let name = synonyms[name] ?? name
    return greek.contains(name) ? .letter(name) : .command(name)
  }

  /// What stands between the braces at the current position (or the single character there), and moves behind it.
  private mutating func takeBraced() -> ArraySlice<Unicode.Scalar>? {
    while peek() == " " { position += 1 }
    guard peek() == "{" else { return nil }
    let start = position + 1
    var level = 0
    while let scalar = peek() {
      if scalar == "\\" { position += 1 }
      if scalar == "{" { level += 1 }
      if scalar == "}" { level -= 1 }
      position += 1
      if level == 0 { return text[start..<min(position - 1, text.count)] }
    }
    position = text.count
    return text[min(start, text.count)...]
  }

  /// `\text{...}`: its content, read in place as prose.
  private mutating func lexProse() {
    if let content = takeBraced() { insert(content, asProse: true) }
  }

  /// `\mathrm{cm}` and `\mathrm{m/s}` are prose, `\mathrm{e}` is a letter, `\mathrm{sin}` a function.
  private mutating func lexRoman() {
    guard let content = takeBraced() else { return }
    let name = string(content)
    if let kind = Self.knownRuns[name] ?? (Self.functionNames.contains(name) ? .command(name) : nil) {
      emit(kind)
    } else {
      let isUnit = content.count > 1 && content.allSatisfy { $0.isASCIILetter || $0 == "/" || $0 == " " }
      insert(content, asProse: isUnit)
    }
  }

  /// `\mathbb{R}` is the set of reals; anything else is what it contains.
  private mutating func lexBold() {
    guard let content = takeBraced() else { return }
    if string(content) == "R" { emit(.command("reals")) } else { insert(content, asProse: false) }
  }

  /// `\begin{pmatrix}` becomes the command `begin:matrix`; the column list of an array is skipped.
  private mutating func lexEnvironment(_ name: String) {
    guard let content = takeBraced() else { return emit(.command(name)) }
    let environment = string(content.filter { $0 != "*" })
    if environment == "array" && name == "begin" { _ = takeBraced() }
    emit(.command(name + ":" + (Self.matrices.contains(environment) ? "matrix" : environment)))
  }

  private static let matrices: Set<String> = ["matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array"]
  private static let prose: Set<String> = [
    "text", "mbox", "textbf", "textit", "textrm", "textsf", "texttt", "textnormal", "emph", "hbox",
  ]
  /// Commands that change only how their argument looks.
  private static let transparent: Set<String> = [
    "boxed", "displaystyle", "textstyle", "scriptstyle", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr",
    "biggl", "biggr", "limits", "mathcal", "mathit", "mathsf", "boldsymbol", "vec", "hat", "middle", "nolimits",
    "ensuremath", "overrightarrow", "bold", "angle", "triangle",
  ]
  private static let spaces: Set<String> = ["quad", "qquad", "thinspace", "enspace", "space", "newline", "hfill"]
  private static let synonyms: [String: String] = [
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "leq": "le",
    "leqslant": "le", "geq": "ge", "geqslant": "ge", "neq": "ne", "varnothing": "emptyset", "times": "cdot",
    "ast": "cdot", "lbrace": "{", "rbrace": "}", "lvert": "vert", "rvert": "vert", "lVert": "Vert", "rVert": "Vert",
    "degree": "circ", "degrees": "circ", "lt": "<", "gt": ">", "to": "rightarrow", "arcsec": "arcsec",
    "varphi": "phi", "vartheta": "theta", "varepsilon": "epsilon", "land": "wedge", "lor": "vee", "approx": "approx",
    "simeq": "approx", "infin": "infty", "R": "reals", "bigcup": "cup", "bigcap": "cap", "smallsetminus": "setminus",
    "backslash": "setminus", "mod": "bmod", "dots": "ldots", "cdots": "ldots",
  ]
  private static let greek: Set<String> = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi",
    "Pi", "Sigma", "Phi", "Psi", "Omega", "ell", "hbar",
  ]
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

/// The text without what surrounds an answer and is no part of it: space, bold marks, a colon in front, and at the end
/// stops, commas and colons.
private func trimmed(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
  let around: Set<Unicode.Scalar> = ["*", ":", "。", "，", "：", "`", "$"]
  let behind: Set<Unicode.Scalar> = [".", ",", ";", "．", "；"]
  var start = 0
  var end = text.count
  while start < end, text[start].properties.isWhitespace || around.contains(text[start]) { start += 1 }
  while start < end {
    let last = text[end - 1]
    let isAround = last.properties.isWhitespace || around.contains(last)
    // `\,` and `\;` at the end are spaces: their mark must not be taken from the backslash.
    let isBehind = behind.contains(last) && !(end - start > 1 && text[end - 2] == "\\")
    guard isAround || isBehind else { break }
    if last == "$" && end - start > 1 && text[end - 2] == "\\" { break }
    end -= 1
  }
  return Array(text[start..<end])
}

/// LaTeX for a character of Unicode mathematics, or nil. Full-width forms are mapped to their ASCII originals.
private func unicodeSpelling(of scalar: Unicode.Scalar) -> String? {
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
