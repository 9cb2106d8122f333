// ReferenceNormalForm: the string by which the reference's release of May 2025 votes.
//
// It reproduces that code's behaviour, defects included, so that runs with `--recipe ttrl-reference` can be compared
// with it. Do not use it for anything else. Two answers count as the same vote only if these strings are equal, so 1/2
// and 0.5 do not (D4 in docs/algorithm.md). Words that are also units are deleted wherever they are words of their own,
// including the `pm` of `\pm` and the variables a, c, d, g, h, l, m, o, s, t (D5).
//
// The rules are in the reference's order, because the result depends on it. Of its list of units, which comes from the
// MathQA data, only the single words are here; entries of several words with stops between them ("sq . m") are not.

/// The normal form of an answer that was extracted.
func referenceNormalForm(_ answer: ReferenceText) -> String {
  var text = answer.trimmed
  text.delete("\n")
  while text.ends(with: ".") { text.dropLast(".") }
  text.delete("\\!")
  text.renameEnvironments()
  for (name, other) in [("tfrac", "frac"), ("dfrac", "frac"), ("neq", "ne"), ("leq", "le"), ("geq", "ge")] {
    text.replace("\\" + name, with: "\\" + other)
  }
  text.delete("\\left", "\\right")
  text.replace("\\{", with: "{")
  text.replace("\\}", with: "}")
  text.deleteTrailingText()
  text.deleteUnits()
  text.delete("^{\\circ}", "^\\circ", "\\$", "$", "\\(", "\\)")
  if let number = numberInWords(text.string) { text = ReferenceText(number) }
  text.replaceCommand("\\text{") { Array($0) }
  for name in ["x", "y", "z"] { text.delete(name + "=", name + "\\in", name + "\\to") }
  text.replace("\\emptyset", with: "{}")
  text.replace("(-\\infty,\\infty)", with: "\\mathbb{R}")
  text.delete("\\%", "%")
  text.replace(" .", with: " 0.")
  text.replace("{.", with: "{0.")
  text.replace("infinity", with: "\\infty")
  if !text.contains("\\infty") { text.replace("inf", with: "\\infty") }
  text.delete("and", "\\mathbf")
  text.replaceCommand("\\mbox{") { _ in [] }
  if text.contains("j"), !text.contains("i") { text.replace("j", with: "i") }
  text.dropZeroDecimals()
  if text.starts(with: ".") { text = ReferenceText("0" + text.string) }
  text.dropShortLeftSide()
  text.braceRoots()
  text.delete(where: { $0 == UInt8(ascii: " ") })
  text.braceFractions()
  text.stackSlash(acceptsRoots: true)
  return text.string
}

extension ReferenceText {
  fileprivate mutating func renameEnvironments() {
    replaceCommand("\\begin{array}{") { _ in "\\begin{pmatrix}".bytes }
    replace("\\end{array}", with: "\\end{pmatrix}")
    replace("bmatrix", with: "pmatrix")
  }

  /// Deletes everything from the first `\text{` on, if the answer ends with a brace and something is left.
  fileprivate mutating func deleteTrailingText() {
    guard ends(with: "}"), let start = bytes.firstRange(of: "\\text{".utf8)?.lowerBound else { return }
    let rest = ReferenceText(bytes[..<start]).trimmed
    if !rest.isEmpty { self = rest }
  }

  /// Deletes the words that are units, but not if the unit is the whole text.
  fileprivate mutating func deleteUnits() {
    var result: [UInt8] = []
    var rest = bytes[...]
    while let first = rest.first {
      let run = rest.prefix { $0.isWord == first.isWord }
      let isUnit = first.isWord && run.count < bytes.count && referenceUnits.contains { run.elementsEqual($0) }
      if !isUnit { result += run }
      rest = rest.dropFirst(run.count)
    }
    bytes = result
  }

  /// `25.0` and `25.` become 25, unless another digit follows.
  fileprivate mutating func dropZeroDecimals() {
    var result: [UInt8] = []
    var position = 0
    while position < bytes.count {
      if bytes[position] == UInt8(ascii: "."), position > 0, bytes[position - 1].isDigit {
        let end = bytes[(position + 1)...].firstIndex { $0 != UInt8(ascii: "0") } ?? bytes.count
        if end == bytes.count || !bytes[end].isDigit {
          position = end
          continue
        }
      }
      result.append(bytes[position])
      position += 1
    }
    bytes = result
  }

  /// `\sqrt23` becomes `\sqrt{23}`.
  fileprivate mutating func braceRoots() {
    rewriteTails(of: "\\sqrt") { tail in
      let name = tail.bytes.prefix { $0.isWord }
      return name.isEmpty ? tail.bytes : "{".bytes + name + "}".bytes + tail.bytes.dropFirst(name.count)
    }
  }
}

/// The reference's words for units, each also with an s.
private let referenceUnits: [[UInt8]] =
  ("a ab acre am apple are bc by c cc cm coin cube cubic d day decrease deg degree dm east excess feet ft g gain "
  + "gal gallon gm h hectare hour hr inch inches increase kg km kmh kmph l lb less liter litre loss lt m man mark "
  + "men meter metre mile min minute minw mm monkey month more mp mph mt mtr noon number o ohm per percent pie pm "
  + "prime profit pure ratio rd rise rounds rs rupee s sec second soldier sq square st t th tile toy unit way "
  + "west woman women yard year yr")
  .split(separator: " ").flatMap { [Array($0.utf8), Array($0.utf8) + "s".bytes] }

// MARK: Numbers in words

private let smallNumbers = [
  "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
  "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]
private let tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
private let scales = [("thousand", 1_000), ("million", 1_000_000), ("billion", 1_000_000_000)]

/// The integer that is written in the words of a text; other words are ignored ("three quarters" is 3). If the text is
/// digits only, the number without leading zeros. nil if no word is a number.
private func numberInWords(_ text: String) -> String? {
  if !text.isEmpty, text.utf8.allSatisfy(\.isDigit) {
    let digits = text.drop { $0 == "0" }
    return digits.isEmpty ? "0" : String(digits)
  }
  let words = text.lowercased().split { $0.isWhitespace || $0 == "-" }
  var total = 0
  var current = 0
  var hasNumber = false
  // No number has more words. More could overflow.
  for word in words.prefix(40) {
    if let small = smallNumbers.firstIndex(of: String(word)) {
      current += small
    } else if let ten = tens.firstIndex(of: String(word)) {
      current += 20 + 10 * ten
    } else if word == "hundred" {
      current = max(current, 1) * 100
    } else if let scale = scales.first(where: { $0.0 == word }) {
      total += max(current, 1) * scale.1
      current = 0
    } else {
      continue
    }
    hasNumber = true
    guard total < 1 << 50, current < 1 << 30 else { return nil }
  }
  return hasNumber ? "\(total + current)" : nil
}
