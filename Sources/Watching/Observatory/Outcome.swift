// Outcome: what a run did to its model: the base model compared with the latest policy.
//
// "Before" is the evaluation of policy 0, "after" that of the policy that was delivered, or else of the newest. Both
// are compared with the base model's own majority vote (maj@64), because that is what voting alone gives, without
// training: a pass@1 above it is the result that TTRL is about. If no answers are known, only agreement can be
// compared, and the texts say so.

package import Base
package import Records

/// The two ends of a run on one set of questions.
package struct Comparison: Sendable, Equatable {
  /// The base model's.
  package let before: EvaluationRecord?
  /// The delivered policy's, or else the newest trained policy's.
  package let after: EvaluationRecord?

  /// - Parameters:
  ///   - evaluations: of one set, by policy.
  ///   - delivered: the version that the run delivered; nil if it has not, then the newest counts.
  init(_ evaluations: [EvaluationRecord], delivered: Int?) {
    before = evaluations.first { $0.policy == 0 }
    after =
      evaluations.first { $0.policy == delivered && $0.policy > 0 } ?? evaluations.last { $0.policy > 0 }
  }

  package var isEmpty: Bool { before == nil && after == nil }

  /// Whether any answer was known, at either end.
  var knowsAnswers: Bool { before?.passAt1 != nil || after?.passAt1 != nil }

  /// The k of every maj@k at either end, ascending.
  var majorityCounts: [Int] {
    let counts = (before?.majorityCounts ?? []) + (after?.majorityCounts ?? [])
    return counts.sorted().reduce(into: []) { if $0.last != $1 { $0.append($1) } }
  }

  /// The name of pass@k with the largest k above 1 that both ends have.
  var widestPass: String? {
    let names = (before?.figures ?? after?.figures ?? []).filter { $0.name.hasPrefix("pass@") && ($0.count ?? 0) > 1 }
    return names.max { ($0.count ?? 0) < ($1.count ?? 0) }?.name
  }

  /// The base model's maj@64, or maj@k for the largest k there is; where no k was evaluated, because there were fewer
  /// than 16 samples, the vote of all samples. Nil without answers, and for single samples: one sample is not a vote.
  var baseMajority: (k: Int, value: Double)? {
    guard let before else { return nil }
    let counts = before.majorityCounts
    let order = (counts.contains(64) ? [64] : []) + counts.reversed()
    for k in order {
      if let value = before.majority(at: k) { return (k, value) }
    }
    let verdicts = before.labels.compactMap(\.isRight)
    guard let samples = before.samples, samples > 1, !verdicts.isEmpty else { return nil }
    return (samples, Double(verdicts.count { $0 }) / Double(verdicts.count))
  }

  /// Each question's change of pass@1, from base to latest; empty if the two ends do not list the same questions.
  package var passChanges: [Double] {
    guard let before, let after, before.passByPrompt.count == after.passByPrompt.count else { return [] }
    return zip(before.passByPrompt, after.passByPrompt).map { $1 - $0 }
  }

  /// The 95 % interval of the mean change of pass@1, over questions (bootstrap); nil for fewer than 8 questions, which
  /// are too few for a bootstrap.
  package var passChangeInterval: Interval? { passChanges.count < 8 ? nil : Bootstrap.interval(ofMean: passChanges) }

  /// What became of each question's majority; nil if the two ends do not list the same questions with answers.
  package var labelChanges: LabelChanges? {
    guard let before = before?.labels, let after = after?.labels, before.map(\.prompt) == after.map(\.prompt) else {
      return nil
    }
    var changes = LabelChanges()
    for (first, last) in zip(before, after) {
      guard let wasRight = first.isRight, let isRight = last.isRight else { continue }
      switch (wasRight, isRight) {
      case (false, true): changes.learned.append(first.prompt)
      case (true, false): changes.lost.append(first.prompt)
      case (true, true): changes.kept += 1
      case (false, false): changes.missed += 1
      }
    }
    return changes.count == 0 ? nil : changes
  }
}

/// Questions by what training did to their majority answer. If a model only becomes more certain, all are kept or
/// missed; if it learns, some wrong majorities turn right.
package struct LabelChanges: Sendable, Equatable {
  /// Wrong before and right after; right before and wrong after. Indices of prompts.
  package var learned: [Int] = []
  package var lost: [Int] = []
  /// Right, or wrong, at both ends.
  package var kept = 0
  package var missed = 0

  package init() {}

  var count: Int { learned.count + lost.count + kept + missed }
}

/// A line of the before/after table. Values are fractions.
struct OutcomeRow: Sendable, Equatable {
  let name: String
  let before: Double?
  let after: Double?

  var change: Double? {
    guard let before, let after else { return nil }
    return after - before
  }
}

/// Both ends of a run, on both sets of questions.
package struct Outcome: Sendable, Equatable {
  package let train: Comparison
  package let heldOut: Comparison
  /// All transfer questions together, and each named set of them.
  package let transfer: Comparison
  package let transferSets: [Part]
  /// Each domain of the training questions, and of the held-out questions, where they name one.
  package let domains: [Part]
  package let heldOutDomains: [Part]

  package typealias Part = (name: String, ends: Comparison)

  package init(_ history: RunHistory) {
    let delivered = history.delivered?.policy
    /// Both ends of each part.
    func parts(_ evaluations: [EvaluationRecord], _ list: (EvaluationRecord) -> [EvaluationRecord.Part]) -> [Part] {
      (evaluations.first.map { list($0).map(\.name) } ?? []).map { name in
        let records = evaluations.compactMap { evaluation in list(evaluation).first { $0.name == name }?.record }
        return (name, Comparison(records, delivered: delivered))
      }
    }
    let (trained, heldOuts) = (history.evaluations(on: .train), history.evaluations(on: .heldOut))
    let transfers = history.evaluations(on: .transfer)
    train = Comparison(trained, delivered: delivered)
    heldOut = Comparison(heldOuts, delivered: delivered)
    transfer = Comparison(transfers, delivered: delivered)
    transferSets = parts(transfers, \.parts)
    domains = parts(trained, \.domains)
    heldOutDomains = parts(heldOuts, \.domains)
  }

  package static func == (left: Self, right: Self) -> Bool {
    left.train == right.train && left.heldOut == right.heldOut && left.transfer == right.transfer
      && left.transferSets.elementsEqual(right.transferSets) { $0 == $1 }
      && left.domains.elementsEqual(right.domains) { $0 == $1 }
      && left.heldOutDomains.elementsEqual(right.heldOutDomains) { $0 == $1 }
  }

  /// A set of questions that was evaluated, or one domain of it.
  struct EvaluatedSet {
    let title: String
    let ends: Comparison
    /// Whether its questions are those that are trained on.
    var isTrained = false
    /// Whether it is one domain of a set.
    var isPart = false
  }

  var sets: [EvaluatedSet] {
    func all(_ title: String, _ parts: [Part], isTrained: Bool = false, arePart: Bool = true) -> [EvaluatedSet] {
      parts.map { part in
        EvaluatedSet(
          title: part.name.isEmpty ? title : "\(title): \(part.name)", ends: part.ends, isTrained: isTrained,
          isPart: arePart && !part.name.isEmpty)
      }
    }
    return
      (all("training questions", [("", train)] + domains, isTrained: true)
      + all("held-out questions", [("", heldOut)] + heldOutDomains)
      + all("transfer questions", transferSets, arePart: false))
      .filter { !$0.ends.isEmpty }
  }

  /// Of the training questions: the base model's majority vote.
  package var baseMajority: (k: Int, value: Double)? { train.baseMajority }

  /// The lines of one set's table: accuracies where answers are known, then what needs none. Lines with no figure at
  /// either end are left out.
  func rows(_ ends: Comparison) -> [OutcomeRow] {
    var rows = [OutcomeRow(name: "pass@1", before: ends.before?.passAt1, after: ends.after?.passAt1)]
    // pass@k shows what the model can do in k attempts, pass@1 what it does in one.
    if let widest = ends.widestPass {
      rows.append(
        OutcomeRow(name: widest, before: ends.before?[widest]?.value, after: ends.after?[widest]?.value))
    }
    rows += ends.majorityCounts.map { k in
      OutcomeRow(name: "maj@\(k)", before: ends.before?.majority(at: k), after: ends.after?.majority(at: k))
    }
    rows.append(
      OutcomeRow(name: "majority ratio", before: ends.before?.majorityRatio, after: ends.after?.majorityRatio))
    rows.append(OutcomeRow(name: "no answer", before: ends.before?.noAnswerRatio, after: ends.after?.noAnswerRatio))
    return rows.filter { $0.before != nil || $0.after != nil }
  }
}

// MARK: - In words

/// "rose from 31.2% to 58.4%", compared as printed.
func movement(from before: Double, to after: Double) -> String {
  let (first, last) = (Figures.percent(before), Figures.percent(after))
  if first == last { return "stayed at \(last)" }
  return "\(after > before ? "rose" : "fell") from \(first) to \(last)"
}

extension Outcome {
  /// The result in one sentence, from the best evidence there is.
  package func sentence(_ history: RunHistory, labels: Labels = .vote) -> String {
    if history.hasNothingToVoteOn { return "Nothing could be voted on: no response gave an answer." }
    let work = "\(counted(history.steps.count, "step"))\(subject(history))\(labels.phrase)"
    guard !history.steps.isEmpty || train.after != nil else { return sentenceBeforeTraining }
    if let before = train.before?.passAt1, let after = train.after?.passAt1 {
      let over = train.before?.answered.map { " (\($0))" } ?? ""
      return
        "pass@1\(over) \(movement(from: before, to: after)) in \(work)\(comparedWithMajority(after))\(heldOutClause)."
    }
    if !train.knowsAnswers, let before = train.before?.majorityRatio, let after = train.after?.majorityRatio {
      return "The majority ratio \(movement(from: before, to: after)) in \(work); "
        + "there are no answers to compare with."
    }
    return sentenceWhileTraining(history, work)
  }

  private var sentenceBeforeTraining: String {
    if let pass = train.before?.passAt1 {
      return "The base model's pass@1 is \(Figures.percent(pass)); no step is done yet."
    }
    if let ratio = train.before?.majorityRatio {
      return "The base model's majority ratio is \(Figures.percent(ratio)); no step is done yet."
    }
    return "No step is done yet."
  }

  /// Without both evaluations: the first and the last step's own responses.
  private func sentenceWhileTraining(_ history: RunHistory, _ work: String) -> String {
    guard let first = history.steps.first, let last = history.steps.last else { return sentenceBeforeTraining }
    if let from = first.groundTruthRatio, let to = last.groundTruthRatio {
      return "The share of right responses \(movement(from: from, to: to)), first step to last, in \(work)."
    }
    if let from = first.majorityRatio, let to = last.majorityRatio {
      return "The majority ratio \(movement(from: from, to: to)), first step to last, in \(work); "
        + "there are no answers to compare with."
    }
    if let from = first[.perplexity], let to = last[.perplexity] {
      return "The perplexity of the given responses went from \(Figures.short(from)) to \(Figures.short(to)), first "
        + "step to last, in \(work)."
    }
    return "\(counted(history.steps.count, "step")) are recorded."
  }

  private func subject(_ history: RunHistory) -> String {
    let count = train.before?.prompts ?? train.after?.prompts ?? history.promptCount
    return count > 0 ? " on \(counted(count, "question"))" : ""
  }

  private func comparedWithMajority(_ pass: Double) -> String {
    guard let base = baseMajority else { return "" }
    let (mine, theirs) = (Figures.percent(pass), Figures.percent(base.value))
    let place = mine == theirs ? "equal to" : pass > base.value ? "above" : "below"
    return ", \(place) the base model's majority vote (maj@\(base.k), \(theirs))"
  }

  private var heldOutClause: String {
    guard let before = heldOut.before?.passAt1, let after = heldOut.after?.passAt1 else { return "" }
    return "; held out, it \(movement(from: before, to: after))"
  }
}

/// Where the labels of a run came from: the setting `labels`.
package enum Labels: String, Sendable {
  case vote, truth, random
  /// There are none: responses were given.
  case given

  /// From a run's settings; TTRL's own way where they do not say.
  init(settings: [ShownSetting]) {
    func value(_ name: String) -> String { settings.first { $0.name == name }?.value ?? "" }
    self.init(PolicyObjective(rawValue: value("objective")) ?? .clip, LabelSource(rawValue: value("labels")) ?? .vote)
  }

  /// - Parameters:
  ///   - objective: of the run.
  ///   - source: its setting `labels`.
  package init(_ objective: PolicyObjective, _ source: LabelSource) {
    self =
      switch source {
      case _ where objective.takesResponses: .given
      case .vote: .vote
      case .truth: .truth
      case .random: .random
      }
  }

  var phrase: String {
    switch self {
    case .vote: " without their answers"
    case .truth: " with their true answers"
    case .random: " with random labels"
    case .given: " with given responses"
    }
  }
}
