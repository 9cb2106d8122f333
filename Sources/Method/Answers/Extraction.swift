// Extraction: finds the final answer in a response.
//
// The answer is in the last `\boxed{...}` that is closed and not empty. Without such a box, it is the text after the
// last phrase that announces an answer ("the answer is", "Answer:", "答案是"), to the end of its sentence or line.
// There is no third possibility: a response that states no answer has none; it does not vote and can never win. The
// reference takes the last number instead, or the empty string, and rewards responses that agree on having no answer.
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
/// - Returns: the text in the box or after the phrase, trimmed, never empty. For `choice`, only the letter if there is
///   one.
package func extractAnswer(from response: String, kind: AnswerKind) -> String? {
  let text = Array(response.utf8)
  if let boxed = lastBox(in: text) {
    guard kind == .choice, let letter = choiceLetter(in: boxed) else { return boxed }
    return String(letter)
  }
  if kind == .choice { return announcedChoice(in: text) }
  return announcement(in: text)
}

// MARK: Boxes

/// The content of the last box that is closed and not empty. The last box is the one that opens last.
///
/// One pass with a stack of the open braces, so that a text of many `\boxed{` does not take quadratic time.
private func lastBox(in text: [UInt8]) -> String? {
  var open: [(start: Int, isBox: Bool)] = []
  var best: (start: Int, content: ArraySlice<UInt8>?)?
  var position = 0
  while position < text.count {
    switch text[position] {
    case UInt8(ascii: "{"): open.append((position, false))
    case UInt8(ascii: "}"):
      if let brace = open.popLast(), brace.isBox, brace.start > best?.start ?? -1,
        case let content = text[(brace.start + 1)..<position], content.contains(where: { !$0.isSpace })
      {
        best = (brace.start, content)
      }
    case UInt8(ascii: "\\"):
      if let argument = boxArgument(in: text, commandAt: position) {
        position = argument
        if text[argument] == UInt8(ascii: "{") {
          open.append((argument, true))
        } else if !"$}\n".utf8.contains(text[argument]) {
          // The end of the word is searched only for the last box. Searching it for each would take quadratic time.
          best = (argument, nil)
          continue
        }
      } else if !text[(position + 1)...].starts(with: boxCommand) {
        // An escaped brace is not a brace. (After `\\`, a line break, a box can follow.)
        position += 1
      }
    default: break
    }
    position += 1
  }
  guard let best else { return nil }
  return nonEmpty(best.content ?? text[best.start..<wordEnd(in: text, from: best.start)])
}

private let boxCommand = Array("\\boxed".utf8)

/// Where the argument of the `\boxed` at `start` begins; nil if there is no such command, or if nothing follows it.
private func boxArgument(in text: [UInt8], commandAt start: Int) -> Int? {
  guard text[start...].starts(with: boxCommand) else { return nil }
  let end = start + boxCommand.count
  guard end < text.count, !text[end].isLetter else { return nil }
  return text[end...].firstIndex { !$0.isBlank }
}

/// The end of an argument without braces of its own, as in `\boxed\frac{1}{2}` and `\boxed 7.` It can contain braces.
private func wordEnd(in text: [UInt8], from start: Int) -> Int {
  var position = start
  var depth = 0
  while position < text.count {
    let byte = text[position]
    if byte == UInt8(ascii: "{") { depth += 1 }
    if byte == UInt8(ascii: "}") { depth -= 1 }
    if depth < 0 || byte == UInt8(ascii: "$") || byte == UInt8(ascii: "\n") || (depth == 0 && byte.isBlank) { break }
    position += 1
  }
  return position
}

// MARK: Announcements

/// In lower case. They are searched for without regard to the case of ASCII letters.
private let announcements = ["answer is", "answer:", "answer**:", "answer:**", "answers are", "答案是", "答案为", "答案："]
  .map { Array($0.utf8) }

/// The text after the last announcement, to the end of its sentence or line.
private func announcement(in text: [UInt8]) -> String? {
  guard let start = announcementEnd(in: text) else { return nil }
  var range = skippingOrnaments(in: text, from: start)..<text.count
  range = range.lowerBound..<statementEnd(in: text, from: range.lowerBound)
  // A box that is not closed, or that is empty, is not an answer, even if it is announced.
  guard lastOccurrence(of: boxCommand, in: Array(text[range])) == nil else { return nil }
  return nonEmpty(text[range])
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
  while position < text.count, text[position].isBlank || " :*\n\r".utf8.contains(text[position]) { position += 1 }
  return position
}

/// The end of the statement that starts here. If it starts with a formula, the end of that, else of the sentence or
/// line.
private func statementEnd(in text: [UInt8], from start: Int) -> Int {
  if let end = formulaEnd(in: text, from: start) { return end }
  var position = start
  while position < text.count {
    if isSentenceEnd(in: text, at: position) { return position }
    position += 1
  }
  return text.count
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
  fileprivate var isBlank: Bool { self == 32 || self == 9 || self == 13 }
  fileprivate var isLetter: Bool { (self | 32) >= 97 && (self | 32) <= 122 }
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
private func nonEmpty(_ bytes: ArraySlice<UInt8>) -> String? {
  var bytes = bytes
  while let first = bytes.first, first.isSpace { bytes = bytes.dropFirst() }
  while let last = bytes.last, last.isSpace { bytes = bytes.dropLast() }
  return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
}
