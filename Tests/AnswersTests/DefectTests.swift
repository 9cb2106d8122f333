// DefectTests: for each defect of the reference implementation, an input that shows it, and the right result of the
// exact rule. The numbers are those of docs/algorithm.md.

import Answers
import Base
import Testing

/// The plurality answer of some responses. A response without an answer does not vote, and the first of equals wins.
private func elected(_ responses: [String]) -> AnswerKey? {
  var counts: [(key: AnswerKey, count: Int)] = []
  for response in responses {
    guard let answer = extractAnswer(from: response, kind: .math) else { continue }
    let key = answerKey(answer, kind: .math)
    if let index = counts.firstIndex(where: { $0.key == key }) {
      counts[index].count += 1
    } else {
      counts.append((key, 1))
    }
  }
  let most = counts.map { $0.count }.max()
  return counts.first { $0.count == most }?.key
}

@Suite struct DefectTests {
  @Test func `D1: a label that is not a number is right if it equals the truth`() {
    let label = elected(Array(repeating: "\\boxed{\\frac{1}{2}}", count: 5))
    #expect(label == answerKey("\\frac{1}{2}", kind: .math))
    #expect(label != answerKey("2", kind: .math))
  }

  @Test func `D2: "no answer" never wins`() {
    let responses = Array(repeating: "no idea", count: 5) + Array(repeating: "\\boxed{7}", count: 3)
    #expect(elected(responses) == answerKey("7", kind: .math))
    #expect(elected(Array(repeating: "It could be 3 or 4.", count: 5)) == nil)
  }

  @Test func `D3: a special token in the text is not part of the answer`() {
    for token in ["<|endoftext|>", "<|im_end|>", "</s>"] {
      #expect(extractAnswer(from: "The answer is 5.\(token)", kind: .math) == "5")
      #expect(extractAnswer(from: "The answer is 5\(token)", kind: .math) == "5")
    }
  }

  @Test func `D4: spellings of one answer are votes for the same answer`() {
    let responses =
      Array(repeating: "\\boxed{7}", count: 4) + Array(repeating: "\\boxed{\\frac{1}{2}}", count: 3)
      + Array(repeating: "\\boxed{0.5}", count: 3)
    #expect(elected(responses) == answerKey("1/2", kind: .math))
  }

  @Test(arguments: ["1\\pm\\sqrt{19}", "a+b+c", "(a+5)(b+2)", "\\text{east}", "h", "12m", "cd", "t^2+s"])
  func `D5: letters that are also units stay in symbols and words`(_ answer: String) {
    let key = answerKey(answer, kind: .math)
    #expect(!key.isLexical)
    for other in ["1\\\\sqrt{19}", "+b+", "(+5)(b+2)", "", "12", "b", "c", "^2+s"] {
      #expect(key != answerKey(other, kind: .math), "\(other)")
    }
  }

  @Test func `D6: a fraction keeps its grouping`() {
    #expect(!areEquivalent("\\frac{x+2}{7}", "x+2/7", kind: .math))
    #expect(!areEquivalent("\\frac{1}{2+\\sqrt3}", "\\frac12+\\sqrt3", kind: .math))
    #expect(areEquivalent("\\frac{x+2}{7}", "(x+2)/7", kind: .math))
  }

  @Test func `D7: an article and a contraction are not choices`() {
    #expect(extractAnswer(from: "The answer is a resonance form", kind: .choice) == nil)
    #expect(extractAnswer(from: "The answer is A resonance form.", kind: .choice) == nil)
    #expect(extractAnswer(from: "The answer is I'd say unclear", kind: .choice) == nil)
    #expect(extractAnswer(from: "Answer: B. This is a common error.", kind: .choice) == "B")
    #expect(extractAnswer(from: "The answer is (B), not a pair. I'd check.", kind: .choice) == "B")
  }

  @Test func `D8: a leading zero and any readable answer equal themselves`() {
    for number in 0...999 {
      let padded = String(repeating: "0", count: 3 - String(number).count) + String(number)
      #expect(answerKey(padded, kind: .math).text == "q:\(number)")
    }
    for answer in ["[0,1)", "\\begin{pmatrix}1\\\\2\\end{pmatrix}", "x+y=3", "3\\text{ hours}"] {
      #expect(elected(["\\boxed{\(answer)}"]) == answerKey(answer, kind: .math))
    }
  }
}
