// Records: the lines of metrics.jsonl as values. Written by the learner (TTRL's Metrics and Evaluation say how each
// figure is computed), read by people and by this target.
//
// Every figure is optional, so that a file of an older or a newer version still shows what it has.

package import Base
package import Records

/// The numbers that a step, a policy or a prompt can have: on the wire they are UInt32.
private let indexRange = 0...Int(UInt32.max)

/// Which questions an evaluation asked.
package enum QuestionSet: String, Sendable, Comparable, CaseIterable {
  /// The questions that the run trains on.
  case train
  /// Questions that the run never trains on.
  case heldOut = "held_out"
  /// Questions of other files, also never trained on.
  case transfer

  package static func < (left: Self, right: Self) -> Bool { left.place < right.place }

  private var place: Int {
    switch self {
    case .train: 0
    case .heldOut: 1
    case .transfer: 2
    }
  }
}

/// One step, averaged over its prompts. Ratios are fractions from 0 to 1; those that need answers are nil without them.
package struct StepRecord: Sendable, Equatable {
  /// From 0. The step samples with policy `step` and makes policy `step + 1`.
  package var step: Int
  /// docs/metrics.md says what each figure means.
  package var figures: FigureValues
  /// The guard's alarms that are on.
  package var alarms: [AlarmRecord]
  package var prompts: [PromptRecord]

  /// - Returns: nil if the line names no step.
  init?(_ line: JSON) {
    guard let step = line["step"]?.int, indexRange.contains(step) else { return nil }
    self.step = step
    figures = FigureValues(line)
    alarms = (line["alarms"]?.elements ?? []).compactMap(AlarmRecord.init)
    prompts = (line["prompts"]?.elements ?? []).compactMap(PromptRecord.init)
  }

  package subscript(figure: FigureName) -> Double? { figures[figure] }

  /// Seconds of the whole step. Earlier versions of the program measured only sampling and training.
  package var seconds: Double? {
    if let seconds = self[.stepSeconds] { return seconds }
    guard rolloutSeconds != nil || trainSeconds != nil else { return nil }
    return (rolloutSeconds ?? 0) + (trainSeconds ?? 0)
  }

  /// Whether the step learned given responses, so that it has no votes.
  var isGiven: Bool { majorityRatio == nil && self[.loss] != nil }

  /// Tokens sampled per second of sampling.
  package var tokensPerSecond: Double? {
    guard let sampledTokens, let rolloutSeconds, rolloutSeconds > 0 else { return nil }
    return Double(sampledTokens) / rolloutSeconds
  }
}

extension StepRecord {
  package var labelAccuracy: Double? { self[.labelAccuracy] }
  package var rewardAccuracy: Double? { self[.rewardAccuracy] }
  package var majorityRatio: Double? { self[.majorityRatio] }
  package var groundTruthRatio: Double? { self[.groundTruthRatio] }
  package var noAnswerRatio: Double? { self[.noAnswerRatio] }
  package var truncationRatio: Double? { self[.truncationRatio] }
  package var unlabeledRatio: Double? { self[.unlabeledRatio] }
  package var entropy: Double? { self[.entropy] }
  package var logprobGap: Double? { self[.logprobGap] }
  package var distinctLabelRatio: Double? { self[.distinctLabelRatio] }
  package var rolloutSeconds: Double? { self[.rolloutSeconds] }
  package var trainSeconds: Double? { self[.trainSeconds] }
  package var unneededSamples: Int? { self[.unneededSamples].map { Int($0) } }
  package var sampledTokens: Int? { self[.sampledTokens].map { Int($0) } }
  package var trainedTokens: Int? { self[.trainedTokens].map { Int($0) } }
  package var skippedUpdates: Int? { self[.skippedUpdates].map { Int($0) } }
}

/// One prompt's group in one step, as counts of its responses.
package struct PromptRecord: Sendable, Equatable {
  package var prompt: Int
  /// The majority answer; nil if no response gave one.
  package var label: String?
  package var votes: Int
  package var samples: Int
  /// Several answers had the most votes, and the first of them won.
  package var isTie: Bool
  /// nil without an answer to compare with.
  package var isLabelRight: Bool?
  package var right: Int?

  /// - Returns: nil if the object names no prompt.
  init?(_ object: JSON) {
    guard let prompt = object["prompt"]?.int, indexRange.contains(prompt) else { return nil }
    self.prompt = prompt
    label = object["label"]?.string
    votes = object["label_votes"]?.int ?? 0
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
  /// Each prompt's majority over all samples, by prompt.
  package var labels: [EvaluatedLabel]
  /// pass@k, pass^k, maj@k and expected_maj@k, as the line has them, with their 95 % intervals.
  package var figures: [Figure]
  /// The same for each named set, where the questions are of several, and for each domain, where they name one.
  package var parts: [Part]
  package var domains: [Part]

  package struct Part: Sendable, Equatable {
    package let name: String
    package let record: EvaluationRecord
  }

  package struct Figure: Sendable, Equatable {
    package let name: String
    /// nil where there are no answers.
    package let value: Double?
    package let interval: Interval?

    /// The number after the @ or ^; nil for a name without one.
    var count: Int? { name.split(whereSeparator: { $0 == "@" || $0 == "^" }).last.flatMap { Int($0) } }
    var isMajority: Bool { name.hasPrefix("maj@") }
  }

  /// What identifies an evaluation, and their order.
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
    func parts(_ name: String) -> [Part] {
      (line[name]?.members ?? []).compactMap { part in
        let place = [JSON.Member("policy", .int(policy)), JSON.Member("set", .string(set.rawValue))]
        guard let figures = part.value.members, part.value["sets"] == nil, part.value["domains"] == nil else {
          return nil
        }
        return EvaluationRecord(.object(place + figures)).map { Part(name: part.key, record: $0) }
      }
    }
    self.parts = parts("sets")
    domains = parts("domains")
    labels = (line["by_prompt"]?.elements ?? []).compactMap(EvaluatedLabel.init)
    figures = members.compactMap { member in
      guard ["pass@", "pass^", "maj@", "expected_maj@"].contains(where: { member.key.hasPrefix($0) }) else {
        return nil
      }
      let ends = line["ci95"]?[member.key]?.elements?.compactMap(\.double) ?? []
      let figure = Figure(
        name: member.key, value: member.value.double,
        interval: ends.count == 2 ? Interval(low: ends[0], high: ends[1]) : nil)
      return figure.count == nil ? nil : figure
    }
  }

  /// When it was made: "before training", "after 24 steps". The policy that it measured has the number of these steps.
  package var moment: String { policy == 0 ? "before training" : "after \(counted(policy, "step"))" }

  /// "2 of 5 have an answer", if some have one and some do not: accuracies are over those that have one.
  package var answered: String? {
    guard let prompts, !passByPrompt.isEmpty, passByPrompt.count < prompts else { return nil }
    return "\(passByPrompt.count) of \(prompts) have an answer"
  }

  /// The k of each maj@k that was recorded, ascending.
  package var majorityCounts: [Int] { figures.filter(\.isMajority).compactMap(\.count).sorted() }

  /// maj@k; nil if it was not recorded, or there are no answers.
  package func majority(at k: Int) -> Double? { self["maj@\(k)"]?.value }

  subscript(name: String) -> Figure? { figures.first { $0.name == name } }

  var place: Place { Place(policy: policy, set: set) }
}

/// The majority on one prompt in an evaluation.
package struct EvaluatedLabel: Sendable, Equatable {
  package var prompt: Int
  /// nil if no response gave an answer.
  package var label: String?
  /// nil without an answer to compare with.
  package var isRight: Bool?
  /// How many of the samples are right; nil without an answer.
  package var right: Int?

  /// - Returns: nil if the object names no prompt.
  init?(_ object: JSON) {
    guard let prompt = object["prompt"]?.int, indexRange.contains(prompt) else { return nil }
    self.prompt = prompt
    label = object["label"]?.string
    isRight = object["label_right"]?.bool
    right = object["right"]?.int
  }
}

/// A sign of collapse, or of another problem, that the guard saw in a step.
package struct AlarmRecord: Sendable, Equatable {
  package let name: String
  /// What was seen, and the limit that it passed.
  package let value: Double?
  package let limit: Double?

  /// - Returns: nil if the object names no alarm.
  init?(_ object: JSON) {
    guard let name = object["name"]?.string else { return nil }
    self.name = name
    value = object["value"]?.double
    limit = object["limit"]?.double
  }
}

/// The version that a finished run delivers.
package struct DeliveredRecord: Sendable, Equatable {
  package let policy: Int
  /// "last", "best", or "guard": the guard ended the run.
  package let rule: String
  /// The step that looked like a collapse, and the alarm's name; nil unless the guard ended the run.
  package let collapse: Collapse?
  /// The step after which agreement no longer rose; nil unless the run ended because of that.
  package let plateau: Int?
  /// Relative to the run directory.
  package let directory: String
  package let line: JSON

  package struct Collapse: Sendable, Equatable {
    package let step: Int
    package let alarm: String
  }

  /// - Returns: nil if the line names no policy.
  init?(_ line: JSON) {
    guard let policy = line["policy"]?.int, indexRange.contains(policy) else { return nil }
    self.policy = policy
    self.line = line
    rule = line["rule"]?.string ?? ""
    directory = line["directory"]?.string ?? ""
    plateau = line["plateau"]?["step"]?.int
    if let step = line["collapse"]?["step"]?.int, let alarm = line["collapse"]?["alarm"]?.string {
      collapse = Collapse(step: step, alarm: alarm)
    } else {
      collapse = nil
    }
  }
}
