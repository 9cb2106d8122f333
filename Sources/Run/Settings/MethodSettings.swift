// MethodSettings: what an estimator and the other choices of the method ask of the rest of the settings: what an
// estimator sets, what it ignores, and what cannot go together.

import Base
import Records

extension RewardEstimator {
  /// The settings without which it is not the method of its name.
  var choices: [Choice] { traits.sets.map { Choice($0.setting, $0.value, "estimator \(rawValue)") } }
}

/// What an estimator does to other settings, for `--dry-run`.
package struct MethodNotes: Sendable, Equatable {
  package var estimator: String
  package var sets: [Choice]
  /// Names of settings that have no effect.
  package var ignores: [String]

  package init(_ settings: RunSettings) {
    let method = settings.method
    estimator = method.estimator.rawValue
    sets = method.estimator.choices
    ignores = method.estimator.traits.usesLabel ? [] : ["labels", "ties", "min-share"]
    if method.estimator != .vote { ignores.append("early-stop") }
    if method.estimator != .softVote { ignores += ["vote-entropy-low", "vote-entropy-high"] }
  }

  package var text: String {
    let set = sets.isEmpty ? "nothing" : sets.map { "\($0.setting) \($0.value)" }.joined(separator: ", ")
    return "estimator \(estimator) sets \(set); it ignores \(ignores.joined(separator: ", "))"
  }
}

extension RunSettings {
  /// Makes what the given estimator consists of the defaults.
  ///
  /// - Parameter given: from the file and the flags; a later pair overrides an earlier one. Wrong values are ignored.
  package mutating func adoptEstimator(of given: [(name: String, value: String)]) {
    guard let last = given.last(where: { $0.name == "estimator" }) else { return }
    _ = SettingTable.named(last.name)?.place(in: Self.self)?.set(&self, last.value)
    adopt(method.estimator.choices)
  }

  /// Choices of the method that contradict each other.
  var methodProblems: [String] {
    estimatorProblems + advantageProblems + promptWeightProblems + errorProblems + brevityProblems + formProblems
  }

  /// What cannot go together with questions in several forms.
  private var formProblems: [String] {
    let (forms, estimator) = (method.forms, method.estimator)
    guard forms > 1 || method.choiceOrders > 1 else { return [] }
    let what = estimator == .coRewarding ? "estimator co-rewarding" : "choice-orders \(method.choiceOrders)"
    var found: [String] = []
    if estimator == .coRewarding, method.choiceOrders > 1 {
      found.append(
        "choice-orders and estimator co-rewarding each ask a question in forms of their own; leave one of them out")
    } else if !estimator.traits.usesLabel {
      found.append(
        "choice-orders lets the samples of all orders elect one label, and estimator \(estimator.rawValue) counts "
          + "those of one prompt; use an estimator that rewards agreement, as vote, or leave choice-orders out")
    }
    if method.promptsPerStep % forms != 0 {
      found.append(
        "\(what) makes \(forms) prompts of a question, and prompts-per-step is \(method.promptsPerStep); make it a "
          + "multiple of \(forms)")
    }
    if method.stopsEarly, estimator != .coRewarding {
      found.append("\(what) lets the samples of all orders vote, and early-stop looks at one prompt; turn it off")
    }
    if hasRewardCommand {
      found.append(
        "\(what) elects a label over several prompts, and a reward command is asked about one; leave one of them out")
    }
    if method.choiceOrders > 1, method.answers == .reference {
      found.append("choice-orders needs the letters of answers, and answer-rule reference has texts; use exact")
    }
    return found
  }

  private var brevityProblems: [String] {
    guard method.brevityPenalty > 0 else { return [] }
    func refused(_ choice: String) -> String {
      "brevity-penalty gives rewards other than 0 and 1, also negative ones, and \(choice) cannot take them; use "
        + "another one, or leave brevity-penalty out"
    }
    return ([.maxRL, .fixed].contains(method.advantage) ? [refused("advantage \(method.advantage.rawValue)")] : [])
      + ([.nft, .prime].contains(method.objective) ? [refused("objective \(method.objective.rawValue)")] : [])
  }

  private var errorProblems: [String] {
    guard method.earlyStop != .bayes, method.earlyStopError != Method().earlyStopError else { return [] }
    return [
      "early-stop-error belongs to early-stop bayes, and early-stop is \(method.earlyStop.rawValue); leave it out"
    ]
  }

  private var estimatorProblems: [String] {
    let estimator = method.estimator
    let others = estimator.choices.compactMap { choice -> String? in
      let given = SettingTable.named(choice.setting)?.value(in: self) ?? ""
      return given == choice.value ? nil : "\(choice.setting) \(given)"
    }
    var found: [String] = []
    if !others.isEmpty {
      let sets = estimator.choices.map { "\($0.setting) \($0.value)" }.joined(separator: " and ")
      found.append(
        "estimator \(estimator.rawValue) is the vote with \(sets); leave out \(others.joined(separator: " and "))")
    }
    if estimator.traits.records.contains(.selfCertainty), topP < 1 || topK > 0 {
      found.append(
        "estimator \(estimator.rawValue) averages over the whole vocabulary, and top-p below 1 or top-k above 0 leaves "
          + "tokens out; set top-p 1 and top-k 0")
    }
    if method.stopsEarly, method.selection == .balanced {
      found.append(
        "early-stop needs to know which samples are trained on before they are sampled, and selection balanced chooses "
          + "them by their answers; turn early-stop off")
    }
    return found
  }

  private var advantageProblems: [String] {
    let (estimator, advantage) = (method.estimator, method.advantage)
    var found: [String] = []
    func refuse(_ reason: String) {
      found.append("advantage \(advantage.rawValue) \(reason); use another advantage, or another estimator")
    }
    if advantage == .maxRL, estimator.traits.rewards == .any {
      refuse("divides by the mean reward, and rewards of estimator \(estimator.rawValue) can be negative")
    }
    if advantage == .fixed, estimator.traits.rewards != .binary {
      refuse("needs rewards of 0 and 1, and those of estimator \(estimator.rawValue) have other values")
    }
    if estimator.traits.hasCandidates, advantage.comparesPrompts {
      refuse("compares responses of different prompts, and with estimator \(estimator.rawValue) each has other labels")
    }
    if advantage == .maxRL || advantage == .fixed, method.hasKL(in: .reward) {
      found.append(
        "advantage \(advantage.rawValue) needs rewards that are not negative, and kl-in reward subtracts from them; "
          + "use kl-in loss")
    }
    return found
  }

  private var promptWeightProblems: [String] {
    guard method.promptWeights == .flips else { return [] }
    var found: [String] = []
    if method.labels != .vote {
      found.append(
        "prompt-weights flips counts changes of voted labels, and labels is \(method.labels.rawValue); leave it out")
    }
    if method.stopsEarly {
      found.append(
        "prompt-weights flips needs the share of all samples that gave the label, and early-stop leaves samples out; "
          + "turn one of them off")
    }
    return found
  }
}
