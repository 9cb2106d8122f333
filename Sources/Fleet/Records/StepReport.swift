// StepReport: what a training step came to.
//
// The learner makes it, with the figures that it measures. The coordinator adds the figures that it knows, feeds the
// guard with it, and writes it into the ledger and metrics.jsonl. On the way it is this value; it is JSON only in files
// (StepReport+JSON.swift), and its bytes in a message are those of docs/protocol.md.

/// Why nothing is rewarded in a group whose samples gave answers. The raw value is its name in metrics.jsonl.
package enum Abstention: String, Sendable, CaseIterable {
  /// Two or more answers lead, under `TieRule.abstain`.
  case tie
  /// The leading answer has too small a share of the votes.
  case share
  /// Soft vote: the answers agree too much, or scatter too much.
  case entropy
  /// Prompt weights by flips: the label changed before, and the answers agree again.
  case skipped
}

package struct StepReport: Sendable, Equatable {
  /// Counted from 0. The step makes version `step + 1`.
  package var step: UInt32
  package var figures: FigureValues
  /// SHA-256 of the checkpoint's model.safetensors, and of masters and both moments. Only of the last planned step:
  /// the other steps are published before their checkpoint is complete.
  package var weightsDigest: [UInt8]?
  package var stateDigest: [UInt8]?
  /// In the order of the batch.
  package var prompts: [PromptReport]
  /// Learner ranks, in their order, then workers; of each at most `processesMax`.
  package var processes: [ProcessTimes] = []
  /// By place in the prompt, A first: the samples that chose the option there. Empty unless the run shows options in
  /// several orders.
  package var positions: [UInt32] = []

  /// A line of metrics.jsonl has the times of this many learner ranks, and of this many workers, because it stays
  /// readable, and a fleet can have ten thousand workers.
  package static let processesMax = 16
  /// Options of a question: A to J.
  package static let positionsMax = 10
  /// Prompts of one step: the most that the setting `prompts-per-step` allows.
  package static let promptsMax = 65_536
  /// Bytes of a SHA-256.
  package static let digestBytes = 32

  package init(
    step: UInt32, figures: FigureValues = FigureValues(), weightsDigest: [UInt8]? = nil, stateDigest: [UInt8]? = nil,
    prompts: [PromptReport] = []
  ) {
    self.step = step
    self.figures = figures
    self.weightsDigest = weightsDigest
    self.stateDigest = stateDigest
    self.prompts = prompts
  }
}

/// One prompt's group in a step, as counts of its samples.
package struct PromptReport: Sendable, Equatable {
  package var prompt: UInt32
  /// The label's key; nil if the group has no label.
  package var label: String?
  /// Samples that gave the label.
  package var labelVotes: UInt32 = 0
  /// Samples that count, and those that the vote did not need.
  package var samples: UInt32 = 0
  package var unneeded: UInt32 = 0
  package var withoutAnswer: UInt32 = 0
  package var truncated: UInt32 = 0
  /// Of those, the ones that were cut off before their thinking ended.
  package var truncatedThinking: UInt32 = 0
  /// Different answers.
  package var answerCount: UInt32 = 0
  package var rewarded: UInt32 = 0
  package var isTie = false
  package var hasZeroAdvantage = false
  package var abstention: Abstention?
  /// Whether the label is another one than at the prompt's last visit; nil if either is missing.
  package var isFlip: Bool?
  /// nil where the question has no answer.
  package var truth: Truth?

  package struct Truth: Sendable, Equatable {
    package var isLabelRight: Bool
    /// Samples that are right; samples whose reward is what the truth would have given.
    package var right: UInt32
    package var rightRewards: UInt32

    package init(isLabelRight: Bool, right: UInt32, rightRewards: UInt32) {
      self.isLabelRight = isLabelRight
      self.right = right
      self.rightRewards = rightRewards
    }
  }

  package init(prompt: UInt32) { self.prompt = prompt }
}
