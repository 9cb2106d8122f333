// Token: the pieces of an answer, without the differences of spelling that have no meaning.
//
// `\dfrac`, `\tfrac` and `\frac` are one command; `−` is `-`; `\left(` is `(`; `1,234` and `1{,}234` are one numeral.
// A token knows whether there was a space before it, because `2 1/3` is a mixed number and `21/3` is seven.

/// A decimal numeral: digits · 10^(exponent − scale).
struct Numeral: Equatable, Sendable {
  /// Each 0...9, most significant first. Leading zeros are kept; they change nothing.
  var digits: [UInt8]
  /// How many of the digits are after the decimal point.
  var scale = 0
  /// The power of ten of scientific notation, `3e8`.
  var exponent = 0
  /// How many of the last digits, all after the point, repeat forever (`0.\overline{3}` has 1).
  var repeating = 0

  var isPlainInteger: Bool { scale == 0 && exponent == 0 && repeating == 0 }

  /// The value of a plain integer below 10^9, to compare the parts of a mixed number.
  var smallInteger: Int? {
    guard isPlainInteger && digits.count <= 9 else { return nil }
    return digits.reduce(0) { $0 * 10 + Int($1) }
  }

  /// The exact value.
  var image: Image? {
    guard let shift = Image(10).power(exponent - scale) else { return nil }
    guard repeating > 0 else { return Image(digits: digits) * shift }
    // 0.1(6) = (16 − 1) / 90: the digits with one period minus the digits without it.
    guard let periods = Image(10).power(repeating), let below = (periods - .one).inverse else { return nil }
    let head = Image(digits: Array(digits.dropLast(repeating)))
    return (Image(digits: digits) - head) * below * shift * (Image(10).power(repeating) ?? .one)
  }
}

struct Token: Equatable, Sendable {
  enum Kind: Equatable, Sendable {
    case numeral(Numeral)
    /// One letter, or the name of a Greek letter.
    case letter(String)
    /// A word, as written. `isProse`: it came from `\text` or reads as a word. If not, it is a run of capitals.
    case word(String, isProse: Bool)
    /// A control sequence that has a meaning: its canonical name, without the backslash.
    case command(String)
    /// A single character: brackets, operators, separators.
    case mark(Character)
  }
  var kind: Kind
  var isSpaced: Bool
}

extension Token {
  func isMark(_ character: Character) -> Bool { kind == .mark(character) }
  func isCommand(_ name: String) -> Bool { kind == .command(name) }

  /// The token in the lexical normal form.
  var spelling: String {
    switch kind {
    case .numeral(let numeral): numeral.spelling
    case .letter(let name): name.count == 1 ? name : "\\" + name
    case .word(let word, _): word.lowercased()
    case .command(let name): name.hasPrefix(Self.currency) ? "" : "\\" + name
    case .mark(let mark): String(mark)
    }
  }
}

extension Numeral {
  fileprivate var spelling: String {
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index == digits.count - scale { text += text.isEmpty ? "0." : "." }
      text += String(digit)
    }
    if repeating > 0 { text += "(\(repeating))" }
    return exponent == 0 ? text : text + "e\(exponent)"
  }
}

/// The lexical normal form, tier 1: the tokens, with one space between words or numerals that would otherwise become
/// one.
func lexicalForm(_ tokens: [Token]) -> String {
  var text = ""
  var followsWord = false
  for token in tokens {
    let isWordLike =
      switch token.kind {
      case .numeral, .word, .letter: true
      case .command, .mark: false
      }
    if isWordLike && followsWord && token.isSpaced { text += " " }
    text += token.spelling
    followsWord = isWordLike
  }
  return text
}
