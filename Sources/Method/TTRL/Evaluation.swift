// Evaluation: how good a policy is on questions whose answers are known, and, without answers, how much it agrees.
//
// One set of samples serves all figures. With n samples of a prompt, c of them right:
//
//   pass@1            c/n over the first 16 samples, as the paper samples them
//   pass@k            1 − C(n−c, k)/C(n, k): some of k is right (Chen et al. 2021, arXiv 2107.03374, unbiased)
//   pass^k            C(c, k)/C(n, k): all of k are right (Yao et al. 2024, arXiv 2406.12045, unbiased)
//   maj@k             the majority of the first k samples is right
//   expected_maj@k    the same, over all draws of k of the n (MajorityOdds)
//
// Each is a mean over prompts; the interval says how far it would move with other prompts of the kind. The equivalence
// is the one of the vote. Not here: what changed between two policies (Observatory).

package import Answers
package import Base

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

/// A mean over prompts, and how sure it is.
package struct EvaluationFigure: Sendable, Equatable {
  package var name: String
  /// nil where it needs answers and there are none.
  package var value: Double?
  /// 95 %, over prompts; nil where there is no value, or fewer than 2 prompts.
  package var interval: Interval?
}

package struct Evaluation: Sendable, Equatable {
  /// In the order in which they are shown.
  package var figures: [EvaluationFigure]
  /// Samples per prompt.
  package var samples: Int
  /// One per prompt, in order.
  package var prompts: [PromptOutcome]

  /// What came of one prompt.
  package struct PromptOutcome: Sendable, Equatable {
    /// The majority over all samples.
    package var vote: Vote
    /// Samples that are right; whether the majority is. nil without truth.
    package var right: Int?
    package var isLabelRight: Bool?
    /// Share of right samples among those of pass@1; nil without truth.
    package var pass: Double?
  }

  /// The k of pass@k, pass^k and expected_maj@k unless others are asked for.
  package static let usualCounts = [4, 16, 64]
  /// The k of maj@k unless others are asked for: the paper's.
  package static let usualMajorities = [16, 64]
  /// Above it, an expected majority takes longer to count than the samples to make.
  package static let expectedMajorityLimit = 64

  /// - Parameters:
  ///   - prompts: with equally many samples.
  ///   - passSamples: how many samples pass@1 averages over; the paper uses 16.
  ///   - majorities: the k of each maj@k wanted.
  ///   - counts: the k of the others. Of both lists, those above the number of samples are left out.
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

  /// A figure's value by name; nil if it is unknown or was not asked for.
  package subscript(name: String) -> Double? { figures.first { $0.name == name }?.value }

  /// [prompts] share of right samples, in prompt order, of those with truth.
  package var passByPrompt: [Double] { prompts.compactMap(\.pass) }
}

/// The chance that some of k of n samples is right, if c are: 1 − C(n−c, k)/C(n, k).
package func passAt(_ k: Int, _ right: Int, _ count: Int) -> Double { 1 - passHat(k, count - right, count) }

/// The chance that all of k of n samples are right, if c are: C(c, k)/C(n, k), as a product that cannot overflow.
package func passHat(_ k: Int, _ right: Int, _ count: Int) -> Double {
  (0..<k).reduce(1) { $0 * Double(max(right - $1, 0)) / Double(count - $1) }
}
