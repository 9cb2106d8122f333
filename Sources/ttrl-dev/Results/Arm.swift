// Arm: one way of running the built-in example, repeated for each seed. The list of arms is the experiment.
//
// `scripts/results` makes the runs of this list. The document prints each arm's flags from the same list, so it always
// reports the flags that were used.

/// One row of the experiment: settings that differ from the defaults.
struct Arm {
  /// Names the run directories, `NAME-SEED`, and the rows of the tables.
  let name: String
  /// Flags in addition to `--run` and `--seed`.
  let flags: [String]

  init(_ name: String, _ flags: String = "") {
    self.name = name
    self.flags = flags.split(separator: " ").map(String.init)
  }

  func run(seed: Int) -> PlannedRun {
    PlannedRun(name: "\(name)-\(seed)", seed: seed, flags: ["--seed", "\(seed)"] + flags)
  }

  static let seeds = [0, 1, 2]

  /// The arms for the paper's claims: whole evaluations before, during and after.
  static let claims = [
    Arm("vote"), Arm("truth", "--labels truth"), Arm("random", "--labels random"),
    Arm("unsolvable", "--data builtin:unsolvable"),
  ]

  /// A LoRA adapter in place of all weights, evaluated like `vote`.
  static let adapter = Arm("lora", "--adapter lora --lr 5e-4")

  /// Different numbers of responses that vote, with a fixed number of trained responses (C9).
  static let votes = [8, 16, 32, 64].map {
    Arm("votes-\($0)", "--votes \($0) --train-samples 8 \(short)")
  }

  /// Different objectives with the same rewards (C8). The first is the default.
  static let objectives = [
    Arm("grpo", short),
    Arm("dr-grpo", "--advantage dr-grpo --denominator fixed-length \(short)"),
    Arm("rloo", "--advantage rloo \(short)"),
    Arm("reinforce++", "--advantage reinforce++ \(short)"),
    Arm("reinforce++-baseline", "--advantage reinforce++-baseline \(short)"),
    Arm("clip-higher", "--clip-high 0.28 \(short)"),
    Arm("kl", "--kl-coefficient 0.001 \(short)"),
  ]

  /// Different rewards, and different numbers of samples. The first is the default: the hard vote, fully sampled.
  static let estimators = [
    objectives[0], Arm("soft-vote", "--estimator soft-vote \(short)"),
    Arm("early-stop", "--early-stop on \(short)"),
  ]

  /// A long run at five times the learning rate, which collapses (X2): without the guard, and stopped by the guard.
  static let collapse = [Arm("guard-off", "--guard off \(long)"), Arm("guard-stop", "--guard stop \(long)")]

  static let all = claims + [adapter] + votes + objectives + estimators.dropFirst() + collapse

  private static let long = "--steps 120 --lr 5e-4 --votes 32 --train-samples 16 \(short)"

  /// Evaluations before and after only, with the 16 samples that pass@1 and maj@16 need.
  private static let short = "--eval-every 0 --eval-samples 16"
}
