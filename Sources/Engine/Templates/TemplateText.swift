// TemplateText: Python's operations on text.

extension [Unicode.Scalar] {
  func lastIndex(of part: [Unicode.Scalar]) -> Int? {
    guard part.count <= count else { return nil }
    return (0...(count - part.count)).last { self[$0..<$0 + part.count].elementsEqual(part) }
  }

  /// - Parameter set: what to remove at the ends; nil is white space.
  func stripped(_ set: [Unicode.Scalar]?, left: Bool, right: Bool) -> [Unicode.Scalar] {
    func goes(_ scalar: Unicode.Scalar) -> Bool { set.map { $0.contains(scalar) } ?? scalar.isPythonSpace }
    let start = left ? firstIndex { !goes($0) } ?? count : 0
    let end = right ? (lastIndex { !goes($0) } ?? start - 1) + 1 : count
    return Array(self[start..<Swift.max(start, end)])
  }

  /// The pieces between occurrences of a part that is not empty.
  ///
  /// - Parameter most: the number of splits; a negative one means no limit.
  func pieces(_ part: [Unicode.Scalar], most: Int) -> [[Unicode.Scalar]] {
    var pieces: [[Unicode.Scalar]] = []
    var start = 0
    var at = 0
    while at + part.count <= count, most < 0 || pieces.count < most {
      if self[at] == part[0], self[at..<at + part.count].elementsEqual(part) {
        pieces.append(Array(self[start..<at]))
        at += part.count
        start = at
      } else {
        at += 1
      }
    }
    return pieces + [Array(self[start...])]
  }

  /// - Parameter separator: nil is any run of white space.
  func split(
    _ separator: [Unicode.Scalar]?, most: Int, _ place: TemplatePlace
  ) throws(TemplateError) -> [[Unicode.Scalar]] {
    if let separator {
      guard !separator.isEmpty else { throw .failed(place, problem: "split with an empty separator") }
      return pieces(separator, most: most)
    }
    var words: [[Unicode.Scalar]] = []
    var rest = self[...]
    while true {
      rest = rest.drop { $0.isPythonSpace }
      if rest.isEmpty { return words }
      if most >= 0, words.count == most { return words + [Array(rest).stripped(nil, left: false, right: true)] }
      let word = rest.prefix { !$0.isPythonSpace }
      words.append(Array(word))
      rest = rest.dropFirst(word.count)
    }
  }

  func replacing(_ old: [Unicode.Scalar], _ new: [Unicode.Scalar], most: Int) -> [Unicode.Scalar] {
    guard old.isEmpty else { return Array(pieces(old, most: most).joined(separator: new)) }
    var text: [Unicode.Scalar] = []
    var left = most < 0 ? count + 1 : most
    for scalar in self {
      if left > 0 {
        text += new
        left -= 1
      }
      text.append(scalar)
    }
    return left > 0 ? text + new : text
  }

  /// Python's str.splitlines.
  var lines: [[Unicode.Scalar]] {
    var lines: [[Unicode.Scalar]] = []
    var line: [Unicode.Scalar] = []
    var at = 0
    while at < count {
      switch self[at].value {
      case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
        if self[at] == "\r", at + 1 < count, self[at + 1] == "\n" { at += 1 }
        lines.append(line)
        line = []
      default: line.append(self[at])
      }
      at += 1
    }
    return line.isEmpty ? lines : lines + [line]
  }

  /// - Parameter how: the name of Python's method.
  func cased(_ how: String, _ place: TemplatePlace) throws(TemplateError) -> [Unicode.Scalar] {
    if how != "upper", contains("\u{3A3}") { throw .unsupported(place, what: "the method \(how) on a capital sigma") }
    var result: [Unicode.Scalar] = []
    var isInside = false
    for scalar in self {
      let properties = scalar.properties
      let mapping =
        switch how {
        case "upper": properties.uppercaseMapping
        case "lower": properties.lowercaseMapping
        default: isInside ? properties.lowercaseMapping : properties.titlecaseMapping
        }
      result += Array(mapping.unicodeScalars)
      isInside = how == "capitalize" || properties.isCased
    }
    return result
  }

  /// The filter `title`, which begins a word after a blank, a hyphen or an opening bracket.
  func titled(_ place: TemplatePlace) throws(TemplateError) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    var word: [Unicode.Scalar] = []
    func flushed() throws(TemplateError) -> [Unicode.Scalar] {
      guard let first = word.first else { return [] }
      return try [first].cased("upper", place) + Array(word.dropFirst()).cased("lower", place)
    }
    for scalar in self {
      if scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar) {
        result += try flushed() + [scalar]
        word = []
      } else {
        word.append(scalar)
      }
    }
    return result + (try flushed())
  }

  /// - Parameter what: the name of Python's method.
  func satisfies(_ what: String) -> Bool {
    func isAlpha(_ scalar: Unicode.Scalar) -> Bool {
      switch scalar.properties.generalCategory {
      case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
      default: false
      }
    }
    func isDigit(_ scalar: Unicode.Scalar) -> Bool {
      scalar.properties.numericType == .decimal || scalar.properties.numericType == .digit
    }
    func isCased(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isUppercase || scalar.properties.isLowercase }
    switch what {
    case "isdigit": return !isEmpty && allSatisfy(isDigit)
    case "isspace": return !isEmpty && allSatisfy(\.isPythonSpace)
    case "isalpha": return !isEmpty && allSatisfy(isAlpha)
    case "isalnum": return !isEmpty && allSatisfy { isAlpha($0) || $0.properties.numericType != nil }
    case "isupper": return contains(where: isCased) && allSatisfy { !$0.properties.isLowercase }
    default: return contains(where: isCased) && allSatisfy { !$0.properties.isUppercase }
    }
  }
}
