// DARE: rewards from the whole distribution of answers, discounted by uncertainty, arXiv 2601.21804.
//
// With n_a the samples that answered a, M all samples, and u_a the mean entropy of the samples that answered a:
//
//   q_a ∝ n_a / (u_a + 1e-6), normalized over the answers; answers below τ get 0, and the others are normalized again
//   r   = q_a + α (1 − n_a / M) · max(0, 1 − u_a);  0 for a pruned answer and without one
//
// α = 0.1 and τ = 0.05. The paper states neither in a place that we could read, nor what u_a is if it is above 1 nat;
// there the bonus is 0 here. The answer with the largest q is never pruned. It is the label in figures and in the
// history.

import Answers
import Base

func distributionAware(_ evidence: Evidence) -> Estimate {
  let classes = AnswerClasses(evidence)
  let counts = Tally(of: evidence.answers).counts
  func certainty(_ answer: AnswerKey) -> Double {
    Double(counts[answer]?.votes ?? 0) / ((classes.entropies[answer] ?? 0) + 1e-6)
  }
  let total = classes.shares.keys.reduce(0) { $0 + certainty($1) }
  let all = classes.shares.keys.map { (answer: $0, q: certainty($0) / total) }
  let bound = min(0.05, all.map(\.q).max() ?? 0)
  let kept = all.filter { $0.q >= bound }
  let left = kept.reduce(0) { $0 + $1.q }
  var rewards = SortedMap<AnswerKey, Float>()
  var weights = SortedMap<AnswerKey, Double>()
  for (answer, q) in kept {
    let bonus = 0.1 * (1 - (classes.shares[answer] ?? 0)) * max(0, 1 - (classes.entropies[answer] ?? 0))
    rewards[answer] = Float(q / left + bonus)
  }
  for (answer, q) in all { weights[answer] = q / Double(counts[answer]?.votes ?? 1) }
  var estimate = Estimate(rewards: evidence.answers.map { $0.flatMap { rewards[$0] } ?? 0 })
  estimate.vote = majority(of: evidence.answers, weights: evidence.answers.map { $0.flatMap { weights[$0] } ?? 0 })
  return estimate
}
