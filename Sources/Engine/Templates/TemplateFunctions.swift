// TemplateFunctions: the functions that every template can call, and the methods of values.

import Base

extension TemplateFunction {
  /// The longest range: that of the sandbox in which transformers runs templates.
  private static let longestRange = 100_000

  /// A function of the language, or of transformers' environment; nil if there is none with the name.
  static func global(_ name: String) -> TemplateFunction? {
    switch name {
    case "range": TemplateFunction(name) { arguments, _ throws(TemplateError) in try range(arguments) }
    case "namespace":
      TemplateFunction(name) { arguments, _ throws(TemplateError) in
        let namespace = TemplateNamespace()
        namespace.members = try members(arguments)
        return .namespace(namespace)
      }
    case "dict":
      TemplateFunction(name) { arguments, _ throws(TemplateError) in .dictionary(try members(arguments)) }
    case "raise_exception":
      TemplateFunction(name) { arguments, _ throws(TemplateError) in
        throw .raised(arguments.place, message: TemplateValue.string(arguments.value(0, "message")?.printed ?? []))
      }
    case "strftime_now":
      TemplateFunction(name) { arguments, renderer throws(TemplateError) in
        guard case .text(let format)? = arguments.value(0, "format") else {
          throw .failed(arguments.place, problem: "strftime_now needs a format")
        }
        guard let text = renderer.now.format(TemplateValue.string(format)) else {
          throw .unsupported(arguments.place, what: "the date format \(TemplateValue.text(format).represented)")
        }
        return TemplateValue(text)
      }
    case "lipsum", "cycler", "joiner":
      TemplateFunction(name) { arguments, _ throws(TemplateError) in
        throw .unsupported(arguments.place, what: "the function \(name)")
      }
    default: nil
    }
  }

  private static func range(_ arguments: TemplateArguments) throws(TemplateError) -> TemplateValue {
    var bounds: [Int] = []
    for argument in arguments.positional {
      guard case .int(let bound) = argument else {
        throw .failed(arguments.place, problem: "range needs integers, got \(argument.kind)")
      }
      bounds.append(bound)
    }
    guard (1...3).contains(bounds.count), arguments.named.isEmpty, bounds.count < 3 || bounds[2] != 0 else {
      throw .failed(arguments.place, problem: "range needs an end, or a start, an end and a step that is not 0")
    }
    let (start, end) = bounds.count == 1 ? (0, bounds[0]) : (bounds[0], bounds[1])
    let numbers = stride(from: start, to: end, by: bounds.count == 3 ? bounds[2] : 1)
    var values: [TemplateValue] = []
    for number in numbers {
      guard values.count < longestRange else {
        throw .limit(arguments.place, name: "numbers in a range", value: longestRange)
      }
      values.append(.int(number))
    }
    return .list(values)
  }

  private static func members(_ arguments: TemplateArguments) throws(TemplateError) -> TemplateDictionary {
    var members = TemplateDictionary()
    if let first = arguments.positional.first {
      guard case .dictionary(let given) = first, arguments.positional.count == 1 else {
        throw .unsupported(arguments.place, what: "a dictionary or namespace made from \(first.kind)")
      }
      members = given
    }
    for (name, value) in arguments.named { members[TemplateValue(name)] = value }
    return members
  }

  // MARK: Methods

  /// The method of a value; nil if its type in Python has none with the name.
  ///
  /// - Throws: for a method that Python has and that is not reproduced.
  static func method(
    _ name: String, of value: TemplateValue, _ place: TemplatePlace
  ) throws(TemplateError) -> TemplateFunction? {
    let made: TemplateFunction?
    let known: String
    switch value {
    case .text(let scalars): (made, known) = (textMethod(name, scalars), textMethods)
    case .markup: (made, known) = (nil, textMethods)
    case .dictionary(let dictionary): (made, known) = (dictionaryMethod(name, dictionary), dictionaryMethods)
    case .list(let items), .tuple(let items): (made, known) = (listMethod(name, items), listMethods)
    default: return nil
    }
    if made == nil, known.split(separator: " ").contains(name[...]) {
      throw .unsupported(place, what: "the method \(name) of \(value.kind)")
    }
    return made
  }

  /// What Python's types have; a name that is not among them is a member of a dictionary, or undefined.
  private static let textMethods = """
    capitalize casefold center count encode endswith expandtabs find format format_map index isalnum isalpha isascii \
    isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip \
    maketrans partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines \
    startswith strip swapcase title translate upper zfill
    """
  private static let dictionaryMethods = "clear copy fromkeys get items keys pop popitem setdefault update values"
  private static let listMethods = "append clear copy count extend index insert pop remove reverse sort"

  private static func dictionaryMethod(_ name: String, _ dictionary: TemplateDictionary) -> TemplateFunction? {
    switch name {
    case "items":
      TemplateFunction(name) { _, _ in .list(dictionary.pairs.map { .tuple([$0.key, $0.value]) }) }
    case "keys": TemplateFunction(name) { _, _ in .list(dictionary.pairs.map(\.key)) }
    case "values": TemplateFunction(name) { _, _ in .list(dictionary.pairs.map(\.value)) }
    case "copy": TemplateFunction(name) { _, _ in .dictionary(dictionary) }
    case "get":
      TemplateFunction(name) { arguments, _ throws(TemplateError) in
        guard let key = arguments.positional.first, arguments.named.isEmpty, arguments.positional.count <= 2 else {
          throw .failed(arguments.place, problem: "get needs a key, and may have a default")
        }
        return dictionary[key] ?? arguments.value(1, "default") ?? .none
      }
    default: nil
    }
  }

  private static func listMethod(_ name: String, _ items: [TemplateValue]) -> TemplateFunction? {
    switch name {
    case "count":
      TemplateFunction(name) { arguments, _ throws(TemplateError) in
        guard let item = arguments.positional.first else { throw .failed(arguments.place, problem: "count of what?") }
        return .int(items.count { $0.isEqual(to: item) })
      }
    case "index":
      TemplateFunction(name) { arguments, _ throws(TemplateError) in
        guard arguments.positional.count == 1,
          let index = items.firstIndex(where: { $0.isEqual(to: arguments.positional[0]) })
        else { throw .failed(arguments.place, problem: "the item is not in the list") }
        return .int(index)
      }
    default: nil
    }
  }

  private static func textMethod(_ name: String, _ text: [Unicode.Scalar]) -> TemplateFunction? {
    func function(
      _ work: @escaping (TextArguments) throws(TemplateError) -> TemplateValue
    ) -> TemplateFunction {
      TemplateFunction(name) { arguments, renderer throws(TemplateError) in
        guard arguments.named.isEmpty else {
          throw .unsupported(arguments.place, what: "an argument with a name of the method \(name)")
        }
        let value = try work(TextArguments(function: name, values: arguments.positional, place: arguments.place))
        if case .text(let made) = value { try renderer.count(made.count, arguments.place) }
        return value
      }
    }
    switch name {
    case "strip", "lstrip", "rstrip":
      return function { arguments throws(TemplateError) in
        .text(
          text.stripped(
            try arguments.optionalText(0, limit: 1), left: name != "rstrip", right: name != "lstrip"))
      }
    case "lower", "upper", "title", "capitalize":
      return function { arguments throws(TemplateError) in
        try arguments.expect(0)
        return .text(try text.cased(name, arguments.place))
      }
    case "startswith", "endswith":
      return function { arguments throws(TemplateError) in
        try arguments.expect(1)
        let parts: [TemplateValue]
        if case .tuple(let several) = arguments.values[0] { parts = several } else { parts = [arguments.values[0]] }
        for part in parts {
          guard case .text(let part) = part else {
            throw .failed(arguments.place, problem: "\(name) needs text, got \(part.kind)")
          }
          if name == "startswith" ? text.starts(with: part) : text.reversed().starts(with: part.reversed()) {
            return .bool(true)
          }
        }
        return .bool(false)
      }
    case "split":
      return function { arguments throws(TemplateError) in
        let most = try arguments.optionalInt(1, limit: 2) ?? -1
        return .list(
          try text.split(arguments.optionalText(0, limit: 2), most: most, arguments.place).map { .text($0) })
      }
    case "rsplit":
      return function { arguments throws(TemplateError) in
        guard let separator = try arguments.optionalText(0, limit: 2) else {
          throw .unsupported(arguments.place, what: "rsplit without a separator")
        }
        let most = try arguments.optionalInt(1, limit: 2) ?? -1
        let parts = try Array(text.reversed()).split(Array(separator.reversed()), most: most, arguments.place)
        return .list(parts.reversed().map { .text($0.reversed()) })
      }
    case "splitlines":
      return function { arguments throws(TemplateError) in
        try arguments.expect(0)
        return .list(text.lines.map { .text($0) })
      }
    case "partition", "rpartition":
      return function { arguments throws(TemplateError) in
        try arguments.expect(1)
        let separator = try arguments.text(0)
        let place = name == "partition" ? text.firstIndex(of: separator) : text.lastIndex(of: separator)
        guard let place else {
          return .tuple(
            name == "partition" ? [.text(text), .text([]), .text([])] : [.text([]), .text([]), .text(text)])
        }
        let after = Array(text[(place + separator.count)...])
        return .tuple([.text(Array(text[..<place])), .text(separator), .text(after)])
      }
    case "replace":
      return function { arguments throws(TemplateError) in
        let most = try arguments.optionalInt(2, limit: 3) ?? -1
        return .text(text.replacing(try arguments.text(0), try arguments.text(1), most: most))
      }
    case "removeprefix", "removesuffix":
      return function { arguments throws(TemplateError) in
        try arguments.expect(1)
        let part = try arguments.text(0)
        if name == "removeprefix" { return .text(text.starts(with: part) ? Array(text.dropFirst(part.count)) : text) }
        let ends = text.reversed().starts(with: part.reversed())
        return .text(ends ? Array(text.dropLast(part.count)) : text)
      }
    case "join":
      return function { arguments throws(TemplateError) in
        try arguments.expect(1)
        guard let items = arguments.values[0].items else {
          throw .failed(arguments.place, problem: "cannot join \(arguments.values[0].kind)")
        }
        var texts: [[Unicode.Scalar]] = []
        for item in items {
          guard case .text(let scalars) = item else {
            throw .failed(arguments.place, problem: "join needs text, got \(item.kind)")
          }
          texts.append(scalars)
        }
        return .text(Array(texts.joined(separator: text)))
      }
    case "find", "rfind", "index", "count":
      return function { arguments throws(TemplateError) in
        try arguments.expect(1)
        let part = try arguments.text(0)
        if name == "count" { return .int(part.isEmpty ? text.count + 1 : text.pieces(part, most: -1).count - 1) }
        guard let place = name == "rfind" ? text.lastIndex(of: part) : text.firstIndex(of: part) else {
          if name == "index" { throw .failed(arguments.place, problem: "the part is not in the text") }
          return .int(-1)
        }
        return .int(place)
      }
    case "isdigit", "isspace", "isalpha", "isalnum", "isupper", "islower":
      return function { arguments throws(TemplateError) in
        try arguments.expect(0)
        return .bool(text.satisfies(name))
      }
    default: return nil
    }
  }
}

/// The arguments of a method of text.
private struct TextArguments {
  let function: String
  let values: [TemplateValue]
  let place: TemplatePlace

  func expect(_ count: Int) throws(TemplateError) {
    guard values.count == count else {
      throw .unsupported(place, what: "the method \(function) with \(values.count) arguments")
    }
  }

  func text(_ index: Int) throws(TemplateError) -> [Unicode.Scalar] {
    guard index < values.count, case .text(let scalars) = values[index] else {
      let kind = index < values.count ? values[index].kind : "nothing"
      throw .failed(place, problem: "\(function) needs text, got \(kind)")
    }
    return scalars
  }

  func optionalText(_ index: Int, limit: Int) throws(TemplateError) -> [Unicode.Scalar]? {
    guard values.count <= limit else { try expect(limit); return nil }
    guard index < values.count else { return nil }
    if case .none = values[index] { return nil }
    return try text(index)
  }

  func optionalInt(_ index: Int, limit: Int) throws(TemplateError) -> Int? {
    guard values.count <= limit else { try expect(limit); return nil }
    guard index < values.count else { return nil }
    guard case .int(let value) = values[index] else {
      throw .failed(place, problem: "\(function) needs an integer, got \(values[index].kind)")
    }
    return value
  }
}
