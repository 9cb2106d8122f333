// ParserExpressions: sums, products and powers.
//
// In an implicit product, the second factor must be unambiguous: it is a numeral only where that
// cannot mean anything else, and prose is only a unit after a number. Everything else has the usual precedence; `1/2x`
// is read from left to right, as x/2.
//
// Not here: the levels above (Parser) and below (ParserPrimaries); units (ParserUnits).

extension Parser {
  mutating func sum() throws(Unparsed) -> Node {
    var terms = [try signedTerm()]
    while at("+") || at("-") || at(command: "pm") || at(command: "mp") { terms.append(try signedTerm()) }
    return terms.count == 1 ? terms[0] : .sum(terms)
  }

  mutating func signedTerm() throws(Unparsed) -> Node {
    takeCurrency()
    if take("+") { return try product() }
    if take("-") { return .negated(try product()) }
    if take(command: "pm") { return .eitherSign(try product(), isFlipped: false) }
    if take(command: "mp") { return .eitherSign(try product(), isFlipped: true) }
    return try product()
  }

  mutating func product() throws(Unparsed) -> Node {
    var left = try power()
    // Computed once per factor and kept, because otherwise a long product would take quadratic time.
    var hasNumber = left.hasNumber
    var isDimension = left.isNumber
    while true {
      let hasUnit = hasNumber && takeUnits()
      if hasNumber, let scale = takeScaleWord() { left = times(left, .number(scale)) }
      if hasUnit, let sides = try dimensions(left, isProduct: isDimension) { return sides }
      let factor: Node
      if take("*") || take(command: "cdot") {
        factor = try signedFactor()
        left = times(left, factor)
        isDimension = isDimension && factor.isNumber
      } else if take("/") || take(command: "div") {
        factor = try signedFactor()
        left = .quotient(left, factor)
        isDimension = false
      } else if startsImplicitFactor || startsNumeralFactor {
        factor = try power()
        left = times(left, factor)
        isDimension = false
      } else {
        return left
      }
      hasNumber = hasNumber || factor.hasNumber
    }
  }

  /// The sides of `4 ft × 12 ft`, `4 × 12 ft` or `4 ft by 12 ft`, of which the first, with its unit, was read. They are
  /// never multiplied: `6 ft × 8 ft` is another answer. nil if this is one number with its unit.
  private mutating func dimensions(_ first: Node, isProduct: Bool) throws(Unparsed) -> Node? {
    var sides = [first]
    if case .product(let factors) = first, isProduct { sides = factors }
    while takeTimes() {
      sides.append(try power())
      _ = takeUnits()
    }
    return sides.count > 1 ? .enclosed(open: "×", close: "×", sides) : nil
  }

  /// Products are kept flat, so that a long one is not deeply nested.
  func times(_ left: Node, _ right: Node) -> Node {
    if case .product(let factors) = left { .product(factors + [right]) } else { .product([left, right]) }
  }

  mutating func signedFactor() throws(Unparsed) -> Node {
    if take("-") { return .negated(try power()) }
    _ = take("+")
    return try power()
  }

  var startsImplicitFactor: Bool {
    switch token()?.kind {
    case .letter, .mark("("), .mark("{"), .mark("["): true
    case .mark("|"), .command("vert"): !isInBars
    case .word(_, let isProse): !isProse
    case .command(let name): Self.factorCommands.contains(name) || Self.functions.contains(name)
    default: false
    }
  }

  /// Whether a numeral here is a factor: the `2` of `n2^{n-1}` and the 3 of `\\frac{1}{2}3`. Any other numeral after a
  /// factor is a mistake (`x2`) or a mixed number.
  var startsNumeralFactor: Bool {
    guard case .numeral = token()?.kind, position > 0 else { return false }
    if position == fractionEnd { return true }
    guard token(1)?.isMark("^") == true, !isDegreeMark(at: 1) else { return false }
    switch tokens[position - 1].kind {
    case .letter, .mark("}"), .mark(")"), .mark("!"): return true
    // `2^6 3^5`, with a space.
    case .numeral: return token()?.isSpaced == true && position > 1 && tokens[position - 2].isMark("^")
    default: return false
    }
  }

  static let factorCommands: Set<String> = [
    "frac", "sqrt", "infty", "binom", "lfloor", "lceil", "overline", "mathrm",
  ]
  static let functions: Set<String> = [
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "ln", "exp",
    "lg", "gcd", "lcm", "max", "min", "det", "arccot", "arcsec", "arccsc",
  ]
}

// MARK: Powers

extension Parser {
  mutating func power() throws(Unparsed) -> Node {
    defer { nesting -= 1 }
    try descend()
    var base = try primary()
    while true {
      if let degree = takeDegree() {
        if isArgument {
          base = .quotient(.product([base, .symbol("pi")]), .number(Image(180)))
        } else {
          note(unit: degree)
        }
      } else if take("%") {
        note(unit: "%")
      } else if take("!") {
        // `n!!` is not (n!)!.
        guard !at("!") else { throw Unparsed() }
        base = .call("!", [base])
      } else if take("^") {
        base = .power(base, try tower())
      } else {
        return base
      }
    }
  }

  /// The exponent after a `^`. A tower is read from right to left: `2^3^2` is 2⁹.
  mutating func tower() throws(Unparsed) -> Node {
    defer { nesting -= 1 }
    try descend()
    if take("-") { return .negated(try tower()) }
    let exponent = try primary()
    guard at("^"), !isDegreeMark(at: 0) else { return exponent }
    position += 1
    return .power(exponent, try tower())
  }

  /// Takes `\circ`, `^\circ` or `^{\circ}`, and the scale of a temperature after it. The result is the unit.
  mutating func takeDegree() -> String? {
    guard takeDegreeMark() else { return nil }
    guard let scale = token()?.scaleOfTemperature else { return "°" }
    position += 1
    return "°" + scale
  }

  mutating func takeDegreeMark() -> Bool {
    if take(command: "circ") { return true }
    guard isDegreeMark(at: 0) else { return false }
    position += token(1)?.isCommand("circ") == true ? 2 : 4
    return true
  }

  /// Whether `^\circ` or `^{\circ}` begins there.
  func isDegreeMark(at offset: Int) -> Bool {
    guard token(offset)?.isMark("^") == true else { return false }
    return token(offset + 1)?.isCommand("circ") == true
      || token(offset + 1)?.isMark("{") == true && token(offset + 2)?.isCommand("circ") == true
        && token(offset + 3)?.isMark("}") == true
  }

  /// The exponent after a `^`: a group, or a whole primary with its sign.
  mutating func script() throws(Unparsed) -> Node {
    if take("-") { return .negated(try primary()) }
    return try primary()
  }
}
