// The figures of an evaluation: closed forms against the enumeration of all draws.

import Answers
import Base
import TTRL
import Testing

/// All ordered draws of `count` of the indices 0..<total.
private func draws(_ count: Int, of total: Int) -> [[Int]] {
  guard count > 0 else { return [[]] }
  return draws(count - 1, of: total).flatMap { draw in
    (0..<total).filter { !draw.contains($0) }.map { draw + [$0] }
  }
}

private func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }

@Suite struct EvaluationTests {
  private let prompts = [
    EvaluatedPrompt(answers: keys([1, 1, 2, 1]), truth: key(1)),
    EvaluatedPrompt(answers: keys([2, 1, 2, nil]), truth: key(1)),
  ]

  @Test func `pass@1 is the mean share of right samples, maj@k the share of right majorities`() {
    let evaluation = Evaluation(prompts, passSamples: 4, majorities: [1, 2, 4, 8], counts: [])
    #expect(evaluation["pass@1"] == 0.5 && evaluation.passByPrompt == [0.75, 0.25])
    #expect(evaluation.figures.map(\.name).filter { $0.hasPrefix("maj@") } == ["maj@1", "maj@2", "maj@4"])
    #expect([1, 2, 4].map { evaluation["maj@\($0)"] } == [0.5, 0.5, 0.5])
    #expect(evaluation["majority_ratio"] == (0.75 + 0.5) / 2 && evaluation["no_answer_ratio"] == 0.125)
    #expect(evaluation.prompts.map(\.isLabelRight) == [true, false] && evaluation.prompts.map(\.right) == [3, 1])
  }

  @Test func `pass@1 averages over its first samples only`() {
    #expect(Evaluation(prompts, passSamples: 2)["pass@1"] == 0.75)
  }

  @Test func `without true answers there are only the figures of agreement`() {
    let evaluation = Evaluation([EvaluatedPrompt(answers: keys([1, 1]), truth: nil)], majorities: [2], counts: [2])
    #expect(evaluation["pass@1"] == nil && evaluation.passByPrompt.isEmpty && evaluation["maj@2"] == nil)
    #expect(evaluation["pass@2"] == nil && evaluation["majority_ratio"] == 1)
    #expect(evaluation.prompts[0].right == nil && evaluation.prompts[0].isLabelRight == nil)
  }

  @Test func `pass@k and pass^k are the shares of draws with some, and with only, right samples`() {
    let samples = 5
    for right in 0...samples {
      for k in 1...samples {
        let all = draws(k, of: samples)
        let some = mean(all.map { $0.contains { $0 < right } ? 1 : 0 })
        let every = mean(all.map { $0.allSatisfy { $0 < right } ? 1 : 0 })
        // 1e-12: products of at most five quotients.
        #expect(abs(passAt(k, right, samples) - some) < 1e-12, "\(right) right, k \(k)")
        #expect(abs(passHat(k, right, samples) - every) < 1e-12, "\(right) right, k \(k)")
      }
    }
  }

  @Test func `the expected majority is the share of all ordered draws whose vote is right`() {
    // All groups of five samples, each with the truth (0), one of two wrong answers, or none: 1,024 groups.
    for answers in allGroups(of: 5) {
      let others = [1, 2].map { wrong in answers.count { $0 == wrong } }
      for k in [1, 2, 3, 5] {
        let verdicts = draws(k, of: 5).map { draw in majority(of: keys(draw.map { answers[$0] })).label == key(0) }
        let expected = mean(verdicts.map { $0 ? 1 : 0 })
        let found = expectedMajority(right: answers.count { $0 == 0 }, others: others, of: 5, drawing: k)
        // 1e-12: logarithms of factorials up to 5.
        #expect(abs(found - expected) < 1e-12, "\(answers), k \(k)")
      }
    }
  }

  @Test func `the expected majority of one sample is the share of right samples, of all samples the majority`() {
    #expect(abs(expectedMajority(right: 20, others: [30, 5, 1], of: 64, drawing: 1) - 20.0 / 64) < 1e-12)
    #expect(abs(expectedMajority(right: 31, others: [30, 3], of: 64, drawing: 64) - 1) < 1e-9)
    #expect(expectedMajority(right: 20, others: [30], of: 64, drawing: 64) < 1e-9)
    #expect(abs(expectedMajority(right: 30, others: [30, 4], of: 64, drawing: 64) - 0.5) < 1e-9)
    // So many samples that their factorials do not fit in a Double.
    let many = expectedMajority(right: 900, others: [600, 300], of: 2000, drawing: 32)
    #expect(many > 0.8 && many < 1)
  }

  @Test func `intervals contain the mean, shrink with more prompts, and are the same every time`() throws {
    func evaluation(_ copies: Int) -> Evaluation {
      Evaluation((0..<copies).flatMap { _ in prompts }, passSamples: 4, majorities: [4], counts: [2])
    }
    let few = try #require(evaluation(4).figures.first?.interval)
    let many = try #require(evaluation(64).figures.first?.interval)
    #expect(few.low < 0.5 && few.high > 0.5 && many.low < 0.5 && many.high > 0.5)
    #expect(many.high - many.low < (few.high - few.low) / 2)
    #expect(evaluation(4) == evaluation(4))
    #expect(Evaluation([prompts[0]])["pass@1"] != nil)
    #expect(Evaluation([prompts[0]]).figures.allSatisfy { $0.interval == nil })
  }
}
