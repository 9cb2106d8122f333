// MiniBatch: the trajectories of a step that are trained on, and of one optimizer step, in an order that only the seed
// decides.

import Base
package import Records

/// One trajectory to train on, and what it is worth.
package struct TrainedTrajectory: Sendable, Equatable {
  package var prompt: Prompt
  package var trajectory: Trajectory
  package var reward: Float
  /// [T] by token.
  package var advantages: [Float]
  /// [T] log-probabilities under policy 0; empty unless a KL penalty asks for them.
  package var reference: [Float] = []
  /// [T] log-probabilities under the version that the step began with; empty where that one sampled it.
  package var starting: [Float] = []
  /// [T] how much each token's surrogate counts because an older version sampled it; empty where none did.
  package var importance: [Float] = []
  /// How much each of its tokens counts in its mini-batch's loss, relative to the others'.
  package var weight: Float = 1

  /// A trajectory whose tokens are all worth the same.
  package init(prompt: Prompt, trajectory: Trajectory, reward: Float = 0, advantage: Float = 0) {
    self.prompt = prompt
    self.trajectory = trajectory
    self.reward = reward
    advantages = [Float](repeating: advantage, count: trajectory.tokens.count)
  }

  /// [T] log-probabilities under the version that the step began with.
  package var old: [Float] { starting.isEmpty ? trajectory.logprobs : starting }

  /// What it earned; a KL penalty in the reward takes from every token.
  fileprivate func outcome(_ method: Method) -> Outcome {
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

  package init(members: [TrainedTrajectory]) { self.members = members }

  /// Nothing in it is worth more than anything else: it has nothing to teach.
  package var hasZeroAdvantage: Bool { members.allSatisfy { $0.advantages.allSatisfy { $0 == 0 } } }
}

/// The m trajectories of each group that are trained on, with their rewards; none of a group that abstains.
func trainedGroups(of groups: [Group], _ judgements: [Judgement], prompts: [Prompt]) -> [TrainedGroup] {
  zip(groups, judgements).map { group, judgement in
    let trained = judgement.abstention == nil ? judgement.trained : []
    return TrainedGroup(
      members: trained.map { place in
        TrainedTrajectory(
          prompt: prompts[Int(group.prompt)], trajectory: group.trajectories[place], reward: judgement.rewards[place])
      })
  }
}

/// Says what every trained token of a step is worth. The whole step at once: some estimators compare across prompts.
package func assignAdvantages(to groups: inout [TrainedGroup], method: Method) {
  let values = advantages(of: groups.map { $0.members.map { $0.outcome(method) } }, by: method.advantage)
  for (group, members) in values.enumerated() {
    for (member, advantages) in members.enumerated() { groups[group].members[member].advantages = advantages }
  }
}

package struct MiniBatch: Sendable, Equatable {
  package var step: UInt32
  /// 0 is the first of its step: the policy has not moved since it sampled, or scored what an older one had sampled, so
  /// log-probabilities must agree exactly.
  package var index: Int
  /// Ascending by (prompt, sample), so that trajectories which share a prompt stand together.
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

/// How one optimizer step went. All sums are over the mini-batch's response tokens.
package struct UpdateReport: Sendable, Equatable {
  package var tokens = 0
  package var lossSum = 0.0
  package var clippedTokens = 0
  /// Norm of the mean gradient before clipping.
  package var gradientNorm = 0.0
  /// The gradient was not finite, so the weights were left alone.
  package var isSkipped = false
  /// Largest |recomputed − old| log-probability, where the old ones are the recorded ones unless an older version
  /// sampled; must be 0 in a step's first mini-batch (E2).
  package var logprobGap: Float = 0

  package init() {}
}

/// Shuffles the trained trajectories of a step and cuts them into mini-batches. The last one may be smaller; there is
/// none if there is nothing to train on.
func miniBatches(of groups: [TrainedGroup], step: UInt32, method: Method) -> [MiniBatch] {
  let pool = groups.flatMap(\.members)
  var sequence = RandomSequence(seed: method.seed, purpose: .miniBatchOrder, stream: SIMD3(step, 0, 0))
  let order = sequence.permutation(of: pool.count)
  return stride(from: 0, to: pool.count, by: method.miniBatch).enumerated().map { index, start in
    var members = order[start..<min(start + method.miniBatch, pool.count)].map { pool[$0] }
    let scale = LossScale(lengths: members.map(\.trajectory.tokens.count), method: method)
    for (place, weight) in scale.weights.enumerated() { members[place].weight = weight }
    var batch = MiniBatch(
      step: step, index: index, trajectories: members.sorted { $0.trajectory.slot < $1.trajectory.slot })
    batch.divisor = scale.divisor
    return batch
  }
}
