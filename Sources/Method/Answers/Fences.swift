// Fences: the program in a response: its last fenced block, as Markdown writes it.
//
// A fence is a line that begins with three backticks; behind those of the opening one can be the name of a language. A
// block that the end of the response cuts off is not one. Not here: whether a program is right (a reward command).

import Base

private let fence = "```"

/// The text of the last block that is closed and has content; nil if there is none.
func lastFencedBlock(in text: Substring) -> String? {
  var (found, block): (String?, [Substring]?) = (nil, nil)
  for line in lines(of: text) {
    guard block != nil else {
      if trimmedText(line).hasPrefix(fence) { block = [] }
      continue
    }
    guard trimmedText(line) == fence else {
      block?.append(line)
      continue
    }
    let code = (block ?? []).joined(separator: "\n")
    if !trimmedText(code).isEmpty { found = code }
    block = nil
  }
  return found
}

/// A program without white space at its ends and at the ends of its lines.
func codeForm(_ code: String) -> String {
  trimmedText(lines(of: code).map { trimmedText($0, atStart: false) }.joined(separator: "\n"))
}

/// A carriage return with a line feed is one character.
private func lines(of text: some StringProtocol) -> [Substring] {
  Substring(text).split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
}

/// The text without white space at its ends. A mark that combines with a space stays: it belongs to the text.
func trimmedText(_ text: some StringProtocol, atStart: Bool = true) -> String {
  var scalars = Substring(text).unicodeScalars
  while atStart, scalars.first?.properties.isWhitespace == true { scalars.removeFirst() }
  while scalars.last?.properties.isWhitespace == true { scalars.removeLast() }
  return String(scalars)
}
