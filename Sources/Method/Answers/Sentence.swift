// Sentence: the value that a sentence states: the 34 of "The largest $n$ is 34."
//
// Only a plain statement is taken apart: it begins like one ("The", "There", "So"), has one verb, which is "is", "are"
// or "equals", and behind it stands a value and not a word. Anything else ("n is even", "the larger is 5 and the
// smaller is 3", "the answer is not 5") stays as it is, because a part of it would say something else.

/// The value that an answer states, if the answer is a sentence; else the answer.
func statedValue(in answer: String) -> String {
  guard let text = trimmedText(Array(answer.utf8)[...]).map({ Array($0.utf8) }) else { return answer }
  // Longer sentences are explanations.
  guard text.count <= 400, let verb = onlyVerb(in: text), isSubject(text[..<verb.lowerBound]) else { return answer }
  var value = text[verb.upperBound...]
  for phrase in [" equal to", " equal"] where value.starts(with: phrase.utf8) {
    value = value.dropFirst(phrase.utf8.count)
    break
  }
  guard let stated = trimmedText(balanced(value)), beginsWithValue(stated), hasContent(stated) else { return answer }
  return stated
}

private let verbs: Set<String> = ["is", "are", "equals", "was", "were"]

/// Words that make a second statement of a sentence.
private let otherVerbs: Set<String> = [
  "has", "have", "had", "gets", "get", "makes", "make", "costs", "takes", "needs", "gives", "means", "not", "if",
  "when",
  "because", "since", "but", "while", "whereas",
]

/// The range of the only verb; nil if there is none or more than one.
private func onlyVerb(in text: [UInt8]) -> Range<Int>? {
  var found: Range<Int>?
  for range in words(in: text) {
    let word = lowercased(text[range])
    if otherVerbs.contains(word) { return nil }
    guard verbs.contains(word) else { continue }
    guard found == nil else { return nil }
    found = range
  }
  return found
}

/// The words of letters that are no commands.
private func words(in text: [UInt8]) -> [Range<Int>] {
  var words: [Range<Int>] = []
  var position = 0
  while position < text.count {
    guard text[position].isLetter else {
      position += 1
      continue
    }
    let end = text[position...].firstIndex { !$0.isLetter } ?? text.count
    if position == 0 || text[position - 1] != UInt8(ascii: "\\") { words.append(position..<end) }
    position = end
  }
  return words
}

private func lowercased(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self).lowercased() }

private let firstWords: Set<String> = ["the", "there", "so", "thus", "hence", "therefore", "our", "its", "it", "this"]

/// Whether it is the subject of one statement: it begins like one, or is a formula, and has no comma and no `=`.
private func isSubject(_ text: ArraySlice<UInt8>) -> Bool {
  guard !text.contains(where: { ",;=<>\n".utf8.contains($0) }) else { return false }
  let subject = Array(text)
  if let first = words(in: subject).first, firstWords.contains(lowercased(subject[first])) {
    // Only the beginning of `\text{` or a bold mark can stand before it.
    return subject[..<first.lowerBound].allSatisfy { " {*$".utf8.contains($0) }
      || startsProse(subject, first.lowerBound)
  }
  return subject.first == UInt8(ascii: "$") && subject.count(where: { $0 == UInt8(ascii: "$") }) == 2
    && trimmedText(subject[...])?.hasSuffix("$") == true
}

/// Whether what stands before `end` is the beginning of a command for prose: `\text{`.
private func startsProse(_ text: [UInt8], _ end: Int) -> Bool {
  guard let start = trimmedText(text[..<end]), start.hasPrefix("\\"), start.hasSuffix("{") else { return false }
  return Lexer.prose.contains(String(start.dropFirst().dropLast()).filter { $0 != " " })
}

/// Whether it begins like a number or a formula, and not with a word.
private func beginsWithValue(_ value: String) -> Bool {
  let start = value.drop { " $*({:".contains($0) }
  guard let first = start.first else { return false }
  if first == "\\" {
    let name = start.dropFirst().prefix { $0.isASCII && $0.isLetter }
    return !Lexer.prose.contains(String(name))
  }
  if first.isASCII && first.isLetter { return start.dropFirst().first.map { !$0.isLetter && $0 != "'" } ?? true }
  return first.isNumber || "-+.−±√π€£".contains(first)
}

/// The text without closing braces that nothing opened, and without a `$` that has no partner.
private func balanced(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
  var result: [UInt8] = []
  var depth = 0
  var previous: UInt8 = 0
  let hasStrayDollar = text.count(where: { $0 == UInt8(ascii: "$") }) % 2 == 1
  for byte in text {
    let isEscaped = previous == UInt8(ascii: "\\")
    previous = isEscaped ? 0 : byte
    if !isEscaped, byte == UInt8(ascii: "{") { depth += 1 }
    if !isEscaped, byte == UInt8(ascii: "}") {
      guard depth > 0 else { continue }
      depth -= 1
    }
    if !isEscaped, hasStrayDollar, byte == UInt8(ascii: "$") { continue }
    result.append(byte)
  }
  return result[...]
}
