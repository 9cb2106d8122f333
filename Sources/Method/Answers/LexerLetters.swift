// LexerLetters: a run of letters without a backslash is a word, a function, a unit or a product.
//
// No rule is right for every answer, so the rules prefer the harmless error. A word that is read as a product is not
// equal to the same word in `\text`. A product that is read as a unit would make `4ade` equal 4. The second error must
// not happen; this is the reason for the conditions on units.

extension Lexer {
  /// A run of letters. In `\text` it is a word. Elsewhere it is the first of these that fits: a known name (`pi`,
  /// `sqrt`, `or`), a function with its argument (`sinx`), a unit after a numeral (`12 cm`), a word (three letters or
  /// more that can be pronounced), a run of capitals (the parser decides what it means), a product of its letters.
  mutating func lexLetters() {
    let start = position
    while let scalar = peek(),
      scalar.properties.isAlphabetic && unicodeSpelling(of: scalar) == nil
        || (isProse && (scalar == "'" || scalar == "’" || scalar == "-") && peek(1)?.properties.isAlphabetic == true)
    {
      position += 1
    }
    let run = string(text[start..<position])
    if isProse {
      // The `x` of `\text{2x}` is not a unit; the `m` of `2\text{ m}` is.
      let isFactor = run.count == 1 && !isSpaced && followsNumeral
      emit(isFactor ? .letter(run) : .word(run, isProse: true))
    } else if let kind = Self.knownRuns[run] {
      emit(kind)
    } else if let name = gluedFunction(run) {
      emit(.command(name))
      for letter in run.dropFirst(name.count) { emit(.letter(String(letter))) }
    } else if readsAsUnit(run) || readsAsWord(run) {
      emit(.word(run, isProse: true))
    } else if run.count > 1 && run.allSatisfy({ $0.isUppercase }) {
      emit(.word(run, isProse: false))
    } else {
      for letter in run { emit(.letter(String(letter))) }
    }
  }

  var followsNumeral: Bool {
    if case .numeral = tokens.last?.kind { true } else { false }
  }

  func gluedFunction(_ run: String) -> String? {
    for name in Self.functionNames where run.hasPrefix(name) && run.count <= name.count + 1 { return name }
    return nil
  }

  /// Whether it is a short unit directly after a numeral. Most units need a space before them, because `2ft` can be a
  /// product.
  func readsAsUnit(_ run: String) -> Bool {
    followsNumeral && (Self.attachedUnits.contains(run) || (isSpaced && Self.spacedUnits.contains(run)))
  }

  /// Whether it has three letters or more and a vowel, is not all capitals, and is not one of the usual products of a,
  /// b, c or of x, y, z. After a factor, a word needs a space before it and four letters: `4ade` and `4 ade` are
  /// products.
  func readsAsWord(_ run: String) -> Bool {
    guard run.count >= (followsFactor ? 4 : 3), isSpaced || !followsFactor else { return false }
    if run.allSatisfy({ $0.isUppercase || "abc".contains($0) }) || run.allSatisfy({ "xyz".contains($0) }) {
      return false
    }
    return run.contains { "aeiouyAEIOUY".contains($0) || !$0.isASCII }
  }

  var followsFactor: Bool {
    switch tokens.last?.kind {
    case .numeral, .letter, .mark(")"), .mark("}"), .mark("]"): true
    default: false
    }
  }

  static let functionNames = [
    "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "log",
    "ln", "exp",
  ]

  static let knownRuns: [String: Token.Kind] = [
    "pi": .letter("pi"), "theta": .letter("theta"), "infinity": .command("infty"), "inf": .command("infty"),
    "Infinity": .command("infty"), "oo": .command("infty"), "or": .word("or", isProse: true),
    "and": .word("and", isProse: true), "no": .word("no", isProse: true), "No": .word("No", isProse: true),
  ]

  static let attachedUnits: Set<String> = ["cm", "mm", "km", "kg", "mg", "mL", "mph"]
  static let spacedUnits: Set<String> = [
    "nm", "lb", "lbs", "oz", "ft", "yd", "mi", "hr", "hrs", "ms", "ml", "Hz", "kJ", "sq", "min", "sec", "deg", "in",
    "kmh", "feet", "inch",
  ]
}
