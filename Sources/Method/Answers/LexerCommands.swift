// LexerCommands: LaTeX commands: which of them mean the same, and which have no meaning.
//
// The tables at the end contain everything that the lexer knows about the spelling of LaTeX. A command that is in none
// of them becomes a token with its own name, and the parser decides.

extension Lexer {
  mutating func lexCommand() {
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

  mutating func lexControlSymbol(_ symbol: Unicode.Scalar) {
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
    case "$": emit(.command(Token.currency + "dollar"))
    case "(", ")", "[", "]", "!": break
    case ",", ";", ":", " ", ">": isSpaced = true
    default:
      if !symbol.properties.isWhitespace { emit(.mark(Character(symbol))) } else { isSpaced = true }
    }
  }

  /// Skips the `[2pt]` after the end of a row.
  mutating func skipOptionalLength() {
    guard peek() == "[", let end = text[position...].prefix(12).firstIndex(of: "]") else { return }
    if text[position..<end].contains("p") || text[position..<end].contains("e") { position = end + 1 }
  }

  mutating func lexControlWord(_ name: String) {
    if Self.prose.contains(name) { return lexProse() }
    if Self.transparent.contains(name) { return }
    if Self.spaces.contains(name) {
      isSpaced = true
      return
    }
    switch name {
    case "left", "right":
      if peek() == "." { position += 1 }
    case "hspace", "vspace", "phantom", "hphantom", "vphantom", "label", "tag", "color", "textcolor", "colorbox":
      skipOptional()
      _ = takeBraced()
    case "fcolorbox":
      _ = takeBraced()
      _ = takeBraced()
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

  /// Takes the text between the braces at the current position; nil if there is no brace.
  mutating func takeBraced() -> ArraySlice<Unicode.Scalar>? {
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

  /// Reads the content of `\text{...}` as prose.
  mutating func lexProse() {
    if let content = takeBraced() { insert(content, asProse: true) }
  }

  /// Takes the argument of a command: what is in braces, or one character.
  mutating func takeArgument() -> ArraySlice<Unicode.Scalar>? {
    if let braced = takeBraced() { return braced }
    guard let scalar = peek(), scalar.isASCIILetter || scalar.isDigit else { return nil }
    position += 1
    return text[(position - 1)..<position]
  }

  /// Skips an argument in square brackets: the `[rgb]` of a color.
  mutating func skipOptional() {
    // A longer one is none.
    guard peek() == "[", let end = text[position...].prefix(12).firstIndex(of: "]") else { return }
    position = end + 1
  }

  /// `\mathrm{cm}`, `\mathrm{m/s^2}` and, behind a number, `\mathrm{m}` are prose, `\mathrm{e}` is a letter,
  /// `\mathrm{sin}` is a function.
  mutating func lexRoman() {
    guard let content = takeArgument() else { return }
    let name = string(content)
    if let kind = Self.knownRuns[name] ?? (Self.functionNames.contains(name) ? .command(name) : nil) {
      emit(kind)
    } else {
      insert(content, asProse: content.count > 1 ? isWordOrUnit(content) : isUnitOfNumber(name))
    }
  }

  /// Whether it has only letters, `/` and spaces; or is a unit with powers and products, such as `kg \cdot m/s^{2}`.
  private func isWordOrUnit(_ content: ArraySlice<Unicode.Scalar>) -> Bool {
    if content.allSatisfy({ $0.isASCIILetter || $0 == "/" || $0 == " " }) { return true }
    let words = content.split { !$0.isASCIILetter }.map { string($0) }
    let marks: Set<Unicode.Scalar> = ["/", " ", "~", "^", "{", "}", "-", "\\", ",", "·", "⋅", "²", "³", "⁻", "¹", "."]
    return !words.isEmpty && words.allSatisfy { Units.canonical($0) != nil || $0 == "cdot" || $0 == "per" }
      && content.allSatisfy { $0.isASCIILetter || $0.isDigit || marks.contains($0) }
  }

  /// Whether it is a symbol of a unit, with a space between it and a numeral.
  private func isUnitOfNumber(_ name: String) -> Bool { isSpaced && followsNumeral && Units.isSymbol(name) }

  /// `\mathbb{R}` is the set of real numbers. Anything else is replaced by its content.
  mutating func lexBold() {
    guard let content = takeArgument() else { return }
    if string(content) == "R" { emit(.command("reals")) } else { insert(content, asProse: false) }
  }

  /// `\begin{pmatrix}` becomes the command `begin:matrix`; the column list of an array is skipped.
  mutating func lexEnvironment(_ name: String) {
    guard let content = takeBraced() else { return emit(.command(name)) }
    let environment = string(content.filter { $0 != "*" })
    if environment == "array" && name == "begin" { _ = takeBraced() }
    emit(.command(name + ":" + (Self.matrices.contains(environment) ? "matrix" : environment)))
  }

  static let matrices: Set<String> = ["matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array"]
  static let prose: Set<String> = [
    "text", "mbox", "textbf", "textit", "textrm", "textsf", "texttt", "textnormal", "emph", "hbox",
  ]
  /// Commands that change only the appearance of their argument.
  static let transparent: Set<String> = [
    "boxed", "displaystyle", "textstyle", "scriptstyle", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr",
    "biggl", "biggr", "limits", "mathcal", "mathit", "mathsf", "boldsymbol", "vec", "hat", "middle", "nolimits",
    "ensuremath", "overrightarrow", "bold", "angle", "triangle", "fbox", "framebox", "underline", "uline", "bm", "pmb",
    "mathtt", "tiny", "small", "normalsize", "large", "Large", "LARGE", "huge", "Huge", "strut", "mathstrut",
  ]
  static let spaces: Set<String> = ["quad", "qquad", "thinspace", "enspace", "space", "newline", "hfill"]
  /// Whether it is a command that this lexer or the parser knows.
  static func isKnown(command name: String) -> Bool {
    prose.contains(name) || transparent.contains(name) || spaces.contains(name) || synonyms[name] != nil
      || greek.contains(name) || functionNames.contains(name) || Parser.functions.contains(name)
      || otherCommands.contains(name)
  }

  private static let otherCommands: Set<String> = [
    "frac", "binom", "cdot", "infty", "pm", "mp", "le", "ge", "ne", "in", "cup", "cap", "emptyset", "left", "right",
    "begin", "end", "mathrm", "operatorname", "mathbb", "mathbf", "over", "choose", "overline", "bar", "dot", "circ",
    "color", "textcolor", "langle", "rangle", "lfloor", "lceil", "approx", "div", "hspace",
  ]

  static let synonyms: [String: String] = [
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "leq": "le",
    "leqslant": "le", "geq": "ge", "geqslant": "ge", "neq": "ne", "varnothing": "emptyset", "times": "cdot",
    "ast": "cdot", "lbrace": "{", "rbrace": "}", "lvert": "vert", "rvert": "vert", "lVert": "Vert", "rVert": "Vert",
    "degree": "circ", "degrees": "circ", "lt": "<", "gt": ">", "to": "rightarrow", "varphi": "phi",
    "vartheta": "theta", "varepsilon": "epsilon", "land": "wedge", "lor": "vee", "simeq": "approx", "infin": "infty",
    "R": "reals", "bigcup": "cup", "bigcap": "cap", "smallsetminus": "setminus", "backslash": "setminus",
    "mod": "bmod", "dots": "ldots", "cdots": "ldots",
  ]
  static let greek: Set<String> = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi",
    "Pi", "Sigma", "Phi", "Psi", "Omega", "ell", "hbar",
  ]
}
