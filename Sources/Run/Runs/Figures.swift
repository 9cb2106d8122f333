// Figures: a run's measurements as lines of metrics.jsonl and rows of the ledger. docs/metrics.md lists every name.
//
// Null means unknown (no answers), never zero.

import Answers
package import Base
package import Records
package import TTRL

/// One training step.
package enum StepRow {
  /// - Parameters:
  ///   - metrics: of the step.
  ///   - trainSeconds: from the batch's arrival to the new weights.
  ///   - weightsDigest: SHA-256 of the checkpoint's model.safetensors, where one was written.
  ///   - stateDigest: SHA-256 of masters and optimizer state, likewise.
  package static func json(
    _ metrics: StepMetrics, trainSeconds: Double, weightsDigest: String?, stateDigest: String?
  ) -> JSON {
    [
      "kind": "step", "step": .int(Int(metrics.step)), "learning_rate": .double(metrics.learningRate),
      "label_accuracy": .number(metrics.labelAccuracy), "reward_accuracy": .number(metrics.rewardAccuracy),
      "majority_ratio": .double(metrics.majorityRatio), "ground_truth_ratio": .number(metrics.groundTruthRatio),
      "majority_voting_reward": .double(metrics.majorityVotingReward), "pass@N": .number(metrics.passAtVotes),
      "post_reward_accuracy": .number(metrics.trainedRewardAccuracy),
      "post_ground_truth_ratio": .number(metrics.trainedGroundTruthRatio),
      "no_answer_ratio": .double(metrics.noAnswerRatio), "truncation_ratio": .double(metrics.truncatedRatio),
      "budget_exhausted": .int(metrics.beyondBudget),
      "tie_ratio": .double(metrics.tieRatio), "zero_advantage_ratio": .double(metrics.zeroAdvantageRatio),
      "unlabeled_ratio": .double(metrics.unlabeledRatio), "abstention_ratio": .double(metrics.abstentionRatio),
      "flip_ratio": .number(metrics.flipRatio), "reward_mean": .double(metrics.rewardMean),
      "samples_saved": .int(metrics.unneededSamples), "entropy": .double(metrics.entropy),
      "kl_to_base": .number(metrics.klToBase), "policy_lag": .int(metrics.lag),
      "importance_mean": .number(metrics.importance?.mean), "importance_max": .number(metrics.importance?.max),
      "importance_truncated_ratio": .number(metrics.importance?.truncatedShare),
      "response_length_mean": .double(metrics.lengthMean), "response_length_max": .int(metrics.lengthMax),
      "sampled_tokens": .int(metrics.sampledTokens), "trained_tokens": .int(metrics.trainedTokens),
      "loss": .double(metrics.loss), "clip_ratio": .double(metrics.clippedShare),
      "gradient_norm": .double(metrics.gradientNorm), "updates": .int(metrics.updates.count),
      "skipped_updates": .int(metrics.skippedUpdates), "logprob_gap": .double(Double(metrics.logprobGap)),
      "train_seconds": .double(trainSeconds), "weights_sha256": .optional(weightsDigest),
      "state_sha256": .optional(stateDigest), "prompts": .array(metrics.prompts.map(json)),
    ]
  }

  private static func json(_ prompt: PromptMetrics) -> JSON {
    var members: [JSON.Member] = [
      JSON.Member("prompt", .int(Int(prompt.prompt))), JSON.Member("label", .optional(prompt.label)),
      JSON.Member("votes", .int(prompt.votes)), JSON.Member("samples", .int(prompt.samples)),
      JSON.Member("no_answer", .int(prompt.withoutAnswer)), JSON.Member("truncated", .int(prompt.truncated)),
      JSON.Member("answers", .int(prompt.answerCount)), JSON.Member("tie", .bool(prompt.isTie)),
      JSON.Member("zero_advantage", .bool(prompt.hasZeroAdvantage)), JSON.Member("rewarded", .int(prompt.rewarded)),
      JSON.Member("abstained", .optional(prompt.abstention?.rawValue)),
      JSON.Member("flipped", prompt.isFlip.map { .bool($0) } ?? .null), JSON.Member("saved", .int(prompt.unneeded)),
    ]
    if let truth = prompt.truth {
      members += [
        JSON.Member("label_right", .bool(truth.isLabelRight)), JSON.Member("right", .int(truth.right)),
        JSON.Member("right_rewards", .int(truth.rightRewards)),
      ]
    }
    return .object(members)
  }
}

extension StepSigns {
  /// What the guard needs of a step's row; nil if the row is of another kind or lacks it.
  package init?(row: JSON) {
    func number(_ name: String) -> Double? { row[name]?.double }
    guard let step = row["step"]?.int, let majority = number("majority_ratio"),
      let zeroAdvantage = number("zero_advantage_ratio"), let noAnswer = number("no_answer_ratio"),
      let truncation = number("truncation_ratio"), let entropy = number("entropy"),
      let length = number("response_length_mean"), let prompts = row["prompts"]?.elements
    else { return nil }
    self.init(
      step: UInt32(clamping: step),
      prompts: prompts.map {
        let (votes, samples) = ($0["votes"]?.int ?? 0, $0["samples"]?.int ?? 0)
        return Prompt(
          prompt: UInt32(clamping: $0["prompt"]?.int ?? 0), label: $0["label"]?.string,
          share: Double(votes) / Double(max(samples, 1)))
      },
      majorityRatio: majority, zeroAdvantageRatio: zeroAdvantage, noAnswerRatio: noAnswer, truncationRatio: truncation,
      entropy: entropy, length: length, divergence: number("kl_to_base"))
  }
}

extension GuardReading {
  /// Members of the step's row. Alarms are left out where the run has no guard.
  package func members(withAlarms: Bool) -> [JSON.Member] {
    [
      JSON.Member("distinct_label_ratio", .double(distinctLabelRatio)), JSON.Member("flip_rate", .number(flipRate)),
      JSON.Member("overturn_rate", .number(overturnRate)),
      JSON.Member("guard_score", .number(score)),
    ]
      + (withAlarms
        ? [
          JSON.Member(
            "alarms",
            .array(
              alarms.map {
                ["name": .string($0.alarm.rawValue), "value": .double($0.value), "limit": .double($0.limit)]
              }))
        ] : [])
  }
}

/// One evaluation of one question set.
package enum EvaluationRow {
  /// - Parameter parts: the named sets that the round's prompts are of, where they are of several files.
  package static func json(
    _ evaluation: Evaluation, of round: RoundID, parts: [(name: String, evaluation: Evaluation)] = []
  ) -> JSON {
    var members: [JSON.Member] = [
      JSON.Member("kind", "evaluation"), JSON.Member("policy", .int(Int(round.step))),
      JSON.Member("set", .string(name(of: round.set))),
    ]
    members += figures(evaluation)
    if !parts.isEmpty {
      members.append(
        JSON.Member("sets", .object(parts.map { JSON.Member($0.name, .object(figures($0.evaluation))) })))
    }
    members.append(JSON.Member("pass_by_prompt", .array(evaluation.passByPrompt.map { .double($0) })))
    members.append(JSON.Member("by_prompt", .array(evaluation.prompts.enumerated().map(json))))
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

  private static func json(_ index: Int, _ prompt: Evaluation.PromptOutcome) -> JSON {
    var members = [
      JSON.Member("prompt", .int(index)), JSON.Member("label", .optional(prompt.vote.label?.text)),
      JSON.Member("votes", .int(prompt.vote.votes)),
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
      answers[index].append(answer(of: trajectory.tokens, kind: questions.prompts[index].kind))
    }
    return zip(answers, questions.truth).map { EvaluatedPrompt(answers: $0, truth: $1) }
  }

  package func evaluationRow(_ trajectories: [Trajectory], of round: RoundID) -> JSON {
    let prompts = judged(trajectories, of: round)
    let sets = set(round.set).questions.map(\.set)
    var names: [String] = []
    for case .some(let name) in sets where !names.contains(name) { names.append(name) }
    let parts = names.map { name in
      (name, Evaluation(zip(sets, prompts).filter { $0.0 == name }.map(\.1)))
    }
    return EvaluationRow.json(Evaluation(prompts), of: round, parts: parts)
  }
}
