// RunProblems: values of a run's settings that contradict each other, with what to change.

import Base
import Records

#if canImport(Glibc)
  import Glibc
#endif

extension RunSettings {
  package func problems(taking names: [String]) -> [String] {
    sampleProblems(names) + updateProblems + objectiveProblems + labelProblems + bandProblems + methodProblems
      + distributionProblems
      + templateProblems + filterProblems
      + stopProblems + rewardProblems + newAdapterProblems(names)
  }

  private func sampleProblems(_ names: [String]) -> [String] {
    var found: [String] = []
    if method.trainSamples > method.votes, !method.objective.takesResponses {
      found.append("train-samples (\(method.trainSamples)) is above votes (\(method.votes)); lower it or sample more")
    }
    if method.labels == .vote, method.votes < 2 {
      found.append("votes is \(method.votes); a majority needs at least 2")
    }
    if temperature == 0, method.votes > 1, names.contains("votes") {
      found.append("temperature 0 makes all votes equal; set it above 0")
    }
    if method.steps == 0, names.contains("steps"), evaluation != .full {
      found.append("steps is 0 and eval is \(evaluation.rawValue), so there is nothing to do; eval full evaluates")
    }
    let sets = transferFiles.map(Self.setName(ofFile:)).sorted()
    for (name, next) in zip(sets, sets.dropFirst()) where name == next {
      found.append("transfer has two files that are called \(name); the file's name is the name of the set")
    }
    if optimizer == .carry, from.isEmpty {
      found.append(
        "optimizer carry takes the optimizer of another run, and there is none: give --from RUN, or leave it out")
    }
    if operation.gradient == .streamed, reduction == .fast {
      found.append(
        "gradient streamed needs reduction exact: float32 sums of a streamed gradient would have other bits. Use "
          + "gradient auto or whole, or reduction exact")
    }
    return found
  }

  /// Settings with which all advantages are 0 in every step, so that a run would end with the weights that it began
  /// with.
  private var updateProblems: [String] {
    // A group with advantages of 0 can still have these losses.
    let hasOtherLoss =
      method.zeroAdvantageGroups != .skip && (method.entropyCoefficient > 0 || method.hasKL(in: .loss))
    guard method.steps > 0, method.votes > 1, !hasOtherLoss, !method.objective.takesResponses else { return [] }
    var found: [String] = []
    let hasCritic = method.objective.hasCritic
    let takesAdvantage = !hasCritic && method.objective != .nft
    let isWhitened = hasCritic || takesAdvantage && method.advantage == .reinforcePlusPlus
    let isFixed = takesAdvantage && method.advantage == .fixed
    let comparing = method.objective == .nft ? "objective nft" : "advantage \(method.advantage.rawValue)"
    if method.trainSamples == 1, !isWhitened, !isFixed {
      found.append(
        "train-samples is 1, and \(comparing) compares the trained responses of a prompt "
          + "with each other, so there would be no update; raise it to at least 2")
    }
    if method.trainSamples == 1, isWhitened, !hasCritic, method.promptsPerStep == 1, !method.hasKL(in: .reward) {
      found.append(
        "train-samples and prompts-per-step are 1, and advantage \(method.advantage.rawValue) compares the trained "
          + "responses of a step with each other, so there would be no update; raise one of them")
    }
    let votes = Double(method.votes)
    if method.estimator.traits.usesLabel, method.estimator.traits.rewards == .binary, method.labels == .vote,
      !isWhitened, !isFixed, (votes - 1) / votes < method.minimumShare
    {
      found.append(
        "min-share (\(method.minimumShare)) makes a label only of \(method.votes) equal answers of \(method.votes), "
          + "which all get the same reward, so there would be no update; lower it")
    }
    if method.estimator == .softVote, method.voteEntropyLow >= log(votes) {
      found.append(
        "vote-entropy-low (\(method.voteEntropyLow)) is not below ln(votes), \(Self.rounded(log(votes))), the entropy "
          + "of \(method.votes) different answers, so there would be no update; lower it")
    }
    return found
  }

  private static func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

  /// Settings of the vote that have no effect with this label and estimator.
  private var labelProblems: [String] {
    var found: [String] = []
    let isHardVote = method.labels == .vote && method.estimator.traits.usesLabel
    let instead = "labels is \(method.labels.rawValue) and estimator is \(method.estimator.rawValue)"
    if method.estimator != .vote, method.labels != .vote {
      let why = method.estimator.traits.usesLabel ? "takes its label from the vote" : "needs no label"
      found.append("estimator \(method.estimator.rawValue) \(why); leave out labels \(method.labels.rawValue)")
    }
    if !isHardVote {
      let label = "only matters to a label that is voted on, and \(instead); leave it out"
      if method.ties != .first { found.append("ties \(method.ties.rawValue) \(label)") }
      if method.minimumShare > 0 { found.append("min-share \(label)") }
    }
    if method.stopsEarly, method.labels != .vote || method.estimator != .vote {
      found.append(
        "early-stop stops when a majority is certain, but \(instead), which needs all samples; turn it off")
    }
    if method.stopsEarly, method.trainSamples >= method.votes {
      found.append(
        "early-stop has nothing to save: all \(method.votes) votes are trained on; lower train-samples or turn it off")
    }
    return found
  }

  private var bandProblems: [String] {
    var found: [String] = []
    let band = (low: method.voteEntropyLow, high: method.voteEntropyHigh)
    if method.estimator != .softVote, band != (Method().voteEntropyLow, Method().voteEntropyHigh) {
      found.append("vote-entropy-low and vote-entropy-high belong to estimator soft-vote; leave them out")
    }
    if band.low >= band.high {
      found.append("vote-entropy-low (\(band.low)) is not below vote-entropy-high (\(band.high)); no group would train")
    }
    return found
  }

  /// A distribution that top-p or top-k cuts off gives some tokens no probability.
  private var distributionProblems: [String] {
    guard topP < 1 || topK > 0 else { return [] }
    var found: [String] = []
    if method.klCoefficient > 0 {
      found.append(
        "kl-coefficient is above 0 with top-p below 1 or top-k above 0: a token that policy 0 would not have sampled "
          + "has no finite KL; set top-p 1 and top-k 0, or kl-coefficient 0")
    }
    if method.staleness > 0 {
      found.append(
        "staleness is above 0 with top-p below 1 or top-k above 0: a token that an older version sampled can be one "
          + "that the trained version would not sample, so it has no ratio; set top-p 1 and top-k 0, or staleness 0")
    }
    return found
  }

  private var filterProblems: [String] {
    if skipBelow > 0, promptFilter == .all {
      return ["skip-below is \(skipBelow) without prompt-filter, whose questions it counts; give one, or leave it out"]
    }
    return switch (promptFilter == .all, promptHistory.isEmpty) {
    case (true, false): ["prompt-history is given without prompt-filter, which says what is taken from it"]
    case (false, true): ["prompt-filter is \(promptFilter), and needs prompt-history, a finished run to look at"]
    default: []
    }
  }

  private var templateProblems: [String] {
    var found: [String] = []
    let isOwn = template.contains("{question}")
    if !isOwn, !["auto", "plain", "chatml", "qwen2.5-math", "llama3"].contains(template) {
      found.append(
        "template is \"\(template.excerpt)\", expected auto, plain, chatml, qwen2.5-math, llama3, a text with "
          + "{question} where the question goes, or the path of a file (with a /) that has such a text")
    }
    if template != "auto" {
      for (name, value) in [("template-arguments", templateArguments), ("template-date", templateDate)]
      where !value.isEmpty {
        found.append("\(name) is for the model's own template; leave it out, or set template auto")
      }
    }
    if !templateArguments.isEmpty, (try? JSON.parse(Array(templateArguments.utf8)))?.members == nil {
      found.append(
        "template-arguments is \(templateArguments.excerpt), expected a JSON object, as {\"enable_thinking\": false}")
    }
    if !templateDate.isEmpty, CalendarTime(templateDate) == nil {
      found.append("template-date is \(templateDate.excerpt), expected a date as 2026-07-04, or 2026-07-04T13:05:00")
    }
    if !system.isEmpty, system != Self.noText, isOwn || template == "plain" {
      found.append("system is given, but this template has no place for a system line; write it into a template")
    }
    return found
  }

  private var stopProblems: [String] {
    let texts = stopStrings
    let bytes = 1...Limits.stopStringBytes
    guard texts.count > Limits.stopStrings || !texts.allSatisfy({ bytes.contains($0.utf8.count) }) else { return [] }
    return [
      "stop is \(stop.excerpt), expected a text or a JSON list of at most \(Limits.stopStrings) texts, each of 1 to "
        + "\(Limits.stopStringBytes) bytes"
    ]
  }

  /// A new adapter where nothing is trained.
  private func newAdapterProblems(_ names: [String]) -> [String] {
    adapter == Self.newAdapter && names.contains("adapter") && !names.contains("adapter-rank")
      ? [Self.newAdapterProblem] : []
  }

  /// Settings of a new adapter without one. A run that continues has those that it began with.
  package var adapterProblems: [String] {
    guard adapter != Self.newAdapter else { return [] }
    let plain = RunSettings()
    let given = [
      ("adapter-rank", adapterRank != plain.adapterRank), ("adapter-alpha", adapterAlpha != plain.adapterAlpha),
      ("adapter-targets", adapterTargets != plain.adapterTargets),
    ].filter(\.1).map(\.0)
    guard !given.isEmpty else { return [] }
    let why = hasAdapter ? "adapter is \(adapter.excerpt), which has them already" : "adapter is none"
    return ["\(given.joined(separator: ", ")) belong to a new adapter (--adapter lora), and \(why); leave them out"]
  }

  static var newAdapterProblem: String {
    "adapter is \(newAdapter), a new adapter, which computes what the base computes; give the directory of an adapter"
  }
}
