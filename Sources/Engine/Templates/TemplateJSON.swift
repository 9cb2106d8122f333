// TemplateJSON: the filter `tojson`, as transformers defines it: Python's json.dumps, without escapes for characters
// beyond ASCII.

extension Renderer {
  mutating func json(
    _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> [Unicode.Scalar] {
    let place = arguments.place
    try arguments.check("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])
    var writer = JSONForm(place: place)
    writer.isASCII = arguments.value(0, "ensure_ascii")?.isTrue ?? false
    writer.sortsKeys = arguments.value(3, "sort_keys")?.isTrue ?? false
    switch arguments.value(1, "indent") {
    case nil, .none?: break
    case .int(let width)?: writer.indent = String(repeating: " ", count: min(max(width, 0), 100))
    case .text(let scalars)?: writer.indent = TemplateValue.string(scalars)
    default: throw .failed(place, problem: "tojson needs a number as indent")
    }
    if writer.indent != nil { writer.between = "," }
    if let separators = arguments.value(2, "separators"), case .none = separators {
    } else if let separators = arguments.value(2, "separators") {
      guard let pair = separators.items, pair.count == 2 else {
        throw .failed(place, problem: "tojson needs two separators")
      }
      (writer.between, writer.colon) = (TemplateValue.string(pair[0].printed), TemplateValue.string(pair[1].printed))
    }
    try writer.write(value, depth: 0)
    let text = Array(writer.text.unicodeScalars)
    try count(text.count, place)
    return text
  }
}

private struct JSONForm {
  let place: TemplatePlace
  var isASCII = false
  var sortsKeys = false
  /// nil is one line.
  var indent: String?
  var between = ", "
  var colon = ": "
  var text = ""

  private static let deepest = 100

  init(place: TemplatePlace) { self.place = place }

  mutating func write(_ value: TemplateValue, depth: Int) throws(TemplateError) {
    guard depth < Self.deepest else { throw .limit(place, name: "levels of JSON", value: Self.deepest) }
    switch value {
    case .none: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .int(let value): text += "\(value)"
    case .float(let value):
      text +=
        value.isNaN ? "NaN" : value.isInfinite ? value < 0 ? "-Infinity" : "Infinity" : TemplateValue.text(of: value)
    case .text(let scalars), .markup(let scalars): write(scalars)
    case .list(let items), .tuple(let items):
      try write(items.map { (nil, $0) }, "[", "]", depth: depth)
    case .dictionary(let dictionary):
      var members: [(key: [Unicode.Scalar]?, value: TemplateValue)] = []
      for (key, value) in dictionary.pairs {
        switch key {
        case .text(let scalars): members.append((scalars, value))
        case .int, .float, .bool, .none:
          var form = JSONForm(place: place)
          try form.write(key, depth: depth + 1)
          members.append((Array(form.text.unicodeScalars), value))
        default: throw .failed(place, problem: "\(key.kind) cannot be a key in JSON")
        }
      }
      if sortsKeys {
        members.sort { ($0.key ?? []).lexicographicallyPrecedes($1.key ?? []) }
      }
      try write(members, "{", "}", depth: depth)
    case .undefined(let reason): throw .failed(place, problem: reason)
    case .namespace, .function, .loop: throw .failed(place, problem: "\(value.kind) cannot be written as JSON")
    }
  }

  private mutating func write(
    _ members: [(key: [Unicode.Scalar]?, value: TemplateValue)], _ open: String, _ close: String, depth: Int
  ) throws(TemplateError) {
    text += open
    for (index, (key, value)) in members.enumerated() {
      if index > 0 { text += between }
      breakLine(depth + 1)
      if let key {
        write(key)
        text += colon
      }
      try write(value, depth: depth + 1)
    }
    if !members.isEmpty { breakLine(depth) }
    text += close
  }

  private mutating func breakLine(_ depth: Int) {
    guard let indent else { return }
    text += "\n" + String(repeating: indent, count: depth)
  }

  private mutating func write(_ scalars: [Unicode.Scalar]) {
    text += "\""
    for scalar in scalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\u{8}": text += "\\b"
      case "\u{C}": text += "\\f"
      default:
        if scalar.value >= 0x20, !isASCII || scalar.value < 0x7F {
          text.unicodeScalars.append(scalar)
        } else {
          for unit in String(scalar).utf16 {
            let digits = String(unit, radix: 16)
            text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
          }
        }
      }
    }
    text += "\""
  }
}
