// What the tests of single methods share: random groups, a policy that answers as it is told, and the advantages that a
// step gives.

import Answers
import Base
import Records
import TTRL

/// A group of samples with everything that an estimator reads.
struct MadeGroup {
  /// Small numbers stand for answers.
  var answers: [Int?]
  var tokens: [[Int32]]
  var logprobs: [[Float]]
  /// Of the tokens' distributions, by sample.
  var entropies: [[Float]]

  var count: Int { answers.count }

  /// Drawn from a seed: up to 16 samples, up to `kinds` answers, and some without any.
  init(seed: UInt64, kinds: Int = 5, count: ClosedRange<Int> = 2...16) {
    var dice = RandomSequence(seed: seed, purpose: .questions)
    let size = count.lowerBound + dice.index(below: count.count)
    // A power of a uniform number makes some answers frequent.
    answers = (0..<size).map { _ in
      let draw = dice.uniform()
      return draw < 0.1 ? nil : Int(draw * draw * Double(kinds))
    }
    let lengths = (0..<size).map { _ in 1 + dice.index(below: 150) }
    tokens = lengths.map { length in (0..<length).map { _ in Int32(dice.index(below: 4)) } }
    logprobs = lengths.map { length in (0..<length).map { _ in Float(-2 * dice.uniform()) } }
    entropies = lengths.map { length in
      let scale = 2 * dice.uniform()
      return (0..<length).map { _ in Float(scale * dice.uniform()) }
    }
  }

  func group(prompt: UInt32 = 0, step: UInt32 = 0) -> Group {
    Group(
      prompt: prompt,
      trajectories: answers.indices.map { sample in
        var trajectory = Trajectory(
          slot: Slot(round: .train(step: step), prompt: prompt, sample: UInt32(sample)), policy: PolicyVersion(step),
          tokens: tokens[sample], logprobs: logprobs[sample], entropySum: entropies[sample].reduce(0, +),
          finish: answers[sample] == nil ? .length : .stop)
        trajectory.entropies = entropies[sample]
        trajectory.selfCertainty = Float(1 + tokens[sample].count % 7)
        return trajectory
      })
  }

  /// As the estimator is shown it.
  func judged(
    step: UInt32 = 0, history: PromptHistory = PromptHistory(), _ change: (inout Method) -> Void
  ) -> Judgement {
    judge(
      prompt: 0, answers: keys(answers), trajectories: group().trajectories, step: step, method: method(change),
      truth: nil, history: history)
  }

  /// Every sample votes and is trained on.
  func method(_ change: (inout Method) -> Void) -> Method {
    var method = Method()
    method.votes = count
    method.trainSamples = count
    method.zeroAdvantageGroups = .train
    change(&method)
    return method
  }

  /// [N] the mean entropy of each sample, in nats per token.
  var meanEntropies: [Double] {
    entropies.map { Double($0.reduce(0, +)) / Double($0.count) }
  }

  /// The share of all samples that gave each answer.
  var shares: [Int: Double] {
    Dictionary(grouping: answers.compactMap { $0 }) { $0 }.mapValues { Double($0.count) / Double(count) }
  }

  /// The mean over the samples that gave an answer.
  func mean(_ values: [Double], of answer: Int) -> Double {
    let some = answers.indices.filter { answers[$0] == answer }.map { values[$0] }
    return some.reduce(0, +) / Double(some.count)
  }
}

/// Answers as it is told, and records every mini-batch.
struct ToldPolicy: Policy {
  /// By prompt, then by sample.
  var answers: [[Int?]]
  var updates: [MiniBatch] = []

  init(answers: [[Int?]]) { self.answers = answers }

  func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) -> [Trajectory] { [] }

  func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey? {
    answers[Int(prompt.index)][Int(trajectory.slot.sample)].map(key)
  }

  func referenceLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] { [] }
  func logprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] { [] }

  mutating func update(_ miniBatch: MiniBatch, method: Method, learningRate: Double) -> UpdateReport {
    updates.append(miniBatch)
    return UpdateReport()
  }

  func publish() {}
}

/// What a step learns from made groups: its lesson, and [prompt][m] the trained trajectories in slot order.
func lesson(
  from groups: [MadeGroup], step: UInt32 = 0, history: History = History(), method: Method
) throws -> (lesson: Lesson, trained: [[TrainedTrajectory]]) {
  var policy = ToldPolicy(answers: groups.map(\.answers))
  let prompts = groups.indices.map { Prompt(index: UInt32($0), tokens: [], kind: .math) }
  let lesson = try learn(
    &policy, step: step, from: groups.enumerated().map { $1.group(prompt: UInt32($0), step: step) }, prompts: prompts,
    history: history, method: method)
  let all = policy.updates.flatMap(\.trajectories).sorted { $0.trajectory.slot < $1.trajectory.slot }
  return (lesson, groups.indices.map { prompt in all.filter { $0.prompt.index == UInt32(prompt) } })
}

/// Whether numbers agree as float32 numbers of some size do after a few hundred operations.
func agree(_ found: [Float], _ wanted: [Double]) -> Bool {
  found.count == wanted.count && zip(found, wanted).allSatisfy { abs(Double($0) - $1) <= 2e-6 * max(1, abs($1)) }
}
