// LiveView: a run on a terminal, as a block of lines that is drawn again and again in the same place.
//
// From the top: which run, its progress, its accuracy as far as it is known, warning signs, speed, workers, the latest
// events. Values in, lines out; ttrl.ProgressView prints them. Every line fits the width; parts that do not fit are
// left out, from the right. On a terminal that can show only ASCII there are no curves, and bars are plain.

import Base
import Records

package enum LiveView {
  /// What a terminal can do.
  package struct Terminal: Sendable {
    package var width: Int
    package var height: Int
    package var isUnicode: Bool
    /// Colours and weights by escape sequences.
    package var isStyled: Bool

    package init(width: Int, height: Int, isUnicode: Bool, isStyled: Bool) {
      self.width = width
      self.height = height
      self.isUnicode = isUnicode
      self.isStyled = isStyled
    }
  }

  /// Rounds and events that are shown.
  private static let roundsMax = 3
  private static let eventsMax = 4
  /// Lines of a failed run's reason that are shown; ending.json has all.
  private static let reasonLinesMax = 4

  package static func lines(_ view: RunView, _ digest: RunDigest, on terminal: Terminal) -> [String] {
    let page = Canvas(terminal)
    var lines = [page.row("run", [view.stage + view.path] + (view.page.isEmpty ? [] : ["page \(view.page)"]))]
    if let banner = view.banner {
      lines.append(page.row(banner.kind.count < 8 ? banner.kind : "ended", [banner.what], isLoud: true))
      for line in banner.reason.split(separator: "\n").prefix(reasonLinesMax) {
        lines.append(page.row("reason", [String(line)]))
      }
      lines.append(page.row("next", [banner.next]))
    }
    if let problem = view.problem {
      lines.append(page.row("old", ["the run cannot be read now: \(problem)"], isLoud: true))
    }
    lines.append(page.row("steps", progress(view, digest, page)))
    for round in view.openRounds.prefix(roundsMax) {
      let share = Double(round.settled) / Double(max(1, round.slots))
      lines.append(
        page.row(
          "open",
          [page.bar(share, 12) + " \(grouped(round.settled)) of \(grouped(round.slots))", round.name]))
    }
    lines.append(page.row("waits", [view.waiting(for: digest)]))
    if !digest.steps.isEmpty {
      lines.append(page.row("right", quality(digest, page)))
      lines.append(page.row("health", health(digest, page)))
    }
    for line in ends(digest) { lines.append(page.row("eval", [line])) }
    lines.append(page.row("speed", speed(view, digest)))
    if let time = digest.latest?.timeText { lines.append(page.row("time", [time])) }
    lines.append(page.row("fleet", fleet(view)))
    for alarm in digest.latest?.alarms ?? [] {
      lines.append(page.row("alarm", ["\(alarm.name): \(AlarmOnset.meaning(of: alarm.name))"], isLoud: true))
    }
    for event in view.events.prefix(eventsMax) {
      lines.append(page.row(lines.last?.hasPrefix("event") == true ? "" : "event", [text(event, now: view.now)]))
    }
    return Array(lines.prefix(max(1, terminal.height - 1)))
  }

  private static func progress(_ view: RunView, _ digest: RunDigest, _ page: Canvas) -> [String] {
    let done = digest.steps.count
    let share = Double(done) / Double(max(1, view.stepCount))
    var parts = [
      "\(grouped(done)) of \(grouped(view.stepCount)) done " + page.bar(share, 24)
        + " \(Figures.fixed(share * 100, decimals: 0))%"
    ]
    if !view.condition.isGoingOn {
      parts.append(view.condition.name)
    } else if let left = digest.secondsLeft(ofSteps: view.stepCount) {
      parts.append("\(Figures.duration(seconds: left)) left")
    }
    return parts
  }

  private static func quality(_ digest: RunDigest, _ page: Canvas) -> [String] {
    let parts = [.groundTruthRatio, .labelAccuracy].compactMap { curve($0, digest, page) }
    return parts.isEmpty ? ["unknown: no answers are known"] : parts
  }

  private static func health(_ digest: RunDigest, _ page: Canvas) -> [String] {
    var parts = [.perplexity, .majorityRatio, .entropy].compactMap { curve($0, digest, page) }
    var signs: [FigureName] = [.distinctLabelRatio, .zeroAdvantageRatio, .positionBias]
    if digest.last(.noAnswerRatio) ?? 0 >= ProgressLine.noAnswerRatioHigh { signs.append(.noAnswerRatio) }
    parts += signs.compactMap { value($0, digest) }
    if let gap = digest.last(.logprobGap), gap != 0 { parts.append("logprob gap \(Figures.short(gap))") }
    return parts
  }

  /// "entropy 0.31", as the charts call it and write it; nil where it is not known.
  private static func value(_ figure: FigureName, _ digest: RunDigest) -> String? {
    guard let value = digest.last(figure), let (curve, chart) = Charts.curve(of: figure) else { return nil }
    return "\(curve.label) \(chart.unit.text(value, decimals: chart.unit.decimals))"
  }

  /// The same, followed by its curve over the run.
  private static func curve(_ figure: FigureName, _ digest: RunDigest, _ page: Canvas) -> String? {
    value(figure, digest).map { "\($0) \(page.curve(digest.column(figure)))" }
  }

  /// "training questions: pass@1 27.1% -> 95.4%, maj@64 68.0% -> 96.1%"
  private static func ends(_ digest: RunDigest) -> [String] {
    [(QuestionSet.train, "training"), (.heldOut, "held-out"), (.transfer, "transfer")].compactMap { set, name in
      let ends = digest.ends(on: set)
      guard !ends.isEmpty else { return nil }
      func change(_ name: String, _ value: (EvaluationRecord) -> Double?) -> String? {
        let (before, after) = (ends.before.flatMap(value), ends.after.flatMap(value))
        guard before != nil || after != nil else { return nil }
        guard ends.after != nil else { return "\(name) \(Figures.percent(before))" }
        return "\(name) \(Figures.percent(before)) -> \(Figures.percent(after))"
      }
      var parts = [change("pass@1", \.passAt1)]
      parts += (ends.majorityCounts.suffix(1)).map { k in change("maj@\(k)") { $0.majority(at: k) } }
      if !ends.knowsAnswers { parts.append(change("majority", \.majorityRatio)) }
      return "\(name) questions: " + parts.compactMap { $0 }.joined(separator: ", ")
    }
  }

  private static func speed(_ view: RunView, _ digest: RunDigest) -> [String] {
    var parts: [String] = []
    if let rate = view.samplingRate {
      parts.append("sampling \(rounded(rate)) tokens/s" + share(rate, of: view.peak?.sampling))
    }
    if let rate = digest.trainingRate {
      parts.append("training \(rounded(rate)) tokens/s" + share(rate, of: view.peak?.training))
    }
    if let seconds = digest.latest?.seconds { parts.append("last step \(Figures.duration(seconds: seconds))") }
    if view.tokens > 0 { parts.append("\(grouped(view.tokens)) tokens so far") }
    return parts.isEmpty ? ["not measured yet"] : parts
  }

  private static func share(_ rate: Double, of peak: Double?) -> String {
    guard let peak, peak > 0, rate.isFinite else { return "" }
    return " (\(Figures.percent(rate / peak)) of peak)"
  }

  private static func rounded(_ rate: Double) -> String {
    rate.isFinite && abs(rate) < 1e15 ? grouped(Int(rate.rounded())) : Figures.missing
  }

  private static func fleet(_ view: RunView) -> [String] {
    let connected = view.connected
    var parts = [counted(connected.count, "worker")]
    if connected.contains(where: { $0.leases != nil }) {
      let leases = connected.reduce(0) { $0 + ($1.leases ?? 0) }
      let slots = connected.reduce(0) { $0 + ($1.slots ?? 0) }
      parts.append("\(counted(leases, "lease")) of \(counted(slots, "slot"))")
    }
    let stragglers = view.stragglers
    if let slowest = stragglers.first {
      let more = stragglers.count > 1 ? " and \(stragglers.count - 1) more" : ""
      parts.append("behind: \(slowest.name)\(more)")
    }
    if let learner = view.learner {
      parts.append("learner: last message \(Figures.duration(seconds: learner.silence)) ago")
    }
    if view.condition == .starting { parts.append("no coordinator is running yet") }
    return parts
  }

  private static func text(_ event: RunView.EventView, now: Double) -> String {
    "\(Figures.duration(seconds: max(0, now - event.time))) ago  \(event.kind)  \(event.detail)"
  }
}

/// Makes lines for a terminal.
private struct Canvas {
  let terminal: LiveView.Terminal
  private static let margin = 8

  init(_ terminal: LiveView.Terminal) { self.terminal = terminal }

  /// A word in the margin, then as many parts as fit.
  func row(_ name: String, _ parts: [String], isLoud: Bool = false) -> String {
    var line = padded(name, to: Self.margin)
    for (index, part) in parts.enumerated() {
      let gap = index == 0 ? "" : "   "
      let part = printable(part)
      if index > 0, line.count + gap.count + part.count > terminal.width { break }
      line += gap + part
    }
    line = String(line.prefix(max(0, terminal.width)))
    guard terminal.isStyled else { return line }
    let (head, rest) = (line.prefix(Self.margin), line.dropFirst(Self.margin))
    return isLoud ? "\u{1B}[1;33m\(line)\u{1B}[0m" : "\u{1B}[2m\(head)\u{1B}[0m\(rest)"
  }

  func bar(_ share: Double, _ width: Int) -> String {
    let filled = Int((min(max(share, 0), 1) * Double(width)).rounded(.down))
    let (on, off) = terminal.isUnicode ? ("━", "─") : ("#", ".")
    let bar = String(repeating: on, count: filled) + String(repeating: off, count: width - filled)
    return terminal.isUnicode ? bar : "[\(bar)]"
  }

  /// The whole column in 16 characters. Its lowest value is the lowest character, its highest the highest.
  func curve(_ column: [Float]) -> String {
    let values = PageAnswers.bins(of: column.count, count: 16).map { bin in
      let known = column[bin].filter(\.isFinite)
      return known.isEmpty ? Float.nan : known.reduce(0, +) / Float(known.count)
    }
    let known = values.filter(\.isFinite)
    guard terminal.isUnicode, known.count > 1, let low = known.min(), let high = known.max() else { return "" }
    let blocks = Array("▁▂▃▄▅▆▇█")
    return String(
      values.map { value -> Character in
        guard value.isFinite else { return " " }
        // The difference of two large numbers can be infinite.
        let place = high > low && (high - low).isFinite ? (value - low) / (high - low) : 0.5
        return blocks[min(7, Int(place * 8))]
      })
  }

  /// Text of a run: a terminal must not execute any of it, and must be able to show it.
  private func printable(_ text: String) -> String {
    let text = text.visible
    guard !terminal.isUnicode else { return text }
    return String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value > 0x7E ? "?" : $0 }))
  }
}
