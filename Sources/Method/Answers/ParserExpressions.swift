// ParserExpressions: sums, products and powers, and the units after them.
//
// In an implicit product, the second factor must be unambiguous: it is never a numeral, and prose is only a unit after
// a number. Everything else has the usual precedence; `1/2x` is read from left to right, as x/2.
//
// Not here: the levels above (Parser) and below (ParserPrimaries).

extension Parser {
  mutating func sum() throws(Unparsed) -> Node {
    var terms = [try signedTerm()]
    while at("+") || at("-") || at(command: "pm") || at(command: "mp") { terms.append(try signedTerm()) }
    return terms.count == 1 ? terms[0] : .sum(terms)
  }

  mutating func signedTerm() throws(Unparsed) -> Node {
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
    while true {
      if hasNumber {
        skipUnits()
        if let scale = takeScaleWord() { left = times(left, .number(scale)) }
      }
      let factor: Node
      if take("*") || take(command: "cdot") {
        factor = try signedFactor()
        left = times(left, factor)
      } else if take("/") || take(command: "div") {
        factor = try signedFactor()
        left = .quotient(left, factor)
      } else if startsImplicitFactor {
        factor = try power()
        left = times(left, factor)
      } else {
        return left
      }
      hasNumber = hasNumber || factor.hasNumber
    }
  }

  /// Products are kept flat, so that a long one is not deeply nested.
  func times(_ left: Node, _ right: Node) -> Node {
    if case .product(let factors) = left { .product(factors + [right]) } else { .product([left, right]) }
  }

  /// The power of ten of `5 million`; its unit is skipped too.
  mutating func takeScaleWord() -> Image? {
    guard case .word(let word, isProse: true) = token()?.kind, let exponent = Self.scaleWords[word.lowercased()]
    else { return nil }
    position += 1
    skipUnits()
    return Image(10).power(exponent)
  }

  static let scaleWords = ["hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12]

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

  static let factorCommands: Set<String> = [
    "frac", "sqrt", "infty", "binom", "lfloor", "lceil", "overline", "mathrm",
  ]
  static let functions: Set<String> = [
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "ln", "exp",
    "lg", "gcd", "lcm", "max", "min", "det", "arccot", "arcsec", "arccsc",
  ]

  /// Skips prose after a number, which is its unit: `3 \text{ hours}`, `12 \text{ cm}^2`, `60 miles/hour`, `6 (feet)`.
  /// After a symbol, prose is not a unit: `n \text{ is even}` says more than n.
  mutating func skipUnits() {
    while true {
      if at("("), case .word(_, isProse: true) = token(1)?.kind, token(2)?.isMark(")") == true {
        position += 3
      } else if case .word(let word, isProse: true) = token()?.kind, !atConjunction,
        !Self.notUnits.contains(word.lowercased())
      {
        position += 1
        while skipUnitPower() {}
        if at("/"), case .word = token(1)?.kind { position += 1 }
      } else {
        return
      }
    }
  }

  /// Words that change the meaning of the number before them. An answer with one of them is compared by its spelling.
  static let notUnits: Set<String> = [
    "am", "pm", "base", "mod", "modulo", "if", "when", "unless", "not", "more", "less", "to", "remainder", "times",
    "factorial", "squared", "cubed", "dozen", "hundred", "thousand", "million", "billion", "trillion", "over", "is",
    "are", "has", "but", "no", "for", "with", "where", "than", "plus", "minus", "divided", "percentage",
  ]

  mutating func skipUnitPower() -> Bool {
    let start = position
    guard take("^") else { return false }
    let isBraced = take("{")
    _ = take("-")
    if case .numeral = token()?.kind { position += 1 }
    if isBraced, !take("}") { position = start }
    return position > start
  }
}

// MARK: Powers

extension Parser {
  mutating func power() throws(Unparsed) -> Node {
    defer { nesting -= 1 }
    try descend()
    var base = try primary()
    while true {
      if takeDegree() {
        if isArgument { base = .quotient(.product([base, .symbol("pi")]), .number(Image(180))) }
      } else if take("%") {
        continue
      } else if take("!") {
        base = .call("!", [base])
      } else if take("^") {
        base = .power(base, try script())
      } else {
        return base
      }
    }
  }

  /// Takes `\circ`, `^\circ` or `^{\circ}`, and the scale of a temperature after it.
  mutating func takeDegree() -> Bool {
    guard takeDegreeMark() else { return false }
    switch token()?.kind {
    case .letter(let scale), .word(let scale, _): if scale == "C" || scale == "F" { position += 1 }
    default: break
    }
    return true
  }

  mutating func takeDegreeMark() -> Bool {
    if take(command: "circ") { return true }
    if at("^"), token(1)?.isCommand("circ") == true {
      position += 2
      return true
    }
    if at("^"), token(1)?.isMark("{") == true, token(2)?.isCommand("circ") == true, token(3)?.isMark("}") == true {
      position += 4
      return true
    }
    return false
  }

  /// The exponent after a `^`: a group, or a whole primary with its sign.
  mutating func script() throws(Unparsed) -> Node {
    if take("-") { return .negated(try primary()) }
    return try primary()
  }
}
