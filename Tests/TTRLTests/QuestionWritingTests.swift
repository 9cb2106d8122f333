// Questions that a model writes: what is asked, what is read from a response, what is kept.

import Records
import TTRL
import Testing

@Suite struct QuestionWritingTests {
  private func question(_ number: Int, selfMade: Bool = false) -> Question {
    Question(
      id: "\(number)", prompt: "What is \(number) plus \(number * 7)?", source: selfMade ? QuestionWriting.source : nil)
  }

  private func fates(_ texts: [String], _ change: (inout QuestionWriting) -> Void = { _ in }) -> [QuestionWriting.Fate]
  {
    var writing = QuestionWriting()
    change(&writing)
    let set = [Question(id: "a", prompt: "How many legs do three spiders and two dogs have together?")]
    return writing.fates(of: texts.map { ($0, false) }, besides: set)
  }

  // MARK: Asking

  @Test func `each prompt shows different questions of the set, at most two of them self-made`() {
    let set = (0..<40).map { question($0, selfMade: $0 >= 10) }
    var writing = QuestionWriting()
    writing.count = 30
    let prompts = writing.prompts(from: set, seed: 5)
    #expect(prompts.count == 30 && Set(prompts.map(\.prompt)).count == 30 && Set(prompts.map(\.id)).count == 30)
    for prompt in prompts {
      let shown = set.filter { prompt.prompt.contains("\($0.prompt)") }
      #expect(shown.count == 8 && shown.count { $0.source == QuestionWriting.source } <= 2)
      #expect(prompt.prompt.hasSuffix("\n9."))
    }
    #expect(writing.prompts(from: set, seed: 5) == prompts)
    #expect(writing.prompts(from: set, seed: 6) != prompts)
  }

  @Test func `a set with fewer questions than examples shows them all`() {
    let prompt = QuestionWriting().prompts(from: [question(1), question(2)], seed: 0)[0].prompt
    #expect(prompt.contains("Here are 2 questions") && prompt.hasSuffix("\n3."))
  }

  // MARK: Reading

  @Test(arguments: [
    ("What is 2 + 3?", "What is 2 + 3?"), ("9. What is 2 + 3?\n10. What?", "What is 2 + 3?"),
    ("\n  \"What is 2 + 3?\"\n", "What is 2 + 3?"), ("**Question:** x", "x"), ("Question: What is 7?", "What is 7?"),
    ("3.5 litres are how many millilitres?", "3.5 litres are how many millilitres?"), ("--\n…\nSo what?", "So what?"),
    ("9) Is 1234. a number?", "Is 1234. a number?"), ("- item one is this", "item one is this"),
  ]) func `a response's question is its first line with words`(_ response: String, _ expected: String) {
    #expect(QuestionWriting.question(in: response, startsInThinking: false) == expected)
  }

  @Test func `a response without words, or that never ends its thinking, has no question`() {
    #expect(QuestionWriting.question(in: "?!\n\n", startsInThinking: false) == nil)
    #expect(QuestionWriting.question(in: "I think of", startsInThinking: true) == nil)
    #expect(QuestionWriting.question(in: "I think</think>\nHow far?", startsInThinking: true) == "How far?")
  }

  // MARK: Keeping

  @Test func `each filter refuses what it is for`() {
    let texts = [
      "A train goes 60 km in 45 minutes; how far in two hours?", "Too short now?", ", how many apples has he got left?",
      "Which graph shows the function of x squared?", "Please write a program that adds up numbers.",
      "How many legs do four spiders and two dogs have together?", "Photographs of how many people are there?",
      String(repeating: "word ", count: 151),
    ]
    #expect(
      fates(texts) == [.kept, .tooShort, .punctuation, .banned, .banned, .like, .kept, .tooLong])
    #expect(fates(["Which graph shows x squared?"]) { $0.banned = [] } == [.kept])
  }

  @Test func `a question that another one contains is not new`() {
    #expect(fates(["How many legs together?", "How many legs altogether now?"]) == [.like, .kept])
  }

  @Test func `a kept question counts among the others, and enough are enough`() {
    let text = "A train goes 60 km in 45 minutes; how far in two hours?"
    #expect(
      fates([text, text, "How old will Ann be in nine years from now?", "Where is the treasure, Jim lad?"]) {
        $0.count = 2
      } == [.kept, .like, .kept, .unneeded])
  }

  @Test func `what was cut off is no question`() {
    let fates = QuestionWriting().fates(
      of: [("A train goes 60 km in 45 minutes; how far", true), (nil, false)], besides: [])
    #expect(fates == [.cutOff, .noQuestion])
  }

  // MARK: Likeness

  /// The longest common subsequence, by trying all.
  private func longest(_ left: ArraySlice<String>, _ right: ArraySlice<String>) -> Int {
    guard let first = left.first, !right.isEmpty else { return 0 }
    let without = longest(left.dropFirst(), right)
    guard let place = right.firstIndex(of: first) else { return without }
    return max(without, 1 + longest(left.dropFirst(), right[(place + 1)...]))
  }

  @Test(arguments: 1...100) func `likeness is the F1 of the longest common subsequence`(_ seed: Int) {
    let letters = ["a", "b", "c", "d"]
    var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15
    func text() -> [String] {
      (0..<(1 + Int(state >> 60))).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return letters[Int(state >> 62)]
      }
    }
    let (left, right) = (text(), text())
    let common = Double(longest(left[...], right[...]))
    let (precision, recall) = (common / Double(left.count), common / Double(right.count))
    let expected = common == 0 ? 0 : 2 * precision * recall / (precision + recall)
    #expect(abs(QuestionWriting.likeness(left, right) - expected) < 1e-12)
  }

  @Test func `words are letters and digits in lower case`() {
    #expect(QuestionWriting.words(of: "What's 3+4, ÉTÉ?") == ["what", "s", "3", "4", "été"])
    #expect(QuestionWriting.likeness([], ["a"]) == 0)
  }
}
