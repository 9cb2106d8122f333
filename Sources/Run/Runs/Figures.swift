// Figures: a run's measurements as lines of metrics.jsonl and rows of the ledger. docs/metrics.md lists every name.
//
// Null means unknown (no answers), never zero.

import Answers
package import Base
package import Records
package import TTRL

extension StepReport {
  /// - Parameters:
  ///   - metrics: of the step.
  ///   - trainSeconds: from the batch's arrival to the new weights.
  package init(_ metrics: StepMetrics, trainSeconds: Double) {
    self.init(step: metrics.step, prompts: metrics.prompts.map(PromptReport.init))
    let values: [(FigureName, Double?)] = [
      (.learningRate, metrics.learningRate), (.labelAccuracy, metrics.labelAccuracy),
      (.rewardAccuracy, metrics.rewardAccuracy), (.majorityRatio, metrics.majorityRatio),
      (.groundTruthRatio, metrics.groundTruthRatio), (.majorityVotingReward, metrics.majorityVotingReward),
      (.passAtVotes, metrics.passAtVotes), (.trainedRewardAccuracy, metrics.trainedRewardAccuracy),
      (.trainedGroundTruthRatio, metrics.trainedGroundTruthRatio), (.noAnswerRatio, metrics.noAnswerRatio),
      (.truncationRatio, metrics.truncatedRatio), (.budgetExhausted, Double(metrics.beyondBudget)),
      (.tieRatio, metrics.tieRatio), (.zeroAdvantageRatio, metrics.zeroAdvantageRatio),
      (.unlabeledRatio, metrics.unlabeledRatio), (.abstentionRatio, metrics.abstentionRatio),
      (.flipRatio, metrics.flipRatio), (.rewardMean, metrics.rewardMean),
      (.unneededSamples, Double(metrics.unneededSamples)),
      (.invalidSamples, metrics.invalidSamples.map(Double.init)),
      (.failedVerdicts, metrics.failedVerdicts.map(Double.init)), (.entropy, metrics.entropy),
      (.klToBase, metrics.klToBase), (.policyLag, Double(metrics.lag)),
      (.importanceMean, metrics.importance?.mean), (.importanceMax, metrics.importance?.max),
      (.importanceTruncatedRatio, metrics.importance?.truncatedShare), (.responseLengthMean, metrics.lengthMean),
      (.responseLengthMax, Double(metrics.lengthMax)), (.sampledTokens, Double(metrics.sampledTokens)),
      (.trainedTokens, Double(metrics.trainedTokens)), (.loss, metrics.loss), (.clipRatio, metrics.clippedShare),
      (.gradientNorm, metrics.gradientNorm), (.updates, Double(metrics.updates.count)),
      (.skippedUpdates, Double(metrics.skippedUpdates)), (.logprobGap, Double(metrics.logprobGap)),
      (.trainSeconds, trainSeconds), (.thinkingTruncationRatio, metrics.truncatedThinkingRatio),
      (.perplexity, metrics.perplexity), (.criticLoss, metrics.criticLoss),
      (.criticClipRatio, metrics.criticClippedShare), (.criticGradientNorm, metrics.criticGradientNorm),
      (.explainedVariance, metrics.critic?.explainedVariance), (.returnMean, metrics.critic?.returnMean),
      (.criticAccuracy, metrics.critic?.accuracy), (.positionBias, metrics.positions?.bias),
    ]
    positions = metrics.positions?.votes.map(UInt32.init(clamping:)) ?? []
    for (name, value) in values { figures[name] = value }
    guard metrics.isGiven else { return }
    for name in FigureName.ofSamples { figures[name] = nil }
    figures[.rewardMean] = metrics.givenReward
    // Without recorded log-probabilities there is nothing to compare.
    if metrics.perplexity != nil { figures[.logprobGap] = nil }
  }
}

extension PromptReport {
  package init(_ metrics: PromptMetrics) {
    self.init(prompt: metrics.prompt)
    label = metrics.label
    labelVotes = UInt32(clamping: metrics.votes)
    samples = UInt32(clamping: metrics.samples)
    unneeded = UInt32(clamping: metrics.unneeded)
    withoutAnswer = UInt32(clamping: metrics.withoutAnswer)
    truncated = UInt32(clamping: metrics.truncated)
    truncatedThinking = UInt32(clamping: metrics.truncatedThinking)
    answerCount = UInt32(clamping: metrics.answerCount)
    rewarded = UInt32(clamping: metrics.rewarded)
    isTie = metrics.isTie
    hasZeroAdvantage = metrics.hasZeroAdvantage
    abstention = metrics.abstention
    isFlip = metrics.isFlip
    truth = metrics.truth.map {
      Truth(
        isLabelRight: $0.isLabelRight, right: UInt32(clamping: $0.right),
        rightRewards: UInt32(clamping: $0.rightRewards))
    }
  }
}

/// A step as metrics.jsonl and the ledger have it: the report, complete, and the guard's alarms.
package enum StepRow {
  /// - Parameter alarms: those that are on; nil, and left out, where the run has no guard.
  package static func json(_ report: StepReport, alarms: [RaisedAlarm]?) -> JSON {
    guard let alarms, let members = report.json.members else { return report.json }
    let list = alarms.map { alarm -> JSON in
      ["name": .string(alarm.alarm.rawValue), "value": .double(alarm.value), "limit": .double(alarm.limit)]
    }
    return .object(members + [JSON.Member("alarms", .array(list))])
  }
}

/// One evaluation of one question set.
package enum EvaluationRow {
  /// The prompts of one named set, or of one domain.
  package typealias Part = (name: String, evaluation: Evaluation)

  /// - Parameters:
  ///   - evaluation: of all prompts that were evaluated.
  ///   - round: the evaluation's.
  ///   - prompts: their indices in the set.
  ///   - sets: the named sets that the prompts are of, where they are of several files.
  ///   - domains: the domains that the questions name.
  package static func json(
    _ evaluation: Evaluation, of round: RoundID, prompts: [UInt32], sets: [Part] = [], domains: [Part] = []
  ) -> JSON {
    var members: [JSON.Member] = [
      JSON.Member("kind", "evaluation"), JSON.Member("policy", .int(Int(round.step))),
      JSON.Member("set", .string(name(of: round.set))),
    ]
    members += figures(evaluation)
    for (name, parts) in [("sets", sets), ("domains", domains)] where !parts.isEmpty {
      members.append(
        JSON.Member(name, .object(parts.map { JSON.Member($0.name, .object(figures($0.evaluation))) })))
    }
    members.append(JSON.Member("pass_by_prompt", .array(evaluation.passByPrompt.map { .double($0) })))
    members.append(JSON.Member("by_prompt", .array(zip(prompts, evaluation.prompts).map(json))))
    return .object(members)
  }

  private static func name(of set: QuestionSet) -> String {
    switch set {
    case .training: "train"
    case .heldOut: "held_out"
    case .transfer: "transfer"
    }
  }

  /// Every figure, then their 95 % intervals.
  package static func figures(_ evaluation: Evaluation) -> [JSON.Member] {
    let intervals = evaluation.figures.compactMap { figure in
      figure.interval.map { JSON.Member(figure.name, .array([.double($0.low), .double($0.high)])) }
    }
    return evaluation.figures.map { JSON.Member($0.name, .number($0.value)) } + [
      JSON.Member("ci95", .object(intervals)), JSON.Member("samples", .int(evaluation.samples)),
      JSON.Member("prompts", .int(evaluation.prompts.count)),
    ]
  }

  private static func json(_ index: UInt32, _ prompt: Evaluation.PromptOutcome) -> JSON {
    var members = [
      JSON.Member("prompt", .int(Int(index))), JSON.Member("label", .optional(prompt.vote.label?.text)),
      JSON.Member("label_votes", .int(prompt.vote.votes)),
    ]
    if let right = prompt.right, let isLabelRight = prompt.isLabelRight {
      members += [JSON.Member("right", .int(right)), JSON.Member("label_right", .bool(isLabelRight))]
    }
    return .object(members)
  }
}

extension JSON {
  /// A number, or null for one that is unknown.
  package static func number(_ value: Double?) -> JSON { value.map { .double($0) } ?? .null }
}

extension Run {
  /// The answers of a complete evaluation round, by prompt.
  ///
  /// - Parameter trajectories: in slot order.
  package func judged(_ trajectories: [Trajectory], of round: RoundID) -> [EvaluatedPrompt] {
    let questions = set(round.set)
    var answers: [[AnswerKey?]] = Array(repeating: [], count: questions.prompts.count)
    for trajectory in trajectories {
      let index = Int(trajectory.slot.prompt)
      answers[index].append(reader.answer(of: trajectory.tokens, to: questions.prompts[index]))
    }
    return zip(answers, questions.truth).map { EvaluatedPrompt(answers: $0, truth: $1) }
  }

  package func evaluationRow(_ trajectories: [Trajectory], of round: RoundID) -> JSON {
    let evaluated = evaluatedPrompts(of: round.set)
    let judged = judged(trajectories, of: round)
    let prompts = evaluated.map { judged[Int($0)] }
    let questions = evaluated.map { set(round.set).questions[Int($0)] }
    /// In the order in which the names occur.
    func parts(_ names: [String?]) -> [EvaluationRow.Part] {
      var known: [String] = []
      for case .some(let name) in names where !known.contains(name) { known.append(name) }
      return known.map { name in (name, Evaluation(zip(names, prompts).filter { $0.0 == name }.map(\.1))) }
    }
    return EvaluationRow.json(
      Evaluation(prompts), of: round, prompts: evaluated, sets: parts(questions.map(\.set)),
      domains: parts(questions.map(\.domain)))
  }
}
