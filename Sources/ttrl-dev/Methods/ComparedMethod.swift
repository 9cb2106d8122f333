// ComparedMethod: the methods that docs/methods.md compares, and the regimes in which they run. The two lists are the
// experiment; each pair of a method and a regime is run once per seed.
//
// Every method is the built-in example with other flags, so that only the method differs: the same base model, the same
// questions in the same order, the same numbers of samples.

import Pretraining

/// Settings that differ from plain voting.
struct ComparedMethod {
  let name: String
  /// What it does, in a few words.
  let idea: String
  let flags: [String]

  init(_ name: String, _ idea: String, _ flags: String = "") {
    self.name = name
    self.idea = idea
    self.flags = flags.split(separator: " ").map(String.init)
  }

  /// What the others are compared with.
  static let vote = ComparedMethod("vote", "TTRL: agreement with the majority is rewarded")

  static let all = [
    vote,
    ComparedMethod("soft-vote", "a reward is the share of the same answer (EMPO)", "--estimator soft-vote"),
    ComparedMethod("entropy", "certain tokens are rewarded (RENT)", "--estimator entropy"),
    ComparedMethod("confidence", "likely responses are rewarded", "--estimator confidence"),
    ComparedMethod("snr", "a vote's part in the margin is rewarded", "--estimator snr"),
    ComparedMethod("dr-grpo", "no division by a group's deviation", "--advantage dr-grpo --denominator fixed-length"),
    ComparedMethod("rloo", "the baseline is the mean of the others", "--advantage rloo"),
    ComparedMethod("reinforce++", "advantages are compared over the whole step", "--advantage reinforce++"),
    ComparedMethod("kl", "a penalty for the distance from the base model", "--kl-coefficient 0.001"),
    ComparedMethod("min-share", "a label needs half of the votes", "--min-share 0.5"),
    ComparedMethod("scrl", "weak majorities are not rewarded, rare answers are punished", "--estimator scrl"),
    ComparedMethod("ddrl", "frequent and rare answers only, with fixed advantages", "--estimator ddrl"),
    ComparedMethod("restrain", "every answer is a label, weighted by its share", "--estimator restrain"),
    ComparedMethod("dare", "votes are discounted by their uncertainty", "--estimator dare"),
    ComparedMethod("evol", "the majority is rewarded, and within it novelty", "--estimator evol"),
    ComparedMethod("ettrl", "certain responses count more", "--estimator ettrl"),
    ComparedMethod("scope", "each half of a group has a label of its own", "--estimator scope"),
    ComparedMethod("spine", "only tokens of high entropy are trained", "--estimator spine"),
    ComparedMethod("ttpo", "only uncertain agreement and certain errors teach", "--estimator ttpo"),
    ComparedMethod("self-certainty", "certain distributions are rewarded (Intuitor)", "--estimator self-certainty"),
    ComparedMethod("flips", "prompts whose labels change count less (TTRL-Guard)", "--prompt-weights flips"),
    ComparedMethod("maxrl", "a reward is divided by its group's mean (MaxRL)", "--advantage maxrl"),
    ComparedMethod("gspo", "one clipped ratio per response", "--objective gspo"),
    ComparedMethod("nft", "likelihood of an implicit negative policy", "--objective nft"),
    ComparedMethod("ppo", "advantages from a critic", "--objective ppo --critic-lr 1e-4"),
    ComparedMethod("prime", "rewards of tokens from a second model", "--objective prime"),
    ComparedMethod("bayes", "the vote ends at a chance of error of 5 %", "--early-stop bayes"),
  ]
}

/// A situation in which methods differ.
struct Regime {
  let name: String
  let title: String
  let description: String
  let flags: [String]

  /// Evaluations before and after only.
  private static let evaluations = ["--eval-every", "0", "--eval-samples", "64"]
  /// The file with the questions of the regime `weak`, below the runs' directory.
  static let longQuestions = "long-questions.jsonl"

  static let all = [
    Regime(
      name: "default", title: "Default", description: "The built-in example as it is.", flags: evaluations),
    Regime(
      name: "weak", title: "Weak prior",
      description: "Only questions of \(QuestionSets.longLengths.lowerBound) to "
        + "\(QuestionSets.longLengths.upperBound) terms. The base model is rarely right, and its majority is wrong "
        + "for most of them.",
      flags: ["--data", "\(PlannedRun.runs)/\(longQuestions)"] + evaluations),
    Regime(
      name: "long", title: "Long run",
      description: "120 steps, 15 visits of each question, at five times the learning rate, with 32 votes; plain "
        + "voting collapses.",
      flags: ["--steps", "120", "--lr", "5e-4", "--votes", "32", "--train-samples", "16"] + evaluations),
  ]

  func run(_ method: ComparedMethod, seed: Int) -> PlannedRun {
    PlannedRun(
      name: "\(name)-\(method.name)-\(seed)", seed: seed, flags: ["--seed", "\(seed)"] + flags + method.flags)
  }
}
