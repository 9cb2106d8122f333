// Evaluation: how good a policy is on questions whose true answers are known, and, without true answers, how much its
// responses agree.
//
// One set of samples serves all figures. With n samples of a prompt, c of them right:
//
//   pass@1            c/n over the first 16 samples; 16 is the paper's number
//   pass@k            1 − C(n−c, k)/C(n, k): at least 1 of k is right (Chen et al. 2021, arXiv 2107.03374, unbiased)
//   pass^k            C(c, k)/C(n, k): all of k are right (Yao et al. 2024, arXiv 2406.12045, unbiased)
//   maj@k             the majority of the first k samples is right
//   expected_maj@k    the same, over all draws of k of the n (MajorityOdds)
//
// Each is a mean over prompts. Its interval says how far it would move with other prompts of the same kind. Answers are
// equal if their keys are, as in the vote. Not here: what changed between two policies (Observatory).

package import Answers
package import Base

/// One prompt's answers and its true answer.
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

  var right: Int { answers.count { $0.agrees(with: truth) } }

  /// Samples of each wrong answer, in the order of their keys.
  var wrongCounts: [Int] {
    var counts = SortedMap<AnswerKey, Int>()
    for case .some(let answer) in answers where !AnswerKey?.some(answer).agrees(with: truth) {
      counts[answer] = (counts[answer] ?? 0) + 1
    }
    return counts.values
  }
}

/// A mean over prompts, and its confidence interval.
package struct EvaluationFigure: Sendable, Equatable {
  package var name: String
  /// nil if it needs true answers and there are none.
  package var value: Double?
  /// 95 %, over prompts; nil if there is no value, or if there are fewer than 2 prompts.
  package var interval: Interval?
}

package struct Evaluation: Sendable, Equatable {
  /// In the order in which they are shown.
  package var figures: [EvaluationFigure]
  /// Samples per prompt.
  package var samples: Int
  /// One per prompt, in order.
  package var prompts: [PromptOutcome]

  /// The outcome of one prompt.
  package struct PromptOutcome: Sendable, Equatable {
    /// The majority over all samples.
    package var vote: Vote
    /// How many samples are right, and whether the majority is; nil without a true answer.
    package var right: Int?
    package var isLabelRight: Bool?
    /// Share of right samples among those of pass@1; nil without a true answer.
    package var pass: Double?
  }

  /// The default k of pass@k, pass^k and expected_maj@k.
  package static let usualCounts = [4, 16, 64]
  /// The default k of maj@k: those of the paper.
  package static let usualMajorities = [16, 64]
  /// The largest k of expected_maj@k. Above it, computing the figure takes longer than sampling.
  package static let expectedMajorityLimit = 64

  /// - Parameters:
  ///   - prompts: all with the same number of samples.
  ///   - passSamples: how many samples pass@1 averages over; the paper uses 16.
  ///   - majorities: the k of each maj@k.
  ///   - counts: the k of the other figures. Of both lists, values above the number of samples are ignored.
  package init(
    _ prompts: [EvaluatedPrompt], passSamples: Int = 16, majorities: [Int] = usualMajorities,
    counts: [Int] = usualCounts
  ) {
    let available = prompts.map(\.answers.count).min() ?? 0
    samples = available
    self.prompts = prompts.map { Self.outcome(of: $0, passSamples: passSamples) }
    let known = prompts.filter { $0.truth != nil }
    let counts = counts.filter { $0 <= available }
    var columns = [(name: "pass@1", values: self.prompts.compactMap(\.pass))]
    columns += counts.filter { $0 > 1 }.map { k in ("pass@\(k)", known.map { passAt(k, $0.right, $0.answers.count) }) }
    columns += counts.filter { $0 > 1 }.map { k in ("pass^\(k)", known.map { passHat(k, $0.right, $0.answers.count) }) }
    columns += majorities.filter { $0 <= available }.map { k in
      ("maj@\(k)", known.map { $0.isMajorityRight(ofFirst: k) ? 1 : 0 })
    }
    columns += counts.filter { $0 > 1 && $0 < available && $0 <= Self.expectedMajorityLimit }.map { k in
      (
        "expected_maj@\(k)",
        known.map { expectedMajority(right: $0.right, others: $0.wrongCounts, of: $0.answers.count, drawing: k) }
      )
    }
    figures = Self.means(columns)
    figures += Self.means([
      ("majority_ratio", prompts.map { Double(majority(of: $0.answers).votes) / Double(max($0.answers.count, 1)) }),
      (
        "no_answer_ratio",
        prompts.map { prompt in Double(prompt.answers.count { $0 == nil }) / Double(max(prompt.answers.count, 1)) }
      ),
    ])
  }

  private static func means(_ columns: [(name: String, values: [Double])]) -> [EvaluationFigure] {
    zip(columns, Bootstrap.intervals(ofMeans: columns.map(\.values))).map { column, interval in
      let sum = column.values.reduce(0, +)
      let mean = column.values.isEmpty ? nil : sum / Double(column.values.count)
      return EvaluationFigure(name: column.name, value: mean, interval: interval)
    }
  }

  private static func outcome(of prompt: EvaluatedPrompt, passSamples: Int) -> PromptOutcome {
    var outcome = PromptOutcome(vote: majority(of: prompt.answers))
    guard let truth = prompt.truth else { return outcome }
    outcome.right = prompt.right
    outcome.isLabelRight = outcome.vote.label.agrees(with: truth)
    let counted = prompt.answers.prefix(passSamples)
    outcome.pass = Double(counted.count { $0.agrees(with: truth) }) / Double(max(counted.count, 1))
    return outcome
  }

  /// A figure's value by name; nil if it has no value or was not computed.
  package subscript(name: String) -> Double? { figures.first { $0.name == name }?.value }

  /// The share of right samples of each prompt with a true answer, in prompt order.
  package var passByPrompt: [Double] { prompts.compactMap(\.pass) }
}
