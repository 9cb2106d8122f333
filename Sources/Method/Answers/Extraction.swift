// Extraction: finds the final answer in a response.
//
// The answer is in the last `\boxed{...}` that is closed and says something (Boxes). Without such a box, it is the text
// after the last phrase that announces an answer ("the answer is", "Answer:", "答案是"), to the end of its sentence or
// line. Thinking is left out before (Thinking). An answer in a sentence, "The largest n is 34", is its value
// (Sentence). There is no third possibility: a response that states no answer has none; it does not vote and can never
// win. The reference takes the last number instead, or the empty string, and rewards responses that agree on having no
// answer.
//
// The time is a fixed number of passes over the UTF-8 bytes. The bytes to find (braces, backslash, space) are ASCII, so
// they are never part of another character.
//
// Not here: what the answer means (AnswerKey).

package import Base

/// The final answer in a response; nil if it states none.
/// - Parameters:
///   - response: decoded text. Special tokens in it, `<|...|>` or `</s>`, end an announced answer.
///   - kind: how answers to the question are read.
///   - startsInThinking: whether the prompt ended inside of thinking (``Thinking/isOpen(atEndOf:)``).
/// - Returns: the text in the box or after the phrase, trimmed, never without content (``hasContent(_:)``). For
///   `choice`, only the letter if there is one.
package func extractAnswer(from response: String, kind: AnswerKind, startsInThinking: Bool = false) -> String? {
  guard let spoken = Thinking.spokenPart(of: response, startsInThinking: startsInThinking) else { return nil }
  if kind == .code { return lastFencedBlock(in: spoken) }
  let text = Array(spoken.utf8)
  if let boxed = boxedAnswer(in: text, kind: kind) {
    switch kind {
    case .choice: return choiceLetter(in: boxed).map { String($0) } ?? boxed
    case .math, .number: return statedValue(in: boxed)
    case .string, .exact, .code: return boxed
    }
  }
  if kind == .choice { return announcedChoice(in: text) }
  return announcement(in: text).map { kind.isMathematical ? statedValue(in: $0) : $0 }
}

/// Whether an answer says anything. Empty braces, `\text{}`, spaces, marks such as `?`, a dash, and placeholders such
/// as `\ldots` do not: an answer of these alone is none. `\{\}` is the empty set, and `<` can be the answer to a
/// comparison.
package func hasContent(_ answer: String) -> Bool {
  let tokens = Lexer.tokens(of: answer)
  return tokens.contains { $0.isContent }
    || zip(tokens, tokens.dropFirst()).contains { $0.isCommand("{") && $1.isCommand("}") }
}

extension Token {
  fileprivate var isContent: Bool {
    switch kind {
    case .numeral, .letter, .word: true
    case .command(let name): !Self.emptyCommands.contains(name) && !name.contains(":")
    case .mark(let mark): mark.isASCII ? "<>=+".contains(mark) : !mark.isPunctuation && !"□■▢⬜".contains(mark)
    }
  }

  /// Commands that say nothing without an argument, and placeholders.
  private static let emptyCommands: Set<String> = [
    "frac", "sqrt", "binom", "choose", "over", "cdot", "ldots", "square", "Box", "blacksquare", "\\", "vert", "Vert",
    "overline", "bar", "widehat", "widetilde", "dot", "circ", "lfloor", "rfloor", "lceil", "rceil", "langle", "rangle",
    "{", "}", "'", "prime", "underbrace", "overbrace", "colon",
  ]
}

// MARK: Announcements

/// In lower case. They are searched for without regard to the case of ASCII letters.
private let announcements = [
  "answer is", "answer:", "answer：", "answer**:", "answer:**", "answer**：", "answers are", "answers:", "答案是", "答案为",
  "答案：", "答案:",
].map { Array($0.utf8) }

/// The text after the last announcement, to the end of its sentence or line.
private func announcement(in text: [UInt8]) -> String? {
  guard let start = announcementEnd(in: text) else { return nil }
  var range = skippingOrnaments(in: text, from: start)..<text.count
  range = range.lowerBound..<statementEnd(in: text, from: range.lowerBound)
  // A box that is not closed, or that is empty, is not an answer, even if it is announced.
  guard !holdsBox(Array(text[range])), let answer = trimmedText(text[range]), hasContent(answer) else { return nil }
  return answer
}

/// The index after the last announcement.
private func announcementEnd(in text: [UInt8]) -> Int? {
  let lowered = text.map { $0 >= 65 && $0 <= 90 ? $0 + 32 : $0 }
  return announcements.compactMap { phrase in
    lastOccurrence(of: phrase, in: lowered).map { $0 + phrase.count }
  }.max()
}

/// The index after the blanks, line ends, colons and bold marks before the answer.
private func skippingOrnaments(in text: [UInt8], from start: Int) -> Int {
  var position = start
  while position < text.count {
    if text[position].isBlank || ":*\n".utf8.contains(text[position]) {
      position += 1
    } else if text[position...].starts(with: "：".utf8) || text[position...].starts(with: "\u{3000}".utf8) {
      position += 3
    } else {
      break
    }
  }
  return position
}

/// The end of the statement that starts here. If it starts with a formula, the end of that, else of the sentence or
/// line.
private func statementEnd(in text: [UInt8], from start: Int) -> Int {
  if let end = formulaEnd(in: text, from: start), !isSubject(before: end, in: text) { return end }
  var position = start
  while position < text.count {
    if isSentenceEnd(in: text, at: position) { return position }
    position += 1
  }
  return text.count
}

/// Whether a formula that ends here only names what has the value: `$n$ is 34`.
private func isSubject(before end: Int, in text: [UInt8]) -> Bool {
  [" is ", " are ", " equals ", " = "].contains { text[end...].starts(with: $0.utf8) }
}

/// The index after the formula that starts here: `$...$`, `$$...$$`, `\(...\)` or `\[...\]`.
private func formulaEnd(in text: [UInt8], from start: Int) -> Int? {
  for (open, close) in [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")] {
    guard text[start...].starts(with: open.utf8) else { continue }
    let close = Array(close.utf8)
    var position = start + close.count
    while position + close.count <= text.count {
      if text[position...].starts(with: close) { return position + close.count }
      // An escaped character, such as the `\$` of a price, does not end the formula.
      position += text[position] == UInt8(ascii: "\\") ? 2 : 1
    }
  }
  return nil
}

private func isSentenceEnd(in text: [UInt8], at position: Int) -> Bool {
  let next = position + 1 < text.count ? text[position + 1] : UInt8(ascii: " ")
  switch text[position] {
  case UInt8(ascii: "\n"): return true
  case UInt8(ascii: "."), UInt8(ascii: "?"):
    return next.isBlank || next == UInt8(ascii: "\n") || "*<$\"')".utf8.contains(next)
  // A special token in the text ends the statement.
  case UInt8(ascii: "<"): return next == UInt8(ascii: "|") || text[position...].starts(with: "</s>".utf8)
  case 0xE3: return text[position...].starts(with: "。".utf8)
  default: return false
  }
}

// MARK: Choices

/// The letter after the last announcement, or a letter that is the only text of the last line.
private func announcedChoice(in text: [UInt8]) -> String? {
  if let start = announcementEnd(in: text), let letter = choiceLetter(in: statement(in: text, from: start)) {
    return String(letter)
  }
  let lastLine = text.split(separator: UInt8(ascii: "\n")).last { line in !line.allSatisfy { $0.isBlank } }
  guard let lastLine, lastLine.count <= 12 else { return nil }
  return choiceLetter(in: String(decoding: lastLine, as: UTF8.self)).map { String($0) }
}

private func statement(in text: [UInt8], from start: Int) -> String {
  let start = skippingOrnaments(in: text, from: start)
  let end = text[start...].firstIndex(of: UInt8(ascii: "\n")) ?? text.count
  return String(decoding: text[start..<end], as: UTF8.self)
}

/// The choice at the beginning of a statement, A to J: `C`, `(C)`, `**C**`, `\text{(C)} 12`, `C. Because ...`,
/// `option C`.
///
/// After a letter without brackets there must be the end, a mark, or a word such as "because". "A resonance form", "I'd
/// say" and "a" begin sentences and are not choices. A lower-case letter counts if it is in brackets or alone.
func choiceLetter(in statement: String) -> Character? {
  var tokens = Lexer.tokens(of: statement)[...]
  while let word = tokens.first?.lowercasedWord, ["option", "choice", "answer", "the", "is"].contains(word) {
    tokens = tokens.dropFirst()
  }
  while let first = tokens.first, first.isMark("*") || first.isMark(":") { tokens = tokens.dropFirst() }
  let isBracketed = tokens.first?.isMark("(") ?? false
  if isBracketed { tokens = tokens.dropFirst() }
  guard let name = tokens.first?.lowercasedWord, name.count == 1, let small = name.first, ("a"..."j").contains(small)
  else { return nil }
  let isCapital = tokens.first?.spelling(keepingCase: true) != name
  tokens = tokens.dropFirst()
  guard let next = tokens.first else { return isCapital || !isBracketed ? capital(small) : nil }
  if next.isMark(")") { return joinsAnother(tokens.dropFirst()) ? nil : capital(small) }
  if joinsAnother(tokens) { return nil }
  guard isCapital && !isBracketed else { return nil }
  switch next.kind {
  case .mark(let mark): return ".:,;*-".contains(mark) ? capital(small) : nil
  case .word(let word, _): return ["because", "since", "as"].contains(word.lowercased()) ? capital(small) : nil
  default: return nil
  }
}

/// Whether a second choice follows: `A and C`, `(A), (C)`, `B or D`. A statement with two choices states none.
private func joinsAnother(_ tokens: ArraySlice<Token>) -> Bool {
  var rest = tokens
  while let first = rest.first, first.isMark(",") || first.isMark("&") || first.isConjunction {
    rest = rest.dropFirst()
  }
  guard rest.count < tokens.count, let first = rest.first else { return false }
  let letter = first.isMark("(") ? rest.dropFirst().first : first
  let isLast = rest.count <= (first.isMark("(") ? 3 : 1)
  return letter?.spelling(keepingCase: true)?.count == 1 && (isLast || first.isMark("("))
}

private func capital(_ letter: Character) -> Character { letter.uppercased().first ?? letter }

extension Token {
  /// The word or letter of the token, in lower case.
  fileprivate var lowercasedWord: String? { spelling(keepingCase: true)?.lowercased() }

  fileprivate var isConjunction: Bool { lowercasedWord == "and" || lowercasedWord == "or" }

  fileprivate func spelling(keepingCase: Bool) -> String? {
    switch kind {
    case .letter(let name), .word(let name, _): keepingCase ? name : name.lowercased()
    default: nil
    }
  }
}

// MARK: Bytes

extension UInt8 {
  /// A space, a tab or a carriage return.
  var isBlank: Bool { self == 32 || self == 9 || self == 13 }
  var isLetter: Bool { (self | 32) >= 97 && (self | 32) <= 122 }
}

private func lastOccurrence(of pattern: [UInt8], in text: [UInt8]) -> Int? {
  var start = text.count - pattern.count
  while start >= 0 {
    if text[start] == pattern[0], text[start...].starts(with: pattern) { return start }
    start -= 1
  }
  return nil
}

/// The text of `bytes` without white space around it; nil if nothing is left.
func trimmedText(_ bytes: ArraySlice<UInt8>) -> String? {
  var bytes = bytes
  while let first = bytes.first, first.isSpace { bytes = bytes.dropFirst() }
  while let last = bytes.last, last.isSpace { bytes = bytes.dropLast() }
  return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
}
