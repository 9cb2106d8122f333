// SCRL: selective positive and complementary negative labels, arXiv 2603.19880.
//
// The majority is rewarded only if it is strong, and without it rare and uncertain answers are still punished: they are
// likely wrong, whatever is right. With f_a the share of answer a, H̄_a the mean entropy of the
// samples that gave it and H̄ that of all samples:
//
//   y⁺ = the leading answer, if f ≥ 0.375 and its lead over the second is above 0.125; else none
//   N⁻ = { a ≠ y⁺ : f_a < 0.125 and H̄_a ≥ H̄ }
//   r  = f_a − p for y⁺;  −(0.125 − f_a) − p for N⁻;  −p for other answers, where p = 0.1 (H̄_a − H̄);  −1 without one
//
// The numbers are those of the authors' script, and the rewards those of their code (`scrl_utils.py`, `scrl_math`).
// Figures and the history keep the label of the plain vote, because y⁺ is that label or none.

import Answers
import Base

func selectiveComplementary(_ evidence: Evidence) -> Estimate {
  let classes = AnswerClasses(evidence)
  let ranked = classes.shares.values.sorted(by: >)
  let isStrong = ranked.first.map { $0 >= 0.375 && $0 - (ranked.count > 1 ? ranked[1] : -1) > 0.125 } ?? false
  var rewards = SortedMap<AnswerKey, Float>()
  for (answer, share) in classes.shares {
    let excess = (classes.entropies[answer] ?? 0) - classes.meanEntropy
    let signal: Double
    if isStrong, share == ranked[0] {
      signal = share
    } else if share < 0.125, excess >= 0 {
      signal = share - 0.125
    } else {
      signal = 0
    }
    rewards[answer] = Float(signal - 0.1 * excess)
  }
  return Estimate(rewards: evidence.answers.map { $0.flatMap { rewards[$0] } ?? -1 })
}
