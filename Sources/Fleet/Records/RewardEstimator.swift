// RewardEstimator: the estimators by name, and one row for each in a table of what the settings must know about it.
//
// The formulas are in TTRL: one function for each, in Estimators.swift or in a file of its own in Methods. To add one
// is to write its file, its row here and the line that joins the two; the compiler asks for what is missing
// (docs/adding-a-method.md).

/// What a response is rewarded for.
package enum RewardEstimator: String, Sendable, CaseIterable {
  /// Agreement with the label: TTRL. `LabelSource` says which label.
  case vote
  /// The share of the group that gives the same answer: EMPO.
  case softVote = "soft-vote"
  /// Low entropy of the tokens' distributions: RENT.
  case entropy
  /// High mean log-probability of the response's own tokens.
  case confidence
  /// How much the response's vote adds to the margin between the two leading answers.
  case snr
  /// Rewards only strong majorities, and punishes rare and uncertain answers: SCRL.
  case scrl
  /// Every answer is a label, weighted by its share; groups without consensus get a penalty: RESTRAIN.
  case restrain
  /// The answer's share, discounted by its uncertainty: DARE.
  case dare
  /// Agreement with the label, and novelty within those that agree and within the others: EVOL-RL.
  case evol
  /// Agreement with the label, with more weight for certain responses: ETTRL.
  case ettrl
  /// Agreement with the label, trained on the most and the least frequent answers: DDRL.
  case ddrl
  /// Agreement with labels that parts of the group vote on, by confidence: SCOPE.
  case scope
  /// How far the tokens' distributions are from uniform: Intuitor.
  case selfCertainty = "self-certainty"
  /// Agreement with the label, learned at the tokens where responses fork: SPINE.
  case spine
  /// Agreement with the label that the question's other wording elects: Co-rewarding-I.
  case coRewarding = "co-rewarding"
  /// Agreement with the label, learned where it is not certain yet; punished only where a wrong response is certain:
  /// TTPO, without its distillation.
  case ttpo
}

/// The rewards that an estimator can give.
package enum RewardScale: Sendable {
  /// 0 and 1.
  case binary
  /// 0 or more.
  case nonNegative
  case any
}

/// What the settings must know about an estimator.
package struct EstimatorTraits: Sendable {
  package var rewards: RewardScale
  /// Whether it rewards agreement with the label that the vote elects: then `ties` and `min-share` matter.
  package var usesLabel = false
  /// Whether a group has several labels, each with its own advantages. Then advantages must not compare groups.
  package var hasCandidates = false
  /// Whether it looks at the prompt's earlier visits.
  package var usesHistory = false
  /// What the sampler must record for it.
  package var records: TokenRecords = []
  /// Settings without which it is not the method of that name, as for flags.
  package var sets: [(setting: String, value: String)] = []
}

extension RewardEstimator {
  package var traits: EstimatorTraits {
    switch self {
    case .vote: EstimatorTraits(rewards: .binary, usesLabel: true)
    case .softVote: EstimatorTraits(rewards: .nonNegative)
    case .entropy, .confidence, .snr: EstimatorTraits(rewards: .any)
    case .scrl: EstimatorTraits(rewards: .any)
    case .restrain: EstimatorTraits(rewards: .binary, hasCandidates: true, usesHistory: true)
    case .dare: EstimatorTraits(rewards: .nonNegative)
    case .evol: EstimatorTraits(rewards: .any, usesLabel: true)
    case .ettrl: EstimatorTraits(rewards: .binary, usesLabel: true)
    case .coRewarding, .ttpo: EstimatorTraits(rewards: .binary, usesLabel: true)
    case .ddrl:
      EstimatorTraits(
        rewards: .binary, usesLabel: true, sets: [("selection", "balanced"), ("advantage", "fixed")])
    case .scope: EstimatorTraits(rewards: .binary)
    case .selfCertainty: EstimatorTraits(rewards: .nonNegative, records: .selfCertainty)
    case .spine: EstimatorTraits(rewards: .binary, usesLabel: true, records: .entropies)
    }
  }
}

/// How much each prompt of a step counts.
package enum PromptWeights: String, Sendable, CaseIterable {
  /// All prompts count alike.
  case equal
  /// A prompt whose label changes counts less, and one that settles again after changes is sometimes left out.
  case flips
}
