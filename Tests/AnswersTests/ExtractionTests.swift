// ExtractionTests: which part of a response is its answer, and which responses have no answer.

import Answers
import Base
import Testing

private struct Case: Sendable, CustomTestStringConvertible {
  let response: String
  let answer: String?
  init(_ response: String, _ answer: String?) { (self.response, self.answer) = (response, answer) }
  var testDescription: String { response }
}

@Suite struct ExtractionTests {
  @Test(arguments: [
    Case("so \\boxed{7}.", "7"), Case("\\boxed{1} then \\boxed{2}", "2"), Case("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
    Case("\\boxed{\\boxed{17}}", "17"), Case("$\\boxed 7$", "7"), Case("\\boxed {  x }", "x"),
    Case("\\boxed\\frac{1}{2}$", "\\frac{1}{2}"),
    Case("\\boxed{\\{1,2\\}}", "\\{1,2\\}"), Case("\\boxed{\\text{no }{x}}", "\\text{no }{x}"),
    Case("\\\\\\boxed{3}", "3"),
    Case("first \\boxed{7}, then \\boxed{8", "7"), Case("\\boxed{7} and \\boxed{}", "7"), Case("\\boxedfoo{7}", nil),
    Case("\\boxed{8", nil), Case("\\boxed{}", nil), Case("\\boxed{ }", nil), Case("\\boxed", nil),
    Case("\\fbox{7}", nil),
    Case("The answer is \\boxed{8", nil), Case("{ stray \\boxed{4}", "4"), Case("} stray \\boxed{4}", "4"),
  ])
  private func `the answer is in the last box that is closed and not empty`(_ example: Case) {
    #expect(extractAnswer(from: example.response, kind: .math) == example.answer)
  }

  @Test(arguments: [
    Case("The answer is 42.", "42"), Case("the final answer is 3.14. Done.", "3.14"), Case("Answer: 7\nThanks", "7"),
    Case("**Answer:** 12", "12"), Case("Final Answer: $\\frac{1}{2}$. I hope it is correct.", "$\\frac{1}{2}$"),
    Case("答案是42。谢谢", "42"), Case("The answer is:\n\n5\n", "5"), Case("the answer is 4. No: the answer is 5.", "5"),
    Case("The answer is $x = 1.5$ here.", "$x = 1.5$"), Case("The answer is \\(2\\). Yes", "\\(2\\)"),
    Case("We get 12 and 13.", nil), Case("", nil), Case("The answer is", nil), Case("The answer is .", nil),
    Case("the answer is \\$5.50.", "\\$5.50"), Case("The answer is (1, 2).", "(1, 2)"), Case("42", nil),
  ])
  private func `without a box, the answer is the text after its announcement, to the end of the sentence`(
    _ example: Case
  ) {
    #expect(extractAnswer(from: example.response, kind: .math) == example.answer)
  }

  @Test(arguments: [
    Case("\\boxed{\\text{(C)}}", "C"), Case("\\boxed{C}", "C"), Case("The answer is (B).", "B"),
    Case("Answer: **D**", "D"),
    Case("The correct answer is option C because of it", "C"), Case("The answer is A.", "A"),
    Case("the answer is $\\text{(E)}$", "E"),
    Case("I think so.\n(B)", "B"), Case("B", "B"), Case("A cat sat on a mat.", nil), Case("", nil),
    Case("\\boxed{12}", "12"),
    Case("The answer is C) 12 cm", "C"), Case("answer is a", "A"), Case("The answer is A resonance", nil),
    Case("I'd", nil),
  ])
  private func `a choice is a letter that is announced, boxed or alone`(_ example: Case) {
    #expect(extractAnswer(from: example.response, kind: .choice) == example.answer)
  }
}
