// TemplateValue: the values that a template computes with, and their behaviour in Python, whose rules templates follow.
//
// A text is an array of Unicode scalars, because Python's texts are: lengths, slices and comparisons count scalars, and
// two spellings of one character are different.

package import Base

/// A value. Containers are values too: templates cannot change them, only namespaces.
package indirect enum TemplateValue {
  /// A name, a member or an item that does not exist. Printing it gives nothing; most other uses fail.
  case undefined(String)
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  case text([Unicode.Scalar])
  /// A text that went through the filter `safe`. It can be printed; in Python most else that is done with it escapes
  /// what is added, so that is refused.
  case markup([Unicode.Scalar])
  case list([TemplateValue])
  case tuple([TemplateValue])
  case dictionary(TemplateDictionary)
  case namespace(TemplateNamespace)
  case function(TemplateFunction)
  case loop(TemplateLoop)

  package init(_ text: String) { self = .text(Array(text.unicodeScalars)) }

  /// The value that Python's json module reads.
  package init(_ json: JSON) {
    switch json {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .number(let number):
      if let value = number.int { self = .int(value) } else { self = .float(number.double ?? .infinity) }
    case .string(let text): self.init(text)
    case .array(let elements): self = .list(elements.map { TemplateValue($0) })
    case .object(let members):
      var dictionary = TemplateDictionary()
      for member in members { dictionary[TemplateValue(member.key)] = TemplateValue(member.value) }
      self = .dictionary(dictionary)
    }
  }
}

/// A dictionary in the order of insertion.
package struct TemplateDictionary {
  private(set) var pairs: [(key: TemplateValue, value: TemplateValue)] = []

  package init() {}

  package subscript(key: TemplateValue) -> TemplateValue? {
    get { pairs.first { $0.key.isEqual(to: key) }?.value }
    set {
      let index = pairs.firstIndex { $0.key.isEqual(to: key) }
      switch (index, newValue) {
      case (let index?, let value?): pairs[index].value = value
      case (let index?, nil): pairs.remove(at: index)
      case (nil, let value?): pairs.append((key, value))
      case (nil, nil): break
      }
    }
  }
}

/// The one kind of value that a template can change: `{% set space.name = value %}`.
package final class TemplateNamespace {
  var members = TemplateDictionary()
}

/// Something that can be called: a method of a value, a function of the language, or a macro.
package final class TemplateFunction {
  let name: String
  let call: (TemplateArguments, inout Renderer) throws(TemplateError) -> TemplateValue

  init(_ name: String, _ call: @escaping (TemplateArguments, inout Renderer) throws(TemplateError) -> TemplateValue) {
    self.name = name
    self.call = call
  }
}

/// `loop` inside a for statement.
package final class TemplateLoop {
  let items: [TemplateValue]
  var index = 0
  let depth: Int

  init(_ items: [TemplateValue], depth: Int) {
    self.items = items
    self.depth = depth
  }

  func member(_ name: String) -> TemplateValue? {
    switch name {
    case "index": .int(index + 1)
    case "index0": .int(index)
    case "revindex": .int(items.count - index)
    case "revindex0": .int(items.count - index - 1)
    case "first": .bool(index == 0)
    case "last": .bool(index == items.count - 1)
    case "length": .int(items.count)
    case "depth": .int(depth)
    case "depth0": .int(depth - 1)
    case "previtem": index > 0 ? items[index - 1] : .undefined("there is no previous item")
    case "nextitem": index + 1 < items.count ? items[index + 1] : .undefined("there is no next item")
    default: nil
    }
  }
}

/// The arguments of a call.
package struct TemplateArguments {
  var positional: [TemplateValue] = []
  var named: [(name: String, value: TemplateValue)] = []
  var place: TemplatePlace

  /// The argument at a position or with a name.
  func value(_ position: Int, _ name: String) -> TemplateValue? {
    position < positional.count ? positional[position] : named.first { $0.name == name }?.value
  }

  /// - Throws: if there are more arguments than names, or one with another name.
  func check(_ function: String, _ names: [String]) throws(TemplateError) {
    if positional.count > names.count {
      throw .failed(place, problem: "\(function) takes \(names.count) arguments, got \(positional.count)")
    }
    for argument in named where !names.contains(argument.name) {
      throw .unsupported(place, what: "the argument \(argument.name) of \(function)")
    }
  }
}

// MARK: - Python's rules

extension TemplateValue {
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .int(let value): value != 0
    case .float(let value): value != 0
    case .text(let scalars), .markup(let scalars): !scalars.isEmpty
    case .list(let items), .tuple(let items): !items.isEmpty
    case .dictionary(let dictionary): !dictionary.pairs.isEmpty
    case .namespace, .function, .loop: true
    }
  }

  /// Whether the value has at most so many containers within each other, and so many parts and scalars in all, counting
  /// what occurs twice twice: printing it then ends.
  func fits(levels: Int, size: inout Int) -> Bool {
    size -= 1
    guard levels > 0, size > 0 else { return false }
    switch self {
    case .text(let scalars), .markup(let scalars):
      size -= scalars.count
      return size > 0
    case .list(let items), .tuple(let items): return items.allSatisfy { $0.fits(levels: levels - 1, size: &size) }
    case .dictionary(let dictionary):
      return dictionary.pairs.allSatisfy { $0.value.fits(levels: levels - 1, size: &size) }
    case .namespace(let namespace):
      return namespace.members.pairs.allSatisfy { $0.value.fits(levels: levels - 1, size: &size) }
    default: return true
    }
  }

  var isUndefined: Bool {
    if case .undefined = self { return true }
    return false
  }

  /// What the value is called in messages.
  var kind: String {
    switch self {
    case .undefined: "something undefined"
    case .none: "none"
    case .bool: "a truth value"
    case .int, .float: "a number"
    case .text: "text"
    case .markup: "text marked as safe"
    case .list: "a list"
    case .tuple: "a tuple"
    case .dictionary: "a dictionary"
    case .namespace: "a namespace"
    case .function: "a function"
    case .loop: "loop"
    }
  }

  /// The number, with true as 1.
  var number: (int: Int?, double: Double)? {
    switch self {
    case .bool(let value): (value ? 1 : 0, value ? 1 : 0)
    case .int(let value): (value, Double(value))
    case .float(let value): (nil, value)
    default: nil
    }
  }

  func isEqual(to other: TemplateValue) -> Bool {
    if let left = number, let right = other.number {
      if let a = left.int, let b = right.int { return a == b }
      return left.double == right.double
    }
    switch (self, other) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.text(let left), .text(let right)): return left == right
    case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
      return left.count == right.count && zip(left, right).allSatisfy { $0.isEqual(to: $1) }
    case (.dictionary(let left), .dictionary(let right)):
      return left.pairs.count == right.pairs.count
        && left.pairs.allSatisfy { pair in right[pair.key].map { pair.value.isEqual(to: $0) } ?? false }
    case (.namespace(let left), .namespace(let right)): return left === right
    case (.function(let left), .function(let right)): return left === right
    case (.loop(let left), .loop(let right)): return left === right
    default: return false
    }
  }

  /// Less than; nil if Python does not order the two.
  func isLess(than other: TemplateValue) -> Bool? {
    if let left = number, let right = other.number {
      if let a = left.int, let b = right.int { return a < b }
      return left.double < right.double
    }
    switch (self, other) {
    case (.text(let left), .text(let right)): return left.lexicographicallyPrecedes(right)
    case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
      for (a, b) in zip(left, right) where !a.isEqual(to: b) { return a.isLess(than: b) }
      return left.count < right.count
    default: return nil
    }
  }

  /// The items that a for statement visits; nil for what cannot be visited.
  var items: [TemplateValue]? {
    switch self {
    case .undefined: []
    case .list(let items), .tuple(let items): items
    case .text(let scalars): scalars.map { .text([$0]) }
    case .dictionary(let dictionary): dictionary.pairs.map(\.key)
    case .loop(let loop): Array(loop.items[loop.index...])
    default: nil
    }
  }

  /// How Python prints the value.
  var printed: [Unicode.Scalar] {
    switch self {
    case .undefined: []
    case .text(let scalars), .markup(let scalars): scalars
    default: Array(represented.unicodeScalars)
    }
  }

  /// How Python shows the value inside a list.
  var represented: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "None"
    case .bool(let value): value ? "True" : "False"
    case .int(let value): "\(value)"
    case .float(let value): Self.text(of: value)
    case .text(let scalars): Self.quoted(scalars)
    case .markup(let scalars): "Markup(\(Self.quoted(scalars)))"
    case .list(let items): "[" + items.map(\.represented).joined(separator: ", ") + "]"
    case .tuple(let items):
      "(" + items.map(\.represented).joined(separator: ", ") + (items.count == 1 ? ",)" : ")")
    case .dictionary(let dictionary):
      "{" + dictionary.pairs.map { "\($0.key.represented): \($0.value.represented)" }.joined(separator: ", ") + "}"
    case .namespace: "<Namespace>"
    case .function(let function): "<function \(function.name)>"
    case .loop: "<LoopContext>"
    }
  }

  /// The shortest text that reads back as the number, in Python's form.
  static func text(of value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    return "\(value)"
  }

  private static func quoted(_ scalars: [Unicode.Scalar]) -> String {
    let quote: Unicode.Scalar = scalars.contains("'") && !scalars.contains("\"") ? "\"" : "'"
    var text = String(quote)
    for scalar in scalars {
      switch scalar {
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case quote: text += "\\" + String(quote)
      default:
        if scalar.isPrintable {
          text.unicodeScalars.append(scalar)
        } else {
          let (letter, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
          let digits = String(scalar.value, radix: 16)
          text += "\\\(letter)" + String(repeating: "0", count: width - digits.count) + digits
        }
      }
    }
    return text + String(quote)
  }
}

extension Unicode.Scalar {
  /// Python's str.isprintable, for one scalar.
  fileprivate var isPrintable: Bool {
    switch properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
    case .spaceSeparator: self == " "
    default: true
    }
  }

  /// Python's str.isspace, for one scalar.
  var isPythonSpace: Bool {
    switch value {
    case 9...13, 28...32, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
    default: false
    }
  }
}
