// TemplateEvaluation: the value of an expression.

extension Renderer {
  /// - Parameter input: what a filter of a filter statement begins with.
  mutating func evaluate(
    _ expression: TemplateExpression, input: TemplateValue? = nil
  ) throws(TemplateError) -> TemplateValue {
    try nested { renderer throws(TemplateError) in
      try renderer.value(of: expression, input: input)
    }
  }

  private mutating func value(
    of expression: TemplateExpression, input: TemplateValue?
  ) throws(TemplateError) -> TemplateValue {
    switch expression {
    case .constant(let constant):
      switch constant {
      case .none: return .none
      case .bool(let value): return .bool(value)
      case .int(let value): return .int(value)
      case .float(let value): return .float(value)
      case .text(let scalars): return .text(scalars)
      }
    case .name(let name, let place):
      try step(place)
      return value(of: name)
    case .list(let expressions): return .list(try evaluate(expressions))
    case .tuple(let expressions): return .tuple(try evaluate(expressions))
    case .dictionary(let pairs, let place):
      var dictionary = TemplateDictionary()
      for (key, value) in pairs {
        try step(place)
        dictionary[try evaluate(key)] = try evaluate(value)
      }
      return .dictionary(dictionary)
    case .member(let expression, let name, let place):
      return try member(name, of: try evaluate(expression), place)
    case .item(let expression, let key, let place):
      return try item(try evaluate(key), of: try evaluate(expression), place)
    case .slice(let expression, let parts, let place):
      return try slice(try evaluate(expression), parts, place)
    case .call(let callee, let arguments, let place):
      let callee = try evaluate(callee)
      return try call(callee, try evaluate(arguments, at: place))
    case .filter(let expression, let name, let arguments, let place):
      let value =
        try expression.map { expression throws(TemplateError) in
          try evaluate(expression, input: input)
        } ?? input ?? .none
      return try filter(name, value, try evaluate(arguments, at: place))
    case .test(let expression, let name, let arguments, let place):
      let value = try evaluate(expression)
      return .bool(try test(name, value, try evaluate(arguments, at: place)))
    case .not(let expression): return .bool(!(try evaluate(expression).isTrue))
    case .and(let left, let right):
      let value = try evaluate(left)
      return value.isTrue ? try evaluate(right) : value
    case .or(let left, let right):
      let value = try evaluate(left)
      return value.isTrue ? value : try evaluate(right)
    case .conditional(let then, let condition, let otherwise, _):
      if try evaluate(condition).isTrue { return try evaluate(then) }
      guard let otherwise else { return .undefined("the if expression has no else") }
      return try evaluate(otherwise)
    case .comparison(let first, let others, let place): return .bool(try compare(first, others, place))
    case .sign(let mark, let expression, let place):
      let value = try evaluate(expression)
      guard let number = value.number else { throw .failed(place, problem: "\(mark) of \(value.kind)") }
      guard let int = number.int else { return .float(mark == "-" ? -number.double : number.double) }
      return mark == "-" ? .int(0 &- int) : .int(int)
    case .arithmetic(let mark, let left, let right, let place):
      return try arithmetic(mark, try evaluate(left), try evaluate(right), place)
    case .joined(let expressions, let place):
      var text: [Unicode.Scalar] = []
      for value in try evaluate(expressions) {
        if case .markup = value { throw .unsupported(place, what: "joining text marked as safe") }
        text += value.printed
      }
      try count(text.count, place)
      return .text(text)
    }
  }

  private mutating func evaluate(_ expressions: [TemplateExpression]) throws(TemplateError) -> [TemplateValue] {
    var values: [TemplateValue] = []
    for expression in expressions { values.append(try evaluate(expression)) }
    return values
  }

  mutating func evaluate(
    _ arguments: [TemplateArgument], at place: TemplatePlace
  ) throws(TemplateError) -> TemplateArguments {
    var values = TemplateArguments(place: place)
    for argument in arguments {
      let value = try evaluate(argument.value)
      if let name = argument.name { values.named.append((name, value)) } else { values.positional.append(value) }
    }
    return values
  }

  // MARK: Members and items

  /// `value.name`: an attribute in Python, or else an item.
  mutating func member(
    _ name: String, of value: TemplateValue, _ place: TemplatePlace
  ) throws(TemplateError) -> TemplateValue {
    try step(place)
    let missing = TemplateValue.undefined("\(value.kind) has no member '\(name)'")
    switch value {
    case .undefined(let reason): throw .failed(place, problem: reason)
    case .loop(let loop):
      if let member = loop.member(name) { return member }
      if name == "cycle" { return .function(loop.cycle) }
      throw .unsupported(place, what: "loop.\(name)")
    case .namespace(let namespace): return namespace.members[TemplateValue(name)] ?? missing
    default:
      if let method = try TemplateFunction.method(name, of: value, place) { return .function(method) }
      if case .dictionary(let dictionary) = value { return dictionary[TemplateValue(name)] ?? missing }
      return missing
    }
  }

  /// `value[key]`: an item in Python, or else an attribute.
  mutating func item(
    _ key: TemplateValue, of value: TemplateValue, _ place: TemplatePlace
  ) throws(TemplateError) -> TemplateValue {
    try step(place)
    let missing = TemplateValue.undefined("\(value.kind) has no item \(key.represented)")
    switch (value, key) {
    case (.undefined(let reason), _): throw .failed(place, problem: reason)
    case (.dictionary(let dictionary), _):
      if let item = dictionary[key] { return item }
      guard case .text(let name) = key else { return missing }
      return try TemplateFunction.method(TemplateValue.string(name), of: value, place).map { .function($0) } ?? missing
    case (.list(let items), .int(let index)), (.tuple(let items), .int(let index)):
      let index = index < 0 ? index &+ items.count : index
      return items.indices.contains(index) ? items[index] : missing
    case (.text(let scalars), .int(let index)):
      let index = index < 0 ? index &+ scalars.count : index
      return scalars.indices.contains(index) ? .text([scalars[index]]) : missing
    case (_, .text(let name)): return try member(TemplateValue.string(name), of: value, place)
    default: return missing
    }
  }

  private mutating func slice(
    _ value: TemplateValue, _ parts: [TemplateExpression?], _ place: TemplatePlace
  ) throws(TemplateError) -> TemplateValue {
    var bounds: [Int?] = []
    for part in parts {
      let bound = try part.map { part throws(TemplateError) in try evaluate(part) } ?? .none
      switch bound {
      case .none: bounds.append(nil)
      case .int(let number): bounds.append(number)
      case .bool(let isTrue): bounds.append(isTrue ? 1 : 0)
      default: throw .failed(place, problem: "a slice needs integers, got \(bound.kind)")
      }
    }
    func indices(_ count: Int) throws(TemplateError) -> [Int] {
      let step = bounds[2] ?? 1
      guard step != 0 else { throw .failed(place, problem: "the step of a slice is 0") }
      func clamped(_ bound: Int?, _ usual: Int) -> Int {
        guard let bound else { return usual }
        let (low, high) = step > 0 ? (0, count) : (-1, count - 1)
        return min(max(bound < 0 ? bound &+ count : bound, low), high)
      }
      let start = clamped(bounds[0], step > 0 ? 0 : count - 1)
      let end = clamped(bounds[1], step > 0 ? count : -1)
      return Array(stride(from: start, to: end, by: step))
    }
    switch value {
    case .text(let scalars): return .text(try indices(scalars.count).map { scalars[$0] })
    case .list(let items): return .list(try indices(items.count).map { items[$0] })
    case .tuple(let items): return .tuple(try indices(items.count).map { items[$0] })
    case .undefined(let reason): throw .failed(place, problem: reason)
    default: throw .failed(place, problem: "\(value.kind) has no slices")
    }
  }

  // MARK: Operators

  private mutating func compare(
    _ first: TemplateExpression, _ others: [(mark: String, value: TemplateExpression)], _ place: TemplatePlace
  ) throws(TemplateError) -> Bool {
    var left = try evaluate(first)
    for (mark, expression) in others {
      let right = try evaluate(expression)
      guard try compare(mark, left, right, place) else { return false }
      left = right
    }
    return true
  }

  func compare(
    _ mark: String, _ left: TemplateValue, _ right: TemplateValue, _ place: TemplatePlace
  ) throws(TemplateError) -> Bool {
    for case .markup in [left, right] { throw .unsupported(place, what: "comparing text marked as safe") }
    switch mark {
    case "==": return left.isEqual(to: right)
    case "!=": return !left.isEqual(to: right)
    case "in": return try contains(right, left, place)
    case "not in": return !(try contains(right, left, place))
    default: break
    }
    for case .undefined(let reason) in [left, right] { throw .failed(place, problem: reason) }
    guard let isLess = left.isLess(than: right), let isGreater = right.isLess(than: left) else {
      throw .failed(place, problem: "\(left.kind) \(mark) \(right.kind) is not defined")
    }
    switch mark {
    case "<": return isLess
    case ">": return isGreater
    case "<=": return isLess || left.isEqual(to: right)
    default: return isGreater || left.isEqual(to: right)
    }
  }

  func contains(
    _ container: TemplateValue, _ value: TemplateValue, _ place: TemplatePlace
  ) throws(TemplateError) -> Bool {
    if case .text(let whole) = container {
      guard case .text(let part) = value else {
        if case .undefined(let reason) = value { throw .failed(place, problem: reason) }
        throw .failed(place, problem: "\(value.kind) in text is not defined")
      }
      return whole.firstIndex(of: part) != nil
    }
    guard let items = container.items else { throw .failed(place, problem: "in \(container.kind) is not defined") }
    return items.contains { $0.isEqual(to: value) }
  }

  mutating func arithmetic(
    _ mark: String, _ left: TemplateValue, _ right: TemplateValue, _ place: TemplatePlace
  ) throws(TemplateError) -> TemplateValue {
    try step(place)
    for case .undefined(let reason) in [left, right] { throw .failed(place, problem: reason) }
    if let a = left.number, let b = right.number { return try Self.arithmetic(mark, a, b, place) }
    switch (mark, left, right) {
    case ("+", .text(let a), .text(let b)):
      try count(a.count + b.count, place)
      return .text(a + b)
    case ("+", .list(let a), .list(let b)):
      try count(a.count + b.count, place)
      return .list(a + b)
    case ("+", .tuple(let a), .tuple(let b)): return .tuple(a + b)
    case ("*", .text(let text), .int(let times)), ("*", .int(let times), .text(let text)):
      let made = text.count.multipliedReportingOverflow(by: max(times, 0))
      try count(made.overflow ? .max / 2 : made.partialValue, place)
      return .text(Array(repeatElement(text, count: max(times, 0)).joined()))
    case ("%", .text, _): throw .unsupported(place, what: "formatting text with %")
    default: throw .failed(place, problem: "\(left.kind) \(mark) \(right.kind) is not defined")
    }
  }

  private static func arithmetic(
    _ mark: String, _ left: (int: Int?, double: Double), _ right: (int: Int?, double: Double), _ place: TemplatePlace
  ) throws(TemplateError) -> TemplateValue {
    if ["/", "//", "%"].contains(mark), right.double == 0 { throw .failed(place, problem: "division by zero") }
    guard let a = left.int, let b = right.int, mark != "/" else {
      switch mark {
      case "+": return .float(left.double + right.double)
      case "-": return .float(left.double - right.double)
      case "*": return .float(left.double * right.double)
      case "/": return .float(left.double / right.double)
      case "//": return .float((left.double / right.double).rounded(.down))
      case "%":
        let rest = left.double.truncatingRemainder(dividingBy: right.double)
        return .float(rest != 0 && (rest < 0) != (right.double < 0) ? rest + right.double : rest)
      default: throw .unsupported(place, what: "a power of a fraction")
      }
    }
    let result: (partialValue: Int, overflow: Bool)
    switch mark {
    case "+": result = a.addingReportingOverflow(b)
    case "-": result = a.subtractingReportingOverflow(b)
    case "*": result = a.multipliedReportingOverflow(by: b)
    case "//", "%":
      let whole = a.dividedReportingOverflow(by: b)
      guard !whole.overflow else { throw .unsupported(place, what: "a number of more than 64 bits") }
      let rest = a - whole.partialValue * b
      let isBelow = rest != 0 && (rest < 0) != (b < 0)
      result = mark == "//" ? (whole.partialValue - (isBelow ? 1 : 0), false) : (isBelow ? rest + b : rest, false)
    default:
      guard b >= 0, b < 64 else { throw .unsupported(place, what: "a power with exponent \(b)") }
      var power = (partialValue: 1, overflow: false)
      for _ in 0..<b where !power.overflow { power = power.partialValue.multipliedReportingOverflow(by: a) }
      result = power
    }
    guard !result.overflow else { throw .unsupported(place, what: "a number of more than 64 bits") }
    return .int(result.partialValue)
  }
}

extension TemplateValue {
  static func string(_ scalars: [Unicode.Scalar]) -> String {
    var text = ""
    text.unicodeScalars.append(contentsOf: scalars)
    return text
  }
}

extension [Unicode.Scalar] {
  /// The first place of a part, at or after an index.
  func firstIndex(of part: [Unicode.Scalar], from start: Int = 0) -> Int? {
    guard start >= 0, start + part.count <= count else { return nil }
    return (start...(count - part.count)).first { self[$0..<$0 + part.count].elementsEqual(part) }
  }
}
