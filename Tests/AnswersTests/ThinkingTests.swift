// ThinkingTests: an answer is searched for behind the thinking, and thinking that does not end has none.

import Answers
import Base
import Testing

@Suite struct ThinkingTests {
  @Test(
    arguments: [
      ("<think>maybe \\boxed{7}</think> The answer is 8.", "8"), ("maybe \\boxed{7}</think>\\boxed{8}", "8"),
      ("<think>\n\n</think>\n\n\\boxed{8}", "8"), ("<think>a</think> \\boxed{7} no <think>b</think> \\boxed{8}", "8"),
      ("<think>maybe \\boxed{7}", nil), ("<think>The answer is 7.", nil), ("\\boxed{7} <think>or 8?", nil),
      ("<think>\\boxed{7}</think>", nil), ("<think>\\boxed{7}</think> I do not know.", nil),
      ("[THINK]\\boxed{7}[/THINK]\\boxed{8}", "8"), ("[THINK]\\boxed{7}", nil),
      ("◁think▷\\boxed{7}◁/think▷\\boxed{8}", "8"),
      ("<thinking>\\boxed{7}</thinking>\\boxed{8}", "8"), ("<seed:think>\\boxed{7}", nil), ("I think \\boxed{7}", "7"),
    ] as [(String, String?)])
  func `the answer stands behind the thinking`(_ response: String, _ answer: String?) {
    #expect(extractAnswer(from: response, kind: .math) == answer)
    #expect(AnswerRule.exact.answer(in: response, kind: .math)?.text == answer)
  }

  @Test func `a response to a prompt that opened the thinking has an answer only behind the end of it`() {
    func answer(_ response: String) -> String? {
      AnswerRule.exact.answer(in: response, kind: .math, startsInThinking: true)?.text
    }
    #expect(answer("maybe \\boxed{7}") == nil)
    #expect(answer("maybe \\boxed{7}</think>\\boxed{8}") == "8")
    #expect(answer("maybe \\boxed{7}</think>\\boxed{8}<think>\\boxed{9}") == nil)
    #expect(AnswerRule.exact.answer(in: "(B)</think> no", kind: .choice, startsInThinking: true) == nil)
    #expect(AnswerRule.exact.answer(in: "(B)</think>\n(C)", kind: .choice, startsInThinking: true)?.text == "C")
  }

  @Test(arguments: [
    ("<|im_start|>assistant\n<think>\n", true), ("<｜Assistant｜><think>", true), ("[THINK] ", true),
    ("<|im_start|>assistant\n<think>\n\n</think>\n\n", false), ("<|im_start|>assistant\n", false), ("", false),
    ("What does <think> mean?<|im_end|>\n<|im_start|>assistant\n", false),
  ])
  func `a prompt opens the thinking if it ends in an opening mark`(_ prompt: String, _ isOpen: Bool) {
    #expect(Thinking.isOpen(atEndOf: prompt) == isOpen)
  }

  @Test func `what is said behind the thinking is the text itself`() {
    #expect(Thinking.spokenPart(of: "<think>é</think> ü", startsInThinking: false) == " ü")
    #expect(Thinking.spokenPart(of: "ü", startsInThinking: false) == "ü")
    #expect(Thinking.spokenPart(of: "ü", startsInThinking: true) == nil)
  }
}
