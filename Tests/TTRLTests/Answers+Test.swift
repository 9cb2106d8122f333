// Answers in these tests: small numbers stand for answers, nil for no answer.

import Answers
import Base
import Records
import TTRL

/// The only place where these tests make an answer key.
func key(_ label: Int) -> AnswerKey { answerKey("\(label)", kind: .string) }

func keys(_ labels: [Int?]) -> [AnswerKey?] { labels.map { $0.map(key) } }

/// All groups of `count` samples, each with one of 3 answers or none: 4^count groups.
func allGroups(of count: Int) -> [[Int?]] {
  (0..<count).reduce([[]]) { groups, _ in groups.flatMap { group in [nil, 0, 1, 2].map { group + [$0] } } }
}

/// A group whose trajectories have one token each, the answer. Trajectories without an answer were cut off.
func group(_ answers: [Int?], prompt: UInt32 = 0, step: UInt32 = 0) -> Group {
  Group(
    prompt: prompt,
    trajectories: answers.enumerated().map { sample, answer in
      Trajectory(
        slot: Slot(round: .train(step: step), prompt: prompt, sample: UInt32(sample)), policy: PolicyVersion(step),
        tokens: [Int32(answer ?? 0)], logprobs: [-1], entropySum: 0.5, finish: answer == nil ? .length : .stop)
    })
}

/// The counts of one group, compared with a truth.
func metrics(_ answers: [Int?], truth: Int?, method: Method = Method()) -> PromptMetrics {
  let judgement = judge(prompt: 0, answers: keys(answers), step: 0, method: method, truth: nil)
  return measure(judgement, of: group(answers), truth: truth.map(key))
}

/// Reads the answers of `group`'s trajectories, and never learns.
private struct Reader: Policy {
  func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) -> [Trajectory] { [] }

  func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey? {
    trajectory.finish == .stop ? key(Int(trajectory.tokens[0])) : nil
  }

  func referenceLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] { [] }
  func logprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] { [] }
  func update(_ miniBatch: MiniBatch, method: Method, learningRate: Double) -> UpdateReport { UpdateReport() }
  func publish() {}
}

/// The metrics of a step with these answers, by prompt. `truth`, if there is one, is the true answer of every prompt.
func step(
  of answers: [[Int?]], truth: Int?, method: Method = Method(), history: History = History()
) throws -> StepMetrics {
  let groups = answers.enumerated().map { group($1, prompt: UInt32($0)) }
  let prompts = answers.indices.map { Prompt(index: UInt32($0), tokens: [], kind: .math) }
  var reader = Reader()
  let lesson = try learn(&reader, step: 0, from: groups, prompts: prompts, history: history, method: method)
  return StepMetrics(
    step: 0, lesson: lesson, groups: groups, truth: truth.map { truth in answers.map { _ in key(truth) } } ?? [],
    method: method)
}

/// The advantages of one group of one-token trajectories, which is the only group of its step.
func advantages(ofGroup rewards: [Float], _ estimator: AdvantageEstimator) -> [Float] {
  advantages(of: [rewards.map { Outcome(reward: $0, tokenRewards: [0]) }], by: estimator)[0].map { $0[0] }
}
