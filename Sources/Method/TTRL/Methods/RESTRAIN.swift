// RESTRAIN: every answer is a label, and weak consensus is punished, arXiv 2510.02172.
//
// With f_a the share of answer a, and g(f) = exp(−(1 − f)² / (2 · 0.5²)):
//
//   A_i = u · Σ_a w_a A(1[a_i = a]),  w_a = g(f_a) / Σ_b g(f_b)     every answer is a candidate label
//   A_i = −u                          if fewer than 3N/16 samples gave the leading answer
//   u   = g of the leading share at the prompt's first visit
//
// The paper gives the form: a Gaussian of the share, a bound on the leading count below which rewards are 0 and all
// advantages fall by δ, and a weight per prompt from the frozen base model's votes. It does not state the numbers in a
// place that we could read; σ = 0.5, 3 of 16 and δ = 1 are ours. The base model's vote is here the vote at the prompt's
// first visit, in the first pass over the prompts: sampling the base model for its own sake would cost as much again.

import Answers
import Base

#if canImport(Glibc)
  import Glibc
#endif

func selfRestrained(_ evidence: Evidence) -> Estimate {
  let answers = evidence.answers
  let count = Double(max(answers.count, 1))
  let counts = Tally(of: answers).counts
  let leading = counts.values.map(\.votes).max() ?? 0
  var estimate = Estimate(rewards: answers.map { _ in 0 })
  estimate.shaping.weight = Float(bell(evidence.history.firstRatio ?? Double(leading) / count))
  guard 16 * leading >= 3 * answers.count else {
    estimate.shaping.penalty = 1
    return estimate
  }
  let bells = counts.map { (answer: $0, value: bell(Double($1.votes) / count)) }
  let total = bells.reduce(0) { $0 + $1.value }
  var weights = SortedMap<AnswerKey, Double>()
  for (answer, value) in bells { weights[answer] = value / total }
  estimate.rewards = answers.map { Float($0.flatMap { weights[$0] } ?? 0) }
  estimate.shaping.candidates = weights.map { Candidate(weight: $1, rewards: agreement(of: answers, with: $0)) }
  return estimate
}

private func bell(_ share: Double) -> Double { exp(-(1 - share) * (1 - share) / (2 * 0.5 * 0.5)) }
