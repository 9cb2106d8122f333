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
    if takeMeridiem() { return }
    let start = position
    while let scalar = peek(),
      isLetter(scalar)
        || (isProse && (scalar == "'" || scalar == "’" || scalar == "-") && peek(1)?.properties.isAlphabetic == true)
    {
      position += 1
    }
    let run = string(text[start..<position])
    if isIdeographic(run) || followsUnit && Self.joiningWords.contains(run) {
      emit(.word(run, isProse: true))
    } else if isProse {
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

  /// Takes the half of the day: `a.m.` and `p.m.`, and behind an hour also `AM` and `pm`.
  private mutating func takeMeridiem() -> Bool {
    guard let half = peek(), ["a", "A", "p", "P"].contains(half) else { return false }
    let hasPoint = peek(1) == "."
    let gap = hasPoint ? (peek(2) == " " ? 2 : 1) : 0
    guard let last = peek(1 + gap), last == "m" || last == "M", peek(2 + gap)?.properties.isAlphabetic != true,
      hasPoint ? isProse || followsNumeral : followsHour
    else { return false }
    position += 2 + gap
    if hasPoint, peek() == "." { position += 1 }
    emit(.word(half == "a" || half == "A" ? "am" : "pm", isProse: true))
    return true
  }

  /// Whether the last token can be the end of a time: `11:30`, or a number with a space behind it.
  private var followsHour: Bool {
    followsNumeral && (isSpaced || tokens.count > 1 && tokens[tokens.count - 2].isMark(":"))
  }

  /// Whether it is a word of a language without spaces, such as the `个` of `5个`.
  private func isIdeographic(_ run: String) -> Bool {
    run.unicodeScalars.allSatisfy { $0.properties.isIdeographic || (0xAC00...0xD7A3).contains($0.value) }
  }

  var followsNumeral: Bool {
    if case .numeral = tokens.last?.kind { true } else { false }
  }

  func gluedFunction(_ run: String) -> String? {
    for name in Self.functionNames where run.hasPrefix(name) && run.count <= name.count + 1 { return name }
    return nil
  }

  /// Whether it is a unit behind a numeral, or behind a unit that is. Most short units need a space before them,
  /// because `2ft` can be a product.
  func readsAsUnit(_ run: String) -> Bool {
    guard followsNumeral || followsUnit else { return false }
    if Self.attachedUnits.contains(run) || run.count >= 4 && Units.canonical(run) != nil { return true }
    return (isSpaced || tokens.last?.isMark("/") == true)
      && (Self.spacedUnits.contains(run) || run.count > 2 && Units.canonical(run) != nil)
  }

  /// Whether the last token is a unit, or its `.`, or the `/` of a compound unit.
  private var followsUnit: Bool {
    var rest = tokens[...]
    if let last = rest.last, last.isMark(".") || last.isMark("/") { rest = rest.dropLast() }
    guard case .word(let word, isProse: true) = rest.last?.kind else { return false }
    return Units.canonical(word) != nil || Units.powers[word.lowercased()] != nil
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

  /// Words that can follow a unit but are too short to be read as words: `pieces of mail`, `4 ft by 12 ft`.
  private static let joiningWords: Set<String> = ["of", "by", "per"]

  static let attachedUnits: Set<String> = ["cm", "mm", "km", "kg", "mg", "mL", "mph"]
  static let spacedUnits: Set<String> = [
    "nm", "lb", "lbs", "oz", "ft", "yd", "mi", "hr", "hrs", "ms", "ml", "Hz", "kJ", "sq", "min", "sec", "deg", "in",
    "kmh", "feet", "inch",
  ]
}
