// TemplateTests: what `is` can ask.

extension Renderer {
  mutating func test(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Bool {
    let place = arguments.place
    try step(place)
    func other() throws(TemplateError) -> TemplateValue {
      guard arguments.positional.count == 1 else {
        throw .failed(place, problem: "the test \(name) needs a value to compare with")
      }
      return arguments.positional[0]
    }
    let comparing = [
      "divisibleby", "in", "eq", "equalto", "ne", "lt", "lessthan", "le", "gt", "greaterthan", "ge", "sameas",
    ]
    if !comparing.contains(name), !arguments.positional.isEmpty || !arguments.named.isEmpty {
      throw .failed(place, problem: "the test \(name) takes no value to compare with")
    }
    switch name {
    case "defined": return !value.isUndefined
    case "undefined": return value.isUndefined
    case "none":
      if case .none = value { return true }
      return false
    case "boolean":
      if case .bool = value { return true }
      return false
    case "true", "false":
      guard case .bool(let isTrue) = value else { return false }
      return isTrue == (name == "true")
    case "integer":
      if case .int = value { return true }
      return false
    case "float":
      if case .float = value { return true }
      return false
    case "number": return value.number != nil
    case "string":
      switch value {
      case .text, .markup: return true
      default: return false
      }
    case "mapping":
      if case .dictionary = value { return true }
      return false
    case "sequence":
      switch value {
      case .undefined, .text, .markup, .list, .tuple, .dictionary: return true
      default: return false
      }
    case "iterable": return value.items != nil
    case "callable":
      if case .function = value { return true }
      return false
    case "odd", "even":
      guard let int = value.number?.int else { throw .failed(place, problem: "\(name) of \(value.kind)") }
      return int.isMultiple(of: 2) == (name == "even")
    case "divisibleby":
      guard let int = value.number?.int, let by = try other().number?.int, by != 0 else {
        throw .failed(place, problem: "divisibleby needs two integers")
      }
      return int.isMultiple(of: by)
    case "lower", "upper": return value.printed.satisfies("is" + name)
    case "in": return try contains(try other(), value, place)
    case "eq", "equalto": return try compare("==", value, try other(), place)
    case "ne": return try compare("!=", value, try other(), place)
    case "lt", "lessthan": return try compare("<", value, try other(), place)
    case "le": return try compare("<=", value, try other(), place)
    case "gt", "greaterthan": return try compare(">", value, try other(), place)
    case "ge": return try compare(">=", value, try other(), place)
    default:
      guard TemplateNames.tests.contains(name) else { throw TemplateNames.noTest(name, place) }
      throw .unsupported(place, what: "the test \(name)")
    }
  }
}
