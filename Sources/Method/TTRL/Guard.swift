// Guard: is the run still learning, or is it collapsing? Judged without answers, from what the steps sampled.
//
// Majority reward can be had without reasoning: a policy that gives every question the same answer always agrees with
// itself (SRT, arXiv 2505.21444), and so does one that has taught itself a wrong procedure. So agreement alone says
// nothing; the guard looks at agreement together with how many different labels the questions still have, at labels
// that were settled and change all the same, and at the signs that something else breaks. Every sign is a mean over a
// window of steps, by default one pass over the prompts, so that windows are about the same questions; most limits are
// relative to the run's own first window, because questions and models differ.
//
// A state machine without a clock: the same steps in, the same verdicts out, so a restarted coordinator feeds it the
// ledger's steps and goes on. Nothing here reaches a gradient; the only thing that a verdict can do is end the run
// and choose the version that is delivered. Signs: docs/algorithm.md#guards.

import Base
package import Records

/// A step as the guard sees it: what was sampled, and no answer.
package struct StepSigns: Sendable, Equatable {
  package struct Prompt: Sendable, Equatable {
    package var prompt: UInt32
    /// The majority answer's key; nil if nobody answered.
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

/// What can look wrong. The raw value is its name in logs, metrics and reports.
package enum Alarm: String, Sendable, CaseIterable {
  // Collapse: the run cannot come back, and going on spends what it has learned.
  /// Questions share fewer and fewer labels: a template answer takes over.
  case fewLabels = "few_labels"
  /// Labels on which half of the responses agreed are replaced by others: what was learned is being unlearned.
  case overturned
  /// Responses agree less than they did: the policy is being destroyed.
  case disagreement
  case noAnswers = "no_answers"
  case truncation

  // Trouble, or the end of what can be learned.
  /// Entropy is far above the start; in healthy runs it falls.
  case entropy
  /// Responses have become much longer, or much shorter.
  case length
  /// Labels change from visit to visit more often than not.
  case flips
  /// Labels stopped changing before anything can have been learned.
  case locked
  /// Everybody agrees and nothing is open any more.
  case certain
  /// Hardly a group has anything to teach.
  case zeroAdvantage = "zero_advantage"
  /// The policy has moved far from the model that it began as.
  case divergence

  package var isCollapse: Bool {
    switch self {
    case .fewLabels, .overturned, .disagreement, .noAnswers, .truncation: true
    default: false
    }
  }
}

/// An alarm that is on, and the two numbers that set it off.
package struct RaisedAlarm: Sendable, Equatable {
  package var alarm: Alarm
  package var value: Double
  package var limit: Double
}

/// What the guard makes of one step.
package struct GuardReading: Sendable, Equatable {
  /// Different labels per prompt, over two windows.
  package var distinctLabelRatio: Double
  /// Share of the step's prompts that were visited before and whose label has changed since, although it was settled:
  /// half of the responses or more had agreed on it. nil if none was visited before.
  package var overturnRatio: Double?
  /// What the step's policy is worth without answers; nil before the first full window.
  package var score: Double?
  /// Those that are on, in the order of `Alarm`.
  package var alarms: [RaisedAlarm]
}

package struct Guard: Sendable {
  /// The best version so far, by score; the newer of equals.
  package private(set) var best: (policy: PolicyVersion, score: Double)?
  /// The newest version that was judged: the one that sampled the last step's batch.
  package private(set) var judged: PolicyVersion?
  /// The first step that looked like a collapse, and how.
  package private(set) var collapse: (step: UInt32, alarm: RaisedAlarm)?

  private let window: Int
  private let method: Method
  private var recent: [StepSigns] = []
  private var changes: [Changes] = []
  /// Each prompt's last visit.
  private var lastVisits = SortedMap<UInt32, (step: UInt32, prompt: StepSigns.Prompt)>()
  private var first: Means?
  private var highest = (majority: 0.0, distinct: 0.0)

  /// Fewest and most steps that a window of one pass has: below, luck decides; above, a collapse is over before it is
  /// seen.
  package static let windowRange = 4...32
  /// Of the prompts that are visited again. 0 in healthy runs, so that a few are noise and a tenth are not.
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

  /// What a step did to the labels of prompts that had been visited before.
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

  /// Takes in the next step.
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
    // Agreement that comes from giving different questions the same answer is worth nothing, nor is one that replaces
    // what was agreed on before.
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

  /// Every step of the window visited prompts again: before, a share of few would be noise.
  private var isRevisited: Bool { changes.allSatisfy { $0.visited > 0 } }

  /// Of the window's prompts that had been visited before.
  private func share(_ count: (Changes) -> Int) -> Double {
    let visited = changes.reduce(0) { $0 + $1.visited }
    return Double(changes.reduce(0) { $0 + count($1) }) / Double(max(visited, 1))
  }

  /// Different labels per prompt, of the prompts visited in the last two windows, each with its latest label. Two
  /// windows of a pass each have every prompt in them, whatever the order of the passes: with fewer prompts there would
  /// be more labels per prompt. Nobody's answer is not a label.
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
      // Later, labels have every reason to stay.
      if step < method.steps / 4 { raise(.locked, flipped, below: 0.005) }
    }
    if now.majority > 0.99 { raise(.certain, now.entropy, below: max(0.1 * start.entropy, 1e-3)) }
    raise(.zeroAdvantage, now.zeroAdvantage, above: 0.9)
    if let divergence = now.divergence { raise(.divergence, divergence, above: 0.5) }
    return raised
  }
}
