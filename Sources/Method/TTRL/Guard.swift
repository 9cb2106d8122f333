// Guard: is the run still learning, or is it collapsing? It judges by what the steps sampled, without true answers.
//
// A policy can earn the majority reward without reasoning. A policy that gives every question the same answer always
// agrees with itself (SRT, arXiv 2505.21444), and so does one that has learned a wrong procedure. So agreement alone
// says nothing. The guard looks at agreement together with the number of different labels, at settled labels that
// change nevertheless, and at signs of other trouble. Every sign is a mean over a window of steps. By default a window
// is one pass over the prompts, so that all windows cover the same questions. Most limits are relative to the run's own
// first window, because questions and models differ.
//
// It is a state machine without a clock: the same steps give the same verdicts. So a restarted coordinator gives it the
// ledger's steps and continues. Nothing here changes a gradient: a verdict can only end the run and choose the version
// that is delivered. Signs: docs/algorithm.md#guards.

import Base
package import Records

/// A step as the guard sees it: what was sampled, and no answer.
package struct StepSigns: Sendable, Equatable {
  package struct Prompt: Sendable, Equatable {
    package var prompt: UInt32
    /// The majority answer's key; nil if the group has no label.
    package var label: String?
    /// Share of the responses that gave it.
    package var share: Double

    /// Half of the responses or more agreed.
    var isSettled: Bool { label != nil && share >= 0.5 }

    package init(prompt: UInt32, label: String?, share: Double) {
      self.prompt = prompt
      self.label = label
      self.share = share
    }
  }

  package var step: UInt32
  package var prompts: [Prompt]
  /// Shares, 0 to 1.
  package var majorityRatio: Double
  package var zeroAdvantageRatio: Double
  package var noAnswerRatio: Double
  package var truncationRatio: Double
  /// Nats per token.
  package var entropy: Double
  /// Tokens.
  package var length: Double
  /// To the initial model, nats per token; nil where it is not computed.
  package var divergence: Double?

  package init(
    step: UInt32, prompts: [Prompt], majorityRatio: Double, zeroAdvantageRatio: Double, noAnswerRatio: Double,
    truncationRatio: Double, entropy: Double, length: Double, divergence: Double? = nil
  ) {
    self.step = step
    self.prompts = prompts
    self.majorityRatio = majorityRatio
    self.zeroAdvantageRatio = zeroAdvantageRatio
    self.noAnswerRatio = noAnswerRatio
    self.truncationRatio = truncationRatio
    self.entropy = entropy
    self.length = length
    self.divergence = divergence
  }

  /// - Throws: `.unknown` if the report lacks a figure that the guard needs.
  package init(_ report: StepReport) throws(StepReportError) {
    func known(_ name: FigureName) throws(StepReportError) -> Double {
      guard let value = report.figures[name] else { throw .unknown(name) }
      return value
    }
    self.init(
      step: report.step,
      prompts: report.prompts.map {
        Prompt(prompt: $0.prompt, label: $0.label, share: Double($0.labelVotes) / Double(max($0.samples, 1)))
      },
      majorityRatio: try known(.majorityRatio), zeroAdvantageRatio: try known(.zeroAdvantageRatio),
      noAnswerRatio: try known(.noAnswerRatio), truncationRatio: try known(.truncationRatio),
      entropy: try known(.entropy), length: try known(.responseLengthMean), divergence: report.figures[.klToBase])
  }
}

/// What can go wrong. The raw value is its name in logs, metrics and reports.
package enum Alarm: String, Sendable, CaseIterable {
  // Collapse: the run does not recover, and further steps destroy what it has learned.
  /// The questions have fewer and fewer different labels: one answer is given to many questions.
  case fewLabels = "few_labels"
  /// Labels that half of the responses or more agreed on are replaced by others: what was learned is being unlearned.
  case overturned
  /// Responses agree much less than before: the policy is being destroyed.
  case disagreement
  /// Many more responses than at the start give no answer.
  case noAnswers = "no_answers"
  /// Many more responses than at the start are cut off by the token limit.
  case truncation

  // Trouble that is not a collapse, or the end of what can be learned.
  /// Entropy is far above its start. In healthy runs it falls.
  case entropy
  /// Responses have become much longer, or much shorter.
  case length
  /// More than half of the labels change from one visit to the next.
  case flips
  /// Labels stopped changing so early that little can have been learned.
  case locked
  /// Almost all responses agree, and their entropy is almost 0.
  case certain
  /// Almost no group has anything to teach.
  case zeroAdvantage = "zero_advantage"
  /// The policy has moved far from the initial model.
  case divergence

  package var isCollapse: Bool {
    switch self {
    case .fewLabels, .overturned, .disagreement, .noAnswers, .truncation: true
    default: false
    }
  }
}

/// An alarm that is on, and the two numbers that raised it.
package struct RaisedAlarm: Sendable, Equatable {
  package var alarm: Alarm
  package var value: Double
  package var limit: Double
}

/// The guard's judgement after one step.
package struct GuardReading: Sendable, Equatable {
  /// Different labels per prompt, over two windows.
  package var distinctLabelRatio: Double
  /// Share of the step's prompts that were visited before and whose label has changed since, although it was settled:
  /// half of the responses or more had agreed on it. nil if none was visited before.
  package var overturnRatio: Double?
  /// How good the step's policy is, judged without true answers; nil before the first full window.
  package var score: Double?
  /// The alarms that are on, in the order of `Alarm`.
  package var alarms: [RaisedAlarm]
}

package struct Guard: Sendable {
  /// The version with the best score so far; the newest of equals.
  package private(set) var best: (policy: PolicyVersion, score: Double)?
  /// The newest version that was judged: the one that sampled the last step's batch.
  package private(set) var judged: PolicyVersion?
  /// The first step that looked like a collapse, and the alarm that said so.
  package private(set) var collapse: (step: UInt32, alarm: RaisedAlarm)?

  /// Steps that every sign is averaged over.
  package let window: Int
  private let method: Method
  private var recent: [StepSigns] = []
  private var changes: [Changes] = []
  /// Each prompt's last visit.
  private var lastVisits = SortedMap<UInt32, (step: UInt32, prompt: StepSigns.Prompt)>()
  private var first: Means?
  private var highest = (majority: 0.0, distinct: 0.0)

  /// The limits, in steps, of a window of one pass. A shorter window would be noise. A longer one would show a collapse
  /// only after it has happened.
  package static let windowRange = 4...32
  /// The largest share of revisited prompts whose settled label may change. Healthy runs have 0, so a few are noise and
  /// a tenth is not.
  package static let overturnedLimit = 0.1

  /// - Parameters:
  ///   - window: steps; 0 is one pass over the prompts, within `windowRange`.
  ///   - promptCount: of the training set.
  package init(window: Int, promptCount: Int, method: Method) {
    let perStep = max(1, min(method.promptsPerStep, promptCount))
    let pass = (promptCount + perStep - 1) / perStep
    self.window =
      window > 0 ? window : min(max(pass, Self.windowRange.lowerBound), Self.windowRange.upperBound)
    self.method = method
  }

  /// How a step changed the labels of prompts that had been visited before.
  private struct Changes: Sendable {
    var visited = 0
    var flipped = 0
    var overturned = 0

    var overturnRatio: Double? { visited == 0 ? nil : Double(overturned) / Double(visited) }
  }

  /// Means over a window.
  private struct Means: Sendable {
    var majority, distinct, overturned, noAnswer, truncation, entropy, length, zeroAdvantage: Double
    var divergence: Double?
  }

  /// Adds the next step.
  package mutating func observe(_ signs: StepSigns) -> GuardReading {
    judged = samplingPolicy(ofStep: signs.step, method: method)
    let changed = changes(in: signs)
    for prompt in signs.prompts { lastVisits[prompt.prompt] = (signs.step, prompt) }
    recent = recent.suffix(window - 1) + [signs]
    changes = changes.suffix(window - 1) + [changed]
    var reading = GuardReading(
      distinctLabelRatio: distinctLabelRatio, overturnRatio: changed.overturnRatio, score: nil, alarms: [])
    guard recent.count == window else { return reading }
    let now = means()
    let start = first ?? now
    first = start
    highest = (max(highest.majority, now.majority), max(highest.distinct, now.distinct))
    reading.alarms = alarms(now, start, step: signs.step)
    // Agreement does not count if different questions get the same answer, or if it replaces what was agreed on before.
    let score = now.majority * now.distinct * max(0, 1 - now.overturned / Self.overturnedLimit)
    reading.score = score
    if let worst = reading.alarms.first(where: \.alarm.isCollapse) {
      if collapse == nil { collapse = (signs.step, worst) }
    } else if score >= best?.score ?? 0 {
      best = (samplingPolicy(ofStep: signs.step, method: method), score)
    }
    return reading
  }

  private func changes(in signs: StepSigns) -> Changes {
    var changes = Changes()
    for prompt in signs.prompts {
      guard let before = lastVisits[prompt.prompt]?.prompt else { continue }
      changes.visited += 1
      guard before.label != prompt.label else { continue }
      changes.flipped += 1
      changes.overturned += before.isSettled ? 1 : 0
    }
    return changes
  }

  /// Whether every step of the window visited prompts again. Before that, shares over few prompts would be noise.
  private var isRevisited: Bool { changes.allSatisfy { $0.visited > 0 } }

  /// Share of the window's prompts that had been visited before.
  private func share(_ count: (Changes) -> Int) -> Double {
    let visited = changes.reduce(0) { $0 + $1.visited }
    return Double(changes.reduce(0) { $0 + count($1) }) / Double(max(visited, 1))
  }

  /// Different labels per prompt, over the prompts visited in the last two windows, each with its latest label. Two
  /// windows of one pass each contain every prompt, whatever the order of each pass; with fewer prompts there would be
  /// more labels per prompt. A prompt without any answer has no label.
  private var distinctLabelRatio: Double {
    let now = recent.last?.step ?? 0
    let visits = lastVisits.values.filter { Int(now) - Int($0.step) < 2 * window }
    let labels = visits.compactMap(\.prompt.label).sorted()
    let distinct = labels.isEmpty ? 0 : 1 + zip(labels, labels.dropFirst()).count { $0 != $1 }
    return Double(distinct) / Double(max(visits.count, 1))
  }

  private func means() -> Means {
    func mean(_ value: (StepSigns) -> Double) -> Double {
      recent.reduce(0) { $0 + value($1) } / Double(recent.count)
    }
    let divergences = recent.compactMap(\.divergence)
    return Means(
      majority: mean(\.majorityRatio), distinct: distinctLabelRatio, overturned: share(\.overturned),
      noAnswer: mean(\.noAnswerRatio),
      truncation: mean(\.truncationRatio), entropy: mean(\.entropy), length: mean(\.length),
      zeroAdvantage: mean(\.zeroAdvantageRatio),
      divergence: divergences.isEmpty ? nil : divergences.reduce(0, +) / Double(divergences.count))
  }

  // MARK: Limits

  private func alarms(_ now: Means, _ start: Means, step: UInt32) -> [RaisedAlarm] {
    var raised: [RaisedAlarm] = []
    func raise(_ alarm: Alarm, _ value: Double, above limit: Double) {
      if value > limit { raised.append(RaisedAlarm(alarm: alarm, value: value, limit: limit)) }
    }
    func raise(_ alarm: Alarm, _ value: Double, below limit: Double) {
      if value < limit { raised.append(RaisedAlarm(alarm: alarm, value: value, limit: limit)) }
    }
    raise(.fewLabels, now.distinct, below: highest.distinct / 2)
    raise(.overturned, isRevisited ? now.overturned : 0, above: Self.overturnedLimit)
    raise(.disagreement, now.majority, below: highest.majority / 2)
    raise(.noAnswers, now.noAnswer, above: start.noAnswer + 0.3)
    raise(.truncation, now.truncation, above: start.truncation + 0.3)
    raise(.entropy, now.entropy, above: 1.5 * start.entropy)
    raise(.length, now.length, above: 2 * start.length)
    raise(.length, now.length, below: start.length / 2)
    if isRevisited {
      let flipped = share(\.flipped)
      raise(.flips, flipped, above: 0.5)
      // Later in a run, stable labels are normal.
      if step < method.steps / 4 { raise(.locked, flipped, below: 0.005) }
    }
    if now.majority > 0.99 { raise(.certain, now.entropy, below: max(0.1 * start.entropy, 1e-3)) }
    raise(.zeroAdvantage, now.zeroAdvantage, above: 0.9)
    if let divergence = now.divergence { raise(.divergence, divergence, above: 0.5) }
    return raised
  }
}
