// Thinking: the part of a response in which a model thinks aloud before it answers.
//
// Models of this kind write their thoughts between two marks. What they try there is not their answer, so the answer is
// searched for only behind the last end mark. A response whose thinking does not end has no answer: it was cut off, or
// the model never came to an end. The opening mark is often a part of the prompt (the template's tail is `<think>`), so
// a response can be in its thinking from the first token on; who calls says so.
//
// Not here: how the prompt is made, and counting responses that were cut off inside of thinking.

package enum Thinking {
  /// The marks of known models: what opens thinking, and what ends it.
  private static let marks: [(open: String, end: String)] = [
    ("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"), ("<seed:think>", "</seed:think>"), ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"), ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
  ]

  /// The marks of both kinds. In some vocabularies they are special tokens.
  package static let markTexts = marks.flatMap { [$0.open, $0.end] }

  /// Whether a prompt ends inside of thinking: its last text is an opening mark. (A prompt that ends in `<think>` and
  /// `</think>`, as for a model that shall not think, does not.)
  package static func isOpen(atEndOf prompt: String) -> Bool {
    var text = Array(prompt.utf8)[...]
    while let last = text.last, last.isSpace { text = text.dropLast() }
    return marks.contains { text.suffix($0.open.utf8.count).elementsEqual($0.open.utf8) }
  }

  /// What a response says behind its thinking: all of it if there is none.
  /// - Parameters:
  ///   - response: as text, with the marks.
  ///   - startsInThinking: whether the prompt ended inside of thinking.
  /// - Returns: nil if the thinking does not end, so that the response says nothing.
  package static func spokenPart(of response: String, startsInThinking: Bool) -> Substring? {
    let text = Array(response.utf8)
    var start: Int?
    for mark in marks { start = max(start, lastEnd(of: Array(mark.end.utf8), in: text)) }
    if start == nil && startsInThinking { return nil }
    let spoken = text[(start ?? 0)...]
    guard !marks.contains(where: { lastEnd(of: Array($0.open.utf8), in: Array(spoken)) != nil }) else { return nil }
    return response[response.utf8.index(response.startIndex, offsetBy: start ?? 0)...]
  }

  private static func max(_ left: Int?, _ right: Int?) -> Int? {
    guard let left, let right else { return left ?? right }
    return left > right ? left : right
  }

  /// The index after the last occurrence of a mark.
  private static func lastEnd(of mark: [UInt8], in text: [UInt8]) -> Int? {
    var start = text.count - mark.count
    while start >= 0 {
      if text[start] == mark[0], text[start...].starts(with: mark) { return start + mark.count }
      start -= 1
    }
    return nil
  }
}
