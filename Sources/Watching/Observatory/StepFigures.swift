// StepFigures: the figures of a step that make curves, once.
//
// The page's charts, /metrics, TensorBoard's tags and the columns that a watcher keeps all walk this list, which has
// every figure (FigureName) once, in the order in which people see them. So a figure has the same name in every tool.
// docs/metrics.md says what each figure means.

package import Records

/// One number of every step's record.
package struct StepFigure: Sendable {
  package let figure: FigureName
  /// For people who have not read the documentation.
  package let help: String
  /// As Prometheus wants it: letters, digits and underscores.
  package let metric: String

  /// As in metrics.jsonl.
  package var name: String { figure.rawValue }

  init(_ figure: FigureName, _ help: String, metric: String? = nil) {
    self.figure = figure
    self.help = help
    self.metric = metric ?? figure.rawValue
  }
}

package enum StepFigures {
  /// In the order in which they are shown.
  package static let all: [StepFigure] = [
    StepFigure(.groundTruthRatio, "share of right samples: pass@1 on the sampled responses"),
    StepFigure(.passAtVotes, "share of prompts with at least one right sample", metric: "pass_at_n"),
    StepFigure(.labelAccuracy, "share of prompts whose label is right"),
    StepFigure(.rewardAccuracy, "share of samples whose reward is what the truth would have given"),
    StepFigure(.trainedRewardAccuracy, "reward accuracy over the trained samples"),
    StepFigure(.trainedGroundTruthRatio, "share of right samples among the trained"),
    StepFigure(.majorityRatio, "share of samples that gave the label"),
    StepFigure(.majorityVotingReward, "share of samples that are rewarded"),
    StepFigure(.rewardMean, "mean reward of the samples"),
    StepFigure(.noAnswerRatio, "share of samples without an answer"),
    StepFigure(.truncationRatio, "share of samples cut off by max-new-tokens"),
    StepFigure(.thinkingTruncationRatio, "share of samples cut off before their thinking ended"),
    StepFigure(.tieRatio, "share of prompts with a tied vote"),
    StepFigure(.positionBias, "choice-orders: share of votes by which places of options differ from equal shares"),
    StepFigure(.distinctLabelRatio, "different labels per prompt over the guard's window"),
    StepFigure(.flipRatio, "share of prompts labelled before whose label is another than before"),
    StepFigure(.overturnRatio, "share of revisited prompts whose settled label was replaced"),
    StepFigure(.guardScore, "what the step's policy is worth without answers"),
    StepFigure(.zeroAdvantageRatio, "share of prompts that teach nothing: all their advantages are 0"),
    StepFigure(.unlabeledRatio, "share of prompts where no sample gave an answer"),
    StepFigure(.abstentionRatio, "share of prompts with answers of which none is rewarded"),
    StepFigure(.unneededSamples, "samples that votes did not need"),
    StepFigure(.invalidSamples, "samples that the reward command called not valid"),
    StepFigure(.failedVerdicts, "samples about which the reward command gave no verdict"),
    StepFigure(.entropy, "nats per sampled token"),
    StepFigure(.klToBase, "nats per token: estimate of KL(this policy || policy 0)"),
    StepFigure(.policyLag, "versions between the one that sampled and the one that is trained"),
    StepFigure(.importanceMean, "mean of the trained tokens' ratios: trained policy to the one that sampled"),
    StepFigure(.importanceMax, "largest of these ratios"),
    StepFigure(.importanceTruncatedRatio, "share of trained tokens whose ratio was cut to importance-cap"),
    StepFigure(.responseLengthMean, "tokens of a response, mean"),
    StepFigure(.responseLengthMax, "tokens of the longest response"),
    StepFigure(.sampledTokens, "tokens sampled in the step"),
    StepFigure(.trainedTokens, "tokens trained on in the step"),
    StepFigure(.loss, "of the objective, mean per trained token"),
    StepFigure(.perplexity, "objective sft: exp of the loss"),
    StepFigure(.clipRatio, "share of trained tokens where a clip was active"),
    StepFigure(.gradientNorm, "of the mean gradient before clipping"),
    StepFigure(.criticLoss, "of the critic: mean per token; objective prime: per response"),
    StepFigure(.criticClipRatio, "objective ppo: share of trained tokens where the critic's clip was active"),
    StepFigure(.criticGradientNorm, "of the critic's mean gradient before clipping"),
    StepFigure(.explainedVariance, "objective ppo: share of the variance of returns that the critic's values explain"),
    StepFigure(.returnMean, "objective ppo: mean return per trained token"),
    StepFigure(.criticAccuracy, "objective prime: share of trained responses whose reward the critic guessed"),
    StepFigure(.learningRate, "of all updates of the step"),
    StepFigure(.updates, "optimizer steps in the step"),
    StepFigure(.skippedUpdates, "updates whose gradient was not finite"),
    StepFigure(.logprobGap, "largest difference between a sampled and a recomputed log-probability; must be 0"),
    StepFigure(.budgetExhausted, "answers compared by spelling because reading them took too long"),
    StepFigure(.rolloutSeconds, "seconds of sampling"),
    StepFigure(.trainSeconds, "seconds of training"),
    StepFigure(.stepSeconds, "seconds from the step's version to the next; the sum of the following parts"),
    StepFigure(.evaluationSeconds, "seconds in which workers finished an evaluation before the step's first lease"),
    StepFigure(.workersSeconds, "seconds without a worker for the step's first lease"),
    StepFigure(.packageSeconds, "seconds in which the version was packed for workers on other machines"),
    StepFigure(.fetchSeconds, "seconds in which the first worker fetched the version"),
    StepFigure(.installSeconds, "seconds in which the first worker installed the version"),
    StepFigure(.samplingSeconds, "seconds in which all workers of the step sampled"),
    StepFigure(.lastSampleSeconds, "seconds from the first worker without slots to the step's last sample"),
    StepFigure(.batchSeconds, "seconds in which the batch waited for the learner and was sent to it"),
    StepFigure(.voteSeconds, "seconds of reading answers, votes, rewards and advantages"),
    StepFigure(.forwardSeconds, "seconds of forward passes"),
    StepFigure(.backwardSeconds, "seconds of backward passes"),
    StepFigure(.sumsSeconds, "seconds of adding gradients, and of exchanges with the other ranks"),
    StepFigure(.optimizerSeconds, "seconds of the optimizer"),
    StepFigure(.packingSeconds, "seconds of packing the new weights for products"),
    StepFigure(.checkpointSeconds, "seconds in which training waited for a checkpoint"),
    StepFigure(.publishSeconds, "seconds in which the new version was written, sent, checked and stored"),
  ]

  /// The place of a figure in `all`. Looked up by name, never iterated.
  static let places: [FigureName: Int] = Dictionary(uniqueKeysWithValues: all.enumerated().map { ($1.figure, $0) })
}
