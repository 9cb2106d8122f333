// TemplateNames: a filter or a test that does not exist is an error of the whole template, also where it is not
// reached.
//
// Jinja makes an exception: in an if statement or a conditional expression it is an error only if it is reached, unless
// a loop, a macro or another block comes between.
// Source: the source of Jinja 3.1 (compiler.py, frames that are soft).

enum TemplateNames {
  /// All filters of Jinja. Those that this program does not reproduce are refused where they are reached.
  static let filters: Set<String> = [
    "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape",
    "filesizeformat", "first", "float", "forceescape", "format", "groupby", "indent", "int", "items", "join", "last",
    "length", "list", "lower", "map", "max", "min", "pprint", "random", "reject", "rejectattr", "replace", "reverse",
    "round", "safe", "select", "selectattr", "slice", "sort", "string", "striptags", "sum", "title", "tojson", "trim",
    "truncate", "unique", "upper", "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr",
  ]
  static let tests: Set<String> = [
    "boolean", "callable", "defined", "divisibleby", "eq", "equalto", "escaped", "even", "false", "filter", "float",
    "ge", "greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan", "lower", "lt", "mapping", "ne", "none",
    "number", "odd", "sameas", "sequence", "string", "test", "true", "undefined", "upper",
  ]

  static func noFilter(_ name: String, _ place: TemplatePlace) -> TemplateError {
    .syntax(place, problem: "there is no filter \"\(name)\"")
  }

  static func noTest(_ name: String, _ place: TemplatePlace) -> TemplateError {
    .syntax(place, problem: "there is no test \"\(name)\"")
  }

  /// - Parameter isSoft: whether what does not exist is an error only where it is reached.
  /// - Throws: the first filter or test that does not exist.
  static func check(_ body: [TemplateStatement], isSoft: Bool = false) throws(TemplateError) {
    for statement in body { try check(statement, isSoft) }
  }

  private static func check(_ statement: TemplateStatement, _ isSoft: Bool) throws(TemplateError) {
    switch statement {
    case .data, .leave, .next: break
    case .output(let value, _): try check(value, isSoft)
    case .conditional(let branches, let otherwise):
      for branch in branches { try check(branch.body, isSoft: true) }
      try check(otherwise, isSoft: true)
    case .loop(let loop, _):
      try check(loop.items, isSoft)
      if let condition = loop.condition { try check(condition, false) }
      try check(loop.body)
      try check(loop.otherwise)
    case .set(_, let value, _): try check(value, isSoft)
    case .setBlock(_, let filters, let body, _):
      if let filters { try check(filters, false) }
      try check(body)
    case .macro(let macro): try check(macro)
    case .callBlock(let call, let caller, _):
      try check(call, isSoft)
      try check(caller)
    case .filterBlock(let filters, let body, _):
      try check(filters, false)
      try check(body)
    case .with(let values, let body, _):
      for value in values { try check(value.value, isSoft) }
      try check(body)
    case .generation(let body): try check(body)
    }
  }

  private static func check(_ macro: TemplateMacro) throws(TemplateError) {
    for parameter in macro.parameters { if let value = parameter.value { try check(value, false) } }
    try check(macro.body)
  }

  private static func check(_ expression: TemplateExpression, _ isSoft: Bool) throws(TemplateError) {
    if isSoft { return }
    func all(_ expressions: [TemplateExpression?]) throws(TemplateError) {
      for expression in expressions { if let expression { try check(expression, false) } }
    }
    switch expression {
    // In a conditional expression, everything is soft.
    case .constant, .name, .conditional: break
    case .list(let values), .tuple(let values), .joined(let values, _): try all(values)
    case .dictionary(let pairs, _): for pair in pairs { try all([pair.key, pair.value]) }
    case .member(let value, _, _), .not(let value), .sign(_, let value, _): try all([value])
    case .item(let first, let second, _), .and(let first, let second), .or(let first, let second),
      .arithmetic(_, let first, let second, _):
      try all([first, second])
    case .slice(let value, let bounds, _): try all([value] + bounds)
    case .call(let function, let arguments, _): try all([function] + arguments.map(\.value))
    case .filter(let value, let name, let arguments, let place):
      guard filters.contains(name) else { throw noFilter(name, place) }
      try all([value] + arguments.map(\.value))
    case .test(let value, let name, let arguments, let place):
      guard tests.contains(name) else { throw noTest(name, place) }
      try all([value] + arguments.map(\.value))
    case .comparison(let value, let others, _): try all([value] + others.map(\.value))
    }
  }
}
