// PolicyObjective: which loss the policy is trained with. The formulas are in docs/algorithm.md; the functions are in
// TTRL (Surrogate, NegativeAware, Critic, ProcessReward, GivenResponses).

package enum PolicyObjective: String, Sendable, CaseIterable {
  /// The clipped surrogate of each token's ratio: TTRL, GRPO.
  case clip
  /// The clipped surrogate of each sequence's ratio: GSPO, arXiv 2507.18071.
  case gspo
  /// Likelihood of the trajectories that agree with the label, and of an implicit policy of the others: NFT, arXiv
  /// 2505.18116.
  case nft
  /// The clipped surrogate, with advantages from a critic that is trained as well: PPO, arXiv 1707.06347.
  case ppo
  /// The clipped surrogate, with rewards of single tokens from a critic that learns them from the responses' rewards:
  /// PRIME, arXiv 2502.01456.
  case prime
  /// The log-likelihood of given responses: supervised fine-tuning.
  case sft
  /// The log-likelihood of recorded responses, weighted by the exponentials of their advantages: AWR, arXiv 1910.00177.
  case awr

  /// Whether the steps learn from responses that the run was given when it began. Nothing is sampled for them, and
  /// nothing votes.
  package var takesResponses: Bool { self == .sft || self == .awr }

  /// Whether a second model is trained: PPO's values, or PRIME's process rewards.
  package var hasCritic: Bool { self == .ppo || self == .prime }

  /// Whether a token's loss depends on the log-probabilities of its whole sequence.
  package var needsSequences: Bool { self == .gspo }
}

/// When PRIME's critic learns from a step's responses.
package enum PrimeUpdate: String, Sendable, CaseIterable {
  /// After it has rewarded them.
  case after
  /// Before it rewards them, as in the recipe of verl.
  case before
}

/// How much a prompt counts under NFT. q is the share of its trained trajectories that agree with the label.
package enum NFTPromptWeight: String, Sendable, CaseIterable {
  case one
  /// 1 − q: as long as the policy is the one that sampled, the gradient is that of Dr. GRPO.
  case drGRPO = "dr-grpo"
  /// √((1 − q) / q): the same for GRPO.
  case grpo
}
