// Recipe: whose choices apply where the method can be done in more than one way.
//
// A recipe is a set of defaults: flags and the --config file override it. `ttrl` is this program's own defaults, the
// recommended rules, so its set is empty. `ttrl-reference` has the choices of the reference implementation's release of
// May 2025, defects included: for comparison only. Sizes (votes, learning rate, steps) are not part of a recipe; they
// depend on the benchmark and are in Preset.swift.

package enum Recipe: String, Sendable, CaseIterable {
  case ttrl
  case reference = "ttrl-reference"

  /// Its values that differ from the defaults, and those that it fixes.
  ///
  /// - Parameter steps: of the run; the reference warms up over 3 % of them.
  package func choices(steps: UInt32) -> [Choice] {
    switch self {
    case .ttrl: []
    case .reference: Self.release(steps: steps)
    }
  }

  /// The release of May 2025 (docs/algorithm.md, "The three generations"), in the order of the settings.
  private static func release(steps: UInt32) -> [Choice] {
    [
      Choice("selection", "first", "release: the first m rows, after its rows were reordered by length"),
      Choice("last-batch", "drop", "release: drop_last, a pass leaves out the other prompts"),
      Choice(
        "answer-rule", "reference", "release: the last number if nothing is boxed, votes by string, a lenient grader"),
      Choice("clip-low", "0.2", "release"),
      Choice("clip-high", "0.2", "release"),
      Choice("dual-clip", "3", "release"),
      Choice("advantage", "grpo", "release"),
      Choice("zero-advantage-groups", "train", "release: they count in mini-batches and in denominators"),
      Choice("denominator", "micro-batch", "release: mean of the token means of micro-batches"),
      Choice("denominator-sequences", "2", "release: 2 sequences per micro-batch"),
      Choice(
        "kl-coefficient", "0.001", "release: to the initial weights; kl_coef 0 in the scripts belongs to another term"),
      Choice("kl-estimator", "k3", "release: low_var_kl"),
      Choice("kl-in", "loss", "release"),
      Choice("entropy-coefficient", "0", "release"),
      Choice("lr-schedule", "cosine-from-zero", "release: the first step learns nothing"),
      Choice("warmup-steps", "\(steps * 3 / 100)", "release: 3 % of the steps"),
      Choice("lr-floor", "0", "release: cosine to 0"),
      Choice("beta1", "0.9", "release: AdamW's defaults"),
      Choice("beta2", "0.999", "release: AdamW's defaults"),
      Choice("epsilon", "1e-8", "release: AdamW's defaults"),
      Choice("weight-decay", "0.01", "release"),
      Choice("gradient-clip", "1", "release"),
      Choice("eval-samples", "16", "release: 4 if responses can be longer than 8k tokens"),
      Choice("eval-temperature", "0.6", "release"),
      Choice("eval-top-p", "0.95", "release"),
    ]
  }
}
