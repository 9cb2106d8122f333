// ProgressLine: a run on the terminal, one line per finished step and one live line between them.
//
// Pure functions from values to ASCII text. Whoever prints them decides when, and whether the live line is redrawn
// (a terminal) or left out (a file).

/// The lines that a run prints while it runs.
package enum ProgressLine {
  /// From this share on, missing answers are a problem worth a place in the line.
  static let noAnswerRatioHigh = 0.1

  /// One finished step: where the run is, how good it is as far as anyone can tell, how fast, how much longer.
  ///
  /// - Parameters:
  ///   - step: its record.
  ///   - stepCount: the steps of the whole run.
  ///   - secondsLeft: of the whole run; see `RunHistory.secondsLeft`.
  package static func text(for step: StepRecord, of stepCount: Int, secondsLeft: Double?) -> String {
    var parts = [position(step.step, of: stepCount)]
    if let pass = step.groundTruthRatio { parts.append("pass " + field(pass)) }
    if let accuracy = step.labelAccuracy { parts.append("label " + field(accuracy)) }
    parts.append("majority " + field(step.majorityRatio))
    if let share = step.noAnswerRatio, share >= noAnswerRatioHigh {
      parts.append("no answer " + field(share))
    }
    if let gap = step.logprobGap, gap != 0 { parts.append("logprob gap \(Figures.short(gap))") }
    if let skipped = step.skippedUpdates, skipped > 0 { parts.append(Figures.count(skipped, "skipped update")) }
    parts += pace(step.tokensPerSecond, step.seconds)
    if let left = remaining(secondsLeft, isOver: step.step + 1 >= stepCount) { parts.append(left) }
    return parts.joined(separator: "  ")
  }

  /// The step under way, on one line of at most `width` columns. Parts that do not fit are left out, from the end of
  /// this list: step, phase, bar, time left, tokens per second, workers.
  package static func text(for status: LiveStatus, width: Int) -> String {
    var parts = [position(status.step, of: status.stepCount)]
    parts.append(status.phase.text)
    var optional: [String] = []
    if let progress = status.phase.progress { optional.append(bar(progress)) }
    if let left = remaining(status.secondsLeft, isOver: false) { optional.append(left) }
    if let rate = status.tokensPerSecond { optional.append("\(rounded(rate)) tokens/s") }
    if let workers = status.workers { optional.append(Figures.count(workers, "worker")) }
    var line = parts.joined(separator: "  ")
    for part in optional {
      guard line.count + 2 + part.count <= width else { break }
      line += "  " + part
    }
    return String(line.prefix(max(0, width)))
  }

  private static func position(_ step: Int, of stepCount: Int) -> String {
    let total = "\(stepCount)"
    return "step \(padded("\(step + 1)", to: total.count, right: true))/\(total)"
  }

  private static func field(_ fraction: Double?) -> String { padded(Figures.percent(fraction), to: 6, right: true) }

  private static func pace(_ tokensPerSecond: Double?, _ seconds: Double?) -> [String] {
    var parts: [String] = []
    if let tokensPerSecond { parts.append("\(rounded(tokensPerSecond)) tokens/s") }
    if let seconds { parts.append(Figures.duration(seconds: seconds)) }
    return parts
  }

  private static func rounded(_ rate: Double) -> String {
    rate.isFinite && abs(rate) < 1e15 ? Figures.grouped(Int(rate.rounded())) : Figures.missing
  }

  private static func remaining(_ seconds: Double?, isOver: Bool) -> String? {
    guard !isOver, let seconds else { return nil }
    return "\(Figures.duration(seconds: seconds)) left"
  }

  private static func bar(_ progress: Double) -> String {
    let width = 20
    let filled = Int((min(max(progress, 0), 1) * Double(width)).rounded(.down))
    return "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled) + "]"
  }
}

/// What a run is doing right now.
package struct LiveStatus: Sendable, Equatable {
  /// What is being done, and how much of it is done.
  package enum Phase: Sendable, Equatable {
    /// Trajectories durable, of those that the step needs.
    case sampling(done: Int, total: Int)
    /// Sequences trained on, of those that the step trains on.
    case training(done: Int, total: Int)
    case publishing
    /// Responses sampled, of those that the evaluation needs.
    case evaluating(done: Int, total: Int)
  }

  /// From 0, as in the records.
  package var step: Int
  package var stepCount: Int
  package var phase: Phase
  package var tokensPerSecond: Double?
  /// Connected now.
  package var workers: Int?
  /// Of the whole run.
  package var secondsLeft: Double?

  package init(
    step: Int, stepCount: Int, phase: Phase, tokensPerSecond: Double? = nil, workers: Int? = nil,
    secondsLeft: Double? = nil
  ) {
    self.step = step
    self.stepCount = stepCount
    self.phase = phase
    self.tokensPerSecond = tokensPerSecond
    self.workers = workers
    self.secondsLeft = secondsLeft
  }
}

extension LiveStatus.Phase {
  var text: String {
    switch self {
    case .sampling(let done, let total): "sampling \(done)/\(total)"
    case .training(let done, let total): "training \(done)/\(total)"
    case .publishing: "publishing"
    case .evaluating(let done, let total): "evaluating \(done)/\(total)"
    }
  }

  /// Share done; nil for what is not counted.
  var progress: Double? {
    switch self {
    case .sampling(let done, let total), .training(let done, let total), .evaluating(let done, let total):
      total > 0 ? Double(done) / Double(total) : nil
    case .publishing: nil
    }
  }
}
