// Metrics: the figures of a step, compared with the truth where it is known. Nothing here has an effect on training.
//
// Counts are integers per prompt, and every published fraction is a quotient of them, so the identities of the method
// can be checked exactly (docs/algorithm.md). If the label is right, all rewards are right. If the label is wrong, the
// share of right rewards is 1 − majority ratio − ground-truth ratio: the paper's "lucky hit".

package import Answers
package import Records

#if canImport(Glibc)
  import Glibc
#endif

/// One prompt's group in one step, as counts.
package struct PromptMetrics: Sendable, Equatable {
  package var prompt: UInt32
  /// N; with early stop, the samples that count. The other counts are of these samples, unless they say otherwise.
  package var samples = 0
  /// Samples that gave the label.
  package var votes = 0
  package var withoutAnswer = 0
  /// Answers that were compared by their spelling, because reading them would have taken too many steps.
  package var beyondBudget = 0
  /// Responses that the token limit cut off.
  package var truncated = 0
  /// Those of them that were cut off before their thinking ended.
  package var truncatedThinking = 0
  package var answerCount = 0
  package var isTie = false
  /// Whether all its advantages are 0; known when the whole step has been judged.
  package var hasZeroAdvantage = false
  /// Why nothing is rewarded although answers were given.
  package var abstention: Abstention?
  /// Whether the label differs from the prompt's previous label; nil if one of the two is missing.
  package var isFlip: Bool?
  /// Samples that were not needed to decide the vote. They are not among `samples`.
  package var unneeded = 0
  /// Samples that the reward command left out, and of those, the ones about which it gave no verdict. They have no
  /// reward, so counts of rewards are without them.
  package var excluded = 0
  package var faults = 0
  /// Samples with reward 1. If rewards are not 0 or 1: samples whose reward is above the group's mean.
  package var rewarded = 0
  /// Sum of the samples' rewards.
  package var rewardSum = 0.0
  package var trained = 0
  package var label: String?
  /// Counts that need the true answer; nil if there is none.
  package var truth: Truth?

  package struct Truth: Sendable, Equatable {
    package var isLabelRight = false
    /// Samples whose answer is right.
    package var right = 0
    /// Samples whose reward is the one that the truth would have given.
    package var rightRewards = 0
    /// The same two, of the samples that are trained on.
    package var trainedRight = 0
    package var trainedRightRewards = 0
  }
}

/// The counts of one judged group.
package func measure(_ judgement: Judgement, of group: Group, truth: AnswerKey?) -> PromptMetrics {
  var metrics = PromptMetrics(prompt: judgement.prompt)
  metrics.samples = judgement.answers.count
  metrics.votes = judgement.vote.votes
  metrics.withoutAnswer = judgement.answers.count { $0 == nil }
  metrics.beyondBudget = judgement.answers.count { $0?.isExhausted ?? false }
  metrics.truncated = group.trajectories.count { $0.finish == .length }
  metrics.truncatedThinking = judgement.truncatedThinking
  metrics.answerCount = judgement.vote.answerCount
  metrics.isTie = judgement.vote.isTie
  metrics.abstention = judgement.abstention
  metrics.isFlip = judgement.isFlip
  metrics.unneeded = judgement.unneeded
  metrics.excluded = judgement.excluded.count { $0 }
  metrics.faults = judgement.faults
  let favoured = favoured(by: judgement.rewards, excluded: judgement.excluded)
  metrics.rewarded = favoured.count { $0 }
  metrics.rewardSum = judgement.rewards.reduce(0) { $0 + Double($1) }
  metrics.trained = judgement.trained.count
  metrics.label = judgement.vote.label?.text
  guard let truth else { return metrics }
  var counts = PromptMetrics.Truth(isLabelRight: judgement.vote.label?.isRightLabel(for: truth) ?? false)
  for (sample, (answer, isFavoured)) in zip(judgement.answers, favoured).enumerated() {
    let isRight = answer.agrees(with: truth)
    counts.right += isRight ? 1 : 0
    let isOut = !judgement.excluded.isEmpty && judgement.excluded[sample]
    counts.rightRewards += isRight == isFavoured && !isOut ? 1 : 0
  }
  for sample in judgement.trained {
    let isRight = judgement.answers[sample].agrees(with: truth)
    counts.trainedRight += isRight ? 1 : 0
    counts.trainedRightRewards += isRight == favoured[sample] ? 1 : 0
  }
  metrics.truth = counts
  return metrics
}

/// [N] whether a sample's reward is a yes: it is 1, or, if rewards are not 0 or 1, it is above the group's mean. A
/// sample that the reward command left out has none.
private func favoured(by rewards: [Float], excluded: [Bool]) -> [Bool] {
  if rewards.allSatisfy({ $0 == 0 || $0 == 1 }) { return rewards.map { $0 > 0 } }
  let given = excluded.isEmpty ? rewards : zip(rewards, excluded).filter { !$1 }.map(\.0)
  let mean = given.reduce(0.0) { $0 + Double($1) } / Double(given.count)
  let isAbove = rewards.map { Double($0) > mean }
  return excluded.isEmpty ? isAbove : zip(isAbove, excluded).map { $0 && !$1 }
}

/// A step's figures, averaged over its prompts. Names follow the reference's (`train/...`).
package struct StepMetrics: Sendable, Equatable {
  package var step: UInt32
  package var prompts: [PromptMetrics]
  package var learningRate: Double
  package var updates: [UpdateReport]
  /// Of the critic; [] without one.
  package var criticUpdates: [CriticReport]
  /// `Lesson.critic` and `Lesson.positions`.
  package var critic: CriticFigures?
  package var positions: Positions?
  /// Response tokens: the mean, and the most.
  package var lengthMean: Double
  package var lengthMax: Int
  package var sampledTokens: Int
  /// Mean entropy per sampled token, nats.
  package var entropy: Double
  /// `Lesson.klToBase`.
  package var klToBase: Double?
  package var importance: ImportanceFigures?
  /// How many versions the one that sampled is behind the one that is trained.
  package var lag: Int
  /// Whether a reward command judges responses.
  private var isJudged: Bool
  /// Whether the step learned given responses. Then only the figures of lengths, rewards and updates are known.
  package var isGiven: Bool
  private var objective: PolicyObjective
  /// Mean of the recorded rewards of given responses; nil if there are none.
  package var givenReward: Double?

  /// - Parameter truth: the true answers by prompt index. A nil entry is unknown; an empty array means all are.
  package init(step: UInt32, lesson: Lesson, groups: [Group], truth: [AnswerKey?], method: Method) {
    self.step = step
    prompts = zip(lesson.judgements, groups).map { judgement, group in
      measure(judgement, of: group, truth: truth.isEmpty ? nil : truth[Int(group.prompt)])
    }
    objective = method.objective
    isGiven = method.objective.takesResponses
    let rewards = isGiven ? groups.flatMap(\.trajectories).compactMap { $0.verdict?.reward } : []
    if !rewards.isEmpty { givenReward = rewards.reduce(0) { $0 + Double($1) } / Double(rewards.count) }
    for (index, hasZeroAdvantage) in lesson.hasZeroAdvantage.enumerated() {
      prompts[index].hasZeroAdvantage = hasZeroAdvantage
    }
    learningRate = TTRL.learningRate(ofStep: step, method: method)
    updates = lesson.updates
    criticUpdates = lesson.processUpdates + lesson.updates.compactMap(\.critic)
    critic = lesson.critic
    positions = lesson.positions
    isJudged = method.isJudged
    klToBase = lesson.klToBase
    importance = lesson.importance
    lag = Int(step - samplingPolicy(ofStep: step, method: method).number)
    var tokens = 0
    var longest = 0
    var entropySum = 0.0
    var count = 0
    for trajectory in groups.lazy.flatMap(\.trajectories) {
      tokens += trajectory.tokens.count
      longest = max(longest, trajectory.tokens.count)
      entropySum += Double(trajectory.entropySum)
      count += 1
    }
    sampledTokens = tokens
    lengthMax = longest
    lengthMean = Double(tokens) / Double(max(count, 1))
    entropy = entropySum / Double(max(tokens, 1))
  }

  // MARK: Fractions

  /// A share of each prompt's samples, averaged over the prompts.
  private func share(_ count: (PromptMetrics) -> Int) -> Double {
    prompts.reduce(0) { $0 + Double(count($1)) / Double(max($1.samples, 1)) } / Double(max(prompts.count, 1))
  }

  private func share(ofPrompts predicate: (PromptMetrics) -> Bool) -> Double {
    Double(prompts.count(where: predicate)) / Double(max(prompts.count, 1))
  }

  /// A value averaged over the prompts whose true answer is known; nil if none is.
  private func truthShare(_ value: (PromptMetrics, PromptMetrics.Truth) -> Double) -> Double? {
    let known = prompts.compactMap { prompt in prompt.truth.map { value(prompt, $0) } }
    return known.isEmpty ? nil : known.reduce(0, +) / Double(known.count)
  }

  package var majorityRatio: Double { share(\.votes) }
  package var majorityVotingReward: Double { share(\.rewarded) }
  package var noAnswerRatio: Double { share(\.withoutAnswer) }
  package var beyondBudget: Int { prompts.reduce(0) { $0 + $1.beyondBudget } }
  package var truncatedRatio: Double { share(\.truncated) }
  /// nil if there are none.
  package var truncatedThinkingRatio: Double? {
    prompts.contains { $0.truncatedThinking > 0 } ? share(\.truncatedThinking) : nil
  }
  package var tieRatio: Double { share(ofPrompts: \.isTie) }
  package var zeroAdvantageRatio: Double { share(ofPrompts: \.hasZeroAdvantage) }
  /// Share of prompts where no sample gave an answer, so that there was nothing to vote on.
  package var unlabeledRatio: Double { share(ofPrompts: { $0.answerCount == 0 }) }
  /// Share of prompts where answers were given and nothing is rewarded.
  package var abstentionRatio: Double { share(ofPrompts: { $0.abstention != nil }) }
  /// Of the prompts that have a label and had one at their last visit, the share whose label changed; nil if there are
  /// none.
  package var flipRatio: Double? {
    let flips = prompts.compactMap(\.isFlip)
    return flips.isEmpty ? nil : Double(flips.count { $0 }) / Double(flips.count)
  }
  /// The mean reward of a group, averaged over the prompts.
  package var rewardMean: Double {
    prompts.reduce(0) { $0 + $1.rewardSum / Double(max($1.samples - $1.excluded, 1)) } / Double(max(prompts.count, 1))
  }
  /// Samples that the reward command left out because it said so, and because it gave no verdict; nil without such a
  /// command.
  package var invalidSamples: Int? { isJudged ? prompts.reduce(0) { $0 + $1.excluded - $1.faults } : nil }
  package var failedVerdicts: Int? { isJudged ? prompts.reduce(0) { $0 + $1.faults } : nil }
  /// Samples that early stop did not need.
  package var unneededSamples: Int { prompts.reduce(0) { $0 + $1.unneeded } }

  package var labelAccuracy: Double? { truthShare { $1.isLabelRight ? 1 : 0 } }
  package var rewardAccuracy: Double? {
    truthShare { Double($1.rightRewards) / Double(max($0.samples - $0.excluded, 1)) }
  }
  package var groundTruthRatio: Double? { truthShare { Double($1.right) / Double(max($0.samples, 1)) } }
  package var passAtVotes: Double? { truthShare { $1.right > 0 ? 1 : 0 } }
  package var trainedRewardAccuracy: Double? {
    truthShare { Double($1.trainedRightRewards) / Double(max($0.trained, 1)) }
  }
  package var trainedGroundTruthRatio: Double? {
    truthShare { Double($1.trainedRight) / Double(max($0.trained, 1)) }
  }

  // MARK: Updates

  package var trainedTokens: Int { updates.reduce(0) { $0 + $1.tokens } }
  package var loss: Double { updates.reduce(0) { $0 + $1.lossSum } / Double(max(trainedTokens, 1)) }
  /// exp of the loss, the mean of −log π over the tokens; nil under objectives whose loss is another.
  package var perplexity: Double? { objective == .sft && trainedTokens > 0 ? exp(loss) : nil }
  package var clippedShare: Double {
    Double(updates.reduce(0) { $0 + $1.clippedTokens }) / Double(max(trainedTokens, 1))
  }
  package var gradientNorm: Double {
    updates.reduce(0) { $0 + $1.gradientNorm } / Double(max(updates.count, 1))
  }
  package var skippedUpdates: Int { updates.count(where: \.isSkipped) }
  /// The largest difference between the trainer's log-probabilities before the first update and the sampler's. If an
  /// older version sampled, they are compared with those that the trainer computed first. Must be 0 (E2 in
  /// docs/guarantees.md).
  package var logprobGap: Float { updates.first?.logprobGap ?? 0 }
}
