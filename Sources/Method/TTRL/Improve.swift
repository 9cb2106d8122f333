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
  func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) throws -> [Trajectory]

  /// The answer that a response gives, or nil for none. Equal keys are equal answers.
  func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey?

  /// [trajectory][T] log-probabilities under policy 0, the weights that the run began with. Asked for only where a KL
  /// penalty is on, and only of trajectories that are trained on; they stand together by prompt.
  mutating func referenceLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) throws -> [[Float]]

  /// [trajectory][T] the same under its weights as they are. Asked for only where an older version sampled.
  mutating func logprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) throws -> [[Float]]

  /// One optimizer step on some trajectories.
  mutating func update(_ miniBatch: MiniBatch, method: Method, learningRate: Double) throws -> UpdateReport

  /// The step is over: what was learned becomes the policy that samples next.
  mutating func publish() throws
}

/// One step: sample, then learn from what was sampled.
///
/// - Parameters:
///   - sampler: the older version that samples, where `staleness` says so (`samplingPolicy`); nil is the policy itself.
///   - prompts: the training set, by index.
///   - truth: the answers, by prompt index, where the labels are `.truth`; never looked at otherwise.
///   - history: what the steps before came to.
package func improve<P: Policy>(
  _ policy: inout P, sampler: P? = nil, step: UInt32, prompts: [Prompt], truth: [AnswerKey?] = [],
  history: History = History(), method: Method
) throws -> [Judgement] {
  let round = RoundID.train(step: step)
  var groups: [Group] = []
  for index in promptsOfStep(step, promptCount: prompts.count, method: method) {
    let slots = (0..<UInt32(method.votes)).map { Slot(round: round, prompt: index, sample: $0) }
    let prompt = prompts[Int(index)]
    let trajectories = try (sampler ?? policy).sample(prompt, slots: slots, sampling: method.sampling)
    let answers = trajectories.map { policy.answer(of: $0, to: prompt) }
    // All of them, or with early stop those up to the vote's decision: the rest need not have been sampled.
    let counted = countedSamples(of: answers, step: step, prompt: index, method: method)
    groups.append(Group(prompt: index, trajectories: counted.map { trajectories[$0] }))
  }
  return try learn(
    &policy, step: step, from: groups, prompts: prompts, truth: truth, history: history, method: method
  ).judgements
}

/// What a step learned from and how the updates went.
package struct Lesson: Sendable {
  package var judgements: [Judgement]
  /// [B] parallel to `judgements`: the group's advantages are all 0, it has nothing to teach.
  package var hasZeroAdvantage: [Bool]
  /// Mean k3 estimate of KL(this policy ‖ policy 0) per trained token, nats; nil where no penalty asks for policy 0.
  package var klToBase: Double?
  /// nil where the step's own version sampled.
  package var importance: ImportanceFigures?
  package var updates: [UpdateReport]
}

/// The second half of a step: vote, reward, select, advantages, update.
///
/// - Parameter groups: one per prompt of the step, in the order of `promptsOfStep`, samples in order; those that count.
package func learn<P: Policy>(
  _ policy: inout P, step: UInt32, from groups: [Group], prompts: [Prompt], truth: [AnswerKey?] = [],
  history: History = History(), method: Method
) throws -> Lesson {
  let judgements = groups.map { group in
    let prompt = prompts[Int(group.prompt)]
    let answers = group.trajectories.map { policy.answer(of: $0, to: prompt) }
    return judge(
      prompt: group.prompt, answers: answers, trajectories: group.trajectories, step: step, method: method,
      truth: method.labels == .truth ? truth[Int(group.prompt)] : nil, history: history[group.prompt])
  }
  var trained = trainedGroups(of: groups, judgements, prompts: prompts)
  // What other versions think of the tokens is needed before advantages if a penalty is in the reward; else only of
  // what has one.
  if method.hasKL(in: .reward) { try addScores(to: &trained, step: step, by: &policy, method: method) }
  assignAdvantages(to: &trained, method: method)
  let hasZeroAdvantage = trained.map(\.hasZeroAdvantage)
  if method.zeroAdvantageGroups == .skip { trained.removeAll(where: \.hasZeroAdvantage) }
  if !method.hasKL(in: .reward) { try addScores(to: &trained, step: step, by: &policy, method: method) }
  let rate = learningRate(ofStep: step, method: method)
  var updates: [UpdateReport] = []
  for miniBatch in miniBatches(of: trained, step: step, method: method) {
    updates.append(try policy.update(miniBatch, method: method, learningRate: rate))
  }
  try policy.publish()
  return Lesson(
    judgements: judgements, hasZeroAdvantage: hasZeroAdvantage, klToBase: klToBase(of: trained),
    importance: importanceFigures(of: trained, method: method), updates: updates)
}

/// What the vote made of one group.
package struct Judgement: Sendable, Equatable {
  package var prompt: UInt32
  /// [N] by sample; nil gave no answer. With early stop only the samples that count, here and below.
  package var answers: [AnswerKey?]
  /// The label and its votes; the label is nil if nobody answered or the group abstains.
  package var vote: Vote
  /// [N] by sample: 0 or 1 for agreement, other scales for other estimators.
  package var rewards: [Float]
  /// Why nothing is rewarded although answers were given.
  package var abstention: Abstention?
  /// The m trajectories that are trained on: ascending places in the group.
  package var trained: [Int]
  /// Whether the label is another one than at the prompt's last visit; nil if either had none.
  package var isFlip: Bool?
  /// Samples that the vote did not need.
  package var unneeded = 0
}

/// Vote, reward, select: a group's answers to what each trajectory earned.
///
/// - Parameters:
///   - answers: of the samples that count, in sample order.
///   - trajectories: parallel to them; empty where only the answers of a whole group are known (`ttrl vote`).
///   - truth: the question's answer if, and only if, labels are `.truth`; nil there rewards nothing.
package func judge(
  prompt: UInt32, answers: [AnswerKey?], trajectories: [Trajectory] = [], step: UInt32, method: Method,
  truth: AnswerKey?, history: PromptHistory = PromptHistory()
) -> Judgement {
  let size = method.stopsEarly ? method.votes : answers.count
  let needed = votesNeeded(forShare: method.minimumShare, of: size)
  let vote = majority(of: answers, ties: method.ties, needed: needed)
  let estimate = estimate(
    Evidence(
      step: step, prompt: prompt, answers: answers, trajectories: trajectories, vote: vote, truth: truth,
      history: history), method: method)
  let chosen = trainedSamples(of: size, step: step, prompt: prompt, method: method)
  return Judgement(
    prompt: prompt, answers: answers, vote: vote, rewards: estimate.rewards, abstention: estimate.abstention,
    trained: method.stopsEarly ? places(of: chosen, among: trajectories) : chosen,
    isFlip: vote.label.flatMap { label in history.label.map { $0 != label.text } }, unneeded: size - answers.count)
}
