// The rewards of the estimators in Estimators.swift, and that each setting of the vote has an effect on the advantages.
// The estimators with a file of their own are in MethodTests.

import Answers
import Base
import Records
import TTRL
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// A group's trajectories with these log-probabilities, and entropies that are their squares.
private func trajectories(_ logprobs: [[Float]]) -> [Trajectory] {
  logprobs.enumerated().map { sample, values in
    Trajectory(
      slot: Slot(round: .train(step: 0), prompt: 0, sample: UInt32(sample)), policy: PolicyVersion(0),
      tokens: values.map { _ in 1 }, logprobs: values, entropySum: values.reduce(0) { $0 + $1 * $1 }, finish: .stop)
  }
}

private func judged(_ answers: [Int?], _ logprobs: [[Float]] = [], _ change: (inout Method) -> Void) -> Judgement {
  var method = Method()
  method.votes = answers.count
  method.trainSamples = answers.count
  change(&method)
  return judge(
    prompt: 0, answers: keys(answers), trajectories: trajectories(logprobs), step: 0, method: method, truth: nil)
}

/// The advantages of a group's trained trajectories.
private func advantages(_ judgement: Judgement) -> [Float] {
  advantages(ofGroup: judgement.trained.map { judgement.rewards[$0] }, .grpo)
}

@Suite struct EstimatorTests {
  /// EMPO, section 3: the reward is the share of the answer's cluster.
  @Test func `soft vote rewards an answer by its share of all samples, and nothing without an answer`() {
    let judgement = judged([1, 1, 2, nil], []) { $0.estimator = .softVote }
    #expect(judgement.rewards == [0.5, 0.5, 0.25, 0] && judgement.abstention == nil)
    let values = advantages(judgement)
    #expect(values[2] > values[3] && values[0] > values[2])
  }

  @Test func `with soft vote, a group whose entropy is outside the band abstains`() {
    let spread: [Int?] = [1, 1, 2, nil]
    // The shares 1/2, 1/4, 1/4 have an entropy of 1.5 bits. 1e-15: double arithmetic.
    #expect(abs(voteEntropy(of: keys(spread)) - 1.5 * log(2)) < 1e-15)
    for (low, high, isIn) in [(0.0, 100.0, true), (1.1, 100, false), (0, 1.0, false), (1.0, 1.1, true)] {
      let judgement = judged(spread) {
        $0.estimator = .softVote
        $0.voteEntropyLow = low
        $0.voteEntropyHigh = high
      }
      #expect(judgement.abstention == (isIn ? nil : .entropy), "\(low) to \(high)")
      #expect(judgement.rewards.contains { $0 > 0 } == isIn, "\(low) to \(high)")
    }
    #expect(judged([1, 1, 1]) { $0.estimator = .softVote }.abstention == .entropy)
    #expect(judged([nil, nil]) { $0.estimator = .softVote }.abstention == nil)
  }

  @Test func `"entropy" rewards low entropy per token, "confidence" likely tokens, whatever the answers are`() {
    let logprobs: [[Float]] = [[-1, -2], [-0.5], [-3, -1, -2]]
    let byEntropy = judged([nil, 1, 1], logprobs) { $0.estimator = .entropy }
    // Entropies here are the squares of log-probabilities: (1 + 4) / 2, 0.25, (9 + 1 + 4) / 3.
    #expect(byEntropy.rewards == [-2.5, -0.25, Float(-14.0 / 3)])
    let byConfidence = judged([nil, 1, 1], logprobs) { $0.estimator = .confidence }
    #expect(byConfidence.rewards == [-1.5, -0.5, -2])
    #expect(advantages(byEntropy)[1] > 0 && advantages(byConfidence)[2] < 0)
  }

  /// S of 3 votes against 1 is (3 − 1)² / (4 · 4) = 1/4. Without one vote for the first answer it is (2 − 1)² / (3 · 3)
  /// = 1/9; without the vote for the second, 1.
  @Test func `"snr" rewards a vote by what it adds to the margin of the two leading answers`() {
    let judgement = judged([1, 1, 1, 2, nil]) { $0.estimator = .snr }
    let gain = Float(0.25 - 1.0 / 9)
    #expect(judgement.rewards == [gain, gain, gain, -0.75, -10])
    #expect(judged([1]) { $0.estimator = .snr }.rewards == [1])
  }

  @Test func `a sample counts as rewarded if its graded reward is above the group's mean`() {
    let logprobs: [[Float]] = [[-1], [-2], [-3], [-2]]
    let judgement = judged([1, 2, 2, 1], logprobs) { $0.estimator = .confidence }
    let measured = measure(judgement, of: group([1, 2, 2, 1]), truth: key(1))
    #expect(measured.rewarded == 1 && measured.rewardSum == -8)
    #expect(measured.truth?.rightRewards == 3)
  }
}

@Suite struct VoteRuleTests {
  private static let groups = (1...6).flatMap(allGroups)

  @Test func `with "abstain", a tie has no label, and other groups have the same label`() {
    for group in Self.groups {
      let first = judged(group) { _ in }
      let strict = judged(group) { $0.ties = .abstain }
      if first.vote.isTie {
        #expect(strict.vote.label == nil && strict.abstention == .tie, "\(group)")
        #expect(strict.rewards.allSatisfy { $0 == 0 } && strict.vote.votes == 0, "\(group)")
      } else {
        #expect(strict == first, "\(group)")
      }
    }
  }

  @Test(arguments: [0.1, 0.25, 1.0 / 3, 0.5, 0.6, 1])
  func `the leading answer is the label only if its share is at least the minimum`(_ share: Double) {
    for group in Self.groups {
      let free = judged(group) { _ in }
      let strict = judged(group) { $0.minimumShare = share }
      guard free.vote.label != nil, Double(free.vote.votes) / Double(group.count) < share else {
        #expect(strict == free, "\(group)")
        continue
      }
      #expect(strict.vote.label == nil && strict.abstention == .share, "\(group)")
    }
  }

  @Test func `shares are compared exactly: 3 of 30 is a tenth`() {
    let answers: [Int?] = (0..<30).map { $0 < 3 ? 0 : $0 }
    #expect(judged(answers) { $0.minimumShare = 0.1 }.vote.votes == 3)
    #expect(judged(answers) { $0.minimumShare = 0.11 }.abstention == .share)
  }

  /// Also with estimators that compare trajectories of different prompts, and if zero-advantage groups are trained on.
  @Test(arguments: AdvantageEstimator.allCases, ZeroAdvantageGroups.allCases)
  func `a group that abstains is not trained on, and is not counted as a group without answers`(
    _ advantage: AdvantageEstimator, _ zeroAdvantageGroups: ZeroAdvantageGroups
  ) throws {
    var method = Method()
    method.advantage = advantage
    method.zeroAdvantageGroups = zeroAdvantageGroups
    method.ties = .abstain
    let step = try step(of: [[1, 2], [nil, nil], [1, 1]], truth: nil, method: method)
    #expect(step.abstentionRatio == 1.0 / 3 && step.unlabeledRatio == 1.0 / 3 && step.tieRatio == 1.0 / 3)
    #expect(step.prompts[0].hasZeroAdvantage && step.prompts[0].label == nil)
    var recorder = Recorder()
    _ = try learn(
      &recorder, step: 0, from: [group([1, 2]), group([1, 0, 0], prompt: 1)],
      prompts: (0..<2).map { Prompt(index: $0, tokens: [], kind: .math) }, method: method)
    let trained = Set(recorder.updates.flatMap { $0.trajectories.map(\.prompt.index) })
    #expect(trained == [1])
  }
}

/// Reads the answers of `group`'s trajectories and records every mini-batch.
private struct Recorder: Policy {
  var updates: [MiniBatch] = []

  func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) -> [Trajectory] { [] }
  func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey? { key(Int(trajectory.tokens[0])) }
  func referenceLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] { [] }
  func logprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] { [] }
  mutating func update(_ miniBatch: MiniBatch, method: Method, learningRate: Double) -> UpdateReport {
    updates.append(miniBatch)
    return UpdateReport()
  }
  func publish() {}
}

@Suite struct HistoryTests {
  private func visit(_ history: inout History, _ answers: [Int?], prompt: UInt32 = 0) -> Judgement {
    let judgement = judge(
      prompt: prompt, answers: keys(answers), step: 0, method: Method(), truth: nil, history: history[prompt])
    history.record([judgement])
    return judgement
  }

  @Test func `a flip is a label that differs from that of the prompt's last visit with a label`() {
    var history = History()
    #expect(visit(&history, [1]).isFlip == nil && visit(&history, [1]).isFlip == false)
    #expect(visit(&history, [2], prompt: 3).isFlip == nil)
    #expect(visit(&history, [nil]).isFlip == nil && visit(&history, [2]).isFlip == true)
    #expect(history[0].visits == 3 && history[0].flips == 1 && history[0].label == key(2).text)
    #expect(history[3].visits == 1 && history[9] == PromptHistory())
  }

  @Test func `a history is the same after it was saved and read`() throws {
    var history = History()
    for (prompt, label) in [(7, 1), (2, 5), (7, 2)] { _ = visit(&history, [label], prompt: UInt32(prompt)) }
    let text = history.json.text()
    #expect(History(try JSON.parse(text)) == history && history != History())
    for damaged in ["{}", "[{\"prompt\":-1}]", "[{\"prompt\":1,\"visits\":2}]"] {
      #expect(History(try JSON.parse(damaged)) == nil, "\(damaged)")
    }
  }

  @Test func `a step's flip ratio is over the prompts that had a label before and have one now`() throws {
    var history = History()
    for prompt in UInt32(0)..<2 { _ = visit(&history, [1], prompt: prompt) }
    let step = try step(of: [[1], [2], [2], [nil]], truth: nil, history: history)
    #expect(step.flipRatio == 0.5 && step.prompts.map(\.isFlip) == [false, true, nil, nil])
  }
}
