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
    Case("\\fbox{7}", "7"), Case("\\framebox{7}", "7"), Case("\\boxed\n{5}", "5"), Case("\\boxed\n5", nil),
    Case("The answer is \\boxed{8", nil), Case("{ stray \\boxed{4}", "4"), Case("} stray \\boxed{4}", "4"),
  ])
  private func `the answer is in the last box that is closed and has content`(_ example: Case) {
    #expect(extractAnswer(from: example.response, kind: .math) == example.answer)
  }

  @Test(arguments: [
    "\\text{}", "\\text{ }", "\\mathrm{}", "\\,", "{}", "{{}}", "~", "**", "\\boxed{}", "\u{200B}", "\u{A0}",
    "\u{3000}", "\\quad",
    "\\hspace{1cm}", "\\phantom{5}", "?", "???", "-", "--", "—", ".", "...", "\\ldots", "\\dots", "()", "( )", "$$",
    "\\$", "\\%", "_",
    "\\_\\_", "\\square", "\\Box", "□", "\\frac{}{}", "\\sqrt{}", "\\left(\\right)", "\\underline{\\hspace{1cm}}",
    "\"\"",
    "\\textbf{}", "\\color{red}{}", "\\begin{pmatrix}\\end{pmatrix}", ",",
  ])
  func `a box without content is no answer, and an earlier one with content is`(_ content: String) {
    for kind in AnswerKind.allCases {
      #expect(extractAnswer(from: "\\boxed{\(content)}", kind: kind) == nil)
      #expect(extractAnswer(from: "The answer is \\boxed{\(content)}.", kind: kind) == nil)
    }
    #expect(extractAnswer(from: "\\boxed{5} \\boxed{\(content)}", kind: .math) == "5")
    #expect(!hasContent(content))
  }

  @Test(arguments: [
    "\\{\\}", "\\emptyset", "<", ">", "=", "\\le", "+", "0", "x", "\\infty", "\\text{no}", "是", "😀", "\\mathbb{R}",
  ])
  func `a box with a sign, an empty set or a letter is an answer`(_ content: String) {
    #expect(extractAnswer(from: "\\boxed{5} \\boxed{\(content)}", kind: .math) == content)
  }

  @Test(arguments: [
    ("\\boxed{1} or \\boxed{-2}", "1,-2"), ("x=\\boxed{1} \\text{ or } x=\\boxed{-2}", "1,-2"),
    ("$x = \\boxed{1}$ and $x = \\boxed{-2}$.", "\\{-2,1\\}"),
    ("\\(\\boxed{1}\\), \\(\\boxed{2}\\) and \\(\\boxed{3}\\)", "1,2,3"),
    ("\\boxed{1}，\\boxed{2}", "1,2"), ("\\boxed{1} 或 \\boxed{2}", "1,2"), ("\\boxed{1}, \\boxed{234}", "1;234"),
    ("**\\boxed{1}** and **\\boxed{2}**", "1,2"), ("x=\\boxed{1}, y=\\boxed{2}", "(1,2)"),
    ("y=\\boxed{1} and x=\\boxed{2}", "(2,1)"),
    ("x_1=\\boxed{1}, x_2=\\boxed{2}", "1,2"), ("\\boxed{x>2} or \\boxed{x<-1}", "(-\\infty,-1)\\cup(2,\\infty)"),
    ("\\boxed{5} or \\boxed{5.0}", "5"), ("\\boxed{5} and \\boxed{}", "5"), ("\\boxed{}, \\boxed{5}", "5"),
    // Not one sentence, or more than a joining word between them: the last one.
    ("\\boxed{1}. \\boxed{2}", "2"), ("\\boxed{1} \\boxed{2}", "2"), ("\\boxed{1} or\n\n\\boxed{2}", "2"),
    ("\\boxed{1}, so the answer is \\boxed{2}", "2"), ("first \\boxed{1} and then \\boxed{2}", "2"),
    ("\\boxed{1} = \\boxed{2}", "2"),
    ("\\boxed{1+\\boxed{2}}", "2"), ("\\boxed{1} and \\boxed{2}. So \\boxed{3}", "3"),
  ])
  func `boxes of one sentence that are only joined are one answer`(_ response: String, _ answer: String) throws {
    let extracted = try #require(extractAnswer(from: response, kind: .math))
    #expect(areEquivalent(extracted, answer, kind: .math), "\(extracted)")
  }

  @Test(arguments: [
    Case("Answer： 12", "12"), Case("答案: 12", "12"), Case("Final Answer: The largest $n$ is 34.", "34"),
    Case("\\boxed{\\text{The answer is }5}", "5"), Case("\\boxed{\\text{The answer is 5}}", "5"),
    Case("\\boxed{\\text{The answer is }\\frac{1}{2}\\text{ cm}}", "\\frac{1}{2}\\text{ cm}"),
    Case("Final answer: $n$ is 34.", "34"), Case("Final answer: There are $12$ ways.", "$12$ ways"),
    Case("The answer is: the cost is \\$5.", "\\$5"), Case("Final answer: So the sum is equal to -3.", "-3"),
    Case("Answer: The larger is 5 and the smaller is 3.", "The larger is 5 and the smaller is 3"),
    Case("Answer: The number is not 5.", "The number is not 5"), Case("Answer: n is even.", "n is even"),
    Case("Answer: The number is even.", "The number is even"),
  ])
  private func `of a sentence that states a value, the answer is the value`(_ example: Case) {
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
