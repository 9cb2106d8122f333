// Objective: the choices of the objective, by name. The formulas are in docs/algorithm.md; the functions are in TTRL
// (Advantage, Denominator, Surrogate, Schedule).
//
// A choice is an enum, and the code that computes it switches over all its cases. A new estimator is one case here and
// one function there; the loop in Improve.swift does not change.

/// How the rewards of a step's trained trajectories become advantages. `r` is a reward; `μ` and `σ` are the mean and
/// the standard deviation of a group's m rewards.
package enum AdvantageEstimator: String, Sendable, CaseIterable {
  /// (r − μ) / (σ + 1e-6). GRPO, arXiv 2402.03300.
  case grpo
  /// r − μ. Dr. GRPO, arXiv 2503.20783.
  case drGRPO = "dr-grpo"
  /// r − the mean of the others, which is m / (m − 1) · (r − μ). Leave-one-out: RLOO, arXiv 2402.14740.
  case rloo
  /// Rewards to go, normalized by the mean and the standard deviation over all trained tokens of the step: arXiv
  /// 2501.03262.
  case reinforcePlusPlus = "reinforce++"
  /// r − μ first, then as REINFORCE++: arXiv 2501.03262, the variant for several responses per prompt.
  case reinforcePlusPlusBaseline = "reinforce++-baseline"
  /// (r − μ) / μ. MaxRL, arXiv 2602.02710.
  case maxRL = "maxrl"
  /// 1 for a reward of 1, −1 for a reward of 0, whatever the others have. DDRL, arXiv 2604.21327.
  case fixed
}

extension AdvantageEstimator {
  /// Whether it compares the trained responses of different prompts.
  package var comparesPrompts: Bool { self == .reinforcePlusPlus || self == .reinforcePlusPlusBaseline }
}

/// How the token losses of a mini-batch are averaged.
package enum Denominator: String, Sendable, CaseIterable {
  /// Over all its tokens: Σ L / Σ T. DAPO, arXiv 2503.14476.
  case tokenMean = "token-mean"
  /// The mean over pieces of `denominator-sequences` sequences of each piece's token mean, as the reference does.
  case microBatch = "micro-batch"
  /// The mean over sequences of each sequence's token mean. GRPO, arXiv 2402.03300.
  case sequenceMean = "sequence-mean"
  /// The mean over sequences of each sequence's token sum.
  case sequenceSum = "sequence-sum"
  /// The same, divided by `max-new-tokens`. Dr. GRPO, arXiv 2503.20783.
  case fixedLength = "fixed-length"
}

/// What happens to a group whose advantages are all 0.
package enum ZeroAdvantageGroups: String, Sendable, CaseIterable {
  /// It is left out before the forward pass.
  case skip
  /// It is trained on like other groups, as in the reference: it counts in mini-batches and denominators, and the KL
  /// and entropy terms apply.
  case train
}

/// How the learning rate changes over the steps.
package enum RateSchedule: String, Sendable, CaseIterable {
  /// A cosine over all steps, times a warm-up. The rate of the first step is not 0.
  case cosine
  /// A warm-up from 0, so that the first step changes nothing, then a cosine over the remaining steps, as in the
  /// reference.
  case cosineFromZero = "cosine-from-zero"
  /// The warm-up of `cosine`, then the peak rate.
  case constant
}

/// An estimate of KL(policy ‖ policy 0) from the tokens that were sampled; `d` is lp₀ − lp of a token.
package enum KLEstimator: String, Sendable, CaseIterable {
  /// −d. Unbiased; it can be negative.
  case k1
  /// d² / 2.
  case k2
  /// exp(d) − d − 1, at most 10. Unbiased except for the bound, and never negative; used by GRPO and by the reference.
  case k3
}

/// Where the KL penalty is applied.
package enum KLPlace: String, Sendable, CaseIterable {
  /// Added to each token's loss and differentiated.
  case loss
  /// Subtracted from each token's reward, before the advantages.
  case reward
}
