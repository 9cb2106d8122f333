// TemplateParser: tokens to a tree. What the language has and this program does not reproduce is refused by name.

struct TemplateParser {
  var tokens: [TemplateToken]
  var index = 0
  private var depth = 0
  private let limits: TemplateLimits
  /// How many for statements are around the current one: break and continue need one.
  private var loops = 0

  init(_ tokens: [TemplateToken], limits: TemplateLimits) {
    self.tokens = tokens
    self.limits = limits
  }

  // MARK: Tokens

  var current: TemplateToken { tokens[index] }
  var place: TemplatePlace { current.place }

  mutating func advance() { if index < tokens.count - 1 { index += 1 } }

  func isMark(_ mark: String) -> Bool { current.kind == .mark(mark) }
  func isName(_ name: String) -> Bool { current.kind == .name(name) }

  mutating func skipMark(_ mark: String) -> Bool {
    guard isMark(mark) else { return false }
    advance()
    return true
  }

  mutating func skipName(_ name: String) -> Bool {
    guard isName(name) else { return false }
    advance()
    return true
  }

  mutating func expectMark(_ mark: String) throws(TemplateError) {
    guard skipMark(mark) else { throw unexpected("expected \(mark)") }
  }

  mutating func takeName(_ what: String) throws(TemplateError) -> String {
    guard case .name(let name) = current.kind else { throw unexpected("expected \(what)") }
    advance()
    return name
  }

  func unexpected(_ expected: String) -> TemplateError {
    .syntax(place, problem: "unexpected \(Self.shown(current.kind)), \(expected)")
  }

  private static func shown(_ kind: TemplateToken.Kind) -> String {
    switch kind {
    case .data: "text"
    case .outputBegin: "{{"
    case .outputEnd: "}}"
    case .statementBegin: "{%"
    case .statementEnd: "%}"
    case .name(let name): "\"\(name)\""
    case .text(let scalars): TemplateValue.text(scalars).represented
    case .int(let value): "\(value)"
    case .float(let value): "\(value)"
    case .mark(let mark): mark
    case .end: "end of the template"
    }
  }

  /// Guards against a source whose nesting would overflow the stack.
  mutating func nested<Result>(
    _ work: (inout TemplateParser) throws(TemplateError) -> Result
  ) throws(TemplateError) -> Result {
    let outer = depth
    defer { depth = outer }
    try deepen()
    return try work(&self)
  }

  /// Counts a level. One operator after the other makes a tree as deep as they are many, up to the end of the
  /// expression.
  mutating func deepen() throws(TemplateError) {
    depth += 1
    guard depth <= limits.depth else {
      throw .limit(place, name: "levels of expressions and statements", value: limits.depth)
    }
  }

  // MARK: Statements

  mutating func parse() throws(TemplateError) -> [TemplateStatement] {
    let body = try parseBody(until: [])
    guard current.kind == .end else { throw unexpected("expected the end of the template") }
    return body
  }

  /// Statements up to one of the words, which stays as the current token, or to the end.
  private mutating func parseBody(until words: [String]) throws(TemplateError) -> [TemplateStatement] {
    try nested { parser throws(TemplateError) in try parser.parseStatements(until: words) }
  }

  private mutating func parseStatements(until words: [String]) throws(TemplateError) -> [TemplateStatement] {
    var body: [TemplateStatement] = []
    while true {
      let token = current
      switch token.kind {
      case .data(let text):
        advance()
        body.append(.data(text))
      case .outputBegin:
        advance()
        body.append(.output(try parseTuple(), token.place))
        guard current.kind == .outputEnd else { throw unexpected("expected }}") }
        advance()
      case .statementBegin:
        advance()
        if case .name(let word) = current.kind, words.contains(word) { return body }
        body.append(try parseStatement())
      default:
        guard words.isEmpty else {
          throw .syntax(
            place, problem: "the template ends within a statement; expected {% \(words[words.count - 1]) %}")
        }
        return body
      }
    }
  }

  private mutating func endTag() throws(TemplateError) {
    guard current.kind == .statementEnd else { throw unexpected("expected %}") }
    advance()
  }

  /// The end of a tag, a body, and the tag that ends it.
  private mutating func block(_ end: String) throws(TemplateError) -> [TemplateStatement] {
    try endTag()
    let body = try parseBody(until: [end])
    advance()
    try endTag()
    return body
  }

  private mutating func parseStatement() throws(TemplateError) -> TemplateStatement {
    let begin = place
    let word = try takeName("a statement")
    switch word {
    case "if": return try parseIf()
    case "for": return try parseFor(begin)
    case "set": return try parseSet(begin)
    case "macro":
      let name = try takeName("the macro's name")
      return .macro(TemplateMacro(name: name, parameters: try parseParameters(), body: try macroBody("endmacro")))
    case "call":
      let parameters = isMark("(") ? try parseParameters() : []
      let call = try parseExpression()
      guard case .call = call else { throw .syntax(begin, problem: "call needs a call of a macro") }
      let caller = TemplateMacro(name: "caller", parameters: parameters, body: try macroBody("endcall"))
      return .callBlock(call, caller, begin)
    case "filter":
      guard let filters = try parseFilters(of: nil, beginsWithName: true) else { throw unexpected("expected a filter") }
      return .filterBlock(filters, try block("endfilter"), begin)
    case "with": return try parseWith(begin)
    case "generation": return .generation(try block("endgeneration"))
    case "break", "continue":
      guard loops > 0 else { throw .syntax(begin, problem: "\(word) is outside of a for statement") }
      try endTag()
      return word == "break" ? .leave : .next
    case "include", "import", "from", "extends", "block", "do", "trans", "autoescape", "debug":
      throw .unsupported(begin, what: "the statement \(word)")
    default: throw .syntax(begin, problem: "there is no statement \"\(word)\"")
    }
  }

  /// The body of a macro: a for statement around the macro is not one around the body.
  private mutating func macroBody(_ end: String) throws(TemplateError) -> [TemplateStatement] {
    let outer = loops
    loops = 0
    defer { loops = outer }
    return try block(end)
  }

  private mutating func parseIf() throws(TemplateError) -> TemplateStatement {
    var branches: [(condition: TemplateExpression, body: [TemplateStatement])] = []
    while true {
      let condition = try parseTuple(withConditional: false)
      try endTag()
      branches.append((condition, try parseBody(until: ["elif", "else", "endif"])))
      if skipName("elif") { continue }
      guard skipName("else") else {
        advance()
        try endTag()
        return .conditional(branches, otherwise: [])
      }
      return .conditional(branches, otherwise: try block("endif"))
    }
  }

  private mutating func parseFor(_ begin: TemplatePlace) throws(TemplateError) -> TemplateStatement {
    let target = try parseTarget()
    guard skipName("in") else { throw unexpected("expected in") }
    let items = try parseTuple(withConditional: false)
    let condition = skipName("if") ? try parseExpression() : nil
    if isName("recursive") { throw .unsupported(place, what: "a recursive for statement") }
    try endTag()
    loops += 1
    let body = try parseBody(until: ["else", "endfor"])
    loops -= 1
    var otherwise: [TemplateStatement] = []
    if skipName("else") {
      otherwise = try block("endfor")
    } else {
      advance()
      try endTag()
    }
    let loop = TemplateLoopStatement(
      target: target, items: items, condition: condition, body: body, otherwise: otherwise)
    return .loop(loop, begin)
  }

  private mutating func parseSet(_ begin: TemplatePlace) throws(TemplateError) -> TemplateStatement {
    let target = try parseTarget(withMember: true)
    if skipMark("=") {
      let value = try parseTuple()
      try endTag()
      return .set(target, value, begin)
    }
    let filters = try parseFilters(of: nil, beginsWithName: false)
    return .setBlock(target, filters: filters, try block("endset"), begin)
  }

  private mutating func parseWith(_ begin: TemplatePlace) throws(TemplateError) -> TemplateStatement {
    var values: [(target: TemplateTarget, value: TemplateExpression)] = []
    while current.kind != .statementEnd {
      if !values.isEmpty { try expectMark(",") }
      let target = try parseTarget()
      try expectMark("=")
      values.append((target, try parseExpression()))
    }
    return .with(values, try block("endwith"), begin)
  }

  private mutating func parseTarget(withMember: Bool = false) throws(TemplateError) -> TemplateTarget {
    let begin = place
    var targets: [TemplateTarget] = []
    var isTuple = false
    repeat {
      if skipMark("(") {
        targets.append(try nested { parser throws(TemplateError) in try parser.parseTarget() })
        try expectMark(")")
        continue
      }
      // As in Jinja, only a parenthesis can follow the last comma.
      if !targets.isEmpty, isMark(")") { break }
      let name = try takeName("a name")
      if ["true", "false", "none", "True", "False", "None", "not", "and", "or", "if", "else", "in", "is"].contains(name)
      {
        throw .syntax(begin, problem: "cannot assign to \(name)")
      }
      if withMember, skipMark(".") {
        targets.append(.member(name, try takeName("a name"), begin))
      } else {
        targets.append(.name(name))
      }
      if isMark(",") { isTuple = true }
    } while skipMark(",")
    return isTuple || targets.count > 1 ? .tuple(targets, begin) : targets[0]
  }

  private mutating func parseParameters() throws(TemplateError) -> [(name: String, value: TemplateExpression?)] {
    var parameters: [(name: String, value: TemplateExpression?)] = []
    try expectMark("(")
    while !isMark(")") {
      if !parameters.isEmpty { try expectMark(",") }
      let name = try takeName("a parameter")
      let value = skipMark("=") ? try parseExpression() : nil
      if value == nil, parameters.contains(where: { $0.value != nil }) {
        throw .syntax(place, problem: "\(name) has no default, and a parameter before it has one")
      }
      parameters.append((name, value))
    }
    advance()
    return parameters
  }
}
