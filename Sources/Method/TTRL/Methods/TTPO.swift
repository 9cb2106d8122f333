// TTPO: agreement and disagreement with the label teach at different tokens, arXiv 2608.27448.
//
// A response that disagrees with the label is usually wrong, whether the label is right or not; one that agrees is
// right only if the label is. So the two are learned differently:
//
//   r_i = 1[a_i = label],  A_it · (1 − p_it)       if the response agrees: little where the policy is certain already
//                          A_it · 1[p_it ≥ 1/2]    if it does not: only where it was certain of what it did
//
// p_it is the probability with which the token was sampled. The factors follow from the recorded log-probabilities, so
// they are the same in all updates of a step. Only the paper's abstract could be read: it says that distillation has
// less weight where positions have converged, and that only confident errors are punished. The two factors are choices
// of this program with this meaning. The paper learns agreeing responses by distillation from the model itself, which
// is shown the consensus solution; this would need a forward pass with another prompt and is not here: they have the
// advantages of their group.

import Records

#if canImport(Glibc)
  import Glibc
#endif

func asymmetric(_ evidence: Evidence, _ method: Method) -> Estimate {
  var estimate = agreement(evidence, method)
  estimate.shaping.factors = .byToken(
    zip(evidence.trajectories, estimate.rewards).map { trajectory, reward in
      trajectory.logprobs.map { logprob in
        let probability = exp(Double(logprob))
        return reward > 0 ? Float(1 - probability) : probability >= 0.5 ? 1 : 0
      }
    })
  return estimate
}
