// Method: the settings of the method, as numbers. Names and defaults as users see them are in Settings.
//
// Two processes that hold equal values compute equal results; nothing else of a run's settings reaches the arithmetic.

/// Where a group's label comes from.
package enum LabelSource: String, Sendable, CaseIterable {
  /// The majority of the group's own answers: TTRL.
  case vote
  /// The question's answer: the supervised upper bound. The only path by which answers reach a reward.
  case truth
  /// Rewards are fair coin flips: the control.
  case random
}

/// Which of a group's trajectories are trained on.
package enum Selection: String, Sendable, CaseIterable {
  /// Uniformly without replacement, fixed by the seed before anything is sampled.
  case random
  /// The first by sample index.
  case first
}

package struct Method: Sendable, Equatable {
  package var seed: UInt64 = 0
  package var steps: UInt32 = 1
  /// B, prompts per step.
  package var promptsPerStep = 8
  /// N, responses sampled and voting per prompt.
  package var votes = 64
  /// m ≤ N, responses trained on per prompt.
  package var trainSamples = 32
  package var selection = Selection.random
  package var labels = LabelSource.vote
  package var sampling = Sampling(temperature: 1, maxNewTokens: 1, stopTokens: [])

  /// Sequences per optimizer step.
  package var miniBatch = 32
  /// ε of the probability ratio's lower and upper bound.
  package var clipLow: Float = 0.2
  package var clipHigh: Float = 0.2
  /// Bound on the loss of a negative advantage, as a multiple of it; 0 is off.
  package var dualClip: Float = 3
  package var advantage = AdvantageEstimator.grpo
  package var silentGroups = SilentGroups.skip
  package var denominator = Denominator.tokenMean
  /// Sequences per piece of the `micro-batch` denominator; the reference has 2.
  package var denominatorSequences = 2

  package var learningRate = 5e-7
  package var rateSchedule = RateSchedule.cosine
  package var warmupSteps: UInt32 = 0
  /// What is left of the learning rate at the end of the cosine, as a share of its peak.
  package var learningRateFloor = 0.0
  package var beta1: Float = 0.9
  package var beta2: Float = 0.999
  package var epsilon: Float = 1e-8
  package var weightDecay: Float = 0.01
  /// Largest norm of a mini-batch's gradient; 0 is off.
  package var gradientClip = 1.0

  package init() {}
}
