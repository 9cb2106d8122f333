// ReferenceExtraction: where the reference's release of May 2025 finds the answer in a response.
//
// It reproduces that code's behaviour, defects included, so that `--recipe ttrl-reference` can be compared with it;
// nobody should use it for anything else. The defects are those of docs/algorithm.md: it never says that there is no
// answer, but takes the last number of the text, or the empty string (D2); an announced answer reaches to the end of
// the text, special tokens included (D3); the article "a" is choice A (D7). Written from a description of the
// behaviour (E1 to E9, in the order in which they are tried), not from the code.

/// The answer that the reference reads in a response: its normal form, perhaps empty, never nil.
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

/// The letter that the reference reads in a response to a choice: the last of A to D that stands alone anywhere in the
/// text, in upper or lower case; without one, the whole text.
func referenceChoice(in response: String) -> String {
  var text = ReferenceText(response)
  while let last = text.bytes.last, "./ :".utf8.contains(last) { text.bytes.removeLast() }
  while let first = text.bytes.first, "./ :".utf8.contains(first) { text.bytes.removeFirst() }
  let words = text.bytes.split { !$0.isWord }
  let letter = words.last { $0.count == 1 && (UInt8(ascii: "a")...UInt8(ascii: "d")).contains($0[$0.startIndex] | 32) }
  return letter.map { String(decoding: $0, as: UTF8.self).uppercased() } ?? text.string
}

private func unnormalizedAnswer(in text: ReferenceText) -> ReferenceText {
  // E2: the shape of one prompt format of Minerva.
  let (open, close) = ("final answer is $", "$. I hope")
  if text.contains(open), text.contains(close) {
    return text.split(at: open)[1].split(at: close)[0].trimmed
  }
  // E3: "boxed" anywhere, whatever command it belongs to.
  if text.contains("boxed") {
    let tail = text.split(at: "boxed").last ?? text
    return tail.starts(with: "{") ? tail.braced : tail.split(at: "$")[0].trimmed
  }
  // E4, E5: to the end of the text, not of the sentence.
  for phrase in ["he answer is", "final answer is"] where text.contains(phrase) {
    return (text.split(at: phrase).last ?? text).trimmed
  }
  // E6
  if text.contains("答案是") { return text.split(at: "答案是")[1].trimmed.split(at: "\n\n")[0].trimmed }
  return text.lastNumber
}

extension ReferenceText {
  /// Of a text that opens with a brace: what stands in it; everything, if it is never closed.
  fileprivate var braced: ReferenceText {
    var depth = 0
    for (index, byte) in bytes.enumerated() {
      if byte == UInt8(ascii: "{") { depth += 1 }
      if byte == UInt8(ascii: "}") { depth -= 1 }
      if depth == 0 { return ReferenceText(bytes[1..<index]) }
    }
    return ReferenceText(bytes.dropFirst())
  }

  /// E7: the last number, commas left out: 3 of "1.5e3"; empty where there is none.
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

  /// E8: line ends go, with the blanks behind them.
  fileprivate mutating func deleteLineEnds() {
    var isAfterLineEnd = false
    bytes.removeAll { byte in
      isAfterLineEnd = byte == UInt8(ascii: "\n") || isAfterLineEnd && byte.isSpace
      return isAfterLineEnd
    }
  }
}

/// The end of the number that begins here: a minus, digits, a point and digits, all but the last digits optional.
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
