// KLPenalty: a token's penalty for being more or less likely than under policy 0.
//
// With d = lp₀ − lp:  k1 = −d,  k2 = d² / 2,  k3 = exp(d) − d − 1, at most 10, as in the reference.
// In the loss the penalty is differentiated: dk1/d(lp) = 1, dk2/d(lp) = −d, dk3/d(lp) = 1 − exp(d), and 0 beyond the
// bound. (k1's slope has the expectation 0 under the policy that sampled. In the loss it only adds noise; it belongs in
// the reward.) Source: Schulman, "Approximating KL divergence" (2020); TTRL `core_algos.py`, `kl_penalty`.

package import Records

#if canImport(Glibc)
  import Glibc
#endif

/// The penalty of one token, and its derivative with respect to the token's log-probability.
package struct KLPenalty: Sendable, Equatable {
  package var value: Float
  package var slope: Float
}

/// - Parameters:
///   - logprob: of the token, natural log.
///   - reference: of the same token under policy 0.
package func klPenalty(logprob: Float, reference: Float, estimator: KLEstimator) -> KLPenalty {
  let d = Double(reference) - Double(logprob)
  switch estimator {
  case .k1: return KLPenalty(value: Float(-d), slope: 1)
  case .k2: return KLPenalty(value: Float(d * d / 2), slope: Float(-d))
  case .k3:
    let value = exp(d) - d - 1
    return value > 10 ? KLPenalty(value: 10, slope: 0) : KLPenalty(value: Float(value), slope: Float(1 - exp(d)))
  }
}

/// Mean k3 over all tokens that policy 0 has scored, from their old log-probabilities; nil if there are none.
func klToBase(of groups: [TrainedGroup]) -> Double? {
  var sum = 0.0
  var count = 0
  for member in groups.lazy.flatMap(\.members) {
    for (old, reference) in zip(member.old, member.reference) {
      sum += Double(klPenalty(logprob: old, reference: reference, estimator: .k3).value)
      count += 1
    }
  }
  return count > 0 ? sum / Double(count) : nil
}
