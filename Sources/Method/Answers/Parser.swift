// Parser: turns tokens into a tree, or finds that it cannot read the answer.
//
// It is a recursive descent. Its levels, from the weakest to the strongest binding, are: list (`,` `;` or, and), clause
// (`=` `<` ∈), sets (∪ ∩ ∖), sum, product, power, primary. Where LaTeX differs from what writers mean, the meaning
// counts: `x^10` is x to the tenth, `\sqrt23` is the root of 23, but `\frac12` is a half. Two adjacent numerals are
// never multiplied (the reference's update reads `025` as 0); they are a mixed number or an error.
//
// The parser drops names (`x =`, `f(x) =`, `(x,y) =`, `x \in`), units, degrees, percent and currency, so they have no
// influence on the key, except in a list where they differ. If an answer cannot be parsed, its key is its lexical form:
// the vote can then miss that two answers are equal, but it never takes different answers for equal.
//
// This file has the levels down to sets; ParserExpressions and ParserPrimaries have the others,
// ParserUnits the units.

/// The text is not an expression that this parser knows.
struct Unparsed: Error {}

/// One element of a list, with the name and the unit that were dropped from it.
struct Clause {
  var name: String?
  var node: Node
  var unit: String?
}

struct Parser {
  var tokens: [Token]
  var position = 0
  var nesting = 0
  /// Whether the argument of a function is being read. There, a degree mark means π/180; elsewhere it is ignored.
  var isArgument = false

  /// Whether a `|` closes and does not open.
  var isInBars = false

  /// The units of the clause that is being read, and where a degree or percent mark ended (ParserUnits).
  var units: [String] = []
  var markEnd = -1
  /// Where a fraction with a braced denominator ended. A numeral there is a factor.
  var fractionEnd = -1
  let budget: StepBudget

  /// Usual answers are not nested so deeply. The limit keeps the stack small.
  static let nestingMax = 60

  static func parse(_ tokens: [Token], _ budget: StepBudget) throws(Unparsed) -> Node {
    var parser = Parser(tokens: tokens, budget: budget)
    let node = try parser.content()
    guard parser.position == tokens.count else { throw Unparsed() }
    return node
  }

  init(tokens: [Token], budget: StepBudget) {
    self.tokens = tokens
    self.budget = budget
  }

  /// Goes one level deeper. The caller decreases `nesting` again. Each level takes a step.
  mutating func descend() throws(Unparsed) {
    nesting += 1
    if nesting > Self.nestingMax { budget.exhaust() }
    guard budget.spend() else { throw Unparsed() }
  }

  func token(_ offset: Int = 0) -> Token? {
    position + offset < tokens.count ? tokens[position + offset] : nil
  }

  func at(_ mark: Character) -> Bool { token()?.isMark(mark) ?? false }
  func at(command name: String) -> Bool { token()?.isCommand(name) ?? false }

  mutating func take(_ mark: Character) -> Bool {
    guard at(mark) else { return false }
    position += 1
    return true
  }

  mutating func take(command name: String) -> Bool {
    guard at(command: name) else { return false }
    position += 1
    return true
  }

  mutating func expect(_ mark: Character) throws(Unparsed) {
    guard take(mark) else { throw Unparsed() }
  }

  var atConjunction: Bool {
    guard case .word(let word, _) = token()?.kind else { return false }
    return ["or", "and"].contains(word.lowercased())
  }
}

// MARK: Lists, clauses, sets

extension Parser {
  /// A list, or the two lists of `1 \over 2`.
  mutating func content(isOrdered: Bool = false) throws(Unparsed) -> Node {
    let above = try list(isOrdered: isOrdered)
    return take(command: "over") ? .quotient(above, try list()) : above
  }

  /// - Parameter isOrdered: whether the list is in brackets, so that its order counts anyway.
  mutating func list(isOrdered: Bool = false) throws(Unparsed) -> Node {
    defer { nesting -= 1 }
    try descend()
    var separator = Separator.comma
    let start = units.count
    var clauses: [Clause] = [try clause()]
    clauses[0].unit = try takeUnit(since: start)
    while let next = takeSeparator() {
      if next != .comma { separator = next }
      clauses.append(try clause())
      clauses[clauses.count - 1].unit = try takeUnit(since: start)
    }
    // Names say which value is which, as brackets do.
    let isTuple = clauses.count > 1 && isNamed(clauses) && separator != .or
    let isMixed = differ(clauses.map { $0.unit }, isOrdered: isOrdered || isTuple)
    if !isMixed, let unit = clauses.compactMap({ $0.unit }).first { units.append(unit) }
    if clauses.count == 1 { return clauses[0].node }
    if isTuple { clauses.sort { ($0.name ?? "") < ($1.name ?? "") } }
    if isMixed { return measured(clauses) }
    let nodes = clauses.map { $0.node }
    return isTuple ? .enclosed(open: "(", close: ")", nodes) : .list(nodes, separator)
  }

  /// Whether each clause has a name of its own: `y = 2, x = 1` is a tuple in the order of its names, (1, 2). (`x_1 = 1,
  /// x_2 = 2` are two values of x.)
  private func isNamed(_ clauses: [Clause]) -> Bool {
    let names = clauses.map { $0.name ?? "" }.sorted()
    return !names.contains("") && zip(names, names.dropFirst()).allSatisfy { $0 != $1 }
  }

  /// `,`, `;`, `or`, `and`, and a comma before one of these words.
  mutating func takeSeparator() -> Separator? {
    let hasComma = take(",") || take(";")
    if take(command: "vee") { return .or }
    if take(command: "wedge") { return .and }
    guard atConjunction, case .word(let word, _) = token()?.kind else { return hasComma ? .comma : nil }
    position += 1
    return word.lowercased() == "or" ? .or : .and
  }

  /// A clause without the name of its unknown (the `x` of `x = 5`), and that name.
  mutating func clause() throws(Unparsed) -> Clause {
    var name: String?
    while let solved = takeSolvedName() { name = name ?? solved }
    var nodes = [try ratio()]
    var relations: [Relation] = []
    while true {
      if take(command: "approx") {
        // The exact value is before the sign. The approximation adds nothing.
        _ = try ratio()
      } else if let relation = takeRelation() {
        relations.append(relation)
        nodes.append(try ratio())
      } else {
        return Clause(name: name, node: relations.isEmpty ? nodes[0] : .related(nodes, relations))
      }
    }
  }

  mutating func takeRelation() -> Relation? {
    let relation: Relation? =
      switch token()?.kind {
      case .mark("="): .equal
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

  /// Takes the name whose value the rest of the clause is: its first letter, or its words; "" for a tuple of names or a
  /// `=` without a name. nil if there is none.
  mutating func takeSolvedName() -> String? {
    let start = position
    var name = ""
    if at("(") {
      skipArguments()
    } else if case .letter(let letter) = token()?.kind, Node.symbol(letter).isUnknown {
      name = letter
      position += 1
      skipDecorations()
      if at("("), token()?.isSpaced == false { skipArguments() }
    } else {
      while case .word(let word, _) = token()?.kind, !Self.notNames.contains(word.lowercased()) {
        name += word
        position += 1
      }
    }
    let isName = take("=") || (position > start && (take(command: "in") || take(command: "approx")))
    if isName && position < tokens.count { return name }
    position = start
    return nil
  }

  /// Words that say in which direction the value after the `=` counts.
  private static let notNames: Set<String> = [
    "profit", "loss", "gain", "increase", "decrease", "rise", "fall", "growth", "decline", "surplus", "deficit",
    "deposit", "withdrawal", "debt", "discount", "north", "south", "east", "west", "up", "down", "left", "right",
    "before", "after", "above", "below", "forward", "backward",
  ]

  /// Skips `(x)`, `(x, y)` or `(2)`: names and numerals with commas between them. Anything else is not skipped.
  mutating func skipArguments() {
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

  /// Skips primes, subscripts and the exponent of an inverse: `f'`, `x_1`, `x_{12}`, `f^{-1}`.
  mutating func skipDecorations() {
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

  /// `3:4` and `10:30` are ordered like tuples. They are not quotients.
  mutating func ratio() throws(Unparsed) -> Node {
    var parts = [try setExpression()]
    while take(":") { parts.append(try setExpression()) }
    if let time = timeOfDay(parts) { return time }
    return parts.count == 1 ? parts[0] : .enclosed(open: ":", close: ":", parts)
  }

  mutating func setExpression() throws(Unparsed) -> Node {
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

  mutating func takeSetOperation() -> SetOperation? {
    if take(command: "cup") { return .union }
    if take(command: "cap") { return .intersection }
    if take(command: "setminus") { return .difference }
    return nil
  }
}
