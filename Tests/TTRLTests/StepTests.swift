// A whole step with a policy that only records its calls.

import Answers
import Base
import Records
import TTRL
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// Answers by a fixed rule and records every mini-batch.
private struct Recorder: Policy {
  var updates: [MiniBatch] = []
  var rates: [Double] = []
  var publishedCount = 0
  /// The slots that policy 0 was asked to score, by call.
  var scored: [[Slot]] = []

  func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) -> [Trajectory] {
    slots.map { slot in
      Trajectory(
        slot: slot, policy: PolicyVersion(slot.round.step), tokens: [Int32(slot.sample % 3), 9], logprobs: [-1, -1],
        entropySum: 0, finish: .stop)
    }
  }

  /// All samples of prompt 2 agree; no sample of prompt 3 gives an answer.
  func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey? {
    switch prompt.index {
    case 2: key(0)
    case 3: nil
    default: key(Int(trajectory.tokens[0]))
    }
  }

  /// Under policy 0 every log-probability is lower by 0.5.
  mutating func referenceLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] {
    scored.append(trajectories.map(\.trajectory.slot))
    return trajectories.map { $0.trajectory.logprobs.map { $0 - 0.5 } }
  }

  /// It never learns, so its log-probabilities are the recorded ones.
  func logprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] {
    trajectories.map(\.trajectory.logprobs)
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

  @Test func `groups without advantages are not trained on, unless the setting says so`() throws {
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
    method.zeroAdvantageGroups = .train
    let training = try trained()
    #expect(training.prompts == Set(0..<5) && training.zero == training.prompts.subtracting(skipping.prompts))
  }

  @Test func `a lesson reports which groups have zero advantage`() throws {
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
    #expect(lesson.hasZeroAdvantage == (UInt32(0)..<5).map { !trained.contains($0) })
    let metrics = StepMetrics(step: 0, lesson: lesson, groups: groups, truth: [], method: method)
    #expect(metrics.prompts.map(\.hasZeroAdvantage) == lesson.hasZeroAdvantage && metrics.zeroAdvantageRatio >= 0.4)
  }

  @Test func `mini-batches contain every trained trajectory once, with its reward, sorted by slot`() throws {
    var policy = Recorder()
    var method = method
    method.zeroAdvantageGroups = .train
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
      let index = try #require(judgement.trained.firstIndex(of: Int(member.trajectory.slot.sample)))
      #expect(member.advantages == [values[index], values[index]])
    }
  }

  @Test func `without a KL penalty, policy 0 scores nothing`() throws {
    var policy = Recorder()
    _ = try improve(&policy, step: 0, prompts: prompts, method: method)
    #expect(policy.scored.isEmpty && policy.updates.allSatisfy { $0.trajectories.allSatisfy { $0.reference.isEmpty } })
  }

  @Test func `KL in the loss: policy 0 scores only what is trained on, and once`() throws {
    var method = method
    method.klCoefficient = 0.1
    var policy = Recorder()
    _ = try improve(&policy, step: 0, prompts: prompts, method: method)
    let trained = policy.updates.flatMap(\.trajectories)
    #expect(policy.scored == [trained.map(\.trajectory.slot).sorted()])
    #expect(trained.allSatisfy { $0.reference == [-1.5, -1.5] })
  }

  /// Every token's reward is lower by 0.1 · k1 = 0.05, so a response of two tokens has 0.1 less. Only under REINFORCE++
  /// does this change advantages, because there a later token has less of the penalty after it.
  @Test func `KL in the reward: policy 0 scores all selected trajectories, before advantages are computed`() throws {
    var method = method
    method.klCoefficient = 0.1
    method.klEstimator = .k1
    method.klPlace = .reward
    method.advantage = .reinforcePlusPlus
    var policy = Recorder()
    let judgements = try improve(&policy, step: 0, prompts: prompts, method: method)
    #expect(policy.scored.map(\.count) == [30])
    let rewards = judgements.flatMap { judgement in judgement.trained.map { judgement.rewards[$0] } }
    let toGo = rewards.flatMap { [Double($0) - 0.1, Double($0) - 0.05] }
    let mean = toGo.reduce(0, +) / 60
    let deviation = (toGo.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 59).squareRoot()
    for member in policy.updates.flatMap(\.trajectories) {
      #expect(abs(Double(member.advantages[0]) - (Double(member.reward) - 0.1 - mean) / deviation) < 1e-5)
      #expect(abs(Double(member.advantages[1]) - (Double(member.reward) - 0.05 - mean) / deviation) < 1e-5)
    }
  }

  @Test func `a step reports the KL to policy 0 if there is a KL penalty`() throws {
    func lesson(_ method: Method) throws -> Lesson {
      var policy = Recorder()
      let groups = prompts.map { prompt in
        let slots = (UInt32(0)..<8).map { Slot(round: .train(step: 0), prompt: prompt.index, sample: $0) }
        return Group(
          prompt: prompt.index, trajectories: policy.sample(prompt, slots: slots, sampling: method.sampling))
      }
      return try learn(&policy, step: 0, from: groups, prompts: prompts, method: method)
    }
    #expect(try lesson(method).klToBase == nil)
    var method = method
    method.klCoefficient = 0.1
    // k3 at d = −1/2 for every token.
    #expect(abs(try #require(try lesson(method).klToBase) - (exp(-0.5) - 0.5)) < 1e-6)
  }

  @Test func `the seed alone determines the order of mini-batches`() throws {
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

  @Test func `with labels from the vote, the truth has no influence on a step`() throws {
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

  @Test func `a step without anything to train on makes no update and still publishes`() throws {
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
