// ReferenceGrader: whether the reference's release of May 2025 counts an answer as right.
//
// It reproduces that code's behaviour, defects included, so that runs with `--recipe ttrl-reference` can be compared
// with it. Do not use it for anything else. The reference's rewards and figures use this relation; its vote does not.
// It is more lenient than the vote (0.5 is 1/2), is not transitive, and is wrong about fractions, because it drops
// their grouping when it converts LaTeX to plain text (D6 in docs/algorithm.md).
//
// An answer is right if its strict form equals that of the gold answer, or its loose form does, or the elements of the
// two loose forms are equal. For elements, the reference asks sympy whether their difference simplifies to 0; here, the
// exact keys of AnswerKey are compared instead.

import Base

/// Whether an answer is right if the right answer is `gold`.
///
/// - Parameters:
///   - given: an answer in the vote's normal form.
///   - gold: a label in the vote's normal form, or a question's answer as it was written.
func referenceGrade(_ given: String, gold: String) -> Bool {
  if strictForm(given) == strictForm(gold) { return true }
  let (left, right) = (looseForm(given), looseForm(gold))
  if left == right { return true }
  guard !left.isEmpty else { return false }
  let (given, gold) = (elements(of: left), elements(of: right))
  if gold.count > 1, left.bytes.first != right.bytes.first || left.bytes.last != right.bytes.last { return false }
  return given.count == gold.count && zip(given, gold).allSatisfy(areEqualElements)
}

/// The strict form: close to the answer as it was written.
private func strictForm(_ answer: String) -> ReferenceText {
  var text = ReferenceText(answer).trimmed
  text.unwrapText()
  text.delete("\n", "\\!")
  text.replace("\\\\", with: "\\")
  text.replace("tfrac", with: "frac")
  text.replace("dfrac", with: "frac")
  text.delete("\\left", "\\right", "^{\\circ}", "^\\circ", "\\$")
  let parts = text.split(at: "\\text{ ")
  if parts.count == 2 { text = parts[0] }
  text.delete("\\%")
  text.replace(" .", with: " 0.")
  text.replace("{.", with: "{0.")
  if text.starts(with: ".") { text = ReferenceText("0" + text.string) }
  text.dropShortLeftSide()
  text.rewriteTails(of: "\\sqrt") { tail in
    guard let first = tail.bytes.first else { return nil }
    return first == UInt8(ascii: "{") ? tail.bytes : "{".bytes + [first] + "}".bytes + tail.bytes.dropFirst()
  }
  text.delete(where: { $0 == UInt8(ascii: " ") })
  text.braceFractions()
  if text == ReferenceText("0.5") { text = ReferenceText("\\frac{1}{2}") }
  text.stackSlash(acceptsRoots: false)
  return text
}

/// The loose form: plain text, with most of the notation removed.
private func looseForm(_ answer: String) -> ReferenceText {
  var text = ReferenceText(answer)
  text.unwrapText()
  text.delete("\\%", "\\$", "$", "%")
  text.replace(" or ", with: " , ")
  text.replace(" and ", with: " , ")
  for (word, power) in [("million", 6), ("billion", 9), ("trillion", 12)] { text.replace(word, with: "*10^\(power)") }
  text.deleteLooseUnits()
  text.delete("^\\circ", "^ \\circ")
  if text.starts(with: "{"), text.ends(with: "}") { text = ReferenceText(text.bytes.dropFirst().dropLast()) }
  text.delete(",\\! ", ",\\!")
  if let whole = text.wholeNumber { text = ReferenceText(whole) }
  if text.contains("\\") { text = referencePlainText(text) }
  while text.contains("- ") { text.replace("- ", with: "-") }
  text.addMixedNumbers()
  text.delete(where: { " {}".utf8.contains($0) })
  text = ReferenceText(text.string.lowercased())
  var grouped = text
  grouped.dropThousandsCommas()
  if let whole = grouped.wholeNumber { text = ReferenceText(whole) }
  return text
}

/// The elements of a tuple or an interval that has no brackets inside. Anything else is one element.
private func elements(of text: ReferenceText) -> [ReferenceText] {
  var text = text
  text.dropThousandsCommas()
  func isBracket(_ byte: UInt8) -> Bool { "()[]".utf8.contains(byte) }
  guard text.count > 2, isBracket(text.bytes[0]), isBracket(text.bytes[text.count - 1]) else { return [text] }
  let inside = text.bytes[1..<(text.count - 1)]
  if inside.contains(where: isBracket) { return [text] }
  return ReferenceText(inside).split(at: ",").map(\.trimmed)
}

private func areEqualElements(_ given: ReferenceText, _ gold: ReferenceText) -> Bool {
  // 2/4 does not count as 1/2, because the question can ask for a reduced fraction.
  if given.isFraction, gold.isFraction { return given == gold }
  if (given.wholeNumber == nil) != (gold.wholeNumber == nil) { return false }
  return haveZeroDifference(given, gold)
}

/// Whether sympy's `simplify` would reduce the difference to 0. False for texts that the reference does not give to
/// sympy.
private func haveZeroDifference(_ given: ReferenceText, _ gold: ReferenceText) -> Bool {
  guard given.isExpression, gold.isExpression else { return false }
  var both = ReferenceText(given.bytes + "-".bytes + gold.bytes)
  both.delete("sqrt", "frac")
  let letters = Set(both.bytes.filter { $0.isWord && !$0.isDigit }).sorted()
  guard letters.count <= 2, !both.contains("^("), !both.hasLongPower else { return false }
  let keys = [given, gold].map { answerKey($0.renaming(letters), kind: .math) }
  return keys[0] == keys[1] && !keys[0].isLexical
}

extension ReferenceText {
  /// Removes `\text{...}` around the whole answer.
  fileprivate mutating func unwrapText() {
    guard starts(with: "\\text{"), ends(with: "}"), count > 7 else { return }
    bytes = Array(bytes.dropFirst(6).dropLast())
  }

  /// Deletes the words of units anywhere, also inside other words, with a plural ending and a power after them.
  fileprivate mutating func deleteLooseUnits() {
    for unit in looseUnits {
      let pieces = split(at: unit)
      bytes = pieces[0].bytes + pieces.dropFirst().flatMap { $0.withoutUnitEnding }
    }
  }

  /// The text after a unit, without `es` or `s`, spaces and a power at its beginning.
  private var withoutUnitEnding: ArraySlice<UInt8> {
    var rest = bytes[...]
    if rest.starts(with: "es".utf8) { rest = rest.dropFirst(2) }
    if rest.first == UInt8(ascii: "s") { rest = rest.dropFirst() }
    rest = rest.drop { $0 == UInt8(ascii: " ") }
    if rest.first == UInt8(ascii: "^"), rest.dropFirst().first?.isDigit == true {
      rest = rest.dropFirst().drop { $0.isDigit }
    }
    return rest
  }

  /// The text's number, if it differs from an integer by at most 1e-7: 25 for "025", "25.0" and "2.5e1".
  fileprivate var wholeNumber: String? {
    let text = trimmed
    guard !text.isEmpty, text.bytes.allSatisfy({ $0.isDigit || "+-.eE".utf8.contains($0) }),
      let value = Double(text.string)
    else { return nil }
    let rounded = value.rounded()
    return abs(value - rounded) <= 1e-7 ? Int(exactly: rounded).map { "\($0)" } : nil
  }

  /// `7 3/4` becomes `7+3/4`.
  fileprivate mutating func addMixedNumbers() {
    let pieces = split(at: " ").filter { !$0.isEmpty }
    var result: [UInt8] = []
    for piece in pieces {
      if result.last?.isDigit == true, piece.bytes[0].isDigit { result += "+".bytes }
      result += piece.bytes
    }
    bytes = result
  }

  /// Whether it is digits, a slash, and digits that are not all 0, with or without a minus in front.
  fileprivate var isFraction: Bool {
    let parts = split(at: "/")
    guard parts.count == 2 else { return false }
    let numerator = parts[0].bytes.drop { $0 == UInt8(ascii: "-") }
    return parts[0].count - numerator.count <= 1 && !numerator.isEmpty && numerator.allSatisfy(\.isDigit)
      && parts[1].bytes.allSatisfy(\.isDigit) && parts[1].bytes.contains { $0 != UInt8(ascii: "0") }
  }

  /// Whether it has only what sympy reads as numbers, names, operators and round brackets.
  fileprivate var isExpression: Bool {
    !isEmpty && bytes.allSatisfy { $0.isWord && $0 < 128 || "+-*/^().".utf8.contains($0) }
  }

  /// Whether it has an exponent of two or more digits, or one that has an exponent itself.
  fileprivate var hasLongPower: Bool {
    split(at: "^").dropFirst().contains { tail in
      let digits = tail.bytes.prefix { $0.isDigit }
      return digits.count > 1
    } || split(at: "^").dropFirst().dropLast().contains { !$0.isEmpty && $0.bytes.allSatisfy(\.isDigit) }
  }

  /// The text with its letters renamed to x and y, because for sympy i is not the imaginary unit and m is not a unit of
  /// length.
  fileprivate func renaming(_ letters: [UInt8]) -> String {
    if contains("pi") { return string }
    let pieces = split(at: "sqrt").map { piece in
      piece.bytes.map { $0 == letters.first ? UInt8(ascii: "x") : $0 == letters.last ? UInt8(ascii: "y") : $0 }
    }
    return pieces.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "sqrt")
  }
}

private let looseUnits = [
  "degree", "cm", "centimeter", "meter", "mile", "second", "minute", "hour", "day", "week", "month", "year", "foot",
  "feet", "inch", "yard",
]
