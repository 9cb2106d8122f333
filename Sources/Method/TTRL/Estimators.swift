// Estimators: the reward of each response of a group, when the true answer is not known.
//
// An estimator is a pure function of what is known about one group: the answers, the trajectories with their
// log-probabilities and entropies, how they ended, the labels of earlier visits of the prompt. It returns one reward
// per sample. Advantages are relative to the group, so only differences matter. A new estimator needs a case of
// `RewardEstimator` (Records), a case of the switch below and a line in docs/algorithm.md. The loop, the fleet and the
// ledger do not change.
//
//   c_a = number of samples that answered a,  n = of samples with any answer,  N = of all samples
//   vote        r_i = 1[a_i = label]                                               TTRL, arXiv 2504.16084
//   soft-vote   r_i = c_{a_i} / N, 0 without an answer                             EMPO, arXiv 2504.05812
//   entropy     r_i = − mean over tokens of the entropy of their distributions     RENT, arXiv 2505.22660
//   confidence  r_i = mean over tokens of log p(token)                             URLVR's "trajectory entropy"
//   snr         r_i = S(c) − S(c without i),  S = (c₁ − c₂)² / (n (c₁ + c₂)) of the two leading answers; −10 without
//               an answer                                                          Condorcet / SNR
//
// Not here: advantages (Advantage), the rules of the vote (Vote).

package import Answers
import Base
package import Records

#if canImport(Glibc)
  import Glibc
#endif

/// Everything that an estimator can read. Every array is by sample, in the same order.
package struct Evidence: Sendable {
  package var step: UInt32
  package var prompt: UInt32
  /// nil where a sample gave no answer.
  package var answers: [AnswerKey?]
  /// Empty if only answers are known (`ttrl vote`).
  package var trajectories: [Trajectory]
  package var vote: Vote
  /// The question's true answer, if labels are `.truth` and there is one.
  package var truth: AnswerKey?
  /// The labels of earlier visits of this prompt.
  package var history: PromptHistory
}

/// What an estimator returns for a group.
package struct Estimate: Sendable, Equatable {
  /// [N] by sample.
  package var rewards: [Float]
  /// Why the estimator does not reward this group although answers were given; the rewards are then all 0.
  package var abstention: Abstention?
}

/// - Precondition: `entropy` and `confidence` need the trajectories.
package func estimate(_ evidence: Evidence, method: Method) -> Estimate {
  switch method.estimator {
  case .vote: agreement(evidence, method)
  case .softVote: answerShares(evidence, method)
  case .entropy: Estimate(rewards: evidence.trajectories.map { -mean($0.entropySum, over: $0.tokens.count) })
  case .confidence: Estimate(rewards: evidence.trajectories.map(confidence))
  case .snr: Estimate(rewards: marginContributions(evidence.answers))
  }
}

private func agreement(_ evidence: Evidence, _ method: Method) -> Estimate {
  switch method.labels {
  case .vote:
    Estimate(
      rewards: agreement(of: evidence.answers, with: evidence.vote.label), abstention: evidence.vote.abstention)
  case .truth: Estimate(rewards: agreement(of: evidence.answers, with: evidence.truth))
  case .random:
    Estimate(
      rewards: coinFlips(
        count: evidence.answers.count, step: evidence.step, prompt: evidence.prompt, seed: method.seed))
  }
}

/// The share of all samples that give the same answer. A group whose entropy is outside the band is not trained on: if
/// almost all samples agree, there is nothing to learn; if answers differ too much, their shares mean nothing.
private func answerShares(_ evidence: Evidence, _ method: Method) -> Estimate {
  let answers = evidence.answers
  let counts = Tally(of: answers).counts
  let entropy = voteEntropy(of: answers)
  guard entropy > method.voteEntropyLow, entropy < method.voteEntropyHigh else {
    return Estimate(rewards: answers.map { _ in 0 }, abstention: counts.isEmpty ? nil : .entropy)
  }
  return Estimate(
    rewards: answers.map { answer in
      answer.map { Float(Double(counts[$0]?.votes ?? 0) / Double(answers.count)) } ?? 0
    })
}

/// Entropy, in nats, of the group's answers. "No answer" is one more class.
package func voteEntropy(of answers: [AnswerKey?]) -> Double {
  let counts = Tally(of: answers).counts.values.map(\.votes) + [answers.count { $0 == nil }]
  return counts.reduce(0.0) { sum, votes in
    guard votes > 0 else { return sum }
    let share = Double(votes) / Double(answers.count)
    return sum - share * log(share)
  }
}

private func confidence(of trajectory: Trajectory) -> Float {
  // Double, in token order, so that only the result is rounded to Float.
  let sum = trajectory.logprobs.reduce(0.0) { $0 + Double($1) }
  return Float(sum / Double(max(trajectory.tokens.count, 1)))
}

private func mean(_ sum: Float, over count: Int) -> Float { Float(Double(sum) / Double(max(count, 1))) }

/// How much each vote adds to the signal-to-noise ratio of the margin between the two leading answers; −10 for a sample
/// without an answer.
private func marginContributions(_ answers: [AnswerKey?]) -> [Float] {
  let counts = Tally(of: answers).counts
  let all = counts.values.map(\.votes)
  let whole = marginRatio(all)
  var byAnswer = SortedMap<AnswerKey, Float>()
  for (index, answer) in counts.keys.enumerated() {
    var others = all
    others[index] -= 1
    byAnswer[answer] = Float(whole - marginRatio(others))
  }
  return answers.map { answer in answer.flatMap { byAnswer[$0] } ?? -10 }
}

/// (c₁ − c₂)² / (n (c₁ + c₂)), in [0, 1]; 0 without any vote.
private func marginRatio(_ counts: [Int]) -> Double {
  var (first, second, total) = (0, 0, 0)
  for count in counts {
    total += count
    if count > first {
      (first, second) = (count, first)
    } else if count > second {
      second = count
    }
  }
  guard total > 0 else { return 0 }
  let margin = Double(first - second)
  return margin * margin / (Double(total) * Double(first + second))
}
