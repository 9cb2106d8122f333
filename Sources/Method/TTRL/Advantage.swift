// Advantage: the advantage of each token that is trained on, from the rewards of the whole step.
//
// An estimator gets all trained trajectories of the step at once, as outcomes in groups of one prompt, and returns one
// number per token. GRPO, Dr. GRPO and RLOO look at one group at a time and give all tokens of a trajectory the same
// number. REINFORCE++ compares over the whole step, and gives tokens different numbers if single tokens are rewarded.
// Estimators that need a critic's values or process rewards fit the same shape: they read more of an `Outcome`.
// If all rewards are equal, advantages are exactly 0, not a rounding error; only `fixed` does not compare.

package import Records

/// What one trained trajectory earned.
package struct Outcome: Sendable, Equatable {
  /// The reward of the whole response.
  package var reward: Float
  /// [T] additional rewards of single tokens; all 0 unless a KL penalty is in the reward.
  package var tokenRewards: [Float]

  package init(reward: Float, tokenRewards: [Float]) {
    self.reward = reward
    self.tokenRewards = tokenRewards
  }

  /// The sum of all its rewards. In Double, so that only the advantage itself is rounded to Float.
  fileprivate var score: Double { tokenRewards.reduce(Double(reward)) { $0 + Double($1) } }

  /// [T] the sum of the rewards from each token on. The response's reward belongs to its last token.
  fileprivate var rewardsToGo: [Double] {
    var left = Double(reward)
    return Array(
      tokenRewards.reversed().map {
        left += Double($0); return left
      }.reversed())
  }
}

/// The advantages of a step's trained trajectories.
///
/// - Parameter groups: [B][m] by prompt, then by sample. A group of one trajectory has nothing to compare with: its
///   advantages are 0, except under REINFORCE++ without baseline.
/// - Returns: [B][m][T].
package func advantages(of groups: [[Outcome]], by estimator: AdvantageEstimator) -> [[[Float]]] {
  let valued: [[[Double]]] =
    switch estimator {
    case .grpo: groups.map { spread($0, standardized($0.map(\.score))) }
    case .drGRPO: groups.map { spread($0, centered($0.map(\.score))) }
    case .rloo: groups.map { spread($0, leftOneOut($0.map(\.score))) }
    case .reinforcePlusPlus: whitened(groups.map { $0.map(\.rewardsToGo) })
    case .reinforcePlusPlusBaseline: whitened(groups.map { spread($0, centered($0.map(\.score))) })
    case .maxRL: groups.map { spread($0, relativeToMean($0.map(\.score))) }
    case .fixed: groups.map { spread($0, $0.map { 2 * $0.score - 1 }) }
    }
  return valued.map { $0.map { $0.map(Float.init) } }
}

/// Repeats each trajectory's value for each of its tokens.
private func spread(_ group: [Outcome], _ values: [Double]) -> [[Double]] {
  zip(group, values).map { [Double](repeating: $1, count: $0.tokenRewards.count) }
}

private func areEqual(_ values: [Double]) -> Bool { values.allSatisfy { $0 == values[0] } }

/// x − μ.
private func centered(_ scores: [Double]) -> [Double] {
  if areEqual(scores) { return scores.map { _ in 0 } }
  let mean = scores.reduce(0, +) / Double(scores.count)
  return scores.map { $0 - mean }
}

/// (x − μ) / (σ + 1e-6). σ divides by m − 1, and 1e-6 is added to σ, as in the reference (`core_algos.py:113`).
private func standardized(_ scores: [Double]) -> [Double] {
  let distances = centered(scores)
  let squares = distances.reduce(0) { $0 + $1 * $1 }
  let deviation = (squares / Double(max(scores.count - 1, 1))).squareRoot()
  return distances.map { $0 / (deviation + 1e-6) }
}

/// x − the mean of the others = m / (m − 1) · (x − μ).
private func leftOneOut(_ scores: [Double]) -> [Double] {
  let count = Double(scores.count)
  return centered(scores).map { $0 * count / max(count - 1, 1) }
}

/// (x − μ) / μ; 0 if μ is not above 0, because then no reward is, where rewards are never negative (RunProblems).
private func relativeToMean(_ scores: [Double]) -> [Double] {
  let mean = scores.reduce(0, +) / Double(max(scores.count, 1))
  return centered(scores).map { mean > 0 ? $0 / mean : 0 }
}

/// (x − mean) / √(variance + 1e-8) over all tokens of the step, so longer responses count more in mean and variance.
/// The variance divides by the number of tokens minus one. This is `masked_whiten` of verl and of the reference. The
/// paper (arXiv 2501.03262, "global advantage normalization") does not specify the weighting and the small constant.
private func whitened(_ groups: [[[Double]]]) -> [[[Double]]] {
  let all = groups.flatMap { $0.flatMap { $0 } }
  if areEqual(all) { return groups.map { $0.map { $0.map { _ in 0 } } } }
  let mean = all.reduce(0, +) / Double(all.count)
  let variance = all.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(all.count - 1, 1))
  let scale = 1 / (variance + 1e-8).squareRoot()
  return groups.map { $0.map { $0.map { ($0 - mean) * scale } } }
}
