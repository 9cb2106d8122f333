// Method: the settings of the method, as values. The names and defaults that users see are in Settings.
//
// Two processes with equal values compute equal results; no other setting of a run reaches the arithmetic.

package import Base

/// Where a group's label comes from.
package enum LabelSource: String, Sendable, CaseIterable {
  /// The majority of the group's own answers: TTRL.
  case vote
  /// The question's answer: the supervised upper bound. This is the only way in which an answer reaches a reward.
  case truth
  /// Rewards are fair coin flips: the control.
  case random
}

/// What happens if two or more answers lead a vote.
package enum TieRule: String, Sendable, CaseIterable {
  /// The answer that the lowest sample index gave first is the label.
  case first
  /// There is no label.
  case abstain
}

/// When a vote is decided.
package enum EarlyStop: String, Sendable, CaseIterable {
  /// When all samples have voted.
  case off
  /// When the others cannot change the label.
  case on
  /// When it is likely enough that the leading answer is the most frequent one, whatever the others say: OptPO.
  case bayes
}

/// Which of a group's trajectories are trained on.
package enum Selection: String, Sendable, CaseIterable {
  /// Uniformly without replacement, fixed by the seed before anything is sampled.
  case random
  /// The first by sample index.
  case first
  /// The most frequent answers and the least frequent ones, half of each if the label has so many votes: DDRL.
  case balanced
}

/// What happens to the prompts that are left when a pass over the set does not divide into whole batches.
package enum LastBatch: String, Sendable, CaseIterable {
  /// They are trained on, together with prompts that the pass has already had.
  case fill
  /// They are left out of this pass, as in the reference. Each pass leaves out other prompts.
  case drop
}

package struct Method: Sendable, Equatable {
  package var seed: UInt64 = 0
  package var steps: UInt32 = 1
  /// B, prompts per step.
  package var promptsPerStep = 8
  package var lastBatch = LastBatch.fill
  /// K: in how many orders of its options each training question is asked.
  package var choiceOrders = 1
  /// N, responses sampled and voting per prompt.
  package var votes = 64
  /// m ≤ N, responses trained on per prompt. Of given responses: at most.
  package var trainSamples = 32
  package var selection = Selection.random
  package var labels = LabelSource.vote
  package var ties = TieRule.first
  /// The votes that a label needs, as a share of N; with fewer votes the group has no label.
  package var minimumShare = 0.0
  package var estimator = RewardEstimator.vote
  package var promptWeights = PromptWeights.equal
  /// X: a response of T tokens loses X / T of its reward. 0 is off.
  package var brevityPenalty: Float = 0
  /// Soft vote: a group whose entropy of answers (nats) is outside this range is left out.
  package var voteEntropyLow = 0.0
  package var voteEntropyHigh = 100.0
  package var earlyStop = EarlyStop.off
  /// The largest chance with which `bayes` can be wrong.
  package var earlyStopError = 0.05
  /// Whether a reward command judges every response of a step (`Verdict`).
  package var isJudged = false
  /// The rules by which answers are found and compared.
  package var answers = AnswerRule.exact
  package var sampling = Sampling(temperature: 1, maxNewTokens: 1, stopTokens: [])
  /// K: step s is always sampled by version max(0, s − K). 0 is strictly on-policy.
  package var staleness: UInt32 = 0
  /// C: if an older version sampled, a token's weight is min(π/μ, C).
  package var importanceCap: Float = 2

  package var objective = PolicyObjective.clip
  package var nftPromptWeight = NFTPromptWeight.drGRPO
  /// PPO's discounts of later rewards, and of later errors of the critic.
  package var gamma = 1.0
  package var lambda = 1.0
  /// How far a value can move from the one that the step began with before its loss stops following it; 0 is off.
  package var valueClip: Float = 0.5
  package var criticLearningRate = 9e-6
  package var primeUpdate = PrimeUpdate.after
  package var primeLearningRate = 1e-6
  /// AWR's τ: a token's weight is exp(A / τ), at most the cap.
  package var awrTemperature: Float = 1
  package var awrCap: Float = 20

  /// Sequences per optimizer step.
  package var miniBatch = 32
  /// ε of the probability ratio's lower and upper bound.
  package var clipLow: Float = 0.2
  package var clipHigh: Float = 0.2
  /// Bound on the loss of a negative advantage, as a multiple of it; 0 is off.
  package var dualClip: Float = 3
  package var advantage = AdvantageEstimator.grpo
  package var zeroAdvantageGroups = ZeroAdvantageGroups.skip
  package var denominator = Denominator.tokenMean
  /// Sequences per piece of the `micro-batch` denominator; 2 in the reference.
  package var denominatorSequences = 2
  /// β of the KL penalty that holds the policy near policy 0. 0 is off; then policy 0 is not kept.
  package var klCoefficient: Float = 0
  package var klEstimator = KLEstimator.k3
  package var klPlace = KLPlace.loss
  /// How much a nat of a token's entropy lowers the loss; 0 is off.
  package var entropyCoefficient: Float = 0

  package var learningRate = 5e-7
  package var rateSchedule = RateSchedule.cosine
  package var warmupSteps: UInt32 = 0
  /// The learning rate at the end of the cosine, as a share of its peak.
  package var learningRateFloor = 0.0
  package var beta1: Float = 0.9
  package var beta2: Float = 0.999
  package var epsilon: Float = 1e-8
  package var weightDecay: Float = 0.01
  /// Largest norm of a mini-batch's gradient; 0 is off.
  package var gradientClip = 1.0

  package init() {}

  /// Once the vote is decided, the other samples are not sampled, or do not count.
  package var stopsEarly: Bool { earlyStop != .off }

  /// Prompts per training question: one for each order of its options, or the question and its rephrasing. They follow
  /// each other in the set, and are always in the same step.
  package var forms: Int { estimator == .coRewarding ? 2 : choiceOrders }

  /// Whether policy 0 scores trajectories.
  package var needsReference: Bool { klCoefficient > 0 || objective == .prime }

  package func hasKL(in place: KLPlace) -> Bool { klCoefficient > 0 && klPlace == place }
}
