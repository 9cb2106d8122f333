// VoteSamples: an evaluation without extra samples: the votes of training, each prompt's first visit compared with its
// last.
//
// The responses are those of training: N of them, at training's temperature, by the policy of that step. So policies
// differ from prompt to prompt. That is why these figures have a name of their own and are never in one column with
// those of an evaluation.

import Base

/// One visit of every prompt: the first visits of a run, or the last.
struct VoteSamples: Sendable {
  private let visits: [PromptVisit]

  /// Nil if no prompt was visited twice: then first and last visits are the same.
  static func ends(_ history: RunHistory) -> (first: VoteSamples, last: VoteSamples)? {
    let visits = history.visitsByPrompt.values.filter { $0.count > 1 }
    guard !visits.isEmpty else { return nil }
    return (VoteSamples(visits: visits.compactMap(\.first)), VoteSamples(visits: visits.compactMap(\.last)))
  }

  private init(visits: [PromptVisit]) { self.visits = visits }

  /// The first and the last policy among the visits.
  private var policies: ClosedRange<Int> {
    let steps = visits.map(\.step)
    return (steps.min() ?? 0)...(steps.max() ?? 0)
  }

  private var known: [PromptRecord] { visits.map(\.record).filter { $0.isLabelRight != nil } }

  /// N; the largest, if prompts differ.
  var votes: Int { visits.map(\.record.samples).max() ?? 0 }

  /// By name, in the order in which they are shown; nil if a figure needs answers and there are none.
  var figures: [(name: String, value: Double?, interval: Interval?)] {
    let known = known
    let columns = [
      ("pass@1", known.map { $0.rightRatio ?? 0 }), ("maj@\(votes)", known.map { $0.isLabelRight == true ? 1 : 0 }),
      ("majority_ratio", visits.map(\.record.majorityRatio)),
    ]
    return columns.map { name, values in
      let mean = values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
      return (name, mean, Bootstrap.interval(ofMean: values))
    }
  }

  var json: JSON {
    let intervals = figures.compactMap { figure in
      figure.interval.map { JSON.Member(figure.name, .array([.double($0.low), .double($0.high)])) }
    }
    return .object(
      [JSON.Member("policies", .array([.int(policies.lowerBound), .int(policies.upperBound)]))]
        + figures.map { figure in JSON.Member(figure.name, figure.value.map { .double($0) } ?? .null) }
        + [JSON.Member("prompts", .int(visits.count)), JSON.Member("ci95", .object(intervals))])
  }
}
