// TemplateFilters: the filters that chat templates use. The others are refused by name.

extension Renderer {
  mutating func filter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    let place = arguments.place
    try step(place)
    if case .markup = value, name != "safe" { throw .unsupported(place, what: "a filter of text marked as safe") }
    switch name {
    case "default", "d":
      try arguments.check(name, ["default_value", "boolean"])
      let isReplaced = arguments.value(1, "boolean")?.isTrue == true ? !value.isTrue : value.isUndefined
      return isReplaced ? arguments.value(0, "default_value") ?? .text([]) : value
    case "safe": return .markup(value.printed)
    case "string": return .text(value.printed)
    case "tojson": return .text(try json(value, arguments))
    case "length", "count":
      guard let count = value.count else { throw .failed(place, problem: "\(value.kind) has no length") }
      return .int(count)
    case "list": return .list(try items(of: value, for: name, place))
    case "first", "last":
      let items = try items(of: value, for: name, place)
      return (name == "first" ? items.first : items.last) ?? .undefined("the list is empty")
    case "items":
      if value.isUndefined { return .list([]) }
      guard case .dictionary(let dictionary) = value else { throw .failed(place, problem: "items of \(value.kind)") }
      return .list(dictionary.pairs.map { .tuple([$0.key, $0.value]) })
    case "reverse":
      if case .text(let scalars) = value { return .text(scalars.reversed()) }
      return .list(try items(of: value, for: name, place).reversed())
    case "join", "sort", "unique", "dictsort", "sum", "min", "max", "map", "select", "reject", "selectattr",
      "rejectattr":
      return try collection(name, value, arguments)
    case "int", "float", "abs": return try number(name, value, arguments)
    default: return try text(name, value, arguments)
    }
  }

  private func items(
    of value: TemplateValue, for name: String, _ place: TemplatePlace
  ) throws(TemplateError) -> [TemplateValue] {
    guard let items = value.items else { throw .failed(place, problem: "\(name) of \(value.kind)") }
    return items
  }

  // MARK: Text

  private mutating func text(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    let place = arguments.place
    let text = value.printed
    func part(_ index: Int, _ name: String) -> [Unicode.Scalar] { arguments.value(index, name)?.printed ?? [] }
    let made: [Unicode.Scalar]
    switch name {
    case "trim":
      try arguments.check(name, ["chars"])
      if case .none? = arguments.value(0, "chars") {
        made = text.stripped(nil, left: true, right: true)
      } else {
        made = text.stripped(arguments.value(0, "chars")?.printed, left: true, right: true)
      }
    case "upper", "lower", "capitalize":
      try arguments.check(name, [])
      made = try text.cased(name, place)
    case "title":
      try arguments.check(name, [])
      made = try text.titled(place)
    case "replace":
      try arguments.check(name, ["old", "new", "count"])
      var most = -1
      if case .int(let count)? = arguments.value(2, "count") { most = count }
      made = text.replacing(part(0, "old"), part(1, "new"), most: most)
    case "indent": made = try indented(text, arguments)
    default:
      guard TemplateNames.filters.contains(name) else { throw TemplateNames.noFilter(name, place) }
      throw .unsupported(place, what: "the filter \(name)")
    }
    try count(made.count, place)
    return .text(made)
  }

  private func indented(
    _ text: [Unicode.Scalar], _ arguments: TemplateArguments
  ) throws(TemplateError) -> [Unicode.Scalar] {
    try arguments.check("indent", ["width", "first", "blank"])
    var margin = [Unicode.Scalar](repeating: " ", count: 4)
    switch arguments.value(0, "width") {
    case .int(let width)?: margin = Array(repeating: " ", count: min(max(width, 0), 1000))
    case .text(let scalars)?: margin = scalars
    case nil: break
    case let other?: throw .failed(arguments.place, problem: "indent by \(other.kind)")
    }
    let indentsBlank = arguments.value(2, "blank")?.isTrue ?? false
    var lines = (text + ["\n"]).lines
    for index in lines.indices.dropFirst() where indentsBlank || !lines[index].isEmpty {
      lines[index] = margin + lines[index]
    }
    let made = Array(lines.joined(separator: ["\n"]))
    return arguments.value(1, "first")?.isTrue ?? false ? margin + made : made
  }

  // MARK: Numbers

  private func number(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    let place = arguments.place
    if name == "abs" {
      guard let number = value.number else { throw .failed(place, problem: "abs of \(value.kind)") }
      return number.int.map { .int($0 == .min ? $0 : abs($0)) } ?? .float(abs(number.double))
    }
    try arguments.check(name, ["default"])
    let usual = arguments.value(0, "default") ?? (name == "int" ? .int(0) : .float(0))
    if let number = value.number {
      if name == "float" { return .float(number.double) }
      if let int = number.int { return .int(int) }
      guard let int = Int(exactly: number.double.rounded(.towardZero)) else { return usual }
      return .int(int)
    }
    guard case .text(let scalars) = value else { return usual }
    let text = TemplateValue.string(scalars.stripped(nil, left: true, right: true))
    if text.contains("_") { throw .unsupported(place, what: "a number with underscores as text") }
    if name == "int", let int = Int(text) { return .int(int) }
    guard let double = Double(text), double.isFinite else { return usual }
    if name == "float" { return .float(double) }
    guard let int = Int(exactly: double.rounded(.towardZero)) else { return usual }
    return .int(int)
  }

  // MARK: Collections

  private mutating func collection(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    let place = arguments.place
    if name == "dictsort" { return try sortedPairs(value, arguments) }
    let items = try items(of: value, for: name, place)
    switch name {
    case "join":
      try arguments.check(name, ["d", "attribute"])
      var texts: [[Unicode.Scalar]] = []
      for item in items {
        let shown =
          try arguments.value(1, "attribute").map { path throws(TemplateError) in
            try attribute(path, of: item, place)
          } ?? item
        if case .markup = shown { throw .unsupported(place, what: "joining text marked as safe") }
        texts.append(shown.printed)
      }
      let text = Array(texts.joined(separator: arguments.value(0, "d")?.printed ?? []))
      try count(text.count, place)
      return .text(text)
    case "map": return .list(try mapped(items, arguments))
    case "select", "reject", "selectattr", "rejectattr": return .list(try selected(name, items, arguments))
    case "unique":
      try arguments.check(name, ["case_sensitive", "attribute"])
      var keys: [TemplateValue] = []
      var kept: [TemplateValue] = []
      for item in items {
        let key = try key(of: item, arguments, attributeAt: 1)
        if !keys.contains(where: { $0.isEqual(to: key) }) {
          keys.append(key)
          kept.append(item)
        }
      }
      return .list(kept)
    case "sort":
      try arguments.check(name, ["reverse", "case_sensitive", "attribute"])
      var keyed: [(key: TemplateValue, value: TemplateValue)] = []
      for item in items { keyed.append((try key(of: item, arguments, attributeAt: 2, caseAt: 1), item)) }
      return .list(try sorted(keyed, isReversed: arguments.value(0, "reverse")?.isTrue ?? false, place).map(\.value))
    case "min", "max":
      try arguments.check(name, ["case_sensitive", "attribute"])
      var keyed: [(key: TemplateValue, value: TemplateValue)] = []
      for item in items { keyed.append((try key(of: item, arguments, attributeAt: 1), item)) }
      let ordered = try sorted(keyed, isReversed: name == "max", place)
      return ordered.first?.value ?? .undefined("the list is empty")
    default:
      try arguments.check(name, ["attribute", "start"])
      var sum = arguments.value(1, "start") ?? .int(0)
      for item in items {
        let number =
          try arguments.value(0, "attribute").map { path throws(TemplateError) in
            try attribute(path, of: item, place)
          } ?? item
        sum = try arithmetic("+", sum, number, place)
      }
      return sum
    }
  }

  /// What an item is ordered by: its attribute, if one is named, in lower case unless case counts.
  private mutating func key(
    of item: TemplateValue, _ arguments: TemplateArguments, attributeAt index: Int, caseAt caseIndex: Int = 0
  ) throws(TemplateError) -> TemplateValue {
    var key = item
    if let path = arguments.value(index, "attribute"), case .text = path {
      key = try attribute(path, of: item, arguments.place)
    }
    if arguments.value(caseIndex, "case_sensitive")?.isTrue ?? false { return key }
    guard case .text(let scalars) = key else { return key }
    return .text(try scalars.cased("lower", arguments.place))
  }

  /// A stable sort, as Python's.
  private func sorted(
    _ keyed: [(key: TemplateValue, value: TemplateValue)], isReversed: Bool, _ place: TemplatePlace
  ) throws(TemplateError) -> [(key: TemplateValue, value: TemplateValue)] {
    var sorted: [(key: TemplateValue, value: TemplateValue)] = []
    for entry in keyed {
      var at = sorted.count
      while at > 0 {
        let (low, high) = isReversed ? (sorted[at - 1].key, entry.key) : (entry.key, sorted[at - 1].key)
        guard let isLess = low.isLess(than: high) else {
          throw .failed(place, problem: "\(low.kind) and \(high.kind) have no order")
        }
        if !isLess { break }
        at -= 1
      }
      sorted.insert(entry, at: at)
    }
    return sorted
  }

  private mutating func sortedPairs(
    _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    let place = arguments.place
    try arguments.check("dictsort", ["case_sensitive", "by", "reverse"])
    guard case .dictionary(let dictionary) = value else { throw .failed(place, problem: "dictsort of \(value.kind)") }
    let byValue = arguments.value(1, "by")?.isEqual(to: TemplateValue("value")) ?? false
    var keyed: [(key: TemplateValue, value: TemplateValue)] = []
    for (key, value) in dictionary.pairs {
      var by = byValue ? value : key
      if !(arguments.value(0, "case_sensitive")?.isTrue ?? false), case .text(let scalars) = by {
        by = .text(try scalars.cased("lower", place))
      }
      keyed.append((by, .tuple([key, value])))
    }
    return .list(try sorted(keyed, isReversed: arguments.value(2, "reverse")?.isTrue ?? false, place).map(\.value))
  }

  private mutating func mapped(
    _ items: [TemplateValue], _ arguments: TemplateArguments
  ) throws(TemplateError) -> [TemplateValue] {
    var values: [TemplateValue] = []
    if let path = arguments.named.first(where: { $0.name == "attribute" })?.value {
      let usual = arguments.named.first { $0.name == "default" }?.value
      for item in items {
        let value = try attribute(path, of: item, arguments.place)
        values.append(value.isUndefined ? usual ?? value : value)
      }
      return values
    }
    guard case .text(let name)? = arguments.positional.first else {
      throw .failed(arguments.place, problem: "map needs attribute= or the name of a filter")
    }
    var rest = arguments
    rest.positional.removeFirst()
    for item in items { values.append(try filter(TemplateValue.string(name), item, rest)) }
    return values
  }

  private mutating func selected(
    _ name: String, _ items: [TemplateValue], _ arguments: TemplateArguments
  ) throws(TemplateError) -> [TemplateValue] {
    var rest = arguments
    var path: TemplateValue?
    if name.hasSuffix("attr") {
      guard !rest.positional.isEmpty else { throw .failed(rest.place, problem: "\(name) needs an attribute") }
      path = rest.positional.removeFirst()
    }
    var testName: String?
    if case .text(let scalars)? = rest.positional.first {
      testName = TemplateValue.string(scalars)
      rest.positional.removeFirst()
    }
    var kept: [TemplateValue] = []
    for item in items {
      let value = try path.map { path throws(TemplateError) in try attribute(path, of: item, rest.place) } ?? item
      let isTrue = try testName.map { test throws(TemplateError) in try self.test(test, value, rest) } ?? value.isTrue
      if isTrue == name.hasPrefix("select") { kept.append(item) }
    }
    return kept
  }

  /// An item within items: `a.b.0`.
  private mutating func attribute(
    _ path: TemplateValue, of value: TemplateValue, _ place: TemplatePlace
  ) throws(TemplateError) -> TemplateValue {
    guard case .text(let scalars) = path else { return try item(path, of: value, place) }
    var value = value
    for part in scalars.pieces(["."], most: -1) {
      let text = TemplateValue.string(part)
      let key: TemplateValue = Int(text).map { .int($0) } ?? .text(part)
      value = try item(key, of: value, place)
    }
    return value
  }
}

extension TemplateValue {
  /// Python's len; nil for what has none.
  var count: Int? {
    switch self {
    case .undefined: 0
    case .text(let scalars), .markup(let scalars): scalars.count
    case .list(let items), .tuple(let items): items.count
    case .dictionary(let dictionary): dictionary.pairs.count
    case .loop(let loop): loop.items.count
    default: nil
    }
  }
}

extension TemplateLoop {
  /// `loop.cycle(a, b)`
  var cycle: TemplateFunction {
    TemplateFunction("cycle") { arguments, _ throws(TemplateError) in
      guard !arguments.positional.isEmpty else { throw .failed(arguments.place, problem: "cycle of nothing") }
      return arguments.positional[self.index % arguments.positional.count]
    }
  }
}
