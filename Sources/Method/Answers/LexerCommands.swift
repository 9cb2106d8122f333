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
    case "$", "(", ")", "[", "]", "!": break
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

  /// `\mathrm{cm}` and `\mathrm{m/s}` are prose, `\mathrm{e}` is a letter, `\mathrm{sin}` is a function.
  mutating func lexRoman() {
    guard let content = takeBraced() else { return }
    let name = string(content)
    if let kind = Self.knownRuns[name] ?? (Self.functionNames.contains(name) ? .command(name) : nil) {
      emit(kind)
    } else {
      let isUnit = content.count > 1 && content.allSatisfy { $0.isASCIILetter || $0 == "/" || $0 == " " }
      insert(content, asProse: isUnit)
    }
  }

  /// `\mathbb{R}` is the set of real numbers. Anything else is replaced by its content.
  mutating func lexBold() {
    guard let content = takeBraced() else { return }
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
    "ensuremath", "overrightarrow", "bold", "angle", "triangle",
  ]
  static let spaces: Set<String> = ["quad", "qquad", "thinspace", "enspace", "space", "newline", "hfill"]
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
