// MiniBatch: the trajectories that a step trains on, and how they are divided into mini-batches, one per optimizer
// step. Only the seed decides which mini-batch a trajectory is in.

import Base
package import Records

/// One trajectory to train on, with all numbers that its loss needs.
package struct TrainedTrajectory: Sendable, Equatable {
  package var prompt: Prompt
  package var trajectory: Trajectory
  package var reward: Float
  /// [T] by token. Of given responses: the weight of the token's log-likelihood.
  package var advantages: [Float]
  /// q: how many of the group's trained trajectories agree with the label, as a share. Only NFT needs it.
  package var agreement: Float = 0
  /// [T] the critic's value before each token, and what the value should have been; empty without a critic. Under
  /// PRIME, `values` are the critic's log-probabilities.
  package var values: [Float] = []
  package var returns: [Float] = []
  /// [T] log-probabilities under policy 0; empty unless a KL penalty asks for them.
  package var reference: [Float] = []
  /// [T] log-probabilities under the version that the step began with; empty if that version sampled the trajectory.
  package var starting: [Float] = []
  /// [T] each token's importance weight, because an older version sampled it; empty if none did.
  package var importance: [Float] = []
  /// [T] d loss / d entropy of the tokens' distributions, beside the entropy bonus; empty if no estimator asks for it.
  package var entropySlopes: [Float] = []
  /// How much each of its tokens counts in its mini-batch's loss, relative to tokens of other trajectories.
  package var weight: Float = 1

  /// A trajectory whose tokens all have the same advantage.
  package init(prompt: Prompt, trajectory: Trajectory, reward: Float = 0, advantage: Float = 0) {
    self.prompt = prompt
    self.trajectory = trajectory
    self.reward = reward
    advantages = [Float](repeating: advantage, count: trajectory.tokens.count)
  }

  /// [T] log-probabilities under the version that the step began with.
  package var old: [Float] { starting.isEmpty ? trajectory.logprobs : starting }

  /// Its rewards. A KL penalty in the reward is subtracted from every token's reward.
  func outcome(_ method: Method) -> Outcome {
    guard method.hasKL(in: .reward) else { return Outcome(reward: reward, tokenRewards: advantages.map { _ in 0 }) }
    return Outcome(
      reward: reward,
      tokenRewards: zip(old, reference).map { old, reference in
        -method.klCoefficient
          * klPenalty(logprob: old, reference: reference, estimator: method.klEstimator).value
      })
  }
}

/// The trained trajectories of one prompt.
package struct TrainedGroup: Sendable, Equatable {
  /// [m] by sample.
  package var members: [TrainedTrajectory]
  /// What the estimator does to their advantages.
  package var shaping: Shaping

  package init(members: [TrainedTrajectory], shaping: Shaping = Shaping()) {
    self.members = members
    self.shaping = shaping
  }

  /// Whether all its advantages are 0, so that it has nothing to teach.
  package var hasZeroAdvantage: Bool { members.allSatisfy { $0.advantages.allSatisfy { $0 == 0 } } }
}

/// The m trajectories of each group that are trained on, with their rewards. A group that abstains has none.
func trainedGroups(
  of groups: [Group], _ judgements: [Judgement], prompts: [Prompt], method: Method
) -> [TrainedGroup] {
  zip(groups, judgements).map { group, judgement in
    let trained = judgement.abstention == nil ? judgement.trained : []
    let penalties = trained.map { brevityPenalty(of: group.trajectories[$0], method: method) }
    return TrainedGroup(
      members: zip(trained, penalties).map { index, penalty in
        TrainedTrajectory(
          prompt: prompts[Int(group.prompt)], trajectory: group.trajectories[index],
          reward: judgement.rewards[index] - penalty)
      }, shaping: judgement.shaping.of(samples: trained).lowered(by: penalties))
  }
}

/// Sets the advantage of every trained token of a step. The whole step at once, because some estimators compare
/// trajectories of different prompts.
package func assignAdvantages(to groups: inout [TrainedGroup], method: Method) {
  switch method.objective {
  case .clip, .gspo, .awr: break
  case .sft: return assignEqualWeights(to: &groups)
  case .nft: return assignAgreement(to: &groups, method: method)
  case .ppo: return assignCriticAdvantages(to: &groups, method: method)
  case .prime: return assignProcessAdvantages(to: &groups, method: method)
  }
  let outcomes = groups.map { $0.members.map { $0.outcome(method) } }
  var values = advantages(of: outcomes, by: method.advantage)
  for (index, group) in groups.enumerated() where !group.shaping.isNone {
    values[index] = group.shaping.shaped(values[index], of: outcomes[index], by: method.advantage)
  }
  for (group, members) in values.enumerated() {
    for (member, advantages) in members.enumerated() { groups[group].members[member].advantages = advantages }
    for (member, slopes) in groups[group].shaping.entropySlopes.enumerated() {
      groups[group].members[member].entropySlopes = slopes
    }
  }
  if method.objective == .awr { exponentiateAdvantages(of: &groups, method: method) }
}

package struct MiniBatch: Sendable, Equatable {
  package var step: UInt32
  /// 0 is the first of its step. Before it, the policy has not changed since it sampled the step's trajectories, or
  /// scored those of an older version. So recomputed log-probabilities must equal the old ones exactly.
  package var index: Int
  /// Ascending by (prompt, sample), so that trajectories of one prompt are adjacent.
  package var trajectories: [TrainedTrajectory]
  /// The loss is Σ weight · (a token's loss) / divisor, over all tokens.
  package var divisor: Double

  /// A mini-batch whose loss is the mean over its tokens.
  package init(step: UInt32, index: Int, trajectories: [TrainedTrajectory]) {
    self.step = step
    self.index = index
    self.trajectories = trajectories
    divisor = Double(max(trajectories.reduce(0) { $0 + $1.trajectory.tokens.count }, 1))
  }

  /// Response tokens.
  package var tokenCount: Int { trajectories.reduce(0) { $0 + $1.trajectory.tokens.count } }
}

/// The outcome of one optimizer step. All sums are over the mini-batch's response tokens.
package struct UpdateReport: Sendable, Equatable {
  package var tokens = 0
  package var lossSum = 0.0
  package var clippedTokens = 0
  /// Norm of the mini-batch's gradient before clipping.
  package var gradientNorm = 0.0
  /// Whether the gradient was not finite, so that the weights were left unchanged.
  package var isSkipped = false
  /// Largest difference between a token's recomputed log-probability and its old one (`TrainedTrajectory.old`). Must be
  /// 0 in a step's first mini-batch (E2 in docs/guarantees.md).
  package var logprobGap: Float = 0
  /// nil without a critic.
  package var critic: CriticReport?

  package init() {}
}

/// Shuffles the trained trajectories of a step and cuts them into mini-batches. The last one can be smaller. There are
/// none if there is nothing to train on.
func miniBatches(of groups: [TrainedGroup], step: UInt32, method: Method) -> [MiniBatch] {
  let pool = groups.flatMap(\.members)
  var sequence = RandomSequence(seed: method.seed, purpose: .miniBatchOrder, stream: SIMD3(step, 0, 0))
  let order = sequence.permutation(of: pool.count)
  return stride(from: 0, to: pool.count, by: method.miniBatch).enumerated().map { index, start in
    var members = order[start..<min(start + method.miniBatch, pool.count)].map { pool[$0] }
    let scale = LossScale(lengths: members.map(\.trajectory.tokens.count), method: method)
    for (member, weight) in scale.weights.enumerated() { members[member].weight = weight }
    var batch = MiniBatch(
      step: step, index: index, trajectories: members.sorted { $0.trajectory.slot < $1.trajectory.slot })
    batch.divisor = scale.divisor
    return batch
  }
}
