// Records: the lines of metrics.jsonl as values. Written by the learner (TTRL's Metrics and Evaluation say how each
// figure is computed), read by people and by this target.
//
// Every figure is optional, so that a file of an older or a newer version still shows what it has.

import Base

/// What a step, a policy or a prompt may be numbered: they travel as UInt32.
private let indexRange = 0...Int(UInt32.max)

/// Which questions an evaluation asked.
package enum QuestionSet: String, Sendable, Comparable, CaseIterable {
  /// Those that the run trains on.
  case train
  /// Those it never sees.
  case heldOut = "held_out"

  package static func < (left: Self, right: Self) -> Bool { left == .train && right == .heldOut }
}

/// One step, averaged over its prompts. Ratios are fractions from 0 to 1; those that need answers are nil without them.
package struct StepRecord: Sendable, Equatable {
  /// From 0. The step samples with policy `step` and makes policy `step + 1`.
  package var step: Int
  package var learningRate: Double?
  package var labelAccuracy: Double?
  package var rewardAccuracy: Double?
  package var majorityRatio: Double?
  /// Share of right responses: pass@1 on the responses sampled for the vote.
  package var groundTruthRatio: Double?
  package var passAtVotes: Double?
  package var noAnswerRatio: Double?
  package var truncationRatio: Double?
  package var tieRatio: Double?
  package var zeroAdvantageRatio: Double?
  package var unlabeledRatio: Double?
  /// Prompts with answers whose group was not rewarded; labels that changed since the prompt's last visit.
  package var abstentionRatio: Double?
  package var flipRatio: Double?
  package var rewardMean: Double?
  /// Samples that votes did not need.
  package var samplesSaved: Int?
  /// Nats per token.
  package var entropy: Double?
  /// Tokens.
  package var responseLengthMean: Double?
  package var responseLengthMax: Double?
  package var sampledTokens: Int?
  package var trainedTokens: Int?
  package var clipRatio: Double?
  package var gradientNorm: Double?
  package var skippedUpdates: Int?
  /// E2: the largest difference between a sampled and a recomputed log-probability; must be 0.
  package var logprobGap: Double?
  package var rolloutSeconds: Double?
  package var trainSeconds: Double?
  package var prompts: [PromptRecord]

  /// - Returns: nil if the line names no step.
  init?(_ line: JSON) {
    guard let members = line.members, let step = line["step"]?.int, indexRange.contains(step) else { return nil }
    self.step = step
    prompts = []
    for member in members { set(member.key, member.value) }
  }

  /// Seconds from the first sampled token to the new policy, as far as they were measured.
  package var seconds: Double? {
    guard rolloutSeconds != nil || trainSeconds != nil else { return nil }
    return (rolloutSeconds ?? 0) + (trainSeconds ?? 0)
  }

  /// Tokens sampled per second of sampling.
  package var tokensPerSecond: Double? {
    guard let sampledTokens, let rolloutSeconds, rolloutSeconds > 0 else { return nil }
    return Double(sampledTokens) / rolloutSeconds
  }

  private mutating func set(_ key: String, _ value: JSON) {
    switch key {
    case "learning_rate": learningRate = value.double
    case "label_accuracy": labelAccuracy = value.double
    case "reward_accuracy": rewardAccuracy = value.double
    case "majority_ratio": majorityRatio = value.double
    case "ground_truth_ratio": groundTruthRatio = value.double
    case "pass@N": passAtVotes = value.double
    case "no_answer_ratio": noAnswerRatio = value.double
    case "abstention_ratio": abstentionRatio = value.double
    case "flip_ratio": flipRatio = value.double
    case "reward_mean": rewardMean = value.double
    case "samples_saved": samplesSaved = value.int
    case "truncation_ratio": truncationRatio = value.double
    case "tie_ratio": tieRatio = value.double
    case "zero_advantage_ratio": zeroAdvantageRatio = value.double
    case "unlabeled_ratio": unlabeledRatio = value.double
    case "entropy": entropy = value.double
    case "response_length_mean": responseLengthMean = value.double
    case "response_length_max": responseLengthMax = value.double
    case "sampled_tokens": sampledTokens = value.int
    case "trained_tokens": trainedTokens = value.int
    case "clip_ratio": clipRatio = value.double
    case "gradient_norm": gradientNorm = value.double
    case "skipped_updates": skippedUpdates = value.int
    case "logprob_gap": logprobGap = value.double
    case "rollout_seconds": rolloutSeconds = value.double
    case "train_seconds": trainSeconds = value.double
    case "prompts": prompts = (value.elements ?? []).compactMap(PromptRecord.init)
    default: break
    }
  }
}

/// One prompt's group in one step, as counts of its responses.
package struct PromptRecord: Sendable, Equatable {
  package var prompt: Int
  /// The majority answer; nil if no response gave one.
  package var label: String?
  package var votes: Int
  package var samples: Int
  /// The votes were shared by several answers, of which the first won.
  package var isTie: Bool
  /// nil without an answer to compare with.
  package var isLabelRight: Bool?
  package var right: Int?

  /// - Returns: nil if the object names no prompt.
  init?(_ object: JSON) {
    guard let prompt = object["prompt"]?.int, indexRange.contains(prompt) else { return nil }
    self.prompt = prompt
    label = object["label"]?.string
    votes = object["votes"]?.int ?? 0
    samples = object["samples"]?.int ?? 0
    isTie = object["tie"]?.bool ?? false
    isLabelRight = object["label_right"]?.bool
    right = object["right"]?.int
  }

  /// Share of the responses that voted for the label, from 0 to 1; 0 for no responses.
  package var majorityRatio: Double { samples > 0 ? min(max(Double(votes) / Double(samples), 0), 1) : 0 }

  package var rightRatio: Double? { right.flatMap { samples > 0 ? Double($0) / Double(samples) : nil } }
}

/// How good a policy is on a set of questions.
package struct EvaluationRecord: Sendable, Equatable {
  /// Steps trained when it was made; 0 is the base model.
  package var policy: Int
  package var set: QuestionSet
  package var passAt1: Double?
  package var majorityRatio: Double?
  package var noAnswerRatio: Double?
  package var samples: Int?
  package var prompts: Int?
  /// Share of right responses of each prompt whose answer is known, by prompt.
  package var passByPrompt: [Double]
  /// By k.
  private var majorities: [Majority]

  private struct Majority: Sendable, Equatable {
    let k: Int
    /// nil where there are no answers.
    let value: Double?
  }

  /// What makes an evaluation another one, and their order.
  struct Place: Sendable, Comparable {
    let policy: Int
    let set: QuestionSet

    static func < (left: Self, right: Self) -> Bool { (left.policy, left.set) < (right.policy, right.set) }
  }

  /// - Returns: nil if the line names no policy or no known set.
  init?(_ line: JSON) {
    guard let members = line.members, let policy = line["policy"]?.int, indexRange.contains(policy),
      let set = line["set"]?.string.flatMap(QuestionSet.init(rawValue:))
    else { return nil }
    self.policy = policy
    self.set = set
    passAt1 = line["pass@1"]?.double
    majorityRatio = line["majority_ratio"]?.double
    noAnswerRatio = line["no_answer_ratio"]?.double
    samples = line["samples"]?.int
    prompts = line["prompts"]?.int
    passByPrompt = (line["pass_by_prompt"]?.elements ?? []).compactMap(\.double)
    majorities = members.compactMap { member in
      guard member.key.hasPrefix("maj@"), let k = Int(member.key.dropFirst(4)) else { return nil }
      return Majority(k: k, value: member.value.double)
    }
    majorities.sort { $0.k < $1.k }
  }

  /// The k of each maj@k that was recorded, ascending.
  package var majorityCounts: [Int] { majorities.map(\.k) }

  /// maj@k; nil if it was not recorded, or there are no answers.
  package func majority(at k: Int) -> Double? { majorities.first { $0.k == k }?.value }

  var place: Place { Place(policy: policy, set: set) }
}
