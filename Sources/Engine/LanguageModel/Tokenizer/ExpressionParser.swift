// ExpressionParser: reads the regular expressions that real pre-tokenizers use.
//
// The `tokenizers` library gives them to Oniguruma. This reads a part of that language in which every construct has one
// undisputed meaning: characters, sets, \p{…}, \s, \d, groups, (?i:…) for ASCII, alternatives, greedy and possessive
// repetition, and a look at the next character. Everything else is refused, because an expression that is read almost
// right gives tokens that the model never saw.

/// A parsed regular expression.
indirect enum Expression {
  case one(ScalarSet)
  case sequence([Expression])
  /// The first alternative that leads to a match wins.
  case alternatives([Expression])
  /// As many as possible. If `isPossessive`, it never gives one back.
  case repeated(Expression, min: Int, max: Int?, isPossessive: Bool)
  /// Whether the next character is in the set; at the end of the text there is none.
  case ahead(ScalarSet, isNegated: Bool)

  /// Whether it can match without a character.
  var canBeEmpty: Bool {
    switch self {
    case .one: false
    case .ahead: true
    case .sequence(let parts): parts.allSatisfy(\.canBeEmpty)
    case .alternatives(let parts): parts.contains(where: \.canBeEmpty)
    case .repeated(let part, let min, _, _): min == 0 || part.canBeEmpty
    }
  }
}

/// Why an expression is not supported.
struct ExpressionRefusal: Error {
  /// Counted in characters, from 0.
  var place: Int
  var part: String
}

struct ExpressionParser {
  /// Groups within groups. Real expressions have two.
  private static let depthMax = 16
  /// Characters and ranges of one set: each is compared with each character beyond ASCII. Real expressions have 32.
  private static let rangesMax = 256
  /// The numbers in {n,m}. Real expressions have 3.
  private static let countMax = 64

  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var depth = 0
  private var ignoresCase = false

  static func parse(_ regex: String) throws(ExpressionRefusal) -> Expression {
    var parser = ExpressionParser(scalars: Array(regex.unicodeScalars))
    let expression = try parser.alternatives()
    guard parser.position == parser.scalars.count else { throw parser.refusal(1) }
    return expression
  }

  private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

  private var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  private func isNext(_ text: String) -> Bool { scalars[position...].starts(with: text.unicodeScalars) }

  private mutating func take(_ text: String) -> Bool {
    guard isNext(text) else { return false }
    position += text.unicodeScalars.count
    return true
  }

  private func refusal(_ length: Int, from start: Int? = nil) -> ExpressionRefusal {
    var part = String.UnicodeScalarView()
    part.append(contentsOf: scalars[(start ?? position)...].prefix(length))
    return ExpressionRefusal(place: start ?? position, part: String(part))
  }
}

// MARK: - Structure

extension ExpressionParser {
  private mutating func alternatives() throws(ExpressionRefusal) -> Expression {
    var parts = [try sequence()]
    while take("|") { parts.append(try sequence()) }
    return parts.count == 1 ? parts[0] : .alternatives(parts)
  }

  private mutating func sequence() throws(ExpressionRefusal) -> Expression {
    var parts: [Expression] = []
    while let scalar = next, scalar != "|", scalar != ")" {
      let start = position
      let atom = try atom()
      // Oniguruma folds some pairs of letters together: "ss" also matches "ß".
      if ignoresCase, let previous = parts.last, Self.canFold(previous, atom) { throw refusal(2, from: start - 1) }
      parts.append(try repeated(atom, from: start))
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func atom() throws(ExpressionRefusal) -> Expression {
    switch next {
    case "(": return try group()
    case "[": return .one(try set())
    case "\\":
      let start = position
      let set = try escape()
      if ignoresCase, set.kinds != 0 { throw refusal(position - start, from: start) }
      return .one(try folded(set, from: start))
    case ".", "^", "$", "*", "+", "?", "{", "}", "]", nil: throw refusal(1)
    case .some(let scalar):
      position += 1
      return .one(try folded(ScalarSet(scalar.value), from: position - 1))
    }
  }

  private mutating func group() throws(ExpressionRefusal) -> Expression {
    let start = position
    if take("(?!") || take("(?=") {
      let isNegated = scalars[start + 2] == "!"
      guard case .one(let set) = try atom(), take(")") else { throw refusal(position - start + 1, from: start) }
      return .ahead(set, isNegated: isNegated)
    }
    let ignoredCase = ignoresCase
    if take("(?i:") {
      ignoresCase = true
    } else if isNext("(?"), !isNext("(?:") {
      throw refusal(4)
    } else if !take("(?:") {
      position += 1
    }
    depth += 1
    // Letters on both sides of a group's edge could fold together.
    guard depth <= Self.depthMax, !ignoredCase else { throw refusal(3, from: start) }
    let inner = try alternatives()
    guard take(")") else { throw refusal(8, from: start) }
    depth -= 1
    ignoresCase = ignoredCase
    return inner
  }

  private mutating func repeated(_ atom: Expression, from start: Int) throws(ExpressionRefusal) -> Expression {
    let place = position
    guard let (min, max) = try counts() else { return atom }
    let isBraced = scalars[place] == "{"
    let isPossessive = !isBraced && take("+")
    // After any other character of this kind, the repetition is lazy or is repeated itself.
    if let scalar = next, "?*+{".unicodeScalars.contains(scalar) { throw refusal(position - place + 1, from: place) }
    var isSet = false
    if case .one = atom { isSet = true }
    guard !ignoresCase, isSet || !isPossessive, isSet || max == 1 || !atom.canBeEmpty else {
      throw refusal(position - start, from: start)
    }
    if case .ahead = atom { throw refusal(position - start, from: start) }
    return .repeated(atom, min: min, max: max, isPossessive: isPossessive)
  }

  private mutating func counts() throws(ExpressionRefusal) -> (min: Int, max: Int?)? {
    if take("?") { return (0, 1) }
    if take("*") { return (0, nil) }
    if take("+") { return (1, nil) }
    let start = position
    guard take("{") else { return nil }
    guard let min = number() else { throw refusal(4, from: start) }
    var max: Int? = min
    if take(",") { max = number() }
    guard take("}"), min <= Self.countMax, (max ?? min) <= Self.countMax, (max ?? min) >= min, max != 0 else {
      throw refusal(position - start + 1, from: start)
    }
    return (min, max)
  }

  private mutating func number() -> Int? {
    var value: Int?
    while let scalar = next, ("0"..."9").contains(scalar) {
      position += 1
      // Large enough to be refused, and never larger.
      value = Swift.min(10 * (value ?? 0) + Int(scalar.value - 0x30), Self.countMax + 1)
    }
    return value
  }
}

// MARK: - Sets

extension ExpressionParser {
  private mutating func set() throws(ExpressionRefusal) -> ScalarSet {
    let start = position
    position += 1
    var set = ScalarSet()
    set.isNegated = take("^")
    let first = position
    while let scalar = next, scalar != "]" {
      let place = position
      // Sets within sets, and intersections.
      if scalar == "[" || isNext("&&") { throw refusal(2) }
      var item = scalar == "\\" ? try escape() : ScalarSet(scalar.value)
      if scalar != "\\" { position += 1 }
      if let low = item.onlyValue, isNext("-"), position + 1 < scalars.count, scalars[position + 1] != "]" {
        position += 1
        if next == "[" { throw refusal(2) }
        guard let end = next == "\\" ? try escape().onlyValue : takeValue(), low <= end else {
          throw refusal(position - place + 1, from: place)
        }
        item.ranges = [low...end]
      } else if scalar == "-", place != first, !isNext("]") {
        throw refusal(2, from: place)
      }
      set.formUnion(item)
    }
    guard position > first, take("]"), set.ranges.count <= Self.rangesMax else {
      throw refusal(position - start + 1, from: start)
    }
    if ignoresCase, set.isNegated || set.kinds != 0 { throw refusal(position - start, from: start) }
    return try folded(set, from: start)
  }

  private mutating func takeValue() -> UInt32? {
    defer { position += 1 }
    return next?.value
  }

  /// What a backslash and the characters after it stand for.
  private mutating func escape() throws(ExpressionRefusal) -> ScalarSet {
    let start = position
    position += 1
    guard let scalar = next else { throw refusal(1, from: start) }
    position += 1
    switch scalar {
    case "r": return ScalarSet(0x0D)
    case "n": return ScalarSet(0x0A)
    case "t": return ScalarSet(0x09)
    case "s": return ScalarSet(kinds: ScalarKind.space)
    case "S": return ScalarSet(kinds: ScalarKind.all & ~ScalarKind.space)
    case "d": return ScalarSet(kinds: ScalarKind.kinds(named: "Nd") ?? 0)
    case "D": return ScalarSet(kinds: ScalarKind.all & ~(ScalarKind.kinds(named: "Nd") ?? 0))
    case "p", "P":
      guard take("{"), let end = scalars[position...].firstIndex(of: "}") else { throw refusal(3, from: start) }
      var name = String.UnicodeScalarView()
      name.append(contentsOf: scalars[position..<end])
      guard let kinds = ScalarKind.kinds(named: String(name)) else { throw refusal(end + 1 - start, from: start) }
      position = end + 1
      return ScalarSet(kinds: scalar == "p" ? kinds : ScalarKind.all & ~kinds)
    case "!"..."/", ":"..."@", "["..."`", "{"..."~": return ScalarSet(scalar.value)
    default: throw refusal(2, from: start)
    }
  }
}

// MARK: - Ignoring case

extension ExpressionParser {
  /// In `(?i:…)`, both cases of each letter of the set. Only ASCII is read there: other characters can fold to several.
  private func folded(_ set: ScalarSet, from start: Int) throws(ExpressionRefusal) -> ScalarSet {
    guard ignoresCase else { return set }
    var folded = set
    for range in set.ranges {
      guard range.upperBound < 0x80 else { throw refusal(position - start, from: start) }
      for value in range { folded.ranges += Self.otherCases(of: value).map { $0...$0 } }
    }
    return folded
  }

  private static func otherCases(of value: UInt32) -> [UInt32] {
    guard let lower = lowercase(value) else { return [] }
    // The long s and the sign of the kelvin are the only other characters that fold to an ASCII letter.
    return [lower, lower - 0x20] + (lower == 0x73 ? [0x17F] : []) + (lower == 0x6B ? [0x212A] : [])
  }

  private static func lowercase(_ value: UInt32) -> UInt32? {
    switch value {
    case 0x41...0x5A: value + 0x20
    case 0x61...0x7A: value
    default: nil
    }
  }

  /// Whether a character exists that folds to a letter of the one followed by a letter of the other: ß, ﬀ, ﬁ, ﬂ, ﬆ.
  private static func canFold(_ one: Expression, _ other: Expression) -> Bool {
    guard case .one(let first) = one, case .one(let second) = other else { return true }
    return ["ss", "ff", "fi", "fl", "st"].contains { pair in
      let letters = pair.unicodeScalars.map(\.value)
      return first.contains(letters[0], kind: 1) && second.contains(letters[1], kind: 1)
    }
  }
}

extension ScalarSet {
  /// Its character, if it is a set of one, written as that character.
  fileprivate var onlyValue: UInt32? {
    guard kinds == 0, ranges.count == 1, let range = ranges.first, range.count == 1 else { return nil }
    return range.lowerBound
  }

  fileprivate init() { self.init(kinds: 0) }
}
