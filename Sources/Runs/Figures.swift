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
      "tie_ratio": .double(metrics.tieRatio), "zero_advantage_ratio": .double(metrics.silentRatio),
      "unlabeled_ratio": .double(metrics.unlabeledRatio), "entropy": .double(metrics.entropy),
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
      JSON.Member("zero_advantage", .bool(prompt.isSilent)), JSON.Member("rewarded", .int(prompt.rewarded)),
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

/// One evaluation of one question set.
package enum EvaluationRow {
  package static func json(_ evaluation: Evaluation, of round: RoundID) -> JSON {
    var members: [JSON.Member] = [
      JSON.Member("kind", "evaluation"), JSON.Member("policy", .int(Int(round.step))),
      JSON.Member("set", round.set == .training ? "train" : "held_out"),
    ]
    members += figures(evaluation)
    members.append(JSON.Member("pass_by_prompt", .array(evaluation.passByPrompt.map { .double($0) })))
    return .object(members)
  }

  /// pass@1, each maj@k, and what can be said without answers.
  package static func figures(_ evaluation: Evaluation) -> [JSON.Member] {
    [JSON.Member("pass@1", .number(evaluation.passAt1))]
      + evaluation.majorityAt.map { JSON.Member("maj@\($0.k)", .number($0.value)) }
      + [
        JSON.Member("majority_ratio", .double(evaluation.majorityRatio)),
        JSON.Member("no_answer_ratio", .double(evaluation.noAnswerRatio)),
        JSON.Member("samples", .int(evaluation.samples)), JSON.Member("prompts", .int(evaluation.promptCount)),
      ]
  }
}

extension JSON {
  /// A number, or null for one that is unknown.
  package static func number(_ value: Double?) -> JSON { value.map { .double($0) } ?? .null }
}

extension Run {
  /// Scores a complete evaluation round.
  ///
  /// - Parameter trajectories: in slot order.
  package func evaluation(of trajectories: [Trajectory], of round: RoundID) -> Evaluation {
    let questions = set(round.set)
    var answers: [[AnswerKey?]] = Array(repeating: [], count: questions.prompts.count)
    for trajectory in trajectories {
      let index = Int(trajectory.slot.prompt)
      answers[index].append(answer(of: trajectory.tokens, kind: questions.prompts[index].kind))
    }
    return Evaluation(zip(answers, questions.truth).map { EvaluatedPrompt(answers: $0, truth: $1) })
  }

  package func evaluationRow(_ trajectories: [Trajectory], of round: RoundID) -> JSON {
    EvaluationRow.json(evaluation(of: trajectories, of: round), of: round)
  }
}
