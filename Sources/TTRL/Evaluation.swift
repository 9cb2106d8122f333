// Evaluation: how good a policy is on questions whose answers are known, and, without answers, how much it agrees.
//
// One set of samples serves all figures: pass@1 and maj@k come from the same trajectories, their first k by sample
// index. The equivalence is the one of the vote.

package import Answers

/// One prompt's samples, judged.
package struct EvaluatedPrompt: Sendable, Equatable {
  /// [n] by sample.
  package var answers: [AnswerKey?]
  package var truth: AnswerKey?

  package init(answers: [AnswerKey?], truth: AnswerKey?) {
    self.answers = answers
    self.truth = truth
  }

  func isMajorityRight(ofFirst count: Int) -> Bool {
    majority(of: Array(answers.prefix(count))).label.agrees(with: truth)
  }
}

package struct Evaluation: Sendable, Equatable {
  /// Mean share of right samples among the first `passSamples` of each prompt; nil without any truth.
  package var passAt1: Double?
  /// Share of prompts whose majority over the first k samples is right, by k; nil without any truth.
  package var majorityAt: [(k: Int, value: Double?)]
  /// Mean majority ratio over all samples, label-free.
  package var majorityRatio: Double
  package var noAnswerRatio: Double
  package var promptCount: Int
  package var samples: Int
  /// [prompts] share of right samples, in prompt order; empty without truth. For per-prompt lists and errors.
  package var passByPrompt: [Double]

  package static func == (left: Self, right: Self) -> Bool {
    left.passAt1 == right.passAt1 && left.passByPrompt == right.passByPrompt && left.samples == right.samples
      && left.majorityRatio == right.majorityRatio && left.noAnswerRatio == right.noAnswerRatio
      && left.majorityAt.elementsEqual(right.majorityAt) { $0 == $1 }
  }

  /// - Parameters:
  ///   - passSamples: how many samples pass@1 averages over; the paper uses 16.
  ///   - majorities: the k of each maj@k wanted, those above the number of samples are left out.
  package init(_ prompts: [EvaluatedPrompt], passSamples: Int = 16, majorities: [Int] = [16, 64]) {
    let known = prompts.filter { $0.truth != nil }
    let available = prompts.map(\.answers.count).min() ?? 0
    promptCount = prompts.count
    samples = available
    passByPrompt = known.map { prompt in
      let counted = prompt.answers.prefix(passSamples)
      return Double(counted.count { $0.agrees(with: prompt.truth) }) / Double(max(counted.count, 1))
    }
    passAt1 = known.isEmpty ? nil : passByPrompt.reduce(0, +) / Double(known.count)
    majorityAt = majorities.filter { $0 <= available }.map { k in
      let right = known.count { $0.isMajorityRight(ofFirst: k) }
      return (k, known.isEmpty ? nil : Double(right) / Double(known.count))
    }
    let count = Double(max(prompts.count, 1))
    majorityRatio =
      prompts.reduce(0) { $0 + Double(majority(of: $1.answers).votes) / Double(max($1.answers.count, 1)) } / count
    noAnswerRatio =
      prompts.reduce(0) { sum, prompt in
        sum + Double(prompt.answers.count { $0 == nil }) / Double(max(prompt.answers.count, 1))
      } / count
  }
}
