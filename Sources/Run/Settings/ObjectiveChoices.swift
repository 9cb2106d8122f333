// ObjectiveChoices: what an objective says about the other settings: which of them have another default under it, and
// which have no effect.
//
// Like a recipe, an objective only sets defaults: flags and the --config file override them. A setting without effect
// is refused if it is given, so that no user waits for an effect of it.

package import Records

extension PolicyObjective {
  /// Settings whose default differs from that of `clip`.
  package var choices: [Choice] {
    switch self {
    case .clip, .ppo, .prime: []
    case .gspo:
      [
        Choice("clip-low", "0.0003", "GSPO, section 5.1: a sequence's ratio moves less than a token's"),
        Choice("clip-high", "0.0004", "GSPO, section 5.1"),
        Choice("denominator", "sequence-mean", "GSPO, equation 5: a sequence counts once, whatever its length"),
      ]
    case .nft: [Choice("denominator", "fixed-length", "NFT's script: token sums over a constant")]
    case .sft:
      [
        Choice("lr", "2e-5", "SFTConfig of TRL"),
        Choice("train-samples", "1", "supervised training usually has one response per question"),
        Choice("guard", "off", "its signs are those of votes, and nothing votes"),
      ]
    case .awr: [Choice("guard", "off", "its signs are those of votes, and nothing votes")]
    }
  }

  /// Settings that have no effect.
  package var ignored: [String] {
    let (ofNFT, ofPPO) = (["nft-prompt-weight"], ["gamma", "lambda", "value-clip", "critic-lr"])
    let ofPRIME = ["prime-update", "prime-lr"]
    let ofAWR = ["awr-temperature", "awr-cap"]
    let others = ofNFT + ofPPO + ofPRIME
    return switch self {
    case .clip: others + ofAWR
    case .gspo: ["dual-clip"] + others + ofAWR
    case .nft: ["clip-low", "clip-high", "dual-clip", "advantage"] + ofPPO + ofPRIME + ofAWR
    case .ppo: ["advantage"] + ofNFT + ofPRIME + ofAWR
    case .prime: ["advantage"] + ofNFT + ofPPO + ofAWR
    case .sft: Self.ofSampling + ["temperature", "top-p", "top-k", "advantage"] + others + ofAWR
    case .awr: Self.ofSampling + ["min-share"] + others
    }
  }

  /// Settings of how a step samples, votes and compares a response with its sampler.
  private static let ofSampling = [
    "choice-orders", "votes", "selection", "labels", "ties", "estimator", "prompt-weights", "vote-entropy-low",
    "vote-entropy-high",
    "early-stop", "early-stop-error", "reward-command", "clip-low", "clip-high", "dual-clip", "staleness",
    "importance-cap", "zero-advantage-groups", "kl-estimator", "kl-in",
  ]
}

extension RunSettings {
  /// Makes the choices of the objective that is given the defaults. Those of the objective before it are taken back.
  ///
  /// - Parameter given: from the file and the flags.
  package mutating func adoptObjective(under given: [(name: String, value: String)]) {
    let former = method.objective
    for (name, value) in given where name == "objective" {
      _ = SettingTable.named(name)?.place(in: Self.self)?.set(&self, value)
    }
    guard method.objective != former else { return }
    adopt(defaults(of: former.choices.map(\.setting)))
    // Values of a preset or of another run would be refused as settings without effect.
    if method.objective.takesResponses {
      rewardCommand = ""
      adopt(defaults(of: method.objective.ignored))
    } else {
      responses = ""
    }
    adopt(method.objective.choices)
    // The adapter of an example; `defaults` sees to one that is given.
    if hasAdapter, method.objective.choices.contains(where: { $0.setting == "lr" }) {
      method.learningRate *= Self.adapterRateFactor
    }
  }

  /// What the settings are without any choice.
  private func defaults(of names: [String]) -> [Choice] {
    let plain = RunSettings()
    return names.compactMap { name in
      // An empty value is a setting that was not given.
      SettingTable.named(name)?.value(in: plain).isEmpty == false
        ? Choice(name, SettingTable.named(name)?.value(in: plain) ?? "", "default") : nil
    }
  }

  /// What the objective sets and ignores, for the user; nil for the default objective.
  package var objectiveNote: String? {
    let objective = method.objective
    guard objective != .clip else { return nil }
    let sets = objective.choices.map { "\($0.setting) \($0.value)" }.joined(separator: ", ")
    let ignores = objective.ignored.joined(separator: ", ")
    let choices = sets.isEmpty ? "" : "defaults of its own are \(sets); "
    return "objective \(objective.rawValue): \(choices)\(ignores) have no effect"
  }

  /// Settings that have no effect with the objective, or that it cannot work with.
  var objectiveProblems: [String] {
    var found: [String] = []
    let plain = RunSettings()
    let given = method.objective.ignored.filter { name in
      SettingTable.named(name).map { $0.value(in: self) != $0.value(in: plain) } ?? false
    }
    if !given.isEmpty {
      found.append(
        "\(given.joined(separator: ", ")): no effect with objective \(method.objective.rawValue); leave out")
    }
    if method.objective == .prime, topP < 1 || topK > 0 {
      found.append(
        "objective prime with top-p below 1 or top-k above 0: a token that policy 0 would not have sampled has no "
          + "finite process reward; set top-p 1 and top-k 0")
    }
    if method.objective.hasCritic || method.objective == .nft {
      let name = method.objective.rawValue
      if method.promptWeights != .equal {
        found.append(
          "objective \(name) has no weights of prompts; leave out prompt-weights \(method.promptWeights.rawValue)")
      }
      if method.objective == .ppo, [.restrain, .ettrl, .spine, .ttpo].contains(method.estimator) {
        found.append(
          "estimator \(method.estimator.rawValue) changes advantages, and objective ppo has those of its critic; use "
            + "another estimator, or objective clip or gspo")
      }
    }
    if [.nft, .prime].contains(method.objective), method.estimator != .vote {
      found.append(
        "objective \(method.objective.rawValue) needs rewards of 0 and 1, and estimator "
          + "\(method.estimator.rawValue) has others; use estimator vote, or another objective")
    }
    found += responseProblems
    if method.objective == .nft, method.hasKL(in: .reward) {
      found.append(
        "objective nft asks only whether a response agrees, so a KL penalty in the reward has no effect; use kl-in "
          + "loss, or kl-coefficient 0")
    }
    return found
  }

  /// What cannot go together with given responses, or without them.
  private var responseProblems: [String] {
    let name = method.objective.rawValue
    guard method.objective.takesResponses else {
      return responses.isEmpty
        ? [] : ["responses belongs to objectives sft and awr, and objective is \(name); leave it out"]
    }
    var found: [String] = []
    func refuse(_ isWrong: Bool, _ problem: String) { if isWrong { found.append("objective \(name) \(problem)") } }
    refuse(
      method.objective == .awr && responses.isEmpty,
      "learns responses that a run has recorded, with their rewards; give responses RUN")
    refuse(
      method.objective == .sft && responses.isEmpty && method.minimumShare > 0,
      "learns all responses of a file, so min-share has no effect; leave it out, or give responses RUN")
    refuse(
      method.klCoefficient > 0,
      "learns responses that the policy has not sampled, and a KL penalty needs the policy's own; set kl-coefficient 0")
    refuse(
      method.objective == .awr && (topP < 1 || topK > 0),
      "with top-p below 1 or top-k above 0: a recorded token can be one that the trained version would not sample, so "
        + "it has no likelihood; learn a run with top-p 1 and top-k 0")
    refuse(
      evaluation == .reuse,
      "samples nothing for its steps, so eval reuse has nothing to evaluate; use eval full or none")
    refuse(
      guardMode != .off || delivery == .best,
      "has no votes, by which the guard judges versions; set guard off and deliver last")
    refuse(plateau == .stop, "has no votes, by which a plateau is found; set plateau off")
    return found
  }
}
