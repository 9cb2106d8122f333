// MiniBatch: the trajectories of one optimizer step, in an order that only the seed decides.

import Base
package import Records

/// One trajectory to train on, and what it is worth.
package struct TrainedTrajectory: Sendable, Equatable {
  package var prompt: Prompt
  package var trajectory: Trajectory
  package var advantage: Float

  package init(prompt: Prompt, trajectory: Trajectory, advantage: Float) {
    self.prompt = prompt
    self.trajectory = trajectory
    self.advantage = advantage
  }
}

package struct MiniBatch: Sendable, Equatable {
  package var step: UInt32
  /// 0 is the first of its step: the policy has not moved since it sampled, so log-probabilities must agree exactly.
  package var index: Int
  /// Ascending by (prompt, sample), so that trajectories which share a prompt stand together.
  package var trajectories: [TrainedTrajectory]

  package init(step: UInt32, index: Int, trajectories: [TrainedTrajectory]) {
    self.step = step
    self.index = index
    self.trajectories = trajectories
  }

  /// Response tokens: the denominator of the loss, a token mean over the whole mini-batch.
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
  /// Largest |recomputed − recorded| log-probability; must be 0 in a step's first mini-batch (E2).
  package var logprobGap: Float = 0

  package init() {}
}

/// Shuffles the trained trajectories of a step's groups and cuts them into mini-batches.
///
/// Groups without any advantage are left out before the forward pass: they would add nothing but work. The last
/// mini-batch may be smaller; there is none if no group has anything to teach.
package func miniBatches(
  of groups: [Group], _ judgements: [Judgement], prompts: [Prompt], step: UInt32, method: Method
) -> [MiniBatch] {
  var pool: [TrainedTrajectory] = []
  for (group, judgement) in zip(groups, judgements) where !judgement.isSilent {
    for (sample, advantage) in zip(judgement.trained, judgement.advantages) {
      pool.append(
        TrainedTrajectory(
          prompt: prompts[Int(group.prompt)], trajectory: group.trajectories[sample], advantage: advantage))
    }
  }
  var sequence = RandomSequence(seed: method.seed, purpose: .miniBatchOrder, stream: SIMD3(step, 0, 0))
  let order = sequence.permutation(of: pool.count)
  return stride(from: 0, to: pool.count, by: method.miniBatch).enumerated().map { index, start in
    let members = order[start..<min(start + method.miniBatch, pool.count)].map { pool[$0] }
    return MiniBatch(
      step: step, index: index, trajectories: members.sorted { $0.trajectory.slot < $1.trajectory.slot })
  }
}
