// LexerNumerals: numerals with grouped digits, repeating decimals and powers of ten.
//
// A numeral keeps its digits; its value is computed later and exactly (Token, Image).

extension Lexer {
  mutating func lexNumeral() {
    var numeral = Numeral(digits: takeDigits())
    takeThousands(into: &numeral)
    if peek() == ".", peek(1)?.isDigit == true {
      position += 1
      let fraction = takeDigits()
      numeral.digits += fraction
      numeral.scale = fraction.count
    }
    takePeriod(into: &numeral)
    // The point was that of no number: `.\dot{x}`.
    guard !numeral.digits.isEmpty else { return emit(.mark(".")) }
    takeExponent(into: &numeral)
    emit(.numeral(numeral))
  }

  mutating func takeDigits() -> [UInt8] {
    var digits: [UInt8] = []
    while let scalar = peek(), scalar.isDigit {
      digits.append(UInt8(scalar.value - 48))
      position += 1
    }
    return digits
  }

  /// `1,234,567`, `1{,}234`, `1,\!234`, `1\,234` and `10 000`: groups of exactly three digits after a first group of
  /// one to three digits that does not start with 0. A plain comma groups only outside brackets, and only if all groups
  /// are well-formed.
  mutating func takeThousands(into numeral: inout Numeral) {
    guard (1...3).contains(numeral.digits.count), numeral.digits[0] != 0 else { return }
    let start = position
    let plain = numeral
    var usesPlainComma = false
    while let separator = thousandsSeparator() {
      usesPlainComma = usesPlainComma || separator.isPlainComma
      position += separator.length
      numeral.digits += takeDigits()
    }
    if usesPlainComma, peek() == ",", peek(1)?.isDigit == true {
      // All of `1,234,5` is a list.
      position = start
      numeral = plain
    }
  }

  /// The mark between two groups of digits, if exactly three digits follow it: `,`, `{,}`, `,\!`, or a space of any
  /// kind (`\,`, `\ `, `~`, a no-break space), in braces or not.
  func thousandsSeparator() -> (length: Int, isPlainComma: Bool)? {
    let gap = blanks(at: 0)
    let isBraced = peek(gap) == "{"
    var length = isBraced ? gap + 1 + blanks(at: gap + 1) : 0
    let isPlain: Bool
    let isComma = peek(length) == ","
    if isComma {
      length += 1
      let isTight = peek(length) == "\\" && peek(length + 1) == "!"
      if isTight { length += 2 + blanks(at: length + 2) }
      isPlain = !isBraced && !isTight
    } else if let space = spaceLength(at: length) {
      isPlain = peek(length) == " " && !isBraced
      length += space
    } else {
      return nil
    }
    if isBraced {
      length += blanks(at: length)
      guard peek(length) == "}" else { return nil }
      length += 1
    }
    if isPlain, depth > 0 { return nil }
    let isThreeDigits = (0..<3).allSatisfy { peek(length + $0)?.isDigit == true }
    let next = peek(length + 3)
    guard isThreeDigits, next?.isDigit != true else { return nil }
    // `2 100/300` is a mixed number.
    if !isComma, next == "/" { return nil }
    return (length, isComma && isPlain)
  }

  private func blanks(at offset: Int) -> Int {
    var count = 0
    // Longer gaps are no part of a number.
    while count < 4, peek(offset + count) == " " { count += 1 }
    return count
  }

  /// The length of one space: a character, `~`, or a command. nil if there is none.
  private func spaceLength(at offset: Int) -> Int? {
    guard let first = peek(offset) else { return nil }
    if first == "~" || first.properties.isWhitespace && first != "\n" { return 1 }
    guard first == "\\", let next = peek(offset + 1) else { return nil }
    if ",;:> ".unicodeScalars.contains(next) { return 2 }
    let name = Array("thinspace".unicodeScalars)
    guard name.indices.allSatisfy({ peek(offset + 1 + $0) == name[$0] }) else { return nil }
    return 1 + name.count + blanks(at: offset + 1 + name.count)
  }
}

// MARK: Repeating decimals

extension Lexer {
  /// Reads the digits that repeat: `0.1\overline{6}`, `0.\bar3`, `0.\dot{1}4\dot{2}`, `0.(3)`, `0.3̅`.
  ///
  /// Brackets behind decimals are read so, and not as a factor: an answer is not left as the product `0.1(6)`.
  mutating func takePeriod(into numeral: inout Numeral) {
    let start = position
    if numeral.scale == 0 {
      guard peek() == "." else { return }
      position += 1
    }
    if let period = takeBarredDigits() ?? takeBracketedDigits() ?? takeDottedDigits(hasDecimals: numeral.scale > 0) {
      numeral.digits += period.digits
      numeral.scale += period.digits.count
      numeral.repeating = period.repeating
      return
    }
    position = start
    // In `5.` without a digit after it, the dot means nothing.
    if numeral.scale == 0, peek() == ".", peek(1)?.isDigit != true { position += 1 }
  }

  /// Whether the sign of a repeating decimal begins there: the `.\overline{3}` of a number without a zero.
  func startsPeriod(at offset: Int) -> Bool {
    Self.bars.contains { self.starts(with: $0, at: offset) } || starts(with: "\\dot", at: offset)
  }

  private typealias Period = (digits: [UInt8], repeating: Int)

  private static let bars = ["\\overline", "\\bar", "\\widebar", "\\overbar"]

  private func starts(with text: String, at offset: Int) -> Bool {
    zip(text.unicodeScalars, offset...).allSatisfy { peek($1) == $0 }
  }

  /// `\overline{142857}` or `\bar3`.
  private mutating func takeBarredDigits() -> Period? {
    guard let name = Self.bars.first(where: { starts(with: $0, at: 0) }) else { return nil }
    let start = position
    position += name.unicodeScalars.count
    guard let digits = takeArgumentDigits() else {
      position = start
      return nil
    }
    return (digits, digits.count)
  }

  /// Digits in braces, or one digit.
  private mutating func takeArgumentDigits() -> [UInt8]? {
    while peek() == " " { position += 1 }
    guard peek() == "{" else {
      guard let digit = peek(), digit.isDigit else { return nil }
      position += 1
      return [UInt8(digit.value - 48)]
    }
    position += 1
    let digits = takeDigits()
    guard !digits.isEmpty, peek() == "}" else { return nil }
    position += 1
    return digits
  }

  private mutating func takeBracketedDigits() -> Period? {
    guard peek() == "(", peek(1)?.isDigit == true else { return nil }
    let start = position
    position += 1
    let digits = takeDigits()
    guard peek() == ")" else {
      position = start
      return nil
    }
    position += 1
    return (digits, digits.count)
  }

  /// `\dot{3}` and `\dot{1}4285\dot{7}`: the period is from the first dot to the last. The same with the combining dot
  /// or bar of Unicode, which stands behind its digit; then the first such digit is already taken.
  private mutating func takeDottedDigits(hasDecimals: Bool) -> Period? {
    let start = position
    var digits: [UInt8] = []
    var firstMarked: Int?
    var afterLastMarked = 0
    var isTaken = 0
    if hasDecimals, takeCombiningMark() {
      firstMarked = -1
      isTaken = 1
    }
    while true {
      if starts(with: "\\dot", at: 0), peek(4)?.isASCIILetter != true {
        position += 4
        guard let marked = takeArgumentDigits() else { break }
        firstMarked = firstMarked ?? digits.count
        digits += marked
        afterLastMarked = digits.count
      } else if firstMarked != nil, let digit = peek(), digit.isDigit {
        position += 1
        digits.append(UInt8(digit.value - 48))
        if takeCombiningMark() { afterLastMarked = digits.count }
      } else {
        break
      }
    }
    guard firstMarked != nil, afterLastMarked == digits.count, isTaken + digits.count > 0 else {
      position = start
      return nil
    }
    return (digits, isTaken + digits.count)
  }

  /// A combining overline, macron or dot above.
  private mutating func takeCombiningMark() -> Bool {
    guard let mark = peek(), mark == "\u{305}" || mark == "\u{304}" || mark == "\u{307}" else { return false }
    position += 1
    return true
  }
}

// MARK: Scientific notation

extension Lexer {
  /// `3e8` and `1.5E-3`. With more than four digits it is not read as an exponent, but as a product.
  mutating func takeExponent(into numeral: inout Numeral) {
    guard peek() == "e" || peek() == "E" else { return }
    let sign = peek(1) == "-" || peek(1) == "+" ? 1 : 0
    guard peek(1 + sign)?.isDigit == true else { return }
    let start = position
    let isNegative = peek(1) == "-"
    position += 1 + sign
    let digits = takeDigits()
    guard digits.count <= 4, peek()?.properties.isAlphabetic != true else {
      position = start
      return
    }
    let magnitude = digits.reduce(0) { $0 * 10 + Int($1) }
    numeral.exponent = isNegative ? -magnitude : magnitude
  }
}
