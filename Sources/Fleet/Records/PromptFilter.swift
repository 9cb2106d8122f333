// PromptFilter: which of its questions a run takes, by how an earlier run fared with them. The decisions are made in
// TTRL (PromptDecision).

/// A rule for choosing questions.
package enum PromptFilter: Sendable, Equatable {
  /// All questions.
  case all
  /// Those whose label had a share of the votes in this range at the last visit: SeRL, R-Zero.
  case majority(low: Double, high: Double)
  /// Those whose agreement rises as it does on average, by LIMR's alignment score: at least this score.
  case alignment(least: Double)
  /// This share of the questions, with the highest alignment scores.
  case bestAligned(share: Double)
  /// Those of which no response was rewarded at the last visit: ReLIFT's hardest questions.
  case failed
}

extension PromptFilter: LosslessStringConvertible {
  package static let forms = "all, majority:LOW..HIGH, alignment:LEAST, best-aligned:SHARE or failed"

  /// - Parameter text: one of `forms`; bounds and shares are from 0 to 1, a score is at most 1.
  package init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let values = parts.count == 2 ? Self.numbers(parts[1]) : []
    switch (parts[0], values.count) {
    case ("all", 0) where parts.count == 1: self = .all
    case ("failed", 0) where parts.count == 1: self = .failed
    case ("majority", 2) where 0 <= values[0] && values[0] <= values[1] && values[1] <= 1:
      self = .majority(low: values[0], high: values[1])
    case ("alignment", 1) where values[0] <= 1: self = .alignment(least: values[0])
    case ("best-aligned", 1) where 0 < values[0] && values[0] <= 1: self = .bestAligned(share: values[0])
    default: return nil
    }
  }

  /// The numbers of "0.6" or "0.2..0.8"; none if one is not a number.
  private static func numbers(_ text: String) -> [Double] {
    let words = text.split(separator: "..", omittingEmptySubsequences: false)
    let values = words.compactMap { Double($0) }.filter(\.isFinite)
    return values.count == words.count ? values : []
  }

  package var description: String {
    switch self {
    case .all: "all"
    case .majority(let low, let high): "majority:\(low)..\(high)"
    case .alignment(let least): "alignment:\(least)"
    case .bestAligned(let share): "best-aligned:\(share)"
    case .failed: "failed"
    }
  }
}
