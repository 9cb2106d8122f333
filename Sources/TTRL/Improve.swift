// One step of test-time reinforcement learning, from start to finish. READ THIS FIRST.
//
// A language model gets better on questions without answers: sample many responses per question, take the answer that
// most of them agree on as the label, reward agreement, and take a policy-gradient step. That is all; the rest of the
// program makes this fast, distributed and unkillable, and may not change one bit of what this page computes. The
// learner calls `learn`, the very function below; the simulated fleet must end at the parameters that `improve` ends
// at.
//
// Source: TTRL, arXiv 2504.16084, sections 2 and 3; GRPO, arXiv 2402.03300. Choices where they differ from the
// reference implementation are in docs/algorithm.md.
// Not here: what a policy is made of (LanguageModel), who samples which slot (Fleet).

package import Answers
package import Records

/// What is improved: something that samples responses and can be nudged.
package protocol Policy {
  /// Samples one response per slot; the slot alone names the randomness.
  mutating func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) throws -> [Trajectory]

  /// The answer that a response gives, or nil for none. Equal keys are equal answers.
  func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey?

  /// One optimizer step on some trajectories.
  mutating func update(_ miniBatch: MiniBatch, method: Method, learningRate: Double) throws -> UpdateReport

  /// The step is over: what was learned becomes the policy that samples next.
  mutating func publish() throws
}

/// One step: sample, then learn from what was sampled.
///
/// - Parameters:
///   - prompts: the training set, by index.
///   - truth: the answers, by prompt index, where the labels are `.truth`; never looked at otherwise.
package func improve<P: Policy>(
  _ policy: inout P, step: UInt32, prompts: [Prompt], truth: [AnswerKey?] = [], method: Method
) throws -> [Judgement] {
  let round = RoundID.train(step: step)
  var groups: [Group] = []
  for index in promptsOfStep(step, promptCount: prompts.count, method: method) {
    let slots = (0..<UInt32(method.votes)).map { Slot(round: round, prompt: index, sample: $0) }
    let trajectories = try policy.sample(prompts[Int(index)], slots: slots, sampling: method.sampling)
    groups.append(Group(prompt: index, trajectories: trajectories))
  }
  return try learn(&policy, step: step, from: groups, prompts: prompts, truth: truth, method: method).judgements
}

/// What a step learned from and how the updates went.
package struct Lesson: Sendable {
  package var judgements: [Judgement]
  /// [B] parallel to `judgements`: the group's advantages are all 0, it has nothing to teach.
  package var isSilent: [Bool]
  package var updates: [UpdateReport]
}

/// The second half of a step: vote, reward, select, advantages, update.
///
/// - Parameter groups: one per prompt of the step, in the order of `promptsOfStep`, samples in order.
package func learn<P: Policy>(
  _ policy: inout P, step: UInt32, from groups: [Group], prompts: [Prompt], truth: [AnswerKey?] = [], method: Method
) throws -> Lesson {
  let judgements = groups.map { group in
    let prompt = prompts[Int(group.prompt)]
    let answers = group.trajectories.map { policy.answer(of: $0, to: prompt) }
    return judge(
      prompt: group.prompt, answers: answers, step: step, method: method,
      truth: method.labels == .truth ? truth[Int(group.prompt)] : nil)
  }
  var trained = trainedGroups(of: groups, judgements, prompts: prompts)
  assignAdvantages(to: &trained, method: method)
  let isSilent = trained.map(\.isSilent)
  if method.silentGroups == .skip { trained.removeAll(where: \.isSilent) }
  let rate = learningRate(ofStep: step, method: method)
  var updates: [UpdateReport] = []
  for miniBatch in miniBatches(of: trained, step: step, method: method) {
    updates.append(try policy.update(miniBatch, method: method, learningRate: rate))
  }
  try policy.publish()
  return Lesson(judgements: judgements, isSilent: isSilent, updates: updates)
}

/// What the vote made of one group.
package struct Judgement: Sendable, Equatable {
  package var prompt: UInt32
  /// [N] by sample; nil gave no answer.
  package var answers: [AnswerKey?]
  /// The label and its votes; the label is nil if nobody answered.
  package var vote: Vote
  /// [N] by sample, 0 or 1.
  package var rewards: [Float]
  /// Ascending sample indices of the m trajectories that are trained on.
  package var trained: [Int]
}

/// Vote, reward, select: a group's answers to what each trajectory earned.
///
/// - Parameter truth: the question's answer if, and only if, labels are `.truth`; nil there rewards nothing.
package func judge(
  prompt: UInt32, answers: [AnswerKey?], step: UInt32, method: Method, truth: AnswerKey?
) -> Judgement {
  let vote = majority(of: answers)
  let rewards =
    switch method.labels {
    case .vote: agreement(of: answers, with: vote.label)
    case .truth: agreement(of: answers, with: truth)
    case .random: coinFlips(count: answers.count, step: step, prompt: prompt, seed: method.seed)
    }
  let trained = trainedSamples(of: answers.count, step: step, prompt: prompt, method: method)
  return Judgement(prompt: prompt, answers: answers, vote: vote, rewards: rewards, trained: trained)
}
