// TemplateRenderer: runs the statements of a template.
//
// Names live in scopes: the template's own, one per macro call, and one per pass of a loop. A set statement writes into
// the innermost scope, so what a loop sets is gone with the pass. Only namespaces outlive it.

import Base

package struct Renderer {
  /// What the innermost body has printed.
  var output: [Unicode.Scalar] = []
  let now: CalendarTime
  private let limits: TemplateLimits
  private var steps = 0
  private var scalars = 0
  private var depth = 0
  /// The last place that was counted: where a limit was reached.
  private var here = TemplatePlace(line: 1, column: 1)
  private var scopes: [[String: TemplateValue]] = [[:]]

  /// How a body ended.
  private enum Ending { case complete, leave, next }

  init(limits: TemplateLimits, now: CalendarTime) {
    self.limits = limits
    self.now = now
  }

  mutating func define(_ name: String, _ value: TemplateValue) { scopes[scopes.count - 1][name] = value }

  /// The value of a name: that of the innermost scope which has it, or a function of the language.
  func value(of name: String) -> TemplateValue {
    for scope in scopes.reversed() {
      if let value = scope[name] { return value }
    }
    return TemplateFunction.global(name).map { .function($0) } ?? .undefined("'\(name)' is undefined")
  }

  // MARK: Limits

  mutating func step(_ place: TemplatePlace) throws(TemplateError) {
    steps += 1
    here = place
    if steps > limits.steps { throw .limit(place, name: "steps", value: limits.steps) }
  }

  /// Counts a text that was made.
  mutating func count(_ made: Int, _ place: TemplatePlace) throws(TemplateError) {
    scalars += made
    if scalars > limits.scalars { throw .limit(place, name: "characters of text", value: limits.scalars) }
  }

  mutating func nested<Result>(
    _ work: (inout Renderer) throws(TemplateError) -> Result
  ) throws(TemplateError) -> Result {
    depth += 1
    defer { depth -= 1 }
    if depth > limits.depth { throw .limit(here, name: "levels of calls and expressions", value: limits.depth) }
    return try work(&self)
  }

  /// Defines a name. A value that could not be printed or freed is refused.
  private mutating func set(_ name: String, _ value: TemplateValue) throws(TemplateError) {
    try check(value)
    define(name, value)
  }

  private func check(_ value: TemplateValue) throws(TemplateError) {
    var size = limits.value
    guard value.fits(levels: limits.depth, size: &size) else {
      throw .limit(here, name: "levels, or \(limits.value) parts, of one value", value: limits.depth)
    }
  }

  // MARK: Statements

  mutating func run(_ body: [TemplateStatement]) throws(TemplateError) { _ = try runBody(body) }

  private mutating func runBody(_ body: [TemplateStatement]) throws(TemplateError) -> Ending {
    for statement in body {
      let ending = try run(statement)
      if ending != .complete { return ending }
    }
    return .complete
  }

  private mutating func run(_ statement: TemplateStatement) throws(TemplateError) -> Ending {
    switch statement {
    case .data(let text): output += text
    case .output(let expression, let place):
      try step(place)
      let text = try evaluate(expression).printed
      try count(text.count, place)
      output += text
    case .conditional(let branches, let otherwise):
      for (condition, body) in branches where try evaluate(condition).isTrue { return try runBody(body) }
      return try runBody(otherwise)
    case .loop(let loop, let place): try run(loop, place)
    case .set(let target, let expression, let place):
      try step(place)
      try assign(try evaluate(expression), to: target)
    case .setBlock(let target, let filters, let body, let place):
      let text = TemplateValue.text(try captured(place) { renderer throws(TemplateError) in try renderer.run(body) })
      try assign(
        try filters.map { filters throws(TemplateError) in try evaluate(filters, input: text) } ?? text, to: target)
    case .macro(let macro): define(macro.name, .function(self.macro(macro)))
    case .callBlock(let call, let caller, let place):
      guard case .call(let callee, let arguments, _) = call else { break }
      var passed = try evaluate(arguments, at: place)
      passed.named.append(("caller", .function(self.macro(caller))))
      let text = try self.call(try evaluate(callee), passed).printed
      try count(text.count, place)
      output += text
    case .filterBlock(let filters, let body, let place):
      let text = try captured(place) { renderer throws(TemplateError) in try renderer.run(body) }
      output += try evaluate(filters, input: .text(text)).printed
    case .with(let values, let body, _):
      var made: [(TemplateTarget, TemplateValue)] = []
      for (target, expression) in values { made.append((target, try evaluate(expression))) }
      return try scoped { renderer throws(TemplateError) in
        for (target, value) in made { try renderer.assign(value, to: target) }
        return try renderer.runBody(body)
      }
    case .generation(let body): return try runBody(body)
    case .leave: return .leave
    case .next: return .next
    }
    return .complete
  }

  private mutating func run(_ loop: TemplateLoopStatement, _ place: TemplatePlace) throws(TemplateError) {
    let value = try evaluate(loop.items)
    guard var items = value.items else { throw .failed(place, problem: "\(value.kind) cannot be iterated over") }
    if let condition = loop.condition {
      var kept: [TemplateValue] = []
      for item in items {
        try step(place)
        let isKept = try scoped { renderer throws(TemplateError) in
          try renderer.assign(item, to: loop.target)
          return try renderer.evaluate(condition).isTrue
        }
        if isKept { kept.append(item) }
      }
      items = kept
    }
    if items.isEmpty { return try run(loop.otherwise) }
    let state = TemplateLoop(items, depth: 1)
    for (index, item) in items.enumerated() {
      try step(place)
      state.index = index
      let ending = try scoped { renderer throws(TemplateError) in
        renderer.define("loop", .loop(state))
        try renderer.assign(item, to: loop.target)
        return try renderer.runBody(loop.body)
      }
      if ending == .leave { break }
    }
  }

  /// Runs something in a scope of its own.
  private mutating func scoped<Result>(
    _ work: (inout Renderer) throws(TemplateError) -> Result
  ) throws(TemplateError) -> Result {
    scopes.append([:])
    defer { scopes.removeLast() }
    return try nested(work)
  }

  /// What a body prints.
  private mutating func captured(
    _ place: TemplatePlace, _ work: (inout Renderer) throws(TemplateError) -> Void
  ) throws(TemplateError) -> [Unicode.Scalar] {
    let outer = output
    output = []
    defer { output = outer }
    try scoped(work)
    try count(output.count, place)
    return output
  }

  private mutating func assign(_ value: TemplateValue, to target: TemplateTarget) throws(TemplateError) {
    switch target {
    case .name(let name): try set(name, value)
    case .member(let name, let member, let place):
      guard case .namespace(let namespace) = self.value(of: name) else {
        throw .failed(place, problem: "cannot set \(name).\(member): \(name) is not a namespace")
      }
      try check(value)
      namespace.members[TemplateValue(member)] = value
    case .tuple(let targets, let place):
      guard let items = value.items, items.count == targets.count else {
        throw .failed(place, problem: "cannot unpack \(value.kind) into \(targets.count) names")
      }
      for (item, target) in zip(items, targets) { try assign(item, to: target) }
    }
  }

  // MARK: Calls

  mutating func call(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateError) -> TemplateValue {
    try step(arguments.place)
    switch value {
    case .function(let function): return try function.call(arguments, &self)
    case .undefined(let reason): throw .failed(arguments.place, problem: reason)
    default: throw .failed(arguments.place, problem: "\(value.kind) cannot be called")
    }
  }

  /// A macro sees the names of the scopes in which it was made, with the values that they have when it is called.
  private func macro(_ macro: TemplateMacro) -> TemplateFunction {
    let level = scopes.count
    return TemplateFunction(macro.name) { arguments, renderer throws(TemplateError) in
      try renderer.run(macro, arguments, level: level)
    }
  }

  private mutating func run(
    _ macro: TemplateMacro, _ arguments: TemplateArguments, level: Int
  ) throws(TemplateError) -> TemplateValue {
    let place = arguments.place
    let names = macro.parameters.map(\.name)
    guard arguments.positional.count <= names.count else {
      throw .failed(place, problem: "\(macro.name) takes \(names.count) arguments, got \(arguments.positional.count)")
    }
    for argument in arguments.named where !names.contains(argument.name) && argument.name != "caller" {
      throw .failed(place, problem: "\(macro.name) has no parameter \(argument.name)")
    }
    let inner = Array(scopes[min(level, scopes.count)...])
    scopes.removeSubrange(min(level, scopes.count)...)
    defer { scopes += inner }
    let text = try captured(place) { renderer throws(TemplateError) in
      for (index, parameter) in macro.parameters.enumerated() {
        var value = arguments.value(index, parameter.name)
        if value == nil, let expression = parameter.value { value = try renderer.evaluate(expression) }
        try renderer.set(parameter.name, value ?? .undefined("parameter '\(parameter.name)' was not provided"))
      }
      if let caller = arguments.named.first(where: { $0.name == "caller" }) { renderer.define("caller", caller.value) }
      try renderer.run(macro.body)
    }
    return .text(text)
  }
}
