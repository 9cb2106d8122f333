// NFT and GSPO at one token: identities that their papers state. Their formulas are compared with automatic
// differentiation in ObjectiveTests, and through a whole model in ObjectiveGradientTests.

import Base
import Records
import TTRL
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// A step's trained groups with these rewards; each trajectory has `length` tokens.
private func groups(_ rewards: [[Float]], length: Int = 3) -> [TrainedGroup] {
  rewards.enumerated().map { prompt, rewards in
    TrainedGroup(
      members: rewards.enumerated().map { sample, reward in
        TrainedTrajectory(
          prompt: Prompt(index: UInt32(prompt), tokens: [1], kind: .math),
          trajectory: Trajectory(
            slot: Slot(round: .train(step: 0), prompt: UInt32(prompt), sample: UInt32(sample)),
            policy: PolicyVersion(0), tokens: [Int32](repeating: 0, count: length),
            logprobs: [Float](repeating: -1.25, count: length), entropySum: 0, finish: .stop),
          reward: reward)
      })
  }
}

/// The slopes at ρ = 1, which is where the policy is when it has just sampled.
private func slopes(_ rewards: [[Float]], _ change: (inout Method) -> Void) -> [Double] {
  var method = Method()
  change(&method)
  var groups = groups(rewards)
  assignAdvantages(to: &groups, method: method)
  return groups.flatMap(\.members).map { Double(objective(of: $0, at: 1, logprob: -1.25, method: method).slope) }
}

@Suite struct NegativeAwareTests {
  private static let rewards: [[Float]] = [
    [1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 1, 0, 1, 1, 1], [0, 1, 1, 0], [1, 1, 1], [0, 0],
  ]

  @Test func `on-policy, the weights dr-grpo and grpo give the gradients of Dr. GRPO and GRPO`() {
    let centred = slopes(Self.rewards) { $0.advantage = .drGRPO }
    let ours = slopes(Self.rewards) { $0.objective = .nft }
    #expect(zip(ours, centred).allSatisfy { abs($0 - $1) < 1e-6 })
    let standardized = slopes(Self.rewards) { $0.advantage = .grpo }
    let others = slopes(Self.rewards) {
      $0.objective = .nft
      $0.nftPromptWeight = .grpo
    }
    // GRPO's deviation divides by m − 1, the weight's by m.
    let factors = Self.rewards.flatMap { group in
      group.map { _ in (Double(group.count - 1) / Double(group.count)).squareRoot() }
    }
    for (index, factor) in factors.enumerated() {
      #expect(abs(others[index] * factor - standardized[index]) < 1e-5, "trajectory \(index)")
    }
  }

  @Test func `a unanimous group has nothing to teach, and every other has`() {
    for weight in NFTPromptWeight.allCases {
      var method = Method()
      (method.objective, method.nftPromptWeight) = (.nft, weight)
      var groups = groups(Self.rewards)
      assignAdvantages(to: &groups, method: method)
      #expect(groups.map(\.hasZeroAdvantage) == [false, false, false, true, true])
    }
  }

  @Test func `q is bounded, so that one dissenter among very many does not weigh without limit`() {
    var group = groups([[0] + [Float](repeating: 1, count: 199)])
    var method = Method()
    (method.objective, method.nftPromptWeight) = (.nft, .grpo)
    assignAdvantages(to: &group, method: method)
    #expect(group[0].members.allSatisfy { $0.agreement == 0.98 })
  }

  @Test func `a token that became likelier in a rejected response is at the bound, and its slope is straight-through`()
  {
    let token = negativeAware(logprob: -1, old: -1.5, advantage: -1, agreement: 0.5)
    #expect(token.loss == 0 && token.isClipped)
    #expect(abs(Double(token.slope) - exp(0.5)) < 1e-6)
    let less = negativeAware(logprob: -2, old: -1.5, advantage: -1, agreement: 0.5)
    #expect(!less.isClipped && less.loss < 0 && less.slope > 0 && less.slope < 1)
  }

  @Test func `a distance beyond the range of exp is bounded`() {
    for advantage in [Float(1), -1] {
      let token = negativeAware(logprob: -1, old: -500, advantage: advantage, agreement: 0.5)
      #expect(token.loss.isFinite && token.slope == 0 && token.isClipped)
    }
  }
}

@Suite struct SequenceRatioTests {
  @Test func `all tokens of a sequence have the ratio of their mean, and are clipped together`() throws {
    var method = Method()
    (method.objective, method.clipLow, method.clipHigh) = (.gspo, 0.0003, 0.0004)
    var member = try #require(groups([[1]])[0].members.first)
    member.advantages = [1, 1, 1]
    // Single ratios of 7.4 and 0.1, whose sequence has hardly moved.
    let logprobs: [Float] = [0.75, -3.25, -1.25]
    let ratio = sequenceRatio(of: member, logprobs: logprobs)
    #expect(ratio == 1)
    for place in 0..<3 {
      let token = objective(
        of: member, at: place, logprob: logprobs[place], sequenceRatio: ratio, method: method)
      #expect(token.slope == -1 && !token.isClipped)
    }
    let moved = logprobs.map { $0 + 0.01 }
    let beyond = sequenceRatio(of: member, logprobs: moved)
    #expect(abs(Double(beyond) - exp(0.01)) < 1e-6)
    for place in 0..<3 {
      let token = objective(of: member, at: place, logprob: moved[place], sequenceRatio: beyond, method: method)
      #expect(token.slope == 0 && token.isClipped && token.loss == -1.0004)
    }
  }

  @Test func `there is no dual clip`() throws {
    var method = Method()
    method.objective = .gspo
    var member = try #require(groups([[0]])[0].members.first)
    member.advantages = [-1, -1, -1]
    let token = objective(of: member, at: 0, logprob: -1, sequenceRatio: 50, method: method)
    #expect(token.loss == 50 && token.slope == 50 && !token.isClipped)
  }
}
