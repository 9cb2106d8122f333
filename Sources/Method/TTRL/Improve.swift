// One step of test-time reinforcement learning, from start to finish. READ THIS FIRST.
//
// A language model improves on questions whose answers are not known. It samples many responses to each question. The
// answer that most responses give becomes the label. Responses that agree with the label are rewarded, and a
// policy-gradient step makes them likelier. That is the whole method. The rest of the program makes it fast,
// distributed and fault-tolerant, and must not change one bit of what this page computes: the learner calls `learn`,
// the function below, and the simulated fleet must end with the same parameters as `improve`.
//
// Source: TTRL, arXiv 2504.16084, sections 2 and 3; GRPO, arXiv 2402.03300. docs/algorithm.md has the formulas, and
// lists where this differs from the reference implementation.
// Not here: what a policy consists of (LanguageModel), which worker samples which slot (Fleet).

package import Answers
package import Records

/// The model in training: it samples responses and takes optimizer steps.
package protocol Policy {
  /// Samples one response per slot. The slot alone determines a response's random numbers.
  func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) throws -> [Trajectory]

  /// The answer that a response states; nil if it states none. Two answers are equal if their keys are equal.
  func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey?

  /// Whether a response ends before its thinking does. Only a figure depends on it.
  func isThinking(atEndOf trajectory: Trajectory, to prompt: Prompt) -> Bool

  /// [trajectory][T] log-probabilities under policy 0, the weights that the run began with. Called only if there is a
  /// KL penalty or under objective `prime`, and only for trajectories that are trained on. Trajectories of one prompt
  /// are adjacent.
  mutating func referenceLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) throws -> [[Float]]

  /// [trajectory][T] log-probabilities under the current weights. Called only if an older version sampled.
  mutating func logprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) throws -> [[Float]]

  /// [trajectory][T] the critic's value before each token. Called only under objective `ppo`.
  mutating func values(of trajectories: [TrainedTrajectory], sampling: Sampling) throws -> [[Float]]

  /// [trajectory][T] log-probabilities under the critic. Called only under objective `prime`.
  mutating func processLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) throws -> [[Float]]

  /// One optimizer step of the critic. Called only under objective `prime`.
  mutating func updateProcessRewards(_ miniBatch: MiniBatch, method: Method) throws -> CriticReport

  /// One optimizer step on the trajectories of a mini-batch; under objective `ppo`, one of the critic too.
  mutating func update(_ miniBatch: MiniBatch, method: Method, learningRate: Double) throws -> UpdateReport

  /// Ends the step: the trained weights become the version that samples next.
  mutating func publish() throws
}

extension Policy {
  package func values(of trajectories: [TrainedTrajectory], sampling: Sampling) throws -> [[Float]] {
    preconditionFailure("the policy has no critic")
  }

  package func processLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) throws -> [[Float]] {
    preconditionFailure("the policy has no critic")
  }

  package func updateProcessRewards(_ miniBatch: MiniBatch, method: Method) throws -> CriticReport {
    preconditionFailure("the policy has no critic")
  }

  package func isThinking(atEndOf trajectory: Trajectory, to prompt: Prompt) -> Bool { false }
}

/// One step: sample, then learn from the samples.
///
/// - Parameters:
///   - sampler: the older version that samples, if `staleness` asks for one (`samplingPolicy`); nil: the policy itself.
///   - prompts: the whole training set, by prompt index.
///   - truth: the true answers, by prompt index. Read only if labels are `.truth`.
///   - history: the labels of all earlier steps.
///   - verdict: what a reward command says about a response; used only if the method has one (`Method.isJudged`).
///   - given: a prompt's responses, in place of samples, if the objective learns given responses.
package func improve<P: Policy>(
  _ policy: inout P, sampler: P? = nil, step: UInt32, prompts: [Prompt], truth: [AnswerKey?] = [],
  history: History = History(), method: Method, verdict: (Trajectory) -> Verdict? = { _ in nil },
  given: (UInt32) -> [Trajectory] = { _ in [] }
) throws -> [Judgement] {
  let round = RoundID.train(step: step)
  var groups: [Group] = []
  for index in promptsOfStep(step, promptCount: prompts.count, method: method) {
    if method.objective.takesResponses {
      groups.append(Group(prompt: index, trajectories: given(index)))
      continue
    }
    let slots = (0..<UInt32(method.votes)).map { Slot(round: round, prompt: index, sample: $0) }
    let prompt = prompts[Int(index)]
    var trajectories = try (sampler ?? policy).sample(prompt, slots: slots, sampling: method.sampling)
    if method.isJudged {
      for index in trajectories.indices { trajectories[index].verdict = verdict(trajectories[index]) }
    }
    let answers = trajectories.map { policy.answer(of: $0, to: prompt) }
    // All of them. With early stop, those up to the vote's decision: a fleet need not sample the others.
    let counted = countedSamples(of: answers, step: step, prompt: index, method: method)
    groups.append(Group(prompt: index, trajectories: counted.map { trajectories[$0] }))
  }
  return try learn(
    &policy, step: step, from: groups, prompts: prompts, truth: truth, history: history, method: method
  ).judgements
}

/// What a step learned from, and how its updates went.
package struct Lesson: Sendable {
  /// Empty if the responses were given: nothing votes on them.
  package var judgements: [Judgement]
  /// [B] parallel to `judgements`: whether the group's advantages are all 0, so that it has nothing to teach.
  package var hasZeroAdvantage: [Bool]
  /// Mean k3 estimate of KL(this policy ‖ policy 0) per trained token, in nats; nil if policy 0 scores nothing.
  package var klToBase: Double?
  /// nil if the step's own version sampled.
  package var importance: ImportanceFigures?
  package var updates: [UpdateReport]
  /// Of PRIME's critic, which is trained before the policy.
  package var processUpdates: [CriticReport] = []
  /// nil without a critic, and if nothing was trained.
  package var critic: CriticFigures?
  /// nil unless options are shown in several orders.
  package var positions: Positions?
}

/// The second half of a step: vote, reward, select, compute advantages, update.
///
/// - Parameter groups: one per prompt of the step, in the order of `promptsOfStep`. Each holds the samples that count,
///   in sample order.
package func learn<P: Policy>(
  _ policy: inout P, step: UInt32, from groups: [Group], prompts: [Prompt], truth: [AnswerKey?] = [],
  history: History = History(), method: Method
) throws -> Lesson {
  let isGiven = method.objective.takesResponses
  var judgements = judgedGroups(
    isGiven ? [] : groups, step: step, prompts: prompts, truth: truth, history: history, method: method
  ) { policy.answer(of: $0, to: $1) }
  let positions = Positions(of: judgements, prompts: prompts)
  for (index, group) in groups.enumerated() where !isGiven {
    judgements[index].truncatedThinking = group.trajectories.count {
      $0.finish == .length && policy.isThinking(atEndOf: $0, to: prompts[Int(group.prompt)])
    }
  }
  var trained =
    isGiven
    ? givenGroups(of: groups, prompts: prompts)
    : trainedGroups(of: groups, judgements, prompts: prompts, method: method)
  // Scores are the tokens' log-probabilities under other versions. A KL penalty in the reward needs them before the
  // advantages. Otherwise they are needed later, and only for the trajectories that are left.
  let needsScores = method.hasKL(in: .reward) || method.objective == .prime
  if needsScores { try addScores(to: &trained, step: step, by: &policy, method: method) }
  if method.objective == .ppo { try addValues(to: &trained, by: &policy, method: method) }
  var processUpdates: [CriticReport] = []
  if method.objective == .prime {
    processUpdates = try addProcessScores(to: &trained, step: step, by: &policy, method: method)
  }
  assignAdvantages(to: &trained, method: method)
  let critic = criticFigures(of: trained, method: method)
  let hasZeroAdvantage = isGiven ? [] : trained.map(\.hasZeroAdvantage)
  if method.zeroAdvantageGroups == .skip { trained.removeAll(where: \.hasZeroAdvantage) }
  if !needsScores { try addScores(to: &trained, step: step, by: &policy, method: method) }
  let rate = learningRate(ofStep: step, method: method)
  var updates: [UpdateReport] = []
  for miniBatch in miniBatches(of: trained, step: step, method: method) {
    updates.append(try policy.update(miniBatch, method: method, learningRate: rate))
  }
  try policy.publish()
  return Lesson(
    judgements: judgements, hasZeroAdvantage: hasZeroAdvantage, klToBase: klToBase(of: trained),
    importance: importanceFigures(of: trained, method: method), updates: updates, processUpdates: processUpdates,
    critic: critic, positions: positions)
}

/// What came of one group: its vote, its rewards and the samples to train on.
package struct Judgement: Sendable, Equatable {
  package var prompt: UInt32
  /// [N] by sample; nil where a sample gave no answer. With early stop, only the samples that count, here and below.
  package var answers: [AnswerKey?]
  /// The label and its votes. The label is nil if no sample gave an answer, or if the group abstains.
  package var vote: Vote
  /// [N] by sample. With the vote: 1 if the answer agrees with the label, else 0. Other estimators have other scales.
  package var rewards: [Float]
  /// Why nothing is rewarded although answers were given.
  package var abstention: Abstention?
  /// What the estimator does to the group's advantages, besides the rewards.
  package var shaping = Shaping()
  /// The m trajectories that are trained on, as indices into the group's trajectories, ascending.
  package var trained: [Int]
  /// Whether the label differs from the prompt's previous label; nil if one of the two is missing.
  package var isFlip: Bool?
  /// How many samples the vote did not need.
  package var unneeded = 0
  /// Responses that the token limit cut off before their thinking ended.
  package var truncatedThinking = 0
  /// [N] by sample: the reward command left it out of the vote and the training. Empty without such a command.
  package var excluded: [Bool] = []
  /// Of those, the samples about which the command gave no verdict.
  package var faults = 0
}

/// The judgements of a step's groups, in their order. The history is that of the steps before.
func judgedGroups(
  _ groups: [Group], step: UInt32, prompts: [Prompt], truth: [AnswerKey?], history: History, method: Method,
  answer: (Trajectory, Prompt) -> AnswerKey?
) -> [Judgement] {
  let answers = groups.map { group in group.trajectories.map { answer($0, prompts[Int(group.prompt)]) } }
  var judgements = groups.enumerated().map { place, group in
    judge(
      prompt: group.prompt, answers: answers[place], trajectories: group.trajectories, step: step, method: method,
      truth: method.labels == .truth ? truth[Int(group.prompt)] : nil, history: history[group.prompt],
      voters: voters(for: place, of: groups, answers, method: method))
  }
  if method.promptWeights == .flips { weigh(&judgements, step: step, history: history, method: method) }
  return judgements
}

/// Vote, reward, select: from a group's answers to the reward of each trajectory, and which of them are trained on.
///
/// - Parameters:
///   - answers: of the samples that count, in sample order.
///   - trajectories: parallel to `answers`; empty if only the answers of a whole group are known (`ttrl vote`).
///   - truth: the question's true answer if labels are `.truth`, else nil. nil under `.truth` rewards nothing.
///   - history: the prompt's labels at earlier visits.
///   - voters: the answers that elect the label, if they are not those of the group (`voters(for:of:_:method:)`).
package func judge(
  prompt: UInt32, answers: [AnswerKey?], trajectories: [Trajectory] = [], step: UInt32, method: Method,
  truth: AnswerKey?, history: PromptHistory = PromptHistory(), voters: [AnswerKey?]? = nil
) -> Judgement {
  let groupSize = method.stopsEarly ? method.votes : answers.count
  let needed = votesNeeded(forShare: method.minimumShare, of: groupSize)
  // What a reward command said, if there is one.
  let testimony = Testimony(trajectories, method: method)
  let elected =
    testimony?.vote(answers, method: method)
    ?? voters.map { election(by: $0, in: answers, method: method) }
    ?? majority(of: answers, ties: method.ties, needed: needed)
  let evidence = Evidence(
    step: step, prompt: prompt, answers: testimony?.voting(answers) ?? answers, trajectories: trajectories,
    vote: elected, truth: truth, history: history)
  var estimate = estimate(evidence, method: method)
  testimony?.correct(&estimate)
  let vote = estimate.vote ?? elected
  // Fixed advantages compare with nothing: without a label they would punish every response alike.
  if method.advantage == .fixed, method.labels == .truth ? truth == nil : vote.label == nil {
    estimate.shaping.weight = 0
  }
  let chosen = trainedSamples(of: groupSize, step: step, prompt: prompt, method: method, answers: evidence.answers)
    .filter { testimony?.excluded[$0] != true }
  return Judgement(
    prompt: prompt, answers: answers, vote: vote, rewards: estimate.rewards, abstention: estimate.abstention,
    shaping: estimate.shaping, trained: method.stopsEarly ? indices(of: chosen, among: trajectories) : chosen,
    isFlip: vote.label.flatMap { label in history.label.map { $0 != label.text } }, unneeded: groupSize - answers.count,
    excluded: testimony?.excluded ?? [], faults: testimony?.faults ?? 0)
}
