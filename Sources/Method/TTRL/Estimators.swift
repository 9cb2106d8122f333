// Estimators: the reward of each response of a group, when the true answer is not known.
//
// An estimator is a pure function of what is known about one group: the answers, the trajectories with their
// log-probabilities and entropies, how they ended, the labels of earlier visits of the prompt. It returns one reward
// per sample, and can return more: another label, several labels with weights, factors of the advantages (Shaping).
// Advantages are relative to the group, so only differences of rewards matter. A new estimator needs a row in
// `RewardEstimator` (Records), a line in the switch below, a file in Methods and a row in docs/algorithm.md. The loop,
// the fleet and the ledger do not change.
//
//   c_a = number of samples that answered a,  n = of samples with any answer,  N = of all samples
//   vote        r_i = 1[a_i = label]                                               TTRL, arXiv 2504.16084
//   soft-vote   r_i = c_{a_i} / N, 0 without an answer                             EMPO, arXiv 2504.05812
//   entropy     r_i = − mean over tokens of the entropy of their distributions     RENT, arXiv 2505.22660
//   confidence  r_i = mean over tokens of log p(token)                             URLVR's "trajectory entropy"
//   snr         r_i = S(c) − S(c without i),  S = (c₁ − c₂)² / (n (c₁ + c₂)) of the two leading answers; −10 without
//               an answer                                                          Condorcet / SNR
//   self-certainty  r_i = mean over tokens of log Σ exp z − mean z                Intuitor, arXiv 2505.19590
//
// Not here: the estimators with a file of their own (Methods), advantages (Advantage), the rules of the vote (Vote).

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
  /// The label, if it is not the one that the plain vote elects. It counts in figures and in the history.
  var vote: Vote?
  /// What happens to the advantages that the rewards give.
  var shaping = Shaping()
}

/// - Precondition: estimators that read tokens or entropies need the trajectories.
package func estimate(_ evidence: Evidence, method: Method) -> Estimate {
  switch method.estimator {
  case .vote, .ddrl: agreement(evidence, method)
  case .softVote: answerShares(evidence, method)
  case .entropy: Estimate(rewards: evidence.trajectories.map { -Float($0.meanEntropy) })
  case .confidence: Estimate(rewards: evidence.trajectories.map { Float(meanLogprob($0.logprobs[...])) })
  case .snr: Estimate(rewards: marginContributions(evidence.answers))
  case .scrl: selectiveComplementary(evidence)
  case .restrain: selfRestrained(evidence)
  case .dare: distributionAware(evidence)
  case .evol: noveltyAware(evidence, method)
  case .ettrl: entropyReshaped(evidence, method)
  case .scope: subgroupVotes(evidence, method)
  case .selfCertainty: Estimate(rewards: evidence.trajectories.map { $0.selfCertainty ?? 0 })
  case .spine: forkingTokens(evidence, method)
  // The label is the other wording's.
  case .coRewarding: agreement(evidence, method)
  case .ttpo: asymmetric(evidence, method)
  }
}

/// Agreement with the label of the vote, or with what `labels` puts in its place.
func agreement(_ evidence: Evidence, _ method: Method) -> Estimate {
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

/// The mean of log-probabilities; 0 if there are none. In Double, in token order, so that only a result is rounded.
func meanLogprob(_ logprobs: ArraySlice<Float>) -> Double {
  logprobs.reduce(0.0) { $0 + Double($1) } / Double(max(logprobs.count, 1))
}

extension Trajectory {
  /// Mean entropy, in nats, of the distributions that its tokens were sampled from.
  var meanEntropy: Double { Double(entropySum) / Double(max(tokens.count, 1)) }
}

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
