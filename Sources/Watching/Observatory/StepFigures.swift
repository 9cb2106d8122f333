// StepFigures: the figures of a step that make curves, once.
//
// The page's charts, /metrics, TensorBoard's tags and the columns that a watcher keeps all walk this list. Names are
// those of metrics.jsonl (docs/metrics.md says what each means), so that a figure is called the same in every tool.

/// One number of every step's record.
package struct StepFigure: Sendable {
  /// As in metrics.jsonl.
  package let name: String
  /// For people who have not read the documentation.
  package let help: String
  /// As Prometheus wants it: letters, digits and underscores.
  package let metric: String

  init(_ name: String, _ help: String, metric: String? = nil) {
    self.name = name
    self.help = help
    self.metric = metric ?? name
  }
}

package enum StepFigures {
  /// In the order in which they are shown.
  package static let all: [StepFigure] = [
    StepFigure("ground_truth_ratio", "share of right samples: pass@1 on the sampled responses"),
    StepFigure("pass@N", "share of prompts with at least one right sample", metric: "pass_at_n"),
    StepFigure("label_accuracy", "share of prompts whose label is right"),
    StepFigure("reward_accuracy", "share of samples whose reward is what the truth would have given"),
    StepFigure("post_reward_accuracy", "reward accuracy over the trained samples"),
    StepFigure("post_ground_truth_ratio", "share of right samples among the trained"),
    StepFigure("majority_ratio", "share of samples that gave the label"),
    StepFigure("majority_voting_reward", "share of samples that are rewarded"),
    StepFigure("reward_mean", "mean reward of the samples"),
    StepFigure("no_answer_ratio", "share of samples without an answer"),
    StepFigure("truncation_ratio", "share of samples cut off by max-new-tokens"),
    StepFigure("tie_ratio", "share of prompts with a tied vote"),
    StepFigure("distinct_label_ratio", "different labels per prompt over the guard's window"),
    StepFigure("flip_rate", "share of revisited prompts whose label is another than before"),
    StepFigure("flip_ratio", "share of prompts labelled before whose label is another than before"),
    StepFigure("overturn_rate", "share of revisited prompts whose settled label was replaced"),
    StepFigure("guard_score", "what the step's policy is worth without answers"),
    StepFigure("zero_advantage_ratio", "share of prompts that teach nothing: all their advantages are 0"),
    StepFigure("unlabeled_ratio", "share of prompts where nobody gave an answer"),
    StepFigure("abstention_ratio", "share of prompts with answers of which none is rewarded"),
    StepFigure("samples_saved", "samples that votes did not need"),
    StepFigure("entropy", "nats per sampled token"),
    StepFigure("kl_to_base", "nats per token: estimate of KL(this policy || policy 0)"),
    StepFigure("policy_lag", "versions between the one that sampled and the one that is trained"),
    StepFigure("importance_mean", "mean of the trained tokens' ratios: trained policy to the one that sampled"),
    StepFigure("importance_max", "largest of these ratios"),
    StepFigure("importance_truncated_ratio", "share of trained tokens whose ratio was cut to importance-cap"),
    StepFigure("response_length_mean", "tokens of a response, mean"),
    StepFigure("response_length_max", "tokens of the longest response"),
    StepFigure("sampled_tokens", "tokens sampled in the step"),
    StepFigure("trained_tokens", "tokens trained on in the step"),
    StepFigure("loss", "surrogate, mean per trained token"),
    StepFigure("clip_ratio", "share of trained tokens where a clip was active"),
    StepFigure("gradient_norm", "of the mean gradient before clipping"),
    StepFigure("learning_rate", "of all updates of the step"),
    StepFigure("updates", "optimizer steps in the step"),
    StepFigure("skipped_updates", "updates whose gradient was not finite"),
    StepFigure("logprob_gap", "largest difference between a sampled and a recomputed log-probability; must be 0"),
    StepFigure("budget_exhausted", "answers compared by spelling because reading them took too long"),
    StepFigure("rollout_seconds", "seconds of sampling"),
    StepFigure("train_seconds", "seconds of training"),
  ]

  /// The place of a figure in `all`. Looked up by name, never iterated.
  static let places: [String: Int] = Dictionary(uniqueKeysWithValues: all.enumerated().map { ($1.name, $0) })
}
