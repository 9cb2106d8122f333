// TemplateSyntax: what a template says, as a tree.

indirect enum TemplateExpression: Sendable {
  case constant(TemplateConstant)
  case name(String, TemplatePlace)
  case list([TemplateExpression])
  case tuple([TemplateExpression])
  case dictionary([(key: TemplateExpression, value: TemplateExpression)], TemplatePlace)
  /// `value.name`
  case member(TemplateExpression, String, TemplatePlace)
  /// `value[key]`
  case item(TemplateExpression, TemplateExpression, TemplatePlace)
  /// `value[start:stop:step]`
  case slice(TemplateExpression, [TemplateExpression?], TemplatePlace)
  case call(TemplateExpression, [TemplateArgument], TemplatePlace)
  /// A filter; nil as its input is the body of a filter statement.
  case filter(TemplateExpression?, String, [TemplateArgument], TemplatePlace)
  case test(TemplateExpression, String, [TemplateArgument], TemplatePlace)
  case not(TemplateExpression)
  case and(TemplateExpression, TemplateExpression)
  case or(TemplateExpression, TemplateExpression)
  /// `then if condition else otherwise`
  case conditional(TemplateExpression, TemplateExpression, TemplateExpression?, TemplatePlace)
  case comparison(TemplateExpression, [(mark: String, value: TemplateExpression)], TemplatePlace)
  case sign(String, TemplateExpression, TemplatePlace)
  case arithmetic(String, TemplateExpression, TemplateExpression, TemplatePlace)
  /// `a ~ b ~ c`
  case joined([TemplateExpression], TemplatePlace)
}

enum TemplateConstant: Sendable {
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  case text([Unicode.Scalar])
}

struct TemplateArgument: Sendable {
  var name: String?
  var value: TemplateExpression
}

/// What a for or set statement assigns to.
indirect enum TemplateTarget: Sendable {
  case name(String)
  /// A member of a namespace.
  case member(String, String, TemplatePlace)
  case tuple([TemplateTarget], TemplatePlace)
}

struct TemplateMacro: Sendable {
  var name: String
  var parameters: [(name: String, value: TemplateExpression?)]
  var body: [TemplateStatement]
}

indirect enum TemplateStatement: Sendable {
  case data([Unicode.Scalar])
  case output(TemplateExpression, TemplatePlace)
  case conditional([(condition: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
  case loop(TemplateLoopStatement, TemplatePlace)
  case set(TemplateTarget, TemplateExpression, TemplatePlace)
  /// The body's text, through filters.
  case setBlock(TemplateTarget, filters: TemplateExpression?, [TemplateStatement], TemplatePlace)
  case macro(TemplateMacro)
  /// A call whose body the macro prints with `caller()`.
  case callBlock(TemplateExpression, TemplateMacro, TemplatePlace)
  case filterBlock(TemplateExpression, [TemplateStatement], TemplatePlace)
  case with([(target: TemplateTarget, value: TemplateExpression)], [TemplateStatement], TemplatePlace)
  /// What the model would have said: only marked, for other programs.
  case generation([TemplateStatement])
  case leave
  case next
}

struct TemplateLoopStatement: Sendable {
  var target: TemplateTarget
  var items: TemplateExpression
  var condition: TemplateExpression?
  var body: [TemplateStatement]
  var otherwise: [TemplateStatement]
}
