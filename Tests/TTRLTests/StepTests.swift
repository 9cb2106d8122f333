// A whole step over a policy that only records what it is given.

import Answers
import Base
import Records
import TTRL
import Testing

/// Answers by a fixed rule and remembers every mini-batch.
private struct Recorder: Policy {
  var updates: [MiniBatch] = []
  var rates: [Double] = []
  var publishedCount = 0

  func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) -> [Trajectory] {
    slots.map { slot in
      Trajectory(
        slot: slot, policy: slot.round.policy, tokens: [Int32(slot.sample % 3), 9], logprobs: [-1, -1], entropySum: 0,
        finish: .stop)
    }
  }

  /// Prompt 2 is agreed upon by all, prompt 3 answered by nobody.
  func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey? {
    switch prompt.index {
    case 2: key(0)
    case 3: nil
    default: key(Int(trajectory.tokens[0]))
    }
  }

  mutating func update(_ miniBatch: MiniBatch, method: Method, learningRate: Double) -> UpdateReport {
    updates.append(miniBatch)
    rates.append(learningRate)
    return UpdateReport()
  }

  mutating func publish() { publishedCount += 1 }
}

@Suite struct StepTests {
  private let prompts = (0..<5).map { Prompt(index: UInt32($0), tokens: [Int32($0)], kind: .math) }

  private var method: Method {
    var method = Method()
    method.promptsPerStep = 5
    method.votes = 8
    method.trainSamples = 6
    method.miniBatch = 4
    return method
  }

  @Test func `a step samples every slot, updates, and publishes once`() throws {
    var policy = Recorder()
    let judgements = try improve(&policy, step: 0, prompts: prompts, method: method)
    #expect(judgements.map(\.prompt) == [0, 1, 2, 3, 4] && judgements.allSatisfy { $0.answers.count == 8 })
    #expect(policy.publishedCount == 1)
    #expect(policy.rates.allSatisfy { $0 == learningRate(ofStep: 0, method: method) })
  }

  @Test func `what all agree on, and what nobody answers, is left out of training, unless told otherwise`() throws {
    var method = method
    func trained() throws -> (prompts: Set<UInt32>, zero: Set<UInt32>) {
      var policy = Recorder()
      _ = try improve(&policy, step: 0, prompts: prompts, method: method)
      let members = policy.updates.flatMap(\.trajectories)
      let zero = members.filter { $0.advantages == [0, 0] }.map(\.prompt.index)
      return (Set(members.map(\.prompt.index)), Set(zero))
    }
    let skipping = try trained()
    #expect(skipping.prompts.isDisjoint(with: [2, 3]) && skipping.zero.isEmpty && skipping.prompts.count >= 2)
    method.silentGroups = .train
    let training = try trained()
    #expect(training.prompts == Set(0..<5) && training.zero == training.prompts.subtracting(skipping.prompts))
  }

  @Test func `a lesson says which groups were silent`() throws {
    var policy = Recorder()
    let groups = prompts.map { prompt in
      Group(
        prompt: prompt.index,
        trajectories: policy.sample(
          prompt, slots: (0..<8).map { Slot(round: .train(step: 0), prompt: prompt.index, sample: $0) },
          sampling: method.sampling))
    }
    let lesson = try learn(&policy, step: 0, from: groups, prompts: prompts, method: method)
    let trained = Set(policy.updates.flatMap { $0.trajectories.map(\.prompt.index) })
    #expect(lesson.isSilent == (UInt32(0)..<5).map { !trained.contains($0) })
    let metrics = StepMetrics(step: 0, lesson: lesson, groups: groups, truth: [], method: method)
    #expect(metrics.prompts.map(\.isSilent) == lesson.isSilent && metrics.silentRatio >= 0.4)
  }

  @Test func `mini-batches hold every trained trajectory once, with its reward, sorted by slot`() throws {
    var policy = Recorder()
    var method = method
    method.silentGroups = .train
    let judgements = try improve(&policy, step: 3, prompts: prompts, method: method)
    let expected = judgements.flatMap { judgement in
      judgement.trained.map { sample in
        (Slot(round: .train(step: 3), prompt: judgement.prompt, sample: UInt32(sample)), judgement.rewards[sample])
      }
    }
    let trained = policy.updates.flatMap(\.trajectories).sorted { $0.trajectory.slot < $1.trajectory.slot }
    #expect(trained.map(\.trajectory.slot) == expected.map(\.0) && trained.map(\.reward) == expected.map(\.1))
    #expect(policy.updates.map(\.index) == Array(policy.updates.indices))
    for batch in policy.updates {
      #expect(batch.trajectories.count <= 4 && batch.step == 3)
      #expect(batch.trajectories.map(\.trajectory.slot) == batch.trajectories.map(\.trajectory.slot).sorted())
      #expect(batch.tokenCount == 2 * batch.trajectories.count && batch.divisor == Double(batch.tokenCount))
    }
    #expect(policy.updates.dropLast().allSatisfy { $0.trajectories.count == 4 })
  }

  @Test func `advantages are those of the step's rewards, for every token`() throws {
    var policy = Recorder()
    let judgements = try improve(&policy, step: 3, prompts: prompts, method: method)
    for member in policy.updates.flatMap(\.trajectories) {
      let judgement = try #require(judgements.first { $0.prompt == member.prompt.index })
      let values = advantages(ofGroup: judgement.trained.map { judgement.rewards[$0] }, .grpo)
      let place = try #require(judgement.trained.firstIndex(of: Int(member.trajectory.slot.sample)))
      #expect(member.advantages == [values[place], values[place]])
    }
  }

  @Test func `mini-batches are shuffled by the seed, not by what was sampled`() throws {
    func order(seed: UInt64) throws -> [[Slot]] {
      var method = method
      method.seed = seed
      method.selection = .first
      var policy = Recorder()
      _ = try improve(&policy, step: 0, prompts: prompts, method: method)
      return policy.updates.map { $0.trajectories.map(\.trajectory.slot) }
    }
    #expect(try order(seed: 1) == order(seed: 1))
    #expect(try order(seed: 1) != order(seed: 2))
  }

  @Test func `under the vote the truth cannot be reached: any truth, the same step`() throws {
    func step(truth: [AnswerKey?], _ labels: LabelSource) throws -> [MiniBatch] {
      var method = method
      method.labels = labels
      var policy = Recorder()
      _ = try improve(&policy, step: 0, prompts: prompts, truth: truth, method: method)
      return policy.updates
    }
    let one = keys([0, 0, 0, 0, 0])
    let other = keys([2, nil, 1, 2, 1])
    #expect(try step(truth: one, .vote) == step(truth: other, .vote))
    #expect(try step(truth: one, .vote) == step(truth: [], .vote))
    #expect(try step(truth: one, .random) == step(truth: other, .random))
    #expect(try step(truth: one, .truth) != step(truth: other, .truth))
  }

  @Test func `a step on which nobody has anything to teach trains nothing and still publishes`() throws {
    var policy = Recorder()
    _ = try improve(
      &policy, step: 0, prompts: [Prompt(index: 0, tokens: [], kind: .math)],
      method: {
        var method = method
        method.votes = 1
        return method
      }())
    #expect(policy.updates.isEmpty && policy.publishedCount == 1)
  }
}

@Suite struct EvaluationTests {
  private let prompts = [
    EvaluatedPrompt(answers: keys([1, 1, 2, 1]), truth: key(1)),
    EvaluatedPrompt(answers: keys([2, 1, 2, nil]), truth: key(1)),
  ]

  @Test func `pass@1 is the mean share of right samples, maj@k the share of right majorities`() {
    let evaluation = Evaluation(prompts, passSamples: 4, majorities: [1, 2, 4, 8])
    #expect(evaluation.passAt1 == 0.5 && evaluation.passByPrompt == [0.75, 0.25])
    #expect(evaluation.majorityAt.map(\.k) == [1, 2, 4])
    #expect(evaluation.majorityAt.map(\.value) == [0.5, 0.5, 0.5])
    #expect(evaluation.majorityRatio == (0.75 + 0.5) / 2 && evaluation.noAnswerRatio == 0.125)
  }

  @Test func `pass@1 averages over its first samples only`() {
    #expect(Evaluation(prompts, passSamples: 2).passAt1 == 0.75)
  }

  @Test func `without truth agreement is all there is to say`() {
    let evaluation = Evaluation([EvaluatedPrompt(answers: keys([1, 1]), truth: nil)], majorities: [2])
    #expect(evaluation.passAt1 == nil && evaluation.passByPrompt.isEmpty && evaluation.majorityAt[0].value == nil)
    #expect(evaluation.majorityRatio == 1)
  }
}
