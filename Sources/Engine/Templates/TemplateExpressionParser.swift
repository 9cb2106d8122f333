// TemplateExpressionParser: expressions, from the operators that bind least to those that bind most.

extension TemplateParser {
  /// One expression, or several with commas between: a tuple.
  ///
  /// - Parameter withConditional: whether `a if b` belongs to it; a for statement has an `if` of its own.
  mutating func parseTuple(withConditional: Bool = true) throws(TemplateError) -> TemplateExpression {
    let first = try withConditional ? parseExpression() : parseOr()
    guard isMark(",") else { return first }
    var values = [first]
    while skipMark(",") {
      if endsTuple { break }
      values.append(try withConditional ? parseExpression() : parseOr())
    }
    return .tuple(values)
  }

  private var endsTuple: Bool {
    switch current.kind {
    case .outputEnd, .statementEnd, .mark(")"): true
    default: false
    }
  }

  mutating func parseExpression() throws(TemplateError) -> TemplateExpression {
    try nested { parser throws(TemplateError) in try parser.parseConditional() }
  }

  private mutating func parseConditional() throws(TemplateError) -> TemplateExpression {
    var value = try parseOr()
    while isName("if") {
      let begin = place
      try deepen()
      advance()
      let condition = try parseOr()
      let otherwise = skipName("else") ? try parseExpression() : nil
      value = .conditional(value, condition, otherwise, begin)
    }
    return value
  }

  mutating func parseOr() throws(TemplateError) -> TemplateExpression {
    var value = try parseAnd()
    while skipName("or") {
      try deepen()
      value = .or(value, try parseAnd())
    }
    return value
  }

  private mutating func parseAnd() throws(TemplateError) -> TemplateExpression {
    var value = try parseNot()
    while skipName("and") {
      try deepen()
      value = .and(value, try parseNot())
    }
    return value
  }

  private mutating func parseNot() throws(TemplateError) -> TemplateExpression {
    guard isName("not") else { return try parseComparison() }
    advance()
    return .not(try nested { parser throws(TemplateError) in try parser.parseNot() })
  }

  private mutating func parseComparison() throws(TemplateError) -> TemplateExpression {
    let begin = place
    let first = try parseSum()
    var others: [(mark: String, value: TemplateExpression)] = []
    while true {
      if case .mark(let mark) = current.kind, ["==", "!=", "<", "<=", ">", ">="].contains(mark) {
        advance()
        others.append((mark, try parseSum()))
      } else if skipName("in") {
        others.append(("in", try parseSum()))
      } else if isName("not"), index + 1 < tokens.count, tokens[index + 1].kind == .name("in") {
        advance()
        advance()
        others.append(("not in", try parseSum()))
      } else {
        return others.isEmpty ? first : .comparison(first, others, begin)
      }
    }
  }

  private mutating func parseSum() throws(TemplateError) -> TemplateExpression {
    var value = try parseJoined()
    while case .mark(let mark) = current.kind, mark == "+" || mark == "-" {
      let begin = place
      try deepen()
      advance()
      value = .arithmetic(mark, value, try parseJoined(), begin)
    }
    return value
  }

  private mutating func parseJoined() throws(TemplateError) -> TemplateExpression {
    let begin = place
    var values = [try parseProduct()]
    while skipMark("~") { values.append(try parseProduct()) }
    return values.count == 1 ? values[0] : .joined(values, begin)
  }

  private mutating func parseProduct() throws(TemplateError) -> TemplateExpression {
    var value = try parsePower()
    while case .mark(let mark) = current.kind, ["*", "/", "//", "%"].contains(mark) {
      let begin = place
      try deepen()
      advance()
      value = .arithmetic(mark, value, try parsePower(), begin)
    }
    return value
  }

  private mutating func parsePower() throws(TemplateError) -> TemplateExpression {
    var value = try parseSigned(withFilters: true)
    while isMark("**") {
      let begin = place
      try deepen()
      advance()
      value = .arithmetic("**", value, try parseSigned(withFilters: true), begin)
    }
    return value
  }

  private mutating func parseSigned(withFilters: Bool) throws(TemplateError) -> TemplateExpression {
    var value: TemplateExpression
    let begin = place
    if case .mark(let mark) = current.kind, mark == "-" || mark == "+" {
      advance()
      let operand = try nested { parser throws(TemplateError) in try parser.parseSigned(withFilters: false) }
      value = .sign(mark, operand, begin)
    } else {
      value = try parsePostfix(of: try parsePrimary())
    }
    return withFilters ? try parseFiltersAndTests(of: value) : value
  }

  private mutating func parsePrimary() throws(TemplateError) -> TemplateExpression {
    let token = current
    switch token.kind {
    case .name(let name):
      advance()
      switch name {
      case "true", "True": return .constant(.bool(true))
      case "false", "False": return .constant(.bool(false))
      case "none", "None": return .constant(.none)
      default: return .name(name, token.place)
      }
    case .text(var scalars):
      advance()
      while case .text(let next) = current.kind {
        scalars += next
        advance()
      }
      return .constant(.text(scalars))
    case .int(let value):
      advance()
      return .constant(.int(value))
    case .float(let value):
      advance()
      return .constant(.float(value))
    case .mark("("):
      advance()
      if skipMark(")") { return .tuple([]) }
      let value = try parseTuple()
      try expectMark(")")
      return value
    case .mark("["):
      advance()
      return .list(try parseList(until: "]"))
    case .mark("{"):
      advance()
      return try parseDictionary(token.place)
    default: throw unexpected("expected a value")
    }
  }

  private mutating func parseList(until mark: String) throws(TemplateError) -> [TemplateExpression] {
    var values: [TemplateExpression] = []
    while !isMark(mark) {
      if !values.isEmpty { try expectMark(",") }
      if isMark(mark) { break }
      values.append(try parseExpression())
    }
    advance()
    return values
  }

  private mutating func parseDictionary(_ begin: TemplatePlace) throws(TemplateError) -> TemplateExpression {
    var pairs: [(key: TemplateExpression, value: TemplateExpression)] = []
    while !isMark("}") {
      if !pairs.isEmpty { try expectMark(",") }
      if isMark("}") { break }
      let key = try parseExpression()
      try expectMark(":")
      pairs.append((key, try parseExpression()))
    }
    advance()
    return .dictionary(pairs, begin)
  }

  private mutating func parsePostfix(of value: TemplateExpression) throws(TemplateError) -> TemplateExpression {
    var value = value
    while true {
      let begin = place
      if isMark(".") || isMark("[") || isMark("(") { try deepen() }
      if skipMark(".") {
        if case .int(let number) = current.kind {
          advance()
          value = .item(value, .constant(.int(number)), begin)
        } else {
          value = .member(value, try takeName("a name"), begin)
        }
      } else if skipMark("[") {
        value = try parseSubscript(of: value, begin)
      } else if isMark("(") {
        value = .call(value, try parseArguments(), begin)
      } else {
        return value
      }
    }
  }

  private mutating func parseSubscript(
    of value: TemplateExpression, _ begin: TemplatePlace
  ) throws(TemplateError) -> TemplateExpression {
    var parts: [TemplateExpression?] = [nil]
    while !isMark("]") {
      if skipMark(":") {
        parts.append(nil)
      } else if isMark(",") {
        throw .unsupported(place, what: "a subscript with several keys")
      } else {
        guard parts[parts.count - 1] == nil else { throw unexpected("expected ]") }
        parts[parts.count - 1] = try parseExpression()
      }
    }
    advance()
    if parts.count == 1 {
      guard let key = parts[0] else { throw .syntax(begin, problem: "a subscript is empty") }
      return .item(value, key, begin)
    }
    guard parts.count <= 3 else { throw .syntax(begin, problem: "a slice has more than three parts") }
    return .slice(value, parts + (parts.count == 2 ? [nil] : []), begin)
  }

  mutating func parseArguments() throws(TemplateError) -> [TemplateArgument] {
    var arguments: [TemplateArgument] = []
    try expectMark("(")
    while !isMark(")") {
      if !arguments.isEmpty { try expectMark(",") }
      if isMark(")") { break }
      if isMark("*") || isMark("**") { throw .unsupported(place, what: "arguments from a list or a dictionary") }
      if case .name(let name) = current.kind, index + 1 < tokens.count, tokens[index + 1].kind == .mark("=") {
        advance()
        advance()
        arguments.append(TemplateArgument(name: name, value: try parseExpression()))
      } else {
        guard !arguments.contains(where: { $0.name != nil }) else {
          throw .syntax(place, problem: "an argument without a name follows one with a name")
        }
        arguments.append(TemplateArgument(name: nil, value: try parseExpression()))
      }
    }
    advance()
    return arguments
  }

  private mutating func parseFiltersAndTests(of value: TemplateExpression) throws(TemplateError) -> TemplateExpression {
    var value = value
    while true {
      if isMark("|") {
        value = try parseFilters(of: value, beginsWithName: false) ?? value
      } else if isName("is") {
        try deepen()
        value = try parseTest(of: value)
      } else if isMark("(") {
        let begin = place
        try deepen()
        value = .call(value, try parseArguments(), begin)
      } else {
        return value
      }
    }
  }

  /// Filters, one after the other; nil if there is none.
  ///
  /// - Parameter beginsWithName: the first one has no | before it.
  mutating func parseFilters(
    of value: TemplateExpression?, beginsWithName: Bool
  ) throws(TemplateError) -> TemplateExpression? {
    var value = value
    var isFirst = beginsWithName
    while isFirst || isMark("|") {
      if !isFirst { advance() }
      isFirst = false
      try deepen()
      let begin = place
      let name = try takeName("a filter")
      value = .filter(value, name, isMark("(") ? try parseArguments() : [], begin)
    }
    return value
  }

  private mutating func parseTest(of value: TemplateExpression) throws(TemplateError) -> TemplateExpression {
    advance()
    let isNegated = skipName("not")
    let begin = place
    let name = try takeName("a test")
    var arguments: [TemplateArgument] = []
    if isMark("(") {
      arguments = try parseArguments()
    } else if isName("is") {
      throw .syntax(place, problem: "a test cannot follow a test; put the first one in parentheses")
    } else if beginsArgument {
      arguments = [TemplateArgument(name: nil, value: try parsePostfix(of: try parsePrimary()))]
    }
    let test = TemplateExpression.test(value, name, arguments, begin)
    return isNegated ? .not(test) : test
  }

  /// Whether an argument of a test without parentheses follows, as in `is divisibleby 3`.
  private var beginsArgument: Bool {
    switch current.kind {
    // In the language's own parser, every other word is a name here.
    case .name(let name): !["else", "or", "and"].contains(name)
    case .text, .int, .float, .mark("["), .mark("{"): true
    default: false
    }
  }
}
