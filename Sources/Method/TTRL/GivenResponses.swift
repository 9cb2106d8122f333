// GivenResponses: the losses of responses that the run was given instead of sampling them.
//
//   sft   L = −log π                               supervised fine-tuning
//   awr   L = −w·log π,  w = min(exp(A / τ), cap)  advantage-weighted regression
//
// π is the probability under training's distribution. It is that of the model itself under `sft`; under `awr` it has
// the temperature with which the responses were recorded. Both losses depend on the weights in training alone, so there
// is no ratio and no clip. A is a trajectory's advantage: that of its recorded reward, compared with the others of its
// group by the run's `advantage`. Every w is above 0, so a group without any advantage is learned like the others.
//
// The rewards are the trajectories' verdicts, and the recorded log-probabilities tell how far the policy is from the
// model that sampled (`Importance`). Nothing votes, and nothing is left out.
// Source: AWR, arXiv 1910.00177, equation 4 and its implementation's bound of the weights. Not here: where responses
// come from (Runs), how their losses are averaged (Denominator).

import Records

#if canImport(Glibc)
  import Glibc
#endif

/// The trajectories of a step, with their recorded rewards. All are trained on.
func givenGroups(of groups: [Group], prompts: [Prompt]) -> [TrainedGroup] {
  groups.map { group in
    TrainedGroup(
      members: group.trajectories.map {
        TrainedTrajectory(prompt: prompts[Int(group.prompt)], trajectory: $0, reward: $0.verdict?.reward ?? 0)
      })
  }
}

/// Every token counts once.
func assignEqualWeights(to groups: inout [TrainedGroup]) {
  for group in groups.indices {
    for member in groups[group].members.indices {
      groups[group].members[member].advantages = groups[group].members[member].advantages.map { _ in 1 }
    }
  }
}

/// Makes each advantage A the weight min(exp(A / τ), cap).
func exponentiateAdvantages(of groups: inout [TrainedGroup], method: Method) {
  for group in groups.indices {
    for member in groups[group].members.indices {
      groups[group].members[member].advantages = groups[group].members[member].advantages.map {
        Float(min(exp(Double($0) / Double(method.awrTemperature)), Double(method.awrCap)))
      }
    }
  }
}

/// The loss of one token of a given response, and its derivative with respect to the token's log-probability.
///
/// - Parameters:
///   - logprob: of the token under the weights in training, natural log.
///   - weight: 1 under `sft`, w under `awr`.
package func likelihood(logprob: Float, weight: Float) -> SurrogateToken {
  SurrogateToken(loss: -weight * logprob, slope: -weight, isClipped: false)
}
