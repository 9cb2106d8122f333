// Surrogate: the clipped policy-gradient objective, token by token.
//
//   ρ  = exp(lp − lp_old)                          how much likelier the token is now than when the step began
//   ρ  = exp(mean over the sequence of that)       GSPO: one ratio for all tokens of a sequence, no dual clip
//   L₁ = −A·ρ,  L₂ = −A·clip(ρ, 1 − ε_low, 1 + ε_high),  L = max(L₁, L₂)
//   if A < 0 and dual clip c > 0:  L = min(L, −A·c)
//
// If the step's own version sampled, lp_old was recorded while sampling. If an older version sampled, lp_old is
// recomputed with the version that the step began with, and the token's loss has a weight (Importance). The engine
// differentiates log-probabilities; from here it needs only dL/d(lp), which is −A·ρ if no clip is active and 0 if one
// is. A KL penalty in the loss adds its own slope (KLPenalty).
// A sequence's ratio s has the derivative s / T with respect to each of its T log-probabilities, and each of its tokens
// has the loss −A·s. So with the losses summed over the tokens, the slope is −A·s again. If advantages differ within a
// sequence, this is the gradient of "GSPO-token".
// Source: PPO, arXiv 1707.06347; dual clip, arXiv 1912.09729; TTRL `core_algos.py`; GSPO, arXiv 2507.18071.

package import Records

#if canImport(Glibc)
  import Glibc
#endif

/// The objective at one token.
package struct SurrogateToken: Sendable, Equatable {
  package var loss: Float
  /// dL/d(lp).
  package var slope: Float
  package var isClipped: Bool
}

/// - Parameters:
///   - logprob: of the token under the weights in training, natural log.
///   - old: of the token under the weights that the step began with.
package func surrogate(logprob: Float, old: Float, advantage: Float, method: Method) -> SurrogateToken {
  let ratio = Float(exp(Double(logprob) - Double(old)))
  return surrogate(ratio: ratio, advantage: advantage, dualClip: method.dualClip, method: method)
}

private func surrogate(ratio: Float, advantage: Float, dualClip: Float, method: Method) -> SurrogateToken {
  let plain = -advantage * ratio
  let clipped = -advantage * min(max(ratio, 1 - method.clipLow), 1 + method.clipHigh)
  if clipped > plain { return SurrogateToken(loss: clipped, slope: 0, isClipped: true) }
  if advantage < 0, dualClip > 0, plain > -advantage * dualClip {
    return SurrogateToken(loss: -advantage * dualClip, slope: 0, isClipped: true)
  }
  return SurrogateToken(loss: plain, slope: plain, isClipped: false)
}

/// The ratio of a whole sequence: exp(mean of lp − lp_old). The sum is in Double, in the order of the tokens.
///
/// - Parameters:
///   - member: the sequence.
///   - logprobs: [T] of its tokens under the weights in training.
package func sequenceRatio(of member: TrainedTrajectory, logprobs: [Float]) -> Float {
  let sum = zip(logprobs, member.old).reduce(0.0) { $0 + (Double($1.0) - Double($1.1)) }
  return Float(exp(sum / Double(max(logprobs.count, 1))))
}

/// The whole objective at one token of a trajectory. `loss` is the surrogate's alone. `slope` is the derivative of
/// everything that depends on the token's log-probability, times the token's weight in its mini-batch.
///
/// - Parameters:
///   - member: the trajectory.
///   - position: of the token in the response.
///   - logprob: of the token under the weights in training, natural log.
///   - sequenceRatio: of the trajectory. It is read only if the objective `needsSequences`.
///   - method: the objective and its settings.
package func objective(
  of member: TrainedTrajectory, at position: Int, logprob: Float, sequenceRatio: Float = 1, method: Method
) -> SurrogateToken {
  let (old, advantage) = (member.old[position], member.advantages[position])
  var token =
    switch method.objective {
    case .clip, .ppo, .prime: surrogate(logprob: logprob, old: old, advantage: advantage, method: method)
    case .gspo: surrogate(ratio: sequenceRatio, advantage: advantage, dualClip: 0, method: method)
    case .sft, .awr: likelihood(logprob: logprob, weight: advantage)
    case .nft: negativeAware(logprob: logprob, old: old, advantage: advantage, agreement: member.agreement)
    }
  if !member.importance.isEmpty {
    token.loss *= member.importance[position]
    token.slope *= member.importance[position]
  }
  if method.hasKL(in: .loss) {
    token.slope +=
      method.klCoefficient
      * klPenalty(logprob: logprob, reference: member.reference[position], estimator: method.klEstimator).slope
  }
  token.slope *= member.weight
  return token
}
