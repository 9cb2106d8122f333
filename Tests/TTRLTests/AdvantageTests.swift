// Advantages: the values that the method's description gives for a group of 32, and each estimator's formula on small
// numbers that can be computed by hand.

import Records
import TTRL
import Testing

@Suite struct AdvantageTests {
  /// A+ = √((m−1)/m · (1−p)/p), A− = −√((m−1)/m · p/(1−p)), where p is the rewarded share; values to two places.
  @Test(arguments: [(1, Float(5.48), Float(-0.18)), (8, 1.70, -0.57), (16, 0.98, -0.98), (31, 0.18, -5.48)])
  func `a group of 32 has the advantages of the formula`(_ rewarded: Int, _ right: Float, _ wrong: Float) {
    let rewards = (0..<32).map { Float($0 < rewarded ? 1 : 0) }
    let result = advantages(ofGroup: rewards, .grpo)
    #expect(abs(result[0] - right) < 0.005 && abs(result[31] - wrong) < 0.005)
    let share = Double(rewarded) / 32
    let exact = (31.0 / 32 * (1 - share) / share).squareRoot()
    // 1e-4: the deviation has 1e-6 added to it, and is at least 0.17.
    #expect(abs(Double(result[0]) - exact) < 1e-4)
  }

  @Test func `Dr. GRPO is the distance from the mean`() {
    #expect(advantages(ofGroup: [1, 0, 0, 1], .drGRPO) == [0.5, -0.5, -0.5, 0.5])
    #expect(advantages(ofGroup: [1, 0, 0, 0], .drGRPO) == [0.75, -0.25, -0.25, -0.25])
  }

  @Test func `RLOO is the distance from the mean of the others`() {
    #expect(advantages(ofGroup: [1, 0, 0, 0], .rloo) == [1, -Float(1) / 3, -Float(1) / 3, -Float(1) / 3])
    #expect(advantages(ofGroup: [1, 0.5, 0], .rloo) == [0.75, 0, -0.75])
    #expect(advantages(ofGroup: [1, 0], .rloo) == [1, -1])
  }

  /// Two prompts, with rewards 1 (1 token), 0 (3 tokens), 1 (2), 1 (2). Over the 8 tokens the mean is 5/8 and the
  /// variance (5·(3/8)² + 3·(5/8)²) / 7 = 15/56.
  @Test func `REINFORCE++ divides the distance from the step's mean by the deviation, across prompts`() {
    let groups = [[(Float(1), 1), (0, 3)], [(1, 2), (1, 2)]]
    let result = advantages(of: outcomes(groups), by: .reinforcePlusPlus)
    let deviation = (15.0 / 56).squareRoot()
    expect(
      result,
      near: [
        [[0.375 / deviation], [-0.625 / deviation, -0.625 / deviation, -0.625 / deviation]],
        [[0.375 / deviation, 0.375 / deviation], [0.375 / deviation, 0.375 / deviation]],
      ])
  }

  /// The same rewards, centered per prompt: 1/2 (1 token), −1/2 (3 tokens), 0 (2), 0 (2). The mean is −1/8, the
  /// variance (0.625² + 3·0.375² + 4·0.125²) / 7 = 0.875 / 7 = 1/8.
  @Test func `REINFORCE++ with baseline centers each group before it compares across prompts`() {
    let groups = [[(Float(1), 1), (0, 3)], [(1, 2), (1, 2)]]
    let result = advantages(of: outcomes(groups), by: .reinforcePlusPlusBaseline)
    let deviation = 0.125.squareRoot()
    expect(
      result,
      near: [
        [[0.625 / deviation], [-0.375 / deviation, -0.375 / deviation, -0.375 / deviation]],
        [[0.125 / deviation, 0.125 / deviation], [0.125 / deviation, 0.125 / deviation]],
      ])
  }

  /// Rewards to go of [−0.5, 0, 0.25] with 1 at the end: 0.75, 1.25, 1.25; of [0.5] with 0: 0.5. The mean is 0.9375,
  /// the variance (0.1875² + 2·0.3125² + 0.4375²) / 3 = 0.421875 / 3 = 0.140625 = 0.375².
  @Test func `REINFORCE++ sums rewards of single tokens from each token on, the others over the whole response`() {
    let group = [
      Outcome(reward: 1, tokenRewards: [-0.5, 0, 0.25]), Outcome(reward: 0, tokenRewards: [0.5]),
    ]
    expect(advantages(of: [group], by: .reinforcePlusPlus), near: [[[-0.5, 5.0 / 6, 5.0 / 6], [-7.0 / 6]]])
    // The sums are 0.75 and 0.5.
    #expect(advantages(of: [group], by: .drGRPO) == [[[0.125, 0.125, 0.125], [-0.125]]])
    #expect(advantages(of: [group], by: .rloo) == [[[0.25, 0.25, 0.25], [-0.25]]])
  }

  /// Fixed advantages compare with nothing.
  @Test(arguments: AdvantageEstimator.allCases.filter { $0 != .fixed })
  func `if all rewards are equal, advantages are exactly 0`(_ estimator: AdvantageEstimator) {
    for reward: Float in [0, 0.1, 1.0 / 3, 1] {
      let groups = [1, 3, 7].map { count in
        (0..<count).map { Outcome(reward: reward, tokenRewards: [Float](repeating: 0, count: 1 + $0)) }
      }
      let result = advantages(of: groups, by: estimator)
      #expect(result.joined().joined().allSatisfy { $0 == 0 }, "reward \(reward)")
    }
  }

  @Test(arguments: [AdvantageEstimator.grpo, .drGRPO, .rloo])
  func `a group of one or none has no advantages, and advantages do not depend on other groups`(
    _ estimator: AdvantageEstimator
  ) {
    #expect(advantages(ofGroup: [1], estimator) == [0] && advantages(ofGroup: [], estimator) == [])
    let both = advantages(of: outcomes([[(1, 2), (0, 1)], [(1, 1), (1, 1)]]), by: estimator)
    #expect(both[0] == advantages(of: outcomes([[(1, 2), (0, 1)]]), by: estimator)[0])
  }

  @Test func `advantages do not depend on the order of the samples`() {
    let forward = advantages(ofGroup: [1, 0, 0, 1, 0], .grpo)
    let backward = advantages(ofGroup: [0, 1, 0, 0, 1], .grpo)
    #expect(forward == Array(backward.reversed()))
  }

  /// Outcomes with these rewards and numbers of tokens.
  private func outcomes(_ groups: [[(Float, Int)]]) -> [[Outcome]] {
    groups.map { $0.map { Outcome(reward: $0.0, tokenRewards: [Float](repeating: 0, count: $0.1)) } }
  }

  /// 1e-6: float32 results around 1. The 1e-8 that is added to a variance of at least 0.12 matters less.
  private func expect(_ result: [[[Float]]], near expected: [[[Double]]]) {
    #expect(result.map { $0.map(\.count) } == expected.map { $0.map(\.count) })
    for (value, wanted) in zip(result.joined().joined(), expected.joined().joined()) {
      #expect(abs(Double(value) - wanted) < 1e-6)
    }
  }
}

@Suite struct DenominatorTests {
  /// The loss of sequences with lengths 1, 3, 2, 2, 4, whose tokens have the losses 1, 2, 3, 4, 5, by sequence.
  private func loss(_ denominator: Denominator) -> Double {
    var method = Method()
    method.denominator = denominator
    method.sampling.maxNewTokens = 10
    let lengths = [1, 3, 2, 2, 4]
    let scale = LossScale(lengths: lengths, method: method)
    let sum = zip(zip(lengths, scale.weights), [1.0, 2, 3, 4, 5]).reduce(0.0) { sum, sequence in
      sum + Double(sequence.0.0) * Double(sequence.0.1) * sequence.1
    }
    return sum / scale.divisor
  }

  @Test func `each denominator gives the mean of its definition`() {
    // The sum is 1 + 6 + 6 + 8 + 20 = 41, over 12 tokens. Pieces: (1 + 6)/4, (6 + 8)/4, 20/4. Sequences:
    // (1 + 2 + 3 + 4 + 5)/5.
    // 1e-6: weights are float32.
    #expect(abs(loss(.tokenMean) - 41.0 / 12) < 1e-6)
    #expect(abs(loss(.microBatch) - (1.75 + 3.5 + 5) / 3) < 1e-6)
    #expect(abs(loss(.sequenceMean) - 3) < 1e-6)
    #expect(abs(loss(.sequenceSum) - 41.0 / 5) < 1e-6)
    #expect(abs(loss(.fixedLength) - 41.0 / 50) < 1e-6)
  }

  @Test func `the token mean has weights of exactly 1`() {
    let scale = LossScale(lengths: [3, 9, 1], method: Method())
    #expect(scale.weights == [1, 1, 1] && scale.divisor == 13)
  }
}
