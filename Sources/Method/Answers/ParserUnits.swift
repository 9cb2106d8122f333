// ParserUnits: the unit behind a number, and times of day.
//
// Only a unit of the list in Units is taken; any other word stays, so the answer is then compared by its spelling. The
// parser notes the units that it takes. A list whose elements have different units keeps them, and its order
// (`2 ft, 3 in` is neither `3 ft, 2 in` nor `3 in, 2 ft`); an expression with different units is not read.

extension Parser {
  /// Takes the unit behind a number: `hours`, `cm^2`, `miles per hour`, `kg·m/s²`, `square feet`, `(pieces of mail)`.
  ///
  /// Behind a degree or percent mark no unit is left to take: `40° N` says where, and `25% A` says of what.
  /// - Returns: whether there was one.
  mutating func takeUnits() -> Bool {
    let start = position
    guard markEnd != position, let unit = takeEnclosedUnit() ?? takeFractionOfUnits() ?? takeCompoundUnit() else {
      position = start
      return false
    }
    note(unit: unit)
    return true
  }

  /// Remembers a unit of the clause that is being read.
  mutating func note(unit: String) {
    units.append(unit)
    if unit == "%" || unit.hasPrefix("°") { markEnd = position }
  }

  /// `m`, `m/s`, `m per s`, `N·m`, `kg m/s^2`.
  private mutating func takeCompoundUnit() -> String? {
    if case .command(let mark) = token()?.kind, let unit = currency(mark) {
      position += 1
      return unit
    }
    guard var unit = takeUnit() else { return nil }
    while true {
      let start = position
      if take("/") || takeWord(["per"]), let next = takeUnit() {
        unit += "/" + next
      } else if position == start, take(command: "cdot") || take("*"), let next = takeUnit() {
        unit += "·" + next
      } else if position == start, case .word(let word, isProse: true) = token()?.kind, Units.factors.contains(word),
        let last = tokens[position - 1].lastUnit, Units.isSymbol(last), let next = takeUnit()
      {
        unit += "·" + next
      } else {
        position = start
        return unit
      }
    }
  }

  /// One unit with its power and the point of an abbreviation: `cm^2`, `sq. ft.`, `meters squared`.
  private mutating func takeUnit() -> String? {
    let start = position
    guard case .word(let first, isProse: true) = token()?.kind, !atConjunction else { return nil }
    if let power = Units.powers[first.lowercased()] {
      position += 1
      _ = take(".")
      if case .word(let word, isProse: true) = token()?.kind, let unit = Units.canonical(word) {
        position += 1
        _ = take(".")
        return unit + power
      }
      position = start
    }
    guard let unit = Units.canonical(first) else { return nil }
    position += 1
    if unit == "°", takeWord(["c", "f", "celsius", "fahrenheit"]), let scale = tokens[position - 1].lastUnit {
      return "°" + scale.prefix(1).uppercased()
    }
    if takeWord(["squared"]) { return unit + "^2" }
    if takeWord(["cubed"]) { return unit + "^3" }
    let power = takeUnitPower()
    _ = take(".")
    return unit + power
  }

  /// `^2`, `^{2}`, `^{-1}`; "" if there is no power.
  private mutating func takeUnitPower() -> String {
    let start = position
    guard take("^") else { return "" }
    let isBraced = take("{")
    let sign = take("-") ? "-" : ""
    guard case .numeral(let numeral) = token()?.kind, let power = numeral.smallInteger else {
      position = start
      return ""
    }
    position += 1
    guard !isBraced || take("}") else {
      position = start
      return ""
    }
    return "^" + sign + String(power)
  }

  /// `(feet)`, `(m/s)` and `(pieces of junk mail)`. What follows `of` says only what was counted.
  private mutating func takeEnclosedUnit() -> String? {
    let start = position
    guard take("("), let unit = takeCompoundUnit() else {
      position = start
      return nil
    }
    if takeWord(["of"]) {
      while case .word(let word, isProse: true) = token()?.kind, !Self.notCounted.contains(word.lowercased()) {
        position += 1
      }
    }
    guard take(")") else {
      position = start
      return nil
    }
    return unit
  }

  /// Words after which a phrase says more than what was counted.
  private static let notCounted: Set<String> = [
    "or", "and", "not", "if", "per", "more", "less", "each", "profit", "loss",
  ]

  /// `\frac{\text{m}}{\text{s}}`.
  private mutating func takeFractionOfUnits() -> String? {
    let start = position
    guard take(command: "frac"), take("{"), let above = takeCompoundUnit(), take("}"), take("{"),
      let below = takeCompoundUnit(), take("}")
    else {
      position = start
      return nil
    }
    return above + "/" + below
  }

  /// The sign between two dimensions: `×`, `by`, or an `x` before a number.
  mutating func takeTimes() -> Bool {
    if take("*") || take(command: "cdot") || takeWord(["by"]) { return true }
    guard token()?.kind == .letter("x") || token()?.kind == .word("x", isProse: true), case .numeral = token(1)?.kind
    else { return false }
    position += 1
    return true
  }

  private mutating func takeWord(_ words: Set<String>) -> Bool {
    guard case .word(let word, isProse: true) = token()?.kind, words.contains(word.lowercased()) else { return false }
    position += 1
    return true
  }

  /// The power of ten of `5 million`; its unit is taken too.
  mutating func takeScaleWord() -> Image? {
    guard case .word(let word, isProse: true) = token()?.kind, let exponent = Self.scaleWords[word.lowercased()]
    else { return nil }
    position += 1
    _ = takeUnits()
    return Image(10).power(exponent)
  }

  private static let scaleWords = ["hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12]
}

// MARK: Currency

extension Parser {
  /// The unit of a currency mark; nil if the command is none.
  func currency(_ command: String) -> String? {
    command.hasPrefix(Token.currency) ? String(command.dropFirst(Token.currency.count)) : nil
  }

  /// Takes the currency marks before a number: `\$5`, `€ 5`.
  mutating func takeCurrency() {
    while case .command(let mark) = token()?.kind, let unit = currency(mark) {
      position += 1
      note(unit: unit)
    }
  }
}

// MARK: Lists of different units

extension Parser {
  /// The unit of everything that was read since `start`; nil if there is none.
  /// - Throws: if there are several. `2 ft + 3 in` is not 5.
  mutating func takeUnit(since start: Int) throws(Unparsed) -> String? {
    let unit = start < units.count ? units[start] : nil
    guard units[start...].allSatisfy({ $0 == unit }) else { throw Unparsed() }
    units.removeSubrange(start...)
    return unit
  }

  /// Whether the elements of a list differ in their units. A unit behind the last element is that of all (`2, 3 cm`).
  /// In brackets the order counts anyway, so an element without a unit makes no difference.
  func differ(_ units: [String?], isOrdered: Bool) -> Bool {
    let known = units.compactMap { $0 }
    guard let first = known.first, known.allSatisfy({ $0 == first }) else { return !known.isEmpty }
    return !isOrdered && known.count < units.count && !(known.count == 1 && units.last == first)
  }

  /// A list whose elements have different units: in order, each with its unit.
  func measured(_ clauses: [Clause]) -> Node {
    .enclosed(
      open: Node.measured.open, close: Node.measured.close, clauses.flatMap { [$0.node, .words($0.unit ?? "")] })
  }
}

extension Node {
  /// The brackets of a list whose elements have different units.
  static let measured: (open: Character, close: Character) = ("⟦", "⟧")

  var isMeasured: Bool { if case .enclosed(Self.measured.open, _, _) = self { true } else { false } }
}

// MARK: Times of day

extension Parser {
  /// `11:30 AM` and `5 p.m.`: hours, minutes and the half of the day, which is part of the answer.
  mutating func timeOfDay(_ parts: [Node]) -> Node? {
    guard case .word(let word, isProse: true) = token()?.kind, ["am", "pm"].contains(word.lowercased()),
      parts.allSatisfy({ $0.isNumber })
    else { return nil }
    position += 1
    _ = take(".")
    let minutes = parts.count == 1 ? [Node.number(Image(0))] : []
    return .enclosed(open: ":", close: ":", parts + minutes + [.words(word.lowercased())])
  }
}

extension Token {
  /// What a command that stands for a currency mark begins with. Such a token has no spelling.
  static let currency = "currency:"

  /// The word of the token.
  fileprivate var lastUnit: String? {
    if case .word(let word, _) = kind { word } else { nil }
  }

  /// The scale behind a degree mark: `C` or `F`.
  var scaleOfTemperature: String? {
    switch kind {
    case .letter(let scale), .word(let scale, _): ["C", "F"].contains(scale) ? scale : nil
    default: nil
    }
  }
}
