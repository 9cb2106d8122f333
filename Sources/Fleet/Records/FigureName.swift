// FigureName: the figures of a step, and how each is called. The only place where their names are written.
//
// The report of a step (StepReport), its bytes on the wire, its line in metrics.jsonl, the curves, the tags of
// TensorBoard and the metrics for Prometheus all walk this list. docs/metrics.md says what each figure means.

/// A figure of a step. The raw value is its name in metrics.jsonl.
///
/// The order is that of a line of metrics.jsonl and of the bits on the wire: a change of it is a new version of the
/// protocol.
package enum FigureName: String, Sendable, CaseIterable {
  // Measured by the learner.
  case learningRate = "learning_rate"
  case labelAccuracy = "label_accuracy"
  case rewardAccuracy = "reward_accuracy"
  case majorityRatio = "majority_ratio"
  case groundTruthRatio = "ground_truth_ratio"
  case majorityVotingReward = "majority_voting_reward"
  case passAtVotes = "pass@N"
  case trainedRewardAccuracy = "post_reward_accuracy"
  case trainedGroundTruthRatio = "post_ground_truth_ratio"
  case noAnswerRatio = "no_answer_ratio"
  case truncationRatio = "truncation_ratio"
  case budgetExhausted = "budget_exhausted"
  case tieRatio = "tie_ratio"
  case zeroAdvantageRatio = "zero_advantage_ratio"
  case unlabeledRatio = "unlabeled_ratio"
  case abstentionRatio = "abstention_ratio"
  case flipRatio = "flip_ratio"
  case rewardMean = "reward_mean"
  case unneededSamples = "unneeded_samples"
  // Only with a reward command.
  case invalidSamples = "invalid_samples"
  case failedVerdicts = "failed_verdicts"
  case entropy
  case klToBase = "kl_to_base"
  case policyLag = "policy_lag"
  case importanceMean = "importance_mean"
  case importanceMax = "importance_max"
  case importanceTruncatedRatio = "importance_truncated_ratio"
  case responseLengthMean = "response_length_mean"
  case responseLengthMax = "response_length_max"
  case sampledTokens = "sampled_tokens"
  case trainedTokens = "trained_tokens"
  case loss
  case clipRatio = "clip_ratio"
  case gradientNorm = "gradient_norm"
  case updates
  case skippedUpdates = "skipped_updates"
  case logprobGap = "logprob_gap"
  case trainSeconds = "train_seconds"
  /// Not known in most steps: only if a response was cut off before its thinking ended.
  case thinkingTruncationRatio = "thinking_truncation_ratio"

  // Added by the coordinator, which knows the steps before.
  case rolloutSeconds = "rollout_seconds"
  case distinctLabelRatio = "distinct_label_ratio"
  case overturnRatio = "overturn_ratio"
  case guardScore = "guard_score"

  // Where the step's time went (StepTimes.swift). The learner sends its parts; the coordinator adds the others.
  case stepSeconds = "step_seconds"
  case evaluationSeconds = "evaluation_seconds"
  case workersSeconds = "workers_seconds"
  case packageSeconds = "package_seconds"
  case fetchSeconds = "fetch_seconds"
  case installSeconds = "install_seconds"
  case samplingSeconds = "sampling_seconds"
  case lastSampleSeconds = "last_sample_seconds"
  case batchSeconds = "batch_seconds"
  case voteSeconds = "vote_seconds"
  case forwardSeconds = "forward_seconds"
  case backwardSeconds = "backward_seconds"
  case sumsSeconds = "sums_seconds"
  case optimizerSeconds = "optimizer_seconds"
  case packingSeconds = "packing_seconds"
  case checkpointSeconds = "checkpoint_seconds"
  case publishSeconds = "publish_seconds"

  /// Measured by the learner, only if given responses are learned.
  case perplexity
  // Measured by the learner, only of an objective with a critic.
  case criticLoss = "critic_loss"
  case criticClipRatio = "critic_clip_ratio"
  case criticGradientNorm = "critic_gradient_norm"
  case explainedVariance = "explained_variance"
  case returnMean = "return_mean"
  case criticAccuracy = "critic_accuracy"
  // Only if options are shown in several orders.
  case positionBias = "position_bias"

  /// What is measured of a step's samples and their votes. Not known if the step learned given responses.
  package static let ofSamples: [FigureName] = [
    .labelAccuracy, .rewardAccuracy, .majorityRatio, .groundTruthRatio, .majorityVotingReward, .passAtVotes,
    .trainedRewardAccuracy, .trainedGroundTruthRatio, .noAnswerRatio, .truncationRatio, .budgetExhausted, .tieRatio,
    .zeroAdvantageRatio, .unlabeledRatio, .abstentionRatio, .flipRatio, .rewardMean, .unneededSamples, .entropy,
    .policyLag, .sampledTokens, .clipRatio, .rolloutSeconds,
  ]

  /// Whether it is a whole number, written without a fraction.
  package var isCount: Bool {
    switch self {
    case .budgetExhausted, .unneededSamples, .invalidSamples, .failedVerdicts, .policyLag, .responseLengthMax,
      .sampledTokens, .trainedTokens, .updates, .skippedUpdates:
      true
    default: false
    }
  }

  /// Whether a line of metrics.jsonl leaves it out if it is not known; the others are then null.
  package var isLeftOut: Bool {
    switch self {
    case .thinkingTruncationRatio, .invalidSamples, .failedVerdicts, .perplexity, .criticLoss, .criticClipRatio,
      .criticGradientNorm, .explainedVariance, .returnMean, .criticAccuracy, .positionBias:
      true
    default: false
    }
  }

  /// Whether a line of metrics.jsonl can hold the value: it is finite, and a count is a whole number that a double
  /// holds exactly.
  package func allows(_ value: Double) -> Bool {
    isCount ? value >= 0 && value <= 0x1p53 && value == value.rounded() : value.isFinite
  }

  /// Looked up, never walked.
  private static let byName = Dictionary(uniqueKeysWithValues: allCases.map { ($0.rawValue, $0) })

  /// - Returns: nil for a name that is not a figure's.
  package static func named(_ name: String) -> FigureName? { byName[name] }
}

/// The known figures of a step.
package struct FigureValues: Sendable, Equatable {
  private var values: [FigureName: Double] = [:]

  package init() {}

  /// nil is unknown. A value that the figure cannot have (`FigureName.allows`) is unknown too.
  package subscript(name: FigureName) -> Double? {
    get { values[name] }
    set { values[name] = newValue.flatMap { name.allows($0) ? $0 : nil } }
  }
}
