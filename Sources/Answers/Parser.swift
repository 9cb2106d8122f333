// Parser: tokens → a tree, or the verdict that the answer is no mathematics we read.
//
// A recursive descent whose levels are, from loose to tight: list (`,` `;` or, and), clause (`=` `<` ∈), sets (∪ ∩ ∖),
// sum, product, power, primary. Where LaTeX and its readers disagree we take what the writer meant: `x^10` is x to the
// tenth, `\sqrt23` the root of 23, but `\frac12` a half. Two numerals side by side are never multiplied (that is how
// `025` became 0 elsewhere); they are a mixed number or an error.
//
// Names are dropped here (`x =`, `f(x) =`, `(x,y) =`, `x \in`), as are units, degrees, percent and currency: the key
// never sees them. What does not parse is keyed by its lexical form, so an error costs recall and never correctness.

/// The text is not an expression this parser knows.
struct Unparsed: Error {}

struct Parser {
  private var tokens: [Token]
  private var position = 0
  private var nesting = 0
  /// Whether the argument of a function is being read, where a degree mark means π/180 instead of nothing.
  private var isArgument = false

  /// Deeper answers are not answers; the bound keeps the stack small.
  private static let nestingMax = 60

  static func parse(_ tokens: [Token]) throws(Unparsed) -> Node {
    var parser = Parser(tokens: tokens)
    let node = try parser.list()
    guard parser.position == tokens.count else { throw Unparsed() }
    return node
  }

  private init(tokens: [Token]) { self.tokens = tokens }

  private func token(_ offset: Int = 0) -> Token? {
    position + offset < tokens.count ? tokens[position + offset] : nil
  }

  private func at(_ mark: Character) -> Bool { token()?.isMark(mark) ?? false }
  private func at(command name: String) -> Bool { token()?.isCommand(name) ?? false }

  private mutating func take(_ mark: Character) -> Bool {
    guard at(mark) else { return false }
    position += 1
    return true
  }

  private mutating func take(command name: String) -> Bool {
    guard at(command: name) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ mark: Character) throws(Unparsed) {
    guard take(mark) else { throw Unparsed() }
  }

  private var atConjunction: Bool {
    guard case .word(let word, _) = token()?.kind else { return false }
    return ["or", "and"].contains(word.lowercased())
  }
}

// MARK: Lists, clauses, sets

extension Parser {
  private mutating func list() throws(Unparsed) -> Node {
    nesting += 1
    defer { nesting -= 1 }
    guard nesting <= Self.nestingMax else { throw Unparsed() }
    var elements = [try clause()]
    while takeSeparator() { elements.append(try clause()) }
    return elements.count == 1 ? elements[0] : .list(elements)
  }

  /// `,`, `;`, `or`, `and`, and a comma before one of these words.
  private mutating func takeSeparator() -> Bool {
    let start = position
    if at(",") || at(";") { position += 1 }
    if atConjunction || at(command: "wedge") || at(command: "vee") { position += 1 }
    return position > start
  }

  private mutating func clause() throws(Unparsed) -> Node {
    while skipSolvedName() {}
    var nodes = [try ratio()]
    var relations: [Relation] = []
    while let relation = takeRelation() {
      relations.append(relation)
      nodes.append(try ratio())
    }
    return relations.isEmpty ? nodes[0] : .related(nodes, relations)
  }

  private mutating func takeRelation() -> Relation? {
    let relation: Relation? =
      switch token()?.kind {
      case .mark("="), .command("approx"): .equal
      case .mark("<"), .command("<"): .less
      case .mark(">"), .command(">"): .greater
      case .command("le"): .lessOrEqual
      case .command("ge"): .greaterOrEqual
      case .command("ne"): .notEqual
      default: nil
      }
    if relation != nil { position += 1 }
    return relation
  }

  /// Moves past a name that the rest of the clause is the value of; a bare `=` in front counts as one.
  private mutating func skipSolvedName() -> Bool {
    let start = position
    if token()?.isMark("(") == true {
      skipArguments()
    } else if case .letter = token()?.kind {
      position += 1
      skipDecorations()
      if at("("), token()?.isSpaced == false { skipArguments() }
    } else {
      while case .word = token()?.kind { position += 1 }
    }
    let isName = take("=") || (position > start && (take(command: "in") || take(command: "approx")))
    // `x = 5 = y` keeps its last name: there must be something left to read.
    if isName && position < tokens.count { return true }
    position = start
    return false
  }

  /// `(x)`, `(x, y)`, `(2)`: names and numerals between commas. Anything else stays where it is.
  private mutating func skipArguments() {
    let start = position
    position += 1
    while let kind = token()?.kind {
      switch kind {
      case .letter, .numeral, .mark(","), .mark("-"): position += 1
      case .mark(")"):
        position += 1
        return
      default:
        position = start
        return
      }
      skipDecorations()
    }
    position = start
  }

  /// Primes, subscripts and the exponent of an inverse: `f'`, `x_1`, `x_{12}`, `f^{-1}`.
  private mutating func skipDecorations() {
    while true {
      if take("'") { continue }
      if at("^"), token(1)?.isMark("{") == true, token(2)?.isMark("-") == true, token(4)?.isMark("}") == true {
        position += 5
      } else if at("_"), let next = token(1) {
        position += 2
        guard next.isMark("{") else { continue }
        while let inner = token(), !inner.isMark("}") { position += 1 }
        _ = take("}")
      } else {
        return
      }
    }
  }

  /// `3:4` and `10:30`: ordered like a tuple, not a quotient.
  private mutating func ratio() throws(Unparsed) -> Node {
    var parts = [try setExpression()]
    while take(":") { parts.append(try setExpression()) }
    return parts.count == 1 ? parts[0] : .enclosed(open: ":", close: ":", parts)
  }

  private mutating func setExpression() throws(Unparsed) -> Node {
    var left = try sum()
    while let operation = takeSetOperation() {
      let right = try sum()
      if case .combined(operation, let nodes) = left, operation != .difference {
        left = .combined(operation, nodes + [right])
      } else {
        left = .combined(operation, [left, right])
      }
    }
    return left
  }

  private mutating func takeSetOperation() -> SetOperation? {
    if take(command: "cup") { return .union }
    if take(command: "cap") { return .intersection }
    if take(command: "setminus") { return .difference }
    return nil
  }
}

// MARK: Sums and products

extension Parser {
  private mutating func sum() throws(Unparsed) -> Node {
    var terms = [try signedTerm()]
    while at("+") || at("-") || at(command: "pm") || at(command: "mp") { terms.append(try signedTerm()) }
    return terms.count == 1 ? terms[0] : .sum(terms)
  }

  private mutating func signedTerm() throws(Unparsed) -> Node {
    if take("+") { return try product() }
    if take("-") { return .negated(try product()) }
    if take(command: "pm") { return .eitherSign(try product(), isFlipped: false) }
    if take(command: "mp") { return .eitherSign(try product(), isFlipped: true) }
    return try product()
  }

  private mutating func product() throws(Unparsed) -> Node {
    var left = try power()
    skipUnits()
    while true {
      if let scale = takeScaleWord() { left = times(left, .number(scale)) }
      if take("*") || take(command: "cdot") {
        left = times(left, try signedFactor())
      } else if take("/") || take(command: "div") {
        left = .quotient(left, try signedFactor())
      } else if startsImplicitFactor {
        left = times(left, try power())
      } else {
        return left
      }
      skipUnits()
    }
  }

  /// A product stays flat, so that a long one does not nest deeply.
  private func times(_ left: Node, _ right: Node) -> Node {
    if case .product(let factors) = left { .product(factors + [right]) } else { .product([left, right]) }
  }

  /// `5 million`: the power of ten, and past its unit.
  private mutating func takeScaleWord() -> Image? {
    guard case .word(let word, isProse: true) = token()?.kind, let exponent = Self.scaleWords[word.lowercased()]
    else { return nil }
    position += 1
    skipUnits()
    return Image(10).power(exponent)
  }

  private static let scaleWords = ["hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12]

  private mutating func signedFactor() throws(Unparsed) -> Node {
    if take("-") { return .negated(try power()) }
    _ = take("+")
    return try power()
  }

  private var startsImplicitFactor: Bool {
    switch token()?.kind {
    case .letter, .mark("("), .mark("{"), .mark("["): true
    case .word(_, let isProse): !isProse
    case .command(let name): Self.factorCommands.contains(name) || Self.functions.contains(name)
    default: false
    }
  }

  private static let factorCommands: Set<String> = [
    "frac", "sqrt", "infty", "binom", "lfloor", "lceil", "overline", "vert", "mathrm",
  ]
  private static let functions: Set<String> = [
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "ln", "exp",
    "lg", "gcd", "lcm", "max", "min", "det", "arccot", "arcsec", "arccsc",
  ]

  /// Prose after a value is its unit: `3 \text{ hours}`, `12 \text{ cm}^2`, `60 miles/hour`, `6 (feet)`.
  private mutating func skipUnits() {
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

  /// Words after a number that change what it says. An answer with one of them is compared by its spelling.
  private static let notUnits: Set<String> = [
    "am", "pm", "base", "mod", "modulo", "if", "when", "unless", "not", "more", "less", "to", "remainder", "times",
    "factorial", "squared", "cubed", "dozen", "hundred", "thousand", "million", "billion", "trillion", "over",
  ]

  private mutating func skipUnitPower() -> Bool {
    let start = position
    guard take("^") else { return false }
    let isBraced = take("{")
    _ = take("-")
    if case .numeral = token()?.kind { position += 1 }
    if isBraced, !take("}") { position = start }
    return position > start
  }
}

// MARK: Powers and primaries

extension Parser {
  private mutating func power() throws(Unparsed) -> Node {
    nesting += 1
    defer { nesting -= 1 }
    guard nesting <= Self.nestingMax else { throw Unparsed() }
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

  /// `\circ`, `^\circ` and `^{\circ}`.
  private mutating func takeDegree() -> Bool {
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

  /// What a `^` raises to: a group, or a signed primary taken whole.
  private mutating func script() throws(Unparsed) -> Node {
    if take("-") { return .negated(try primary()) }
    return try primary()
  }

  private mutating func primary() throws(Unparsed) -> Node {
    guard let token = token() else { throw Unparsed() }
    switch token.kind {
    case .numeral(let numeral): return try number(numeral)
    case .letter(let name):
      position += 1
      return try symbol(name)
    case .word(let word, let isProse): return try words(word, isProse: isProse)
    case .mark(let mark): return try bracketed(mark)
    case .command(let name): return try command(name)
    }
  }

  private mutating func number(_ numeral: Numeral) throws(Unparsed) -> Node {
    position += 1
    guard let image = numeral.image else { throw Unparsed() }
    if at("_") {
      // A numeral to a base is a name, not a value: `1101_2` is not 13.
      return .symbol(lexicalForm([Token(kind: .numeral(numeral), isSpaced: false)]) + (try subscriptName()))
    }
    if let part = try fractionalPart(of: numeral) { return .sum([.number(image), part]) }
    return .number(image)
  }

  /// The `\frac{1}{3}` of `2\frac{1}{3}` and the `1/3` of `2 1/3`: a proper fraction of plain integers, nothing else.
  private mutating func fractionalPart(of whole: Numeral) throws(Unparsed) -> Node? {
    guard whole.isPlainInteger else { return nil }
    let start = position
    var parts: [Numeral] = []
    if take(command: "frac") {
      for _ in 0..<2 {
        guard let part = plainArgument() else { break }
        parts.append(part)
      }
    } else if case .numeral(let top) = token()?.kind, token()?.isSpaced == true, token(1)?.isMark("/") == true,
      case .numeral(let bottom) = token(2)?.kind
    {
      position += 3
      parts = [top, bottom]
    }
    guard parts.count == 2, let top = parts[0].smallInteger, let bottom = parts[1].smallInteger, top < bottom else {
      position = start
      return nil
    }
    return .quotient(.number(Image(top)), .number(Image(bottom)))
  }

  /// A braced integer, or one digit split from the numeral here; nil for anything else.
  private mutating func plainArgument() -> Numeral? {
    if at("{"), case .numeral(let numeral) = token(1)?.kind, token(2)?.isMark("}") == true {
      position += 3
      return numeral
    }
    return firstDigit()
  }

  /// `\frac12`: one digit of the numeral here, the others stay.
  private mutating func firstDigit() -> Numeral? {
    guard case .numeral(let numeral) = token()?.kind, numeral.isPlainInteger else { return nil }
    if numeral.digits.count == 1 {
      position += 1
    } else {
      let rest = Numeral(digits: Array(numeral.digits.dropFirst()))
      tokens[position] = Token(kind: .numeral(rest), isSpaced: false)
    }
    return Numeral(digits: [numeral.digits[0]])
  }

  /// An argument of `\frac`: a group, one digit, or one primary.
  private mutating func argument() throws(Unparsed) -> Node {
    if let digit = firstDigit(), let image = digit.image { return .number(image) }
    return try primary()
  }

  private mutating func symbol(_ name: String) throws(Unparsed) -> Node {
    var name = name
    while true {
      if take("'") {
        name += "'"
      } else if at("_") {
        name += try subscriptName()
      } else {
        break
      }
    }
    if ["f", "g", "h"].contains(name.prefix(1)), at("("), token()?.isSpaced == false {
      let arguments = try list()
      return .call("apply " + name, [arguments])
    }
    return .symbol(name)
  }

  /// The subscript here, as part of a name.
  private mutating func subscriptName() throws(Unparsed) -> String {
    position += 1
    let start = position
    if take("{") {
      while let inner = token(), !inner.isMark("}"), !inner.isMark("{") { position += 1 }
      try expect("}")
      return "_" + lexicalForm(Array(tokens[(start + 1)..<(position - 1)]))
    }
    guard let next = token() else { throw Unparsed() }
    position += 1
    return "_" + next.spelling
  }

  /// Prose, a single letter of prose, or a run of capitals: a word where it stands alone, else a product of letters.
  private mutating func words(_ first: String, isProse: Bool) throws(Unparsed) -> Node {
    let isAlone = position == 0 && tokens.count == 1
    position += 1
    if !isProse && !isAlone { return .product(first.map { .symbol(String($0)) }) }
    var words = [first]
    while case .word(let word, isProse: true) = token()?.kind, !atConjunction {
      words.append(word)
      position += 1
    }
    if words.count == 1, first.count == 1 { return try symbol(first) }
    if words.count == 1, let value = numberWords[first.lowercased()] { return .number(Image(value)) }
    return .words(words.map { $0.lowercased() }.joined(separator: " "))
  }
}

// MARK: Brackets

extension Parser {
  private mutating func bracketed(_ mark: Character) throws(Unparsed) -> Node {
    switch mark {
    case "(", "[":
      position += 1
      let content = try list()
      guard let close = closing else { throw Unparsed() }
      position += 1
      if case .list(let elements) = content { return .enclosed(open: mark, close: close, elements) }
      return content
    case "{":
      position += 1
      let content = try list()
      if take(command: "choose") {
        let lower = try list()
        try expect("}")
        return .call("binom", [content, lower])
      }
      try expect("}")
      if case .list(let elements) = content { return .set(elements) }
      return content
    case "|":
      position += 1
      let content = try sum()
      try expect("|")
      return .call("abs", [content])
    default: throw Unparsed()
    }
  }

  private var closing: Character? {
    if at(")") { return ")" }
    return at("]") ? "]" : nil
  }

  /// Everything up to `close`, which is taken as well.
  private mutating func group(until close: String) throws(Unparsed) -> Node {
    position += 1
    let content = try list()
    guard take(command: close) else { throw Unparsed() }
    return content
  }

  private mutating func command(_ name: String) throws(Unparsed) -> Node {
    switch name {
    case "frac":
      position += 1
      let top = try argument()
      return .quotient(top, try argument())
    case "binom":
      position += 1
      let top = try argument()
      return .call("binom", [top, try argument()])
    case "sqrt": return try squareRoot()
    case "infty":
      position += 1
      return .symbol("∞")
    case "emptyset":
      position += 1
      return .set([])
    case "reals":
      position += 1
      return .enclosed(open: "(", close: ")", [.negated(.symbol("∞")), .symbol("∞")])
    case "{": return try set()
    case "vert", "lfloor", "lceil": return try delimitedCall(name)
    case "langle":
      guard case .list(let elements) = try group(until: "rangle") else { throw Unparsed() }
      return .enclosed(open: "⟨", close: "⟩", elements)
    case "overline", "bar", "widehat":
      position += 1
      return .call(name, [try primary()])
    case "begin:matrix", "begin:vmatrix", "begin:cases": return try matrix(String(name.dropFirst(6)))
    default:
      guard Self.functions.contains(name) else { throw Unparsed() }
      return try function(name)
    }
  }

  private mutating func squareRoot() throws(Unparsed) -> Node {
    position += 1
    var degree = Node.number(Image(2))
    if take("[") {
      degree = try sum()
      try expect("]")
    }
    return .root(try primary(), degree: degree)
  }

  private mutating func set() throws(Unparsed) -> Node {
    if token(1)?.isCommand("}") == true {
      position += 2
      return .set([])
    }
    let content = try group(until: "}")
    if case .list(let elements) = content { return .set(elements) }
    return .set([content])
  }

  private mutating func delimitedCall(_ name: String) throws(Unparsed) -> Node {
    switch name {
    case "vert": .call("abs", [try group(until: "vert")])
    case "lfloor": .call("floor", [try group(until: "rfloor")])
    default: .call("ceil", [try group(until: "rceil")])
    }
  }

  private mutating func matrix(_ environment: String) throws(Unparsed) -> Node {
    position += 1
    var rows: [[Node]] = [[]]
    while !take(command: "end:" + environment) {
      rows[rows.count - 1].append(try list())
      if take(command: "\\") {
        if !at(command: "end:" + environment) { rows.append([]) }
      } else if !at(command: "end:" + environment) {
        try expect("&")
      }
    }
    return .matrix(environment: environment, rows: rows)
  }

  /// `\sin^2 x`, `\log_2 8`, `\ln(x+1)`, `\cos 2x`: without brackets the argument runs to the next sign or function.
  private mutating func function(_ name: String) throws(Unparsed) -> Node {
    position += 1
    let wasArgument = isArgument
    isArgument = true
    defer { isArgument = wasArgument }
    let base = take("_") ? [try primary()] : []
    let exponent = take("^") ? try script() : nil
    var arguments: [Node]
    if at("(") || at("{") {
      let content = try primary()
      if case .enclosed(_, _, let elements) = content { arguments = elements } else { arguments = [content] }
    } else {
      var factor = try power()
      while startsImplicitFactor, !startsFunction { factor = times(factor, try power()) }
      arguments = [factor]
    }
    guard let exponent else { return .call(name, arguments + base) }
    if case .negated(.number(let one)) = exponent, one == .one { return .call("arc" + name, arguments) }
    return .power(.call(name, arguments + base), exponent)
  }

  private var startsFunction: Bool {
    guard case .command(let name) = token()?.kind else { return false }
    return Self.functions.contains(name)
  }
}

private let numberWords: [String: Int] = [
  "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
  "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
  "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
  "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100,
]
