// ReferenceExtraction: where the reference's release of May 2025 finds the answer in a response.
//
// It reproduces that code's behaviour, defects included, so that runs with `--recipe ttrl-reference` can be compared
// with it. Do not use it for anything else. The defects are those of docs/algorithm.md: it never reports that there is
// no answer, but takes the last number of the text, or the empty string (D2); an announced answer extends to the end of
// the text, special tokens included (D3); the article "a" is choice A (D7). It was written from a description of the
// behaviour, not from the code. The rules are in the order in which they are tried.

/// The answer that the reference finds in a response, in its normal form. It can be empty, but there always is one.
func referenceAnswer(in response: String) -> String {
  var text = ReferenceText(response)
  text.delete("ки")
  var answer = unnormalizedAnswer(in: text)
  answer.deleteLineEnds()
  answer.dropFirst(":")
  answer.dropLast(".")
  answer.dropLast("/")
  return referenceNormalForm(answer)
}

/// The letter that the reference finds in a response to a choice: the last of A to D that is a word of its own anywhere
/// in the text, in upper or lower case. Without one, the whole text.
func referenceChoice(in response: String) -> String {
  var text = ReferenceText(response)
  while let last = text.bytes.last, "./ :".utf8.contains(last) { text.bytes.removeLast() }
  while let first = text.bytes.first, "./ :".utf8.contains(first) { text.bytes.removeFirst() }
  let words = text.bytes.split { !$0.isWord }
  let letter = words.last { $0.count == 1 && (UInt8(ascii: "a")...UInt8(ascii: "d")).contains($0[$0.startIndex] | 32) }
  return letter.map { String(decoding: $0, as: UTF8.self).uppercased() } ?? text.string
}

private func unnormalizedAnswer(in text: ReferenceText) -> ReferenceText {
  // The form of one prompt format of Minerva.
  let (open, close) = ("final answer is $", "$. I hope")
  if text.contains(open), text.contains(close) {
    return text.split(at: open)[1].split(at: close)[0].trimmed
  }
  // "boxed" anywhere, in any command.
  if text.contains("boxed") {
    let tail = text.split(at: "boxed").last ?? text
    return tail.starts(with: "{") ? tail.braced : tail.split(at: "$")[0].trimmed
  }
  // To the end of the text, not of the sentence.
  for phrase in ["he answer is", "final answer is"] where text.contains(phrase) {
    return (text.split(at: phrase).last ?? text).trimmed
  }
  if text.contains("答案是") { return text.split(at: "答案是")[1].trimmed.split(at: "\n\n")[0].trimmed }
  return text.lastNumber
}

extension ReferenceText {
  /// The content of the brace with which the text begins; everything after the brace if it is never closed.
  fileprivate var braced: ReferenceText {
    var depth = 0
    for (index, byte) in bytes.enumerated() {
      if byte == UInt8(ascii: "{") { depth += 1 }
      if byte == UInt8(ascii: "}") { depth -= 1 }
      if depth == 0 { return ReferenceText(bytes[1..<index]) }
    }
    return ReferenceText(bytes.dropFirst())
  }

  /// The last number, without commas: 3 of "1.5e3". Empty if there is none.
  fileprivate var lastNumber: ReferenceText {
    let digits = bytes.filter { $0 != UInt8(ascii: ",") }
    var last = 0..<0
    var position = 0
    while position < digits.count {
      if let end = numberEnd(in: digits, from: position) {
        last = position..<end
        position = end
      } else {
        position += 1
      }
    }
    return ReferenceText(digits[last])
  }

  /// Deletes line ends, and the white space after them.
  fileprivate mutating func deleteLineEnds() {
    var isAfterLineEnd = false
    bytes.removeAll { byte in
      isAfterLineEnd = byte == UInt8(ascii: "\n") || isAfterLineEnd && byte.isSpace
      return isAfterLineEnd
    }
  }
}

/// The end of the number that begins here: a minus, digits, a point and digits. All but the last digits are optional.
private func numberEnd(in text: [UInt8], from start: Int) -> Int? {
  func digitsEnd(_ from: Int) -> Int { text[from...].firstIndex { !$0.isDigit } ?? text.count }
  let first = start + (text[start] == UInt8(ascii: "-") ? 1 : 0)
  guard first < text.count else { return nil }
  let whole = digitsEnd(first)
  if whole < text.count, text[whole] == UInt8(ascii: "."), digitsEnd(whole + 1) > whole + 1 {
    return digitsEnd(whole + 1)
  }
  return whole > first ? whole : nil
}
