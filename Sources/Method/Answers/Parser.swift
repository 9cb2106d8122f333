// Parser: tokens → a tree, or the verdict that the answer is no mathematics we read.
//
// A recursive descent whose levels are, from loose to tight: list (`,` `;` or, and), clause (`=` `<` ∈), sets (∪ ∩ ∖),
// sum, product, power, primary. Where LaTeX and its readers disagree we take what the writer meant: `x^10` is x to the
// tenth, `\sqrt23` the root of 23, but `\frac12` a half. Two numerals side by side are never multiplied (that is how
// `025` became 0 elsewhere); they are a mixed number or an error.
//
// Names are dropped here (`x =`, `f(x) =`, `(x,y) =`, `x \in`), as are units, degrees, percent and currency: the key
// never sees them. What does not parse is keyed by its lexical form, so an error costs recall and never correctness.
//
// This file has the levels down to sets; ParserExpressions and ParserPrimaries have the others.

/// The text is not an expression this parser knows.
struct Unparsed: Error {}

struct Parser {
  var tokens: [Token]
  var position = 0
  var nesting = 0
  /// Whether the argument of a function is being read, where a degree mark means π/180 instead of nothing.
  var isArgument = false

  /// Whether a `|` closes rather than opens.
  var isInBars = false
  let budget: StepBudget

  /// Deeper answers are not answers; the bound keeps the stack small.
  static let nestingMax = 60

  static func parse(_ tokens: [Token], _ budget: StepBudget) throws(Unparsed) -> Node {
    var parser = Parser(tokens: tokens, budget: budget)
    let node = try parser.list()
    guard parser.position == tokens.count else { throw Unparsed() }
    return node
  }

  init(tokens: [Token], budget: StepBudget) {
    self.tokens = tokens
    self.budget = budget
  }

  /// One level deeper; the caller comes back up. Each level costs a step.
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
  mutating func list() throws(Unparsed) -> Node {
    defer { nesting -= 1 }
    try descend()
    var separator = Separator.comma
    var clauses = [try clause()]
    while let next = takeSeparator() {
      if next != .comma { separator = next }
      clauses.append(try clause())
    }
    if clauses.count == 1 { return clauses[0].node }
    return ordered(clauses, separator) ?? .list(clauses.map { $0.node }, separator)
  }

  /// `y = 2, x = 1` is a tuple in the order of its names, (1, 2); nil where the names do not tell the elements apart.
  /// (`x_1 = 1, x_2 = 2` are two values for x.)
  func ordered(_ clauses: [(name: String?, node: Node)], _ separator: Separator) -> Node? {
    let sorted = clauses.sorted { ($0.name ?? "") < ($1.name ?? "") }
    let isTold = zip(sorted, sorted.dropFirst()).allSatisfy { $0.name != nil && $0.name != $1.name }
    guard isTold && separator != .or else { return nil }
    return .enclosed(open: "(", close: ")", sorted.map { $0.node })
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

  /// A clause without the name it was solved for, and that name.
  mutating func clause() throws(Unparsed) -> (name: String?, node: Node) {
    var name: String?
    while let solved = takeSolvedName() { name = name ?? solved }
    var nodes = [try ratio()]
    var relations: [Relation] = []
    while true {
      if take(command: "approx") {
        // The exact value was given; what it is close to adds nothing.
        _ = try ratio()
      } else if let relation = takeRelation() {
        relations.append(relation)
        nodes.append(try ratio())
      } else {
        return (name, relations.isEmpty ? nodes[0] : .related(nodes, relations))
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

  /// Takes a name that the rest of the clause is the value of: its first letter or word, "" for a tuple of names or a
  /// bare `=`. Nil where there is none.
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
      while case .word(let word, _) = token()?.kind {
        name += word
        position += 1
      }
    }
    let isName = take("=") || (position > start && (take(command: "in") || take(command: "approx")))
    if isName && position < tokens.count { return name }
    position = start
    return nil
  }

  /// `(x)`, `(x, y)`, `(2)`: names and numerals between commas. Anything else stays where it is.
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

  /// Primes, subscripts and the exponent of an inverse: `f'`, `x_1`, `x_{12}`, `f^{-1}`.
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

  /// `3:4` and `10:30`: ordered like a tuple, not a quotient.
  mutating func ratio() throws(Unparsed) -> Node {
    var parts = [try setExpression()]
    while take(":") { parts.append(try setExpression()) }
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
