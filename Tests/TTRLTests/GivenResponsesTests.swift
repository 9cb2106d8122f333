// Given responses in the method: what is learned of them, what is not known about them, and which pass learns which.
// (Losses and slopes against PyTorch: ObjectiveTests.)

import Answers
import Base
import Records
import TTRL
import Testing

/// A policy that knows one number: every token has the log-probability −2 under it.
private struct FlatPolicy: Policy {
  var batches: [MiniBatch] = []
  var scored = 0

  func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) throws -> [Trajectory] {
    Issue.record("given responses are sampled")
    return []
  }
  func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey? {
    Issue.record("given responses vote")
    return nil
  }
  mutating func referenceLogprobs(of members: [TrainedTrajectory], sampling: Sampling) throws -> [[Float]] { [] }
  mutating func logprobs(of members: [TrainedTrajectory], sampling: Sampling) throws -> [[Float]] {
    scored += members.count
    return members.map { $0.trajectory.tokens.map { _ in -2 } }
  }
  mutating func update(_ miniBatch: MiniBatch, method: Method, learningRate: Double) throws -> UpdateReport {
    batches.append(miniBatch)
    var report = UpdateReport()
    report.tokens = miniBatch.tokenCount
    for member in miniBatch.trajectories {
      for place in member.trajectory.tokens.indices {
        report.lossSum += Double(objective(of: member, at: place, logprob: -2, method: method).loss)
      }
    }
    return report
  }
  mutating func publish() throws {}
}

@Suite struct GivenResponsesTests {
  private static let prompts = (0..<3).map { Prompt(index: $0, tokens: [1], kind: .math) }

  /// Responses of one to three tokens; the recorded log-probabilities are −1, the rewards given.
  private static func group(_ prompt: UInt32, _ rewards: [Float?]) -> [Trajectory] {
    rewards.enumerated().map { sample, reward in
      let tokens = [Int32](repeating: 5, count: 1 + sample % 3)
      var trajectory = Trajectory(
        slot: Slot(round: .train(step: 0), prompt: prompt, sample: UInt32(sample)), policy: PolicyVersion(0),
        tokens: tokens, logprobs: tokens.map { _ in -1 }, entropySum: 0, finish: .stop)
      trajectory.verdict = reward.map { Verdict(reward: $0) }
      return trajectory
    }
  }

  private static func method(_ objective: PolicyObjective) -> Method {
    var method = Method()
    (method.objective, method.promptsPerStep, method.miniBatch) = (objective, 3, 4)
    return method
  }

  @Test func `supervised training learns every token once, and no vote takes place`() throws {
    var policy = FlatPolicy()
    let method = Self.method(.sft)
    let given = [Self.group(0, [nil]), Self.group(1, [nil, nil, nil]), Self.group(2, [nil, nil])]
    let judgements = try improve(&policy, step: 0, prompts: Self.prompts, method: method, given: { given[Int($0)] })
    #expect(judgements.isEmpty && policy.scored == 0)
    let members = policy.batches.flatMap(\.trajectories)
    #expect(members.map(\.trajectory.slot).sorted() == given.joined().map(\.slot))
    #expect(members.allSatisfy { $0.advantages.allSatisfy { $0 == 1 } })
    #expect(policy.batches.map(\.trajectories.count) == [4, 2])
  }

  @Test func `figures of votes and samples are not known, and the perplexity is exp of the loss`() throws {
    var policy = FlatPolicy()
    let method = Self.method(.sft)
    let groups = (0..<3).map { Group(prompt: $0, trajectories: Self.group($0, [nil, nil])) }
    let lesson = try learn(&policy, step: 0, from: groups, prompts: Self.prompts, method: method)
    let metrics = StepMetrics(step: 0, lesson: lesson, groups: groups, truth: [], method: method)
    #expect(metrics.isGiven && metrics.prompts.isEmpty && metrics.givenReward == nil)
    #expect(metrics.loss == 2 && metrics.perplexity.map { abs($0 - 7.38905609893065) < 1e-12 } == true)
    #expect(metrics.trainedTokens == 9 && metrics.lengthMax == 2 && metrics.importance == nil)
  }

  /// min(exp(A / τ), cap) with A = (r − μ) / (σ + 1e-6): rewards 1, 0, 0 have μ = 1/3 and σ = 1/√3, so A = 1.1547 and
  /// −0.57735.
  @Test func `advantage-weighted regression weighs a response by its recorded reward`() throws {
    var policy = FlatPolicy()
    var method = Self.method(.awr)
    (method.awrTemperature, method.awrCap) = (0.5, 8)
    let groups = [
      Group(prompt: 0, trajectories: Self.group(0, [1, 0, 0])),
      Group(prompt: 1, trajectories: Self.group(1, [0.5])), Group(prompt: 2, trajectories: Self.group(2, [0, 0])),
    ]
    let lesson = try learn(&policy, step: 0, from: groups, prompts: Self.prompts, method: method)
    let members = policy.batches.flatMap(\.trajectories).sorted { $0.trajectory.slot < $1.trajectory.slot }
    // exp(2.3094) = 10.07 is above the cap. Groups without any advantage are learned with weight 1.
    let expected: [Float] = [8, 0.3151525, 0.3151525, 1, 1, 1]
    for (member, weight) in zip(members, expected) {
      #expect(member.advantages.allSatisfy { abs($0 - weight) < 1e-5 }, "\(member.advantages), expected \(weight)")
    }
    let metrics = StepMetrics(step: 0, lesson: lesson, groups: groups, truth: [], method: method)
    #expect(metrics.perplexity == nil && metrics.givenReward == 1.5 / 6)
    // The policy gives every token exp(−2), the recorded model gave it exp(−1). The ratios are not used as weights.
    let ratios = try #require(lesson.importance)
    #expect(abs(ratios.mean - 0.36787944) < 1e-7 && abs(ratios.max - 0.36787944) < 1e-7)
    #expect(ratios.truncatedShare == nil && members.allSatisfy(\.importance.isEmpty) && policy.scored == 6)
  }

  @Test(arguments: LastBatch.allCases) func `a pass is the steps that have every question once`(_ last: LastBatch) {
    var method = Method()
    (method.promptsPerStep, method.lastBatch) = (3, last)
    let passes = (0..<12).map { passOfStep($0, promptCount: 7, method: method) }
    let steps = last == .drop ? 2 : 3
    #expect(passes == (0..<12).map { Int($0) / steps })
    for pass in 0..<4 {
      let asked = (0..<steps).flatMap {
        promptsOfStep(UInt32(pass * steps + $0), promptCount: 7, method: method)
      }
      #expect(Set(asked).count == (last == .drop ? 6 : 7))
    }
  }

  @Test func `a planned round has room for as many responses as are trained on`() {
    var method = Method()
    (method.objective, method.trainSamples, method.votes) = (.sft, 3, 64)
    #expect(trainingRound(ofStep: 0, promptCount: 9, method: method).samples == 3)
    method.objective = .clip
    #expect(trainingRound(ofStep: 0, promptCount: 9, method: method).samples == 64)
  }
}
