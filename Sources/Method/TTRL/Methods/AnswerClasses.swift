// AnswerClasses: a group's answers with their shares and their entropies, which several estimators compare.

import Answers
import Base

struct AnswerClasses {
  /// By answer: the share of all samples that gave it, also counting samples without an answer.
  private(set) var shares = SortedMap<AnswerKey, Double>()
  /// By answer: the mean, over the samples that gave it, of their mean entropy per token, in nats.
  private(set) var entropies = SortedMap<AnswerKey, Double>()
  /// The same over all samples.
  private(set) var meanEntropy = 0.0

  init(_ evidence: Evidence) {
    let count = Double(max(evidence.answers.count, 1))
    var sums = SortedMap<AnswerKey, Double>()
    for (index, answer) in evidence.answers.enumerated() {
      let entropy = evidence.trajectories.indices.contains(index) ? evidence.trajectories[index].meanEntropy : 0
      meanEntropy += entropy / count
      if let answer { sums[answer] = (sums[answer] ?? 0) + entropy }
    }
    for (answer, tally) in Tally(of: evidence.answers).counts {
      shares[answer] = Double(tally.votes) / count
      entropies[answer] = (sums[answer] ?? 0) / Double(tally.votes)
    }
  }
}
