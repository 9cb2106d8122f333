// Boxes: the answer that stands in `\boxed{...}`, and in its relatives `\fbox` and `\framebox`.
//
// The answer is in the last box that is closed and has content. Boxes of one sentence that only a comma, "and" or "or"
// joins are one answer: `x = \boxed{1} or x = \boxed{-2}` states both values. With any other word between them (`first
// \boxed{3}, then \boxed{5}`), or with a full stop, the last box is the answer.
//
// The time is one pass over the bytes, and for the contents a bounded number of bytes more.

import Base

/// The text in the last box or boxes that are closed and have content, trimmed; nil if there is none.
func boxedAnswer(in text: [UInt8], kind: AnswerKind) -> String? {
  let boxes = boxes(in: text)
  // Only boxes in boxes that are all empty need more than this.
  var bytesLeft = 4 * text.count + 4_096
  for index in boxes.indices.reversed() {
    let content = content(of: boxes[index], in: text)
    bytesLeft -= content.count
    guard bytesLeft >= 0 else { return nil }
    guard let answer = trimmedText(content), hasContent(answer) else { continue }
    return joined(boxes[...index], lastAnswer: answer, in: text, kind: kind)
  }
  return nil
}

/// Whether the text has a command that makes a box.
func holdsBox(_ text: [UInt8]) -> Bool {
  text.indices.contains { text[$0] == UInt8(ascii: "\\") && boxCommand(in: text, at: $0) != nil }
}

// MARK: Finding boxes

private struct Box {
  /// Where its command begins.
  var command: Int
  /// Where its content begins.
  var start: Int
  /// Where its content ends. nil if it has no braces: then it is a word, whose end is searched only when it is needed.
  /// Searching it for each box would take quadratic time.
  var end: Int?
}

/// The boxes that are closed, in the order in which they open.
///
/// One pass with a stack of the open braces, so that a text of many `\boxed{` does not take quadratic time.
private func boxes(in text: [UInt8]) -> [Box] {
  var boxes: [(box: Box, isClosed: Bool)] = []
  // The number of the box that a brace opens; nil for other braces.
  var open: [Int?] = []
  var position = 0
  while position < text.count {
    switch text[position] {
    case UInt8(ascii: "{"): open.append(nil)
    case UInt8(ascii: "}"):
      if case .some(.some(let index)) = open.popLast() {
        boxes[index].box.end = position
        boxes[index].isClosed = true
      }
    case UInt8(ascii: "\\"):
      let command = position
      if let length = boxCommand(in: text, at: command), let argument = argument(in: text, after: command + length) {
        position = argument
        if text[argument] == UInt8(ascii: "{") {
          open.append(boxes.count)
          boxes.append((Box(command: command, start: argument + 1), false))
        } else if !"$}\n".utf8.contains(text[argument]) {
          boxes.append((Box(command: command, start: argument), true))
          continue
        }
      } else if boxCommand(in: text, at: position + 1) == nil {
        // An escaped brace is not a brace. (After `\\`, a line break, a box can follow.)
        position += 1
      }
    default: break
    }
    position += 1
  }
  return boxes.filter { $0.isClosed }.map { $0.box }
}

private let boxCommands = ["\\boxed", "\\fbox", "\\framebox"].map { Array($0.utf8) }

/// The length of the command for a box that begins there; nil if there is none.
private func boxCommand(in text: [UInt8], at start: Int) -> Int? {
  guard start < text.count, text[start] == UInt8(ascii: "\\"),
    let command = boxCommands.first(where: { text[start...].starts(with: $0) })
  else { return nil }
  let end = start + command.count
  return end < text.count && text[end].isLetter ? nil : command.count
}

/// Where the argument of a command begins; nil if nothing follows it. Only braces can be on the next line.
private func argument(in text: [UInt8], after end: Int) -> Int? {
  guard let next = text[end...].firstIndex(where: { !$0.isBlank }) else { return nil }
  guard text[next] == UInt8(ascii: "\n"), let first = text[next...].firstIndex(where: { !$0.isSpace }) else {
    return next
  }
  return text[first] == UInt8(ascii: "{") ? first : next
}

private func content(of box: Box, in text: [UInt8]) -> ArraySlice<UInt8> {
  text[box.start..<(box.end ?? wordEnd(in: text, from: box.start))]
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

// MARK: Boxes of one sentence

/// More boxes than a sentence has.
private let joinedBoxesMax = 16
/// The longest text between two boxes that can join them, in bytes.
private let joinBytesMax = 64

/// The answer in the last of `boxes`, together with the boxes before it that are joined to it.
private func joined(_ boxes: ArraySlice<Box>, lastAnswer: String, in text: [UInt8], kind: AnswerKind) -> String {
  var answers = [lastAnswer]
  var names: [String?] = []
  var isAlternative = false
  guard var first = boxes.last else { return lastAnswer }
  for box in boxes.dropLast().reversed() where answers.count < joinedBoxesMax {
    guard let end = box.end, end < first.command, first.command - end <= joinBytesMax,
      let join = join(in: text[(end + 1)..<first.command]),
      let answer = trimmedText(content(of: box, in: text)), hasContent(answer)
    else { break }
    answers.append(answer)
    names.append(join.name)
    isAlternative = isAlternative || join.isAlternative
    first = box
  }
  guard answers.count > 1 else { return lastAnswer }
  let before = text[max(0, first.command - joinBytesMax)..<first.command]
  names.append(name(before: tokens(of: before)[...]))
  if !names.contains(nil) { answers = zip(names, answers).map { ($0 ?? "") + " = " + $1 } }
  // Both as a set: a value that is stated twice is one value.
  var distinct: [(key: AnswerKey, text: String)] = []
  for answer in answers.reversed() {
    let key = answerKey(answer, kind: kind)
    if !distinct.contains(where: { $0.key == key }) { distinct.append((key, answer)) }
  }
  if distinct.count == 1 { return lastAnswer }
  return distinct.map { $0.text }.joined(separator: isAlternative ? " \\text{ or } " : ", ")
}

/// What stands between two boxes, if it only joins them: whether it is "or", and the `y` of `\boxed{1}, y = \boxed{2}`.
private func join(in text: ArraySlice<UInt8>) -> (isAlternative: Bool, name: String?)? {
  // An empty line ends a sentence.
  guard !zip(text, text.dropFirst()).contains(where: { $0 == 10 && $1 == 10 }) else { return nil }
  var rest = tokens(of: text)[...]
  let name = name(before: rest)
  if name != nil, let start = rest.lastIndex(where: { $0.symbolName != nil }) { rest = rest[..<start] }
  var isJoined = false
  var isAlternative = false
  for token in rest {
    switch token.kind {
    case .mark(let mark) where ",;&".contains(mark): isJoined = true
    case .mark(let mark) where "*^".contains(mark): break
    case .command("vee"): (isJoined, isAlternative) = (true, true)
    case .command("wedge"): isJoined = true
    case .word(let word, _) where ["or", "或", "或者"].contains(word.lowercased()):
      (isJoined, isAlternative) = (true, true)
    case .word(let word, _) where ["and", "和", "与", "及", "以及"].contains(word.lowercased()): isJoined = true
    default: return nil
    }
  }
  return isJoined ? (isAlternative, name) : nil
}

private func tokens(of text: ArraySlice<UInt8>) -> [Token] {
  var lexer = Lexer(text: normalized(String(decoding: text, as: UTF8.self)))
  lexer.run()
  return lexer.tokens
}

/// The name in `x =` or `x_1 =` at the end of the text before a box.
private func name(before tokens: ArraySlice<Token>) -> String? {
  guard tokens.last?.isMark("=") == true else { return nil }
  var rest = tokens.dropLast()
  if rest.last?.isMark("}") == true {
    rest = rest[..<(rest.lastIndex { $0.isMark("{") } ?? rest.startIndex)]
    if rest.last?.isMark("_") == true { rest = rest.dropLast() }
  } else if rest.dropLast().last?.isMark("_") == true {
    rest = rest.dropLast(2)
  }
  return rest.last?.symbolName
}

extension Token {
  /// The spelling of a letter that can be a name.
  fileprivate var symbolName: String? {
    if case .letter = kind { spelling } else { nil }
  }
}
