// Surrogate: the clipped policy-gradient objective, token by token.
//
//   ρ  = exp(lp − lp_old)                          how much likelier the token is now than when the step began
//   L₁ = −A·ρ,  L₂ = −A·clip(ρ, 1 − ε_low, 1 + ε_high),  L = max(L₁, L₂)
//   if A < 0 and dual clip c > 0:  L = min(L, −A·c)
//
// If the step's own version sampled, lp_old was recorded while sampling. If an older version sampled, lp_old is
// recomputed with the version that the step began with, and the token's loss has a weight (Importance). The engine
// differentiates log-probabilities; from here it needs only dL/d(lp), which is −A·ρ if no clip is active and 0 if one
// is. A KL penalty in the loss adds its own slope (KLPenalty).
// Source: PPO, arXiv 1707.06347; dual clip, arXiv 1912.09729; TTRL `core_algos.py`.

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
  let plain = -advantage * ratio
  let clipped = -advantage * min(max(ratio, 1 - method.clipLow), 1 + method.clipHigh)
  if clipped > plain { return SurrogateToken(loss: clipped, slope: 0, isClipped: true) }
  if advantage < 0, method.dualClip > 0, plain > -advantage * method.dualClip {
    return SurrogateToken(loss: -advantage * method.dualClip, slope: 0, isClipped: true)
  }
  return SurrogateToken(loss: plain, slope: plain, isClipped: false)
}

/// The whole objective at one token of a trajectory. `loss` is the surrogate's alone. `slope` is the derivative of
/// everything that depends on the token's log-probability, times the token's weight in its mini-batch.
package func objective(
  of member: TrainedTrajectory, at position: Int, logprob: Float, method: Method
) -> SurrogateToken {
  var token = surrogate(
    logprob: logprob, old: member.old[position], advantage: member.advantages[position], method: method)
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
