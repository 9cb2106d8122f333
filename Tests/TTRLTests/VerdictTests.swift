// What verdicts of a reward command do to a group: vote, rewards, trained samples, figures.

import Answers
import Base
import Records
import TTRL
import Testing

/// Every response answers 1.
private struct Constant: Policy {
  func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) -> [Trajectory] { [] }
  func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey? { key(1) }
  func referenceLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] { [] }
  func logprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] { [] }
  func update(_ miniBatch: MiniBatch, method: Method, learningRate: Double) -> UpdateReport { UpdateReport() }
  func publish() {}
}

@Suite struct VerdictTests {
  private var method: Method {
    var method = Method()
    (method.votes, method.trainSamples, method.selection, method.isJudged) = (6, 4, .first, true)
    return method
  }

  private func trajectories(_ verdicts: [Verdict?]) -> [Trajectory] {
    verdicts.enumerated().map { sample, verdict in
      var trajectory = Trajectory(
        slot: Slot(round: .train(step: 0), prompt: 0, sample: UInt32(sample)), policy: PolicyVersion(0), tokens: [1],
        logprobs: [-1], entropySum: 1, finish: .stop)
      trajectory.verdict = verdict
      return trajectory
    }
  }

  private func judged(
    _ answers: [Int?], _ verdicts: [Verdict?], truth: Int? = nil, _ change: (inout Method) -> Void = { _ in }
  ) -> Judgement {
    var method = method
    change(&method)
    return judge(
      prompt: 0, answers: answers.map { $0.map(key) }, trajectories: trajectories(verdicts), step: 0, method: method,
      truth: truth.map(key))
  }

  private static let plain = [Verdict](repeating: Verdict(), count: 6)

  @Test func `a program that has nothing to say changes nothing`() {
    let answers = [1, 2, 1, nil, 3, 1]
    let judged = judged(answers, Self.plain)
    var unjudged = method
    unjudged.isJudged = false
    let usual = judge(
      prompt: 0, answers: answers.map { $0.map(key) }, trajectories: trajectories(Self.plain), step: 0,
      method: unjudged, truth: nil)
    #expect(judged.vote == usual.vote && judged.rewards == usual.rewards && judged.trained == usual.trained)
    #expect(judged.abstention == nil && judged.excluded == [Bool](repeating: false, count: 6))
  }

  /// T³RL: verified answers have the weight ω, others 1.
  @Test func `votes have the weights that the program gives`() {
    let answers = [1, 1, 1, 2, 2, 3]
    var verdicts = Self.plain
    verdicts[3] = Verdict(voteWeight: 5)
    let judged = judged(answers, verdicts)
    // 3 for 1; 5 + 1 for 2; 1 for 3.
    #expect(judged.vote.label == key(2) && judged.vote.votes == 2 && judged.vote.answerCount == 3)
    #expect(judged.rewards == [0, 0, 0, 1, 1, 0])
    for sample in 3...5 { verdicts[sample] = Verdict(voteWeight: 0) }
    #expect(self.judged(answers, verdicts).vote.label == key(1))
  }

  @Test func `weights decide ties and the share of the votes too`() {
    var verdicts = Self.plain
    verdicts[2] = Verdict(voteWeight: 2)
    // 2 for 1, 2 for 2, 1 for 3 and 1 for 4.
    let answers = [1, 1, 2, 3, 4, nil]
    #expect(judged(answers, verdicts).vote.label == key(1))
    #expect(judged(answers, verdicts) { $0.ties = .abstain }.abstention == .tie)
    // All weights: 7, also of the sample without an answer. 2 of 7 are 0.2857.
    #expect(judged(answers, verdicts) { $0.minimumShare = 0.28 }.vote.label == key(1))
    #expect(judged(answers, verdicts) { $0.minimumShare = 0.29 }.abstention == .share)
  }

  @Test func `a response that is not valid, or has no verdict, neither votes nor is trained on`() {
    var verdicts: [Verdict?] = Self.plain
    verdicts[0] = Verdict(isValid: false)
    verdicts[1] = Verdict(.late)
    verdicts[2] = nil
    let judged = judged([1, 1, 1, 2, 2, 1], verdicts)
    #expect(judged.vote.label == key(2) && judged.vote.votes == 2)
    #expect(judged.trained == [3] && judged.excluded == [true, true, true, false, false, false] && judged.faults == 2)
  }

  @Test func `a reward replaces the estimator's, and needs no label`() {
    let verdicts = (0..<6).map { Verdict(reward: Float($0) - 2.5) }
    let judged = judged([1, 2, 3, 4, 5, 6], verdicts) { $0.ties = .abstain }
    #expect(judged.rewards == [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    #expect(judged.abstention == nil && judged.vote.label == nil && judged.trained == [0, 1, 2, 3])
    // One sample whose reward is the vote's: the abstention of the vote holds.
    var mixed = verdicts
    mixed[5] = Verdict()
    #expect(self.judged([1, 2, 3, 4, 5, 6], mixed) { $0.ties = .abstain }.abstention == .tie)
  }

  @Test func `other estimators do not see what is not valid either`() {
    var verdicts = Self.plain
    verdicts[1] = Verdict(isValid: false)
    let judged = judged([1, 1, 2, 2, 2, nil], verdicts) { $0.estimator = .softVote }
    // One of six samples gave 1 and counts, three gave 2.
    #expect(judged.rewards == [Float(1.0 / 6), 0, 0.5, 0.5, 0.5, 0])
  }

  /// A missing verdict is not a reward of 0: no figure of rewards has it.
  @Test func `figures of rewards leave out what has none`() throws {
    var verdicts = (0..<6).map { _ in Verdict(reward: 1) }
    verdicts[0] = Verdict(.ended)
    verdicts[1] = Verdict(isValid: false)
    let judged = judged([1, 1, 1, 1, 1, 1], verdicts)
    let group = Group(prompt: 0, trajectories: trajectories(verdicts))
    let counts = measure(judged, of: group, truth: key(1))
    #expect(counts.excluded == 2 && counts.faults == 1 && counts.rewarded == 4 && counts.rewardSum == 4)
    #expect(counts.truth?.rightRewards == 4 && counts.truth?.right == 6)
    let metrics = try metrics(of: group, method: method)
    #expect(metrics.rewardMean == 1 && metrics.rewardAccuracy == 1)
    #expect(metrics.invalidSamples == 1 && metrics.failedVerdicts == 1)
    var unjudged = method
    unjudged.isJudged = false
    let without = try self.metrics(of: group, method: unjudged)
    #expect(without.invalidSamples == nil && without.failedVerdicts == nil)
  }

  private func metrics(of group: Group, method: Method) throws -> StepMetrics {
    var policy = Constant()
    let prompts = [Prompt(index: 0, tokens: [0], kind: .math)]
    let lesson = try learn(&policy, step: 0, from: [group], prompts: prompts, method: method)
    return StepMetrics(step: 0, lesson: lesson, groups: [group], truth: [key(1)], method: method)
  }

  @Test func `the label that a program is told is the truth if labels are the truth, else that of the plain vote`() {
    let answers = [1, 2, 2, nil].map { $0.map(key) }
    var method = method
    #expect(provisionalLabel(of: answers, truth: key(7), method: method) == key(2))
    method.minimumShare = 0.6
    #expect(provisionalLabel(of: answers, truth: key(7), method: method) == nil)
    method.labels = .truth
    #expect(provisionalLabel(of: answers, truth: key(7), method: method) == key(7))
    #expect(provisionalLabel(of: answers, truth: nil, method: method) == nil)
  }
}
