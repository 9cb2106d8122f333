// Shaping: what an estimator does to a group's advantages, besides choosing the rewards.
//
// With A(r) the advantages that rewards r have under `advantage`:
//
//   A_it = weight · (factor_it · Σ_j w_j A(r_j)_i − penalty)
//
// Without candidates the sum is A(r) of the group's rewards. Without a shape nothing is computed here, and advantages
// are those of the rewards, bit for bit.

import Records

/// A label among several: how much it counts, and the rewards if it is right.
package struct Candidate: Sendable, Equatable {
  package var weight: Double
  /// [N] by sample; of trained samples only, after `of(samples:)`.
  package var rewards: [Float]

  package init(weight: Double, rewards: [Float]) {
    self.weight = weight
    self.rewards = rewards
  }
}

package struct Shaping: Sendable, Equatable {
  /// By what each advantage is multiplied.
  package enum Factors: Sendable, Equatable {
    case none
    /// [N], one for all tokens of a sample.
    case bySample([Float])
    /// [N][T].
    case byToken([[Float]])
  }

  package var candidates: [Candidate] = []
  package var factors = Factors.none
  /// [N][T] d loss / d entropy of each token's distribution, in the loss and not in an advantage; or empty.
  package var entropySlopes: [[Float]] = []
  /// Subtracted from every advantage of the group.
  package var penalty: Float = 0
  /// How much the prompt counts; 0 leaves it without advantages.
  package var weight: Float = 1

  package init() {}

  var isNone: Bool { self == Shaping() }

  /// The same for some of the samples, in this order.
  func of(samples: [Int]) -> Shaping {
    guard !isNone else { return self }
    var some = self
    for index in candidates.indices { some.candidates[index].rewards = samples.map { candidates[index].rewards[$0] } }
    switch factors {
    case .none: break
    case .bySample(let values): some.factors = .bySample(samples.map { values[$0] })
    case .byToken(let values): some.factors = .byToken(samples.map { values[$0] })
    }
    if !entropySlopes.isEmpty { some.entropySlopes = samples.map { entropySlopes[$0] } }
    return some
  }

  /// - Parameters:
  ///   - plain: [m][T] the advantages of the group's own rewards.
  ///   - outcomes: [m] what its trajectories earned; candidates replace the rewards in them.
  ///   - estimator: makes advantages of a candidate's rewards.
  func shaped(_ plain: [[Float]], of outcomes: [Outcome], by estimator: AdvantageEstimator) -> [[Float]] {
    let values = candidates.isEmpty ? plain : candidateSum(outcomes, estimator)
    return values.enumerated().map { sample, tokens in
      tokens.enumerated().map { weight * (factor(sample, $0) * $1 - penalty) }
    }
  }

  private func factor(_ sample: Int, _ token: Int) -> Float {
    switch factors {
    case .none: 1
    case .bySample(let values): values[sample]
    case .byToken(let values): values[sample][token]
    }
  }

  /// Σ_j w_j A(r_j). In Double, in the order of the candidates, so that only the sum is rounded to Float.
  private func candidateSum(_ outcomes: [Outcome], _ estimator: AdvantageEstimator) -> [[Float]] {
    var sums = outcomes.map { [Double](repeating: 0, count: $0.tokenRewards.count) }
    for candidate in candidates {
      let earned = zip(outcomes, candidate.rewards).map { Outcome(reward: $1, tokenRewards: $0.tokenRewards) }
      for (sample, tokens) in advantages(of: [earned], by: estimator)[0].enumerated() {
        for (token, advantage) in tokens.enumerated() { sums[sample][token] += candidate.weight * Double(advantage) }
      }
    }
    return sums.map { $0.map(Float.init) }
  }
}
