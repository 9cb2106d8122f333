// ParserPrimaries: numerals, symbols, words, brackets and commands with their arguments.
//
// Spellings of the same value differ most in the arguments of LaTeX commands: `\frac12`, `\frac{1}{2}` and `\frac 1{2}`
// become the same quotient here, and `2\frac12` becomes a mixed number.
//
// Not here: the levels above (ParserExpressions, Parser).

extension Parser {
  mutating func primary() throws(Unparsed) -> Node {
    takeCurrency()
    guard let token = token() else { throw Unparsed() }
    switch token.kind {
    case .numeral(let numeral): return try number(numeral)
    case .letter(let name):
      position += 1
      return try symbol(name)
    case .word(let word, let isProse): return try words(word, isProse: isProse)
    case .mark(let mark): return try bracketed(mark)
    case .command(let name): return try command(name)
    }
  }

  mutating func number(_ numeral: Numeral) throws(Unparsed) -> Node {
    position += 1
    guard let image = numeral.image else { throw Unparsed() }
    if at("_") {
      // A numeral with a base is treated as a name, not as a value: `1101_2` is not 13.
      return .symbol(lexicalForm([Token(kind: .numeral(numeral), isSpaced: false)]) + (try subscriptName()))
    }
    if let part = try fractionalPart(of: numeral) { return .sum([.number(image), part]) }
    return .number(image)
  }

  /// The `\frac{1}{3}` of `2\frac{1}{3}` and the `1/3` of `2 1/3`: a proper fraction of plain integers, nothing else.
  mutating func fractionalPart(of whole: Numeral) throws(Unparsed) -> Node? {
    guard whole.isPlainInteger else { return nil }
    let start = position
    var parts: [Numeral] = []
    if take(command: "frac") {
      for _ in 0..<2 {
        guard let part = plainArgument() else { break }
        parts.append(part)
      }
    } else if case .numeral(let top) = token()?.kind, token()?.isSpaced == true, token(1)?.isMark("/") == true,
      case .numeral(let bottom) = token(2)?.kind
    {
      position += 3
      parts = [top, bottom]
    }
    guard parts.count == 2, let top = parts[0].smallInteger, let bottom = parts[1].smallInteger, top < bottom else {
      position = start
      return nil
    }
    return .quotient(.number(Image(top)), .number(Image(bottom)))
  }

  /// A braced integer, or the first digit of the numeral here; nil for anything else.
  mutating func plainArgument() -> Numeral? {
    if at("{"), case .numeral(let numeral) = token(1)?.kind, token(2)?.isMark("}") == true {
      position += 3
      return numeral
    }
    return firstDigit()
  }

  /// In `\frac12`: takes one digit of the numeral here and leaves the others.
  mutating func firstDigit() -> Numeral? {
    guard case .numeral(let numeral) = token()?.kind, numeral.isPlainInteger else { return nil }
    if numeral.digits.count == 1 {
      position += 1
    } else {
      let rest = Numeral(digits: Array(numeral.digits.dropFirst()))
      tokens[position] = Token(kind: .numeral(rest), isSpaced: false)
    }
    return Numeral(digits: [numeral.digits[0]])
  }

  /// An argument of `\frac`: a group, one digit, or one primary.
  mutating func argument() throws(Unparsed) -> Node {
    if let digit = firstDigit(), let image = digit.image { return .number(image) }
    return try primary()
  }

  mutating func symbol(_ name: String) throws(Unparsed) -> Node {
    var name = name
    while true {
      if take("'") {
        name += "'"
      } else if at("_") {
        name += try subscriptName()
      } else {
        break
      }
    }
    if ["f", "g", "h"].contains(name.prefix(1)), at("("), token()?.isSpaced == false {
      let arguments = try list()
      return .call("apply " + name, [arguments])
    }
    return .symbol(name)
  }

  /// The subscript here, as part of a name.
  mutating func subscriptName() throws(Unparsed) -> String {
    position += 1
    let start = position
    if take("{") {
      while let inner = token(), !inner.isMark("}"), !inner.isMark("{") { position += 1 }
      try expect("}")
      return "_" + lexicalForm(Array(tokens[(start + 1)..<(position - 1)]))
    }
    guard let next = token() else { throw Unparsed() }
    position += 1
    return "_" + next.spelling
  }

  /// Prose, a single letter of prose, or a run of capitals. A run of capitals is a word if it is the whole answer, else
  /// a product of letters.
  mutating func words(_ first: String, isProse: Bool) throws(Unparsed) -> Node {
    let isAlone = position == 0 && tokens.count == 1
    position += 1
    if !isProse && !isAlone { return .product(first.map { .symbol(String($0)) }) }
    var words = [first]
    while case .word(let word, isProse: true) = token()?.kind, !atConjunction {
      words.append(word)
      position += 1
    }
    if words.count == 1, first.count == 1 { return try symbol(first) }
    if words.count == 1, let value = numberWords[first.lowercased()] { return .number(Image(value)) }
    return .words(words.map { $0.lowercased() }.joined(separator: " "))
  }
}

// MARK: Brackets

extension Parser {
  mutating func bracketed(_ mark: Character) throws(Unparsed) -> Node {
    switch mark {
    case "(", "[":
      position += 1
      let content = try content(isOrdered: true)
      guard let close = closing else { throw Unparsed() }
      position += 1
      if content.isMeasured { return .enclosed(open: mark, close: close, [content]) }
      if case .list(let elements, _) = content { return .enclosed(open: mark, close: close, elements) }
      return content
    case "{":
      position += 1
      let content = try content()
      if take(command: "choose") {
        let lower = try list()
        try expect("}")
        return .call("binom", [content, lower])
      }
      try expect("}")
      if case .quotient = content { fractionEnd = position }
      if case .list(let elements, _) = content { return .set(elements) }
      return content
    case "|":
      let wasInBars = isInBars
      isInBars = true
      defer { isInBars = wasInBars }
      position += 1
      let content = try sum()
      try expect("|")
      return .call("abs", [content])
    default: throw Unparsed()
    }
  }

  var closing: Character? {
    if at(")") { return ")" }
    return at("]") ? "]" : nil
  }

  /// Everything up to and including the command `close`.
  mutating func group(until close: String) throws(Unparsed) -> Node {
    position += 1
    let content = try list()
    guard take(command: close) else { throw Unparsed() }
    return content
  }

  mutating func command(_ name: String) throws(Unparsed) -> Node {
    switch name {
    case "frac":
      position += 1
      let fraction = Node.quotient(try argument(), try argument())
      if tokens[position - 1].isMark("}") { fractionEnd = position }
      return fraction
    case "binom":
      position += 1
      let top = try argument()
      return .call("binom", [top, try argument()])
    case "sqrt": return try squareRoot()
    case "infty":
      position += 1
      return .symbol("∞")
    case "emptyset":
      position += 1
      return .set([])
    case "reals":
      position += 1
      return .enclosed(open: "(", close: ")", [.negated(.symbol("∞")), .symbol("∞")])
    case "{": return try set()
    case "vert", "lfloor", "lceil": return try delimitedCall(name)
    case "langle":
      guard case .list(let elements, _) = try group(until: "rangle") else { throw Unparsed() }
      return .enclosed(open: "⟨", close: "⟩", elements)
    case "overline", "bar", "widehat":
      position += 1
      return .call(name, [try primary()])
    case "begin:matrix", "begin:vmatrix", "begin:cases": return try matrix(String(name.dropFirst(6)))
    default:
      guard Self.functions.contains(name) else { throw Unparsed() }
      return try function(name)
    }
  }

  mutating func squareRoot() throws(Unparsed) -> Node {
    position += 1
    var degree = Node.number(Image(2))
    if take("[") {
      degree = try sum()
      try expect("]")
    }
    return .root(try primary(), degree: degree)
  }

  mutating func set() throws(Unparsed) -> Node {
    if token(1)?.isCommand("}") == true {
      position += 2
      return .set([])
    }
    let content = try group(until: "}")
    if case .list(let elements, _) = content { return .set(elements) }
    return .set([content])
  }

  mutating func delimitedCall(_ name: String) throws(Unparsed) -> Node {
    switch name {
    case "vert": .call("abs", [try barred()])
    case "lfloor": .call("floor", [try group(until: "rfloor")])
    default: .call("ceil", [try group(until: "rceil")])
    }
  }

  mutating func barred() throws(Unparsed) -> Node {
    let wasInBars = isInBars
    isInBars = true
    defer { isInBars = wasInBars }
    return try group(until: "vert")
  }

  mutating func matrix(_ environment: String) throws(Unparsed) -> Node {
    position += 1
    var rows: [[Node]] = [[]]
    while !take(command: "end:" + environment) {
      rows[rows.count - 1].append(try list())
      if take(command: "\\") {
        if !at(command: "end:" + environment) { rows.append([]) }
      } else if !at(command: "end:" + environment) {
        try expect("&")
      }
    }
    return .matrix(environment: environment, rows: rows)
  }

  /// `\sin^2 x`, `\log_2 8`, `\ln(x+1)`, `\cos 2x`: without brackets, the argument ends at the next sign or function.
  mutating func function(_ name: String) throws(Unparsed) -> Node {
    position += 1
    let wasArgument = isArgument
    isArgument = true
    defer { isArgument = wasArgument }
    let base = take("_") ? [try primary()] : []
    let exponent = take("^") ? try script() : nil
    var arguments: [Node]
    if at("(") || at("{") {
      let content = try primary()
      if case .enclosed(_, _, let elements) = content { arguments = elements } else { arguments = [content] }
    } else {
      var factor = try power()
      while startsImplicitFactor, !startsFunction { factor = times(factor, try power()) }
      arguments = [factor]
    }
    guard let exponent else { return .call(name, arguments + base) }
    if case .negated(.number(let one)) = exponent, one == .one { return .call("arc" + name, arguments) }
    return .power(.call(name, arguments + base), exponent)
  }

  var startsFunction: Bool {
    guard case .command(let name) = token()?.kind else { return false }
    return Self.functions.contains(name)
  }
}

private let numberWords: [String: Int] = [
  "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
  "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
  "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
  "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100,
]
