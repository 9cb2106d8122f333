// ReferenceNotation: rules for fractions that the reference's forms share, and its LaTeX reader.
//
// Part of `--recipe ttrl-reference`; see ReferenceGrader. The LaTeX reader does what pylatexenc does with answers:
// commands become the characters that they print. Fractions become `a/b` without brackets, so 1/(2+√3) becomes 1/2+√3
// (D6 in docs/algorithm.md). It takes one pass, and reads no deeper than `depthMax`.

extension ReferenceText {
  /// `\frac12` becomes `\frac{1}{2}`. If a `\frac` has fewer than two characters after it, nothing is changed.
  mutating func braceFractions() {
    rewriteTails(of: "\\frac") { tail in
      guard let first = tail.bytes.first, first != UInt8(ascii: "{") else { return tail.isEmpty ? nil : tail.bytes }
      guard tail.count >= 2 else { return nil }
      let rest = tail.bytes.dropFirst(2)
      let second = tail.bytes[1]
      let numerator = "{".bytes + [first] + "}".bytes
      return numerator + (second == UInt8(ascii: "{") ? [second] : "{".bytes + [second] + "}".bytes) + rest
    }
  }

  /// `3/4` becomes `\frac{3}{4}`, if both sides are integers in their usual form.
  ///
  /// - Parameter acceptsRoots: whether a side can also contain a root.
  mutating func stackSlash(acceptsRoots: Bool) {
    let sides = split(at: "/")
    guard sides.count == 2 else { return }
    let isPlain = sides.allSatisfy { side in
      acceptsRoots && side.contains("sqrt") || Int(side.string).map { "\($0)" } == side.string
    }
    if isPlain { self = ReferenceText("\\frac{\(sides[0].string)}{\(sides[1].string)}") }
  }
}

/// The plain text that LaTeX prints.
func referencePlainText(_ latex: ReferenceText) -> ReferenceText {
  var latex = latex
  latex.replace("\\tfrac", with: "\\frac")
  latex.replace("\\dfrac", with: "\\frac")
  // So that the 2 of `2\frac13` stays a separate number.
  latex.replace("\\frac", with: " \\frac")
  var reader = PlainTextReader(rest: latex.bytes[...])
  return ReferenceText(reader.readAll(depth: 0)).trimmed
}

private struct PlainTextReader {
  var rest: ArraySlice<UInt8>

  /// Usual answers are not nested so deeply. Deeper content is left out.
  private static let depthMax = 64

  /// What commands print. Other commands print nothing.
  private static let symbols = [
    "pi": "pi", "infty": "inf", "cup": "U", "cdot": "*", "times": "*", "pm": "±", "mp": "∓", "le": "≤", "ge": "≥",
    "ne": "≠", "in": "∈", "alpha": "α", "beta": "β", "gamma": "γ", "theta": "θ", "phi": "ϕ", "lambda": "λ", "mu": "μ",
    "sigma": "σ", "omega": "ω", "cap": "∩", "circ": "∘", "sin": "sin", "cos": "cos", "tan": "tan", "log": "log",
    "ln": "ln", "emptyset": "∅", "div": "÷",
  ]

  mutating func readAll(depth: Int) -> [UInt8] {
    var text: [UInt8] = []
    while !rest.isEmpty { text += readNext(depth: depth) }
    return text
  }

  /// One character, one group, or one command with its arguments.
  private mutating func readNext(depth: Int) -> [UInt8] {
    guard let first = rest.popFirst(), depth < Self.depthMax else { return [] }
    switch first {
    case UInt8(ascii: "{"): return readGroup(depth: depth)
    case UInt8(ascii: "}"), UInt8(ascii: "$"): return []
    case UInt8(ascii: "&"), UInt8(ascii: "~"): return " ".bytes
    case UInt8(ascii: "\\"): return readCommand(depth: depth)
    default: return [first]
    }
  }

  /// The text of a group whose opening brace has been read.
  private mutating func readGroup(depth: Int) -> [UInt8] {
    var text: [UInt8] = []
    while let next = rest.first {
      if next == UInt8(ascii: "}") {
        rest.removeFirst()
        break
      }
      text += readNext(depth: depth + 1)
    }
    return text
  }

  private mutating func readArgument(depth: Int) -> [UInt8] {
    rest = rest.drop { $0.isSpace }
    return rest.first == UInt8(ascii: "}") ? [] : readNext(depth: depth + 1)
  }

  private mutating func readCommand(depth: Int) -> [UInt8] {
    let name = rest.prefix { $0.isWord && !$0.isDigit && $0 < 128 && $0 != UInt8(ascii: "_") }
    guard !name.isEmpty else {
      // An escaped mark, or a command for a space.
      guard let mark = rest.popFirst() else { return [] }
      return "%$#{}&_".utf8.contains(mark) ? [mark] : " ".bytes
    }
    rest = rest.dropFirst(name.count)
    switch String(decoding: name, as: UTF8.self) {
    case "frac": return readArgument(depth: depth) + "/".bytes + readArgument(depth: depth)
    case "sqrt":
      if rest.first == UInt8(ascii: "["), let end = rest.firstIndex(of: UInt8(ascii: "]")) { rest = rest[(end + 1)...] }
      return "sqrt(".bytes + readArgument(depth: depth) + ")".bytes
    case "begin", "end":
      _ = readArgument(depth: depth)
      return " ".bytes
    case let symbol: return (Self.symbols[symbol] ?? "").bytes
    }
  }
}
