// Brevity: a term of the reward that depends on a response's length and not on its answer: short responses cost more.
//
//   r'_i = r_i − X / T_i     T_i: the response's tokens, at least 1; X: the setting
//
// It is RLSP's exploration reward (arXiv 2502.06773), whose script subtracts 1000 / (characters / 4) from a reward of 1
// or −0.5. The term is added where trajectories become the ones to train on: votes, figures of rewards and their
// identities are those of the estimator's own rewards, so it works with every estimator, and what is right or wrong is
// counted as without it. docs/algorithm.md says what it risks.

import Records

/// X / T of a response; 0 if the method has no such term.
func brevityPenalty(of trajectory: Trajectory, method: Method) -> Float {
  guard method.brevityPenalty > 0 else { return 0 }
  return method.brevityPenalty / Float(max(trajectory.tokens.count, 1))
}

extension Shaping {
  /// The same with each candidate's rewards lowered.
  ///
  /// - Parameter penalties: [m] parallel to the candidates' rewards.
  func lowered(by penalties: [Float]) -> Shaping {
    var lowered = self
    for index in candidates.indices {
      lowered.candidates[index].rewards = zip(candidates[index].rewards, penalties).map { $0 - $1 }
    }
    return lowered
  }
}
