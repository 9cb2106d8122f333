// ProgressLine: a finished step as one line of ASCII text, for output into a file or a pipe. A terminal has LiveView.

import Base
import Records

/// The lines that a run prints while it runs.
package enum ProgressLine {
  /// From this share on, missing answers are a problem that has to be shown.
  static let noAnswerRatioHigh = 0.1

  /// One finished step: its number, how many are done, its accuracy as far as it is known, its speed, the time that is
  /// left.
  ///
  /// - Parameters:
  ///   - step: its record.
  ///   - stepCount: the steps of the whole run.
  ///   - secondsLeft: of the whole run; see `RunHistory.secondsLeft`.
  package static func text(for step: StepRecord, of stepCount: Int, secondsLeft: Double?) -> String {
    var parts = [position(step.step, of: stepCount)]
    if let pass = step.groundTruthRatio { parts.append("pass " + field(pass)) }
    if let accuracy = step.labelAccuracy { parts.append("label " + field(accuracy)) }
    if let perplexity = step[.perplexity] {
      parts.append("perplexity " + Figures.short(perplexity))
    } else if step.isGiven {
      parts.append("loss " + Figures.short(step[.loss] ?? .nan))
    } else {
      parts.append("majority " + field(step.majorityRatio))
    }
    if let share = step.noAnswerRatio, share >= noAnswerRatioHigh {
      parts.append("no answer " + field(share))
    }
    if let failed = step[.failedVerdicts], failed > 0 { parts.append(counted(Int(failed), "failed verdict")) }
    if let gap = step.logprobGap, gap != 0 { parts.append("logprob gap \(Figures.short(gap))") }
    if let skipped = step.skippedUpdates, skipped > 0 { parts.append(counted(skipped, "skipped update")) }
    parts += pace(step.tokensPerSecond, step.seconds)
    if let left = remaining(secondsLeft, isOver: step.step + 1 >= stepCount) { parts.append(left) }
    return parts.joined(separator: "  ")
  }

  private static func position(_ step: Int, of stepCount: Int) -> String {
    let total = "\(stepCount)"
    func field(_ number: Int) -> String { padded("\(number)", to: total.count, right: true) }
    return "step \(field(step))  \(field(step + 1)) of \(total) done"
  }

  private static func field(_ fraction: Double?) -> String { padded(Figures.percent(fraction), to: 6, right: true) }

  private static func pace(_ tokensPerSecond: Double?, _ seconds: Double?) -> [String] {
    var parts: [String] = []
    if let tokensPerSecond { parts.append("\(rounded(tokensPerSecond)) tokens/s") }
    if let seconds { parts.append(Figures.duration(seconds: seconds)) }
    return parts
  }

  private static func rounded(_ rate: Double) -> String {
    rate.isFinite && abs(rate) < 1e15 ? grouped(Int(rate.rounded())) : Figures.missing
  }

  private static func remaining(_ seconds: Double?, isOver: Bool) -> String? {
    guard !isOver, let seconds else { return nil }
    return "\(Figures.duration(seconds: seconds)) left"
  }
}
