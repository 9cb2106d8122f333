// LexerUnicode: characters beyond ASCII that mean the same as some LaTeX, and texts with doubled backslashes.
//
// Decimal digits of every script become ASCII digits before anything is read, so `１２` is `12`. Superscripts and
// subscripts are read as one group, so `10⁻³` is `10^{-3}`. Everything else is a table.
//
// Not here: commands (LexerCommands).

/// The scalars of a text, with ASCII digits, and with single backslashes if all of them are doubled.
func normalized(_ text: String) -> [Unicode.Scalar] {
  var scalars = text.unicodeScalars.map { scalar in
    guard !scalar.isASCII, scalar.properties.numericType == .decimal, let value = scalar.properties.numericValue,
      let digit = Unicode.Scalar(48 + UInt32(value))
    else { return scalar }
    return digit
  }
  for index in scalars.indices.dropFirst().dropLast() where scalars[index] == "．" {
    if scalars[index - 1].isDigit && scalars[index + 1].isDigit { scalars[index] = "." }
  }
  // A text that was escaped twice has four.
  for _ in 0..<2 where hasDoubledBackslashes(scalars) { scalars = halvingBackslashes(scalars) }
  return scalars
}

/// Whether the text was escaped once too often: a pair of backslashes stands before the name of a command or before an
/// escaped mark. If the text has rows, every backslash must have a partner: in `1\\\frac12` a row ends.
private func hasDoubledBackslashes(_ scalars: [Unicode.Scalar]) -> Bool {
  var position = 0
  var hasCommand = false
  var hasSingle = false
  var hasRows = false
  while position < scalars.count {
    guard scalars[position] == "\\" else {
      position += 1
      continue
    }
    let end = scalars[position...].firstIndex { $0 != "\\" } ?? scalars.count
    // Longer names do not exist.
    let name = string(scalars[end...].prefix(20).prefix { $0.isASCIILetter })
    let isEscapedMark = end < scalars.count && "%${}&#,!;".unicodeScalars.contains(scalars[end])
    hasRows = hasRows || name == "begin"
    if (end - position) % 2 != 0 {
      hasSingle = true
    } else if isEscapedMark || Lexer.isKnown(command: name) {
      hasCommand = true
    }
    position = end
  }
  return hasCommand && !(hasRows && hasSingle)
}

private func halvingBackslashes(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
  var result: [Unicode.Scalar] = []
  var isSecond = false
  for scalar in scalars {
    let isBackslash = scalar == "\\"
    if !isBackslash || !isSecond { result.append(scalar) }
    isSecond = isBackslash && !isSecond
  }
  return result
}

// MARK: Superscripts and subscripts

enum ScriptLevel { case above, below }

extension Lexer {
  func scriptLevel(of scalar: Unicode.Scalar) -> ScriptLevel? {
    superscripts[scalar] != nil ? .above : subscripts[scalar] != nil ? .below : nil
  }

  /// The LaTeX form of a run of superscripts or subscripts, whose first is already taken: `^{-3}`, `_{12}`; and of
  /// `¹⁄₂`.
  mutating func takeScripts(from first: Unicode.Scalar, _ level: ScriptLevel) -> [Unicode.Scalar] {
    let table = level == .above ? superscripts : subscripts
    var content: [Unicode.Scalar] = table[first].map { [$0] } ?? []
    while let scalar = peek(), let plain = table[scalar] {
      content.append(plain)
      position += 1
    }
    if level == .above, peek() == "⁄" || peek() == "/", let next = peek(1), subscripts[next] != nil {
      position += 2
      let below = takeScripts(from: next, .below).dropFirst(2).dropLast()
      return Array("\\frac{".unicodeScalars) + content + Array("}{".unicodeScalars) + below + ["}"]
    }
    return [level == .above ? "^" : "_", "{"] + content + ["}"]
  }
}

private let superscripts = paired("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱˣʸᵏᵐᵗ", "0123456789+-=()nixykmt")
private let subscripts = paired("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙᵢₓₖₘₜ", "0123456789+-=()nixkmt")

private func paired(_ left: String, _ right: String) -> [Unicode.Scalar: Unicode.Scalar] {
  Dictionary(zip(left.unicodeScalars, right.unicodeScalars)) { first, _ in first }
}

// MARK: Other characters

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
  "σ": "\\sigma ", "½": "\\frac12", "⅓": "\\frac13", "⅔": "\\frac23",
  "¼": "\\frac14", "¾": "\\frac34", "⅕": "\\frac15", "⅖": "\\frac25", "⅗": "\\frac35", "⅘": "\\frac45",
  "⅙": "\\frac16", "⅚": "\\frac56", "⅛": "\\frac18", "⅜": "\\frac38", "⅝": "\\frac58", "⅞": "\\frac78",
  "⁄": "/", "º": "^\\circ ", "˚": "^\\circ ", "、": ",", "。": ".", "′": "'", "’": "'", "℃": "^\\circ C",
  "℉": "^\\circ F", "￥": "¥", "￡": "£", "ℓ": "\\ell ", "∗": "\\cdot ", "⩽": "\\le ", "⩾": "\\ge ", "∖": "\\setminus ",
]
