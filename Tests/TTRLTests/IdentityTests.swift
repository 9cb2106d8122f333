// The identities of the method. They hold because vote, reward and metrics use the same equivalence of answers.

import Answers
import Base
import Records
import TTRL
import Testing

@Suite struct IdentityTests {
  private static let groups = (1...6).flatMap(allGroups)

  @Test func `I1: if the label is right, every reward is right`() {
    for group in Self.groups {
      for truth in 0..<3 {
        guard let counts = metrics(group, truth: truth).truth, counts.isLabelRight else { continue }
        #expect(counts.rightRewards == group.count, "\(group), truth \(truth)")
      }
    }
  }

  @Test func `I2: if the label is wrong, a reward is right if its sample did not give the label and is not right`() {
    for group in Self.groups {
      for truth in 0..<3 {
        let measured = metrics(group, truth: truth)
        guard let counts = measured.truth, !counts.isLabelRight else { continue }
        #expect(counts.rightRewards == group.count - measured.votes - counts.right, "\(group), truth \(truth)")
        #expect(counts.rightRewards >= group.count - 2 * measured.votes, "\(group), truth \(truth)")
      }
    }
  }

  @Test func `I3: the rewarded samples are those that gave the label`() {
    for group in Self.groups {
      let measured = metrics(group, truth: nil)
      #expect(measured.rewarded == measured.votes, "\(group)")
    }
  }

  @Test(arguments: [AdvantageEstimator.grpo, .drGRPO, .rloo])
  func `I4: advantages sum to 0, and are all exactly 0 if all rewards are equal`(_ estimator: AdvantageEstimator) {
    for count in 1...10 {
      for pattern in 0..<(1 << count) {
        let rewards = (0..<count).map { Float(pattern >> $0 & 1) }
        let result = advantages(ofGroup: rewards, estimator)
        // 1e-6: ten float32 numbers of size 3 at most.
        #expect(abs(result.reduce(0, +)) < 1e-6, "\(rewards)")
        #expect(result.allSatisfy { $0 == 0 } == (Set(rewards).count == 1), "\(rewards)")
      }
    }
  }

  /// "even if the label is wrong, most rewards are right" (TTRL, section 4.2, the toy of figure 5).
  @Test func `I5: the paper's example: answers 1 1 2 2 2 4 5 6, truth 3, label 2, and 5 of 8 rewards are right`() {
    let measured = metrics([1, 1, 2, 2, 2, 4, 5, 6], truth: 3)
    #expect(measured.label == key(2).text)
    #expect(measured.votes == 3 && measured.samples == 8)
    #expect(measured.truth?.rightRewards == 5 && measured.truth?.right == 0)
    #expect(measured.truth?.isLabelRight == false)
  }

  @Test func `I6: at least one sample is right at least as often as the label is, and as a single sample is`() throws {
    var dice = RandomSequence(seed: 6, purpose: .questions)
    for trial in 0..<200 {
      let groups = (0..<4).map { _ in (0..<8).map { _ in [nil, 0, 1, 2][dice.index(below: 4)] } }
      let step = try step(of: groups, truth: 1)
      let pass = step.passAtVotes ?? 0
      #expect(pass >= step.labelAccuracy ?? 0, "trial \(trial)")
      #expect(pass >= step.groundTruthRatio ?? 0, "trial \(trial)")
      // I3 again, as published fractions.
      #expect(step.majorityVotingReward == step.majorityRatio, "trial \(trial)")
    }
  }

  /// With many, few, or one answer, with many samples without an answer, and with right and wrong labels.
  @Test func `I1, I2, I3, I6 hold for random groups of up to 64 samples, and for the samples that are trained on`() {
    var dice = RandomSequence(seed: 7, purpose: .questions)
    for trial in 0..<2_000 {
      let labels = 1 + dice.index(below: 12)
      let missing = dice.index(below: 3)
      let group = (0..<(1 + dice.index(below: 64))).map { _ -> Int? in
        let answer = dice.index(below: labels + missing)
        return answer < labels ? answer : nil
      }
      var method = Method()
      method.seed = UInt64(trial)
      method.trainSamples = 1 + dice.index(below: group.count)
      let measured = metrics(group, truth: 0, method: method)
      guard let counts = measured.truth else { return #expect(Bool(false), "no truth in trial \(trial)") }
      #expect(measured.rewarded == measured.votes, "I3, trial \(trial)")
      #expect(counts.right > 0 || !counts.isLabelRight, "I6, trial \(trial)")
      let neither = group.count - measured.votes - counts.right
      #expect(counts.rightRewards == (counts.isLabelRight ? group.count : neither), "I1, I2, trial \(trial)")
      #expect(counts.isLabelRight || neither >= group.count - 2 * measured.votes, "I2, trial \(trial)")
      if counts.isLabelRight { #expect(counts.trainedRightRewards == measured.trained, "I1 of m, trial \(trial)") }
      #expect(counts.trainedRight <= counts.right && measured.trained <= group.count, "trial \(trial)")
    }
  }

  @Test(arguments: [AdvantageEstimator.grpo, .drGRPO, .rloo])
  func `I4: advantages of random groups of up to 256 sum to 0`(_ estimator: AdvantageEstimator) {
    var dice = RandomSequence(seed: 8, purpose: .questions)
    for trial in 0..<500 {
      let right = dice.index(below: 257)
      let rewards = (0..<256).map { Float($0 < right ? 1 : 0) }
      let result = advantages(ofGroup: rewards, estimator)
      // 1e-4: 256 float32 numbers of size 16 at most, added in double.
      #expect(abs(result.reduce(0.0) { $0 + Double($1) }) < 1e-4, "trial \(trial)")
      #expect(result.allSatisfy { $0 == 0 } == (right == 0 || right == 256), "trial \(trial)")
    }
  }

  @Test func `a step's fractions are the means of its prompts' fractions`() throws {
    let step = try step(of: [[1, 1, 1, 2], [nil, nil, 2, 1]], truth: 1)
    #expect(step.majorityRatio == (0.75 + 0.25) / 2)
    #expect(step.noAnswerRatio == 0.25 && step.truncatedRatio == 0.25)
    #expect(step.tieRatio == 0.5 && step.zeroAdvantageRatio == 0 && step.unlabeledRatio == 0)
    #expect(step.labelAccuracy == 0.5 && step.groundTruthRatio == 0.5 && step.passAtVotes == 1)
    #expect(step.rewardAccuracy == (1 + 0.5) / 2)
    #expect(step.lengthMean == 1 && step.sampledTokens == 8 && step.entropy == 0.5)
  }

  @Test func `without true answers there are no figures that need them`() throws {
    let step = try step(of: [[1, 2]], truth: nil)
    #expect(step.labelAccuracy == nil && step.rewardAccuracy == nil && step.passAtVotes == nil)
    #expect(step.majorityRatio == 0.5)
  }
}
