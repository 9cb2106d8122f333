// PromptDecision: which questions a filter keeps, and why: a pure function of an earlier run's steps.
//
// Sources: SeRL and R-Zero (a band of the majority ratio), LIMR, arXiv 2502.11886 (the alignment score), ReLIFT (the
// questions whose responses all fail). LIMR's and R-Zero's rules need the truth or a judge; here agreement with the
// majority takes their place, as in everything that has no answers. docs/algorithm.md has the formulas.

package import Records

/// How a step fared with one prompt.
package struct PromptVisit: Sendable, Equatable {
  /// The label's share of the samples; 0 without a label.
  package var share: Double
  /// Samples whose reward is above 0.
  package var rewarded: Int

  package init(share: Double, rewarded: Int) {
    self.share = share
    self.rewarded = rewarded
  }

  init(_ report: PromptReport) {
    self.init(
      share: report.label == nil ? 0 : Double(report.labelVotes) / Double(max(report.samples, 1)),
      rewarded: Int(report.rewarded))
  }
}

package struct PromptDecision: Sendable, Equatable {
  package enum Reason: String, Sendable, CaseIterable {
    /// The earlier run has not sampled it, so nothing speaks against it.
    case unseen = "not seen"
    case inside = "inside"
    case below = "below"
    case above = "above"
    case failed = "no response rewarded"
    case rewarded = "responses rewarded"
  }

  package var isKept: Bool
  package var reason: Reason
  /// What the rule compares: the label's share, the alignment score, or how many responses were rewarded. nil if the
  /// earlier run has not sampled the prompt.
  package var value: Double?

  package init(isKept: Bool, reason: Reason, value: Double? = nil) {
    self.isKept = isKept
    self.reason = reason
    self.value = value
  }
}

extension PromptFilter {
  /// - Parameter visits: [prompt][visit], of each prompt in the order of the steps.
  /// - Returns: [prompt]
  package func decisions(on visits: [[PromptVisit]]) -> [PromptDecision] {
    switch self {
    case .all: return visits.map { _ in PromptDecision(isKept: true, reason: .inside) }
    case .majority(let low, let high):
      return visits.map { Self.compare($0.last?.share, low, high) }
    case .alignment(let least):
      return Self.alignmentScores(visits).map { Self.compare($0, least, 1) }
    case .bestAligned(let share):
      let scores = Self.alignmentScores(visits)
      // The highest first; of equal ones the first.
      let ranked = scores.indices.filter { scores[$0] != nil }.sorted {
        let (left, right) = (scores[$0] ?? 0, scores[$1] ?? 0)
        return left == right ? $0 < $1 : left > right
      }
      let count = ranked.isEmpty ? 0 : max(1, Int((share * Double(ranked.count)).rounded()))
      let best = Set(ranked.prefix(count))
      return scores.indices.map { index in
        guard let score = scores[index] else { return PromptDecision(isKept: true, reason: .unseen) }
        return PromptDecision(
          isKept: best.contains(index), reason: best.contains(index) ? .inside : .below, value: score)
      }
    case .failed:
      return visits.map { visits in
        guard let last = visits.last else { return PromptDecision(isKept: false, reason: .unseen) }
        return PromptDecision(
          isKept: last.rewarded == 0, reason: last.rewarded == 0 ? .failed : .rewarded, value: Double(last.rewarded))
      }
    }
  }

  private static func compare(_ value: Double?, _ low: Double, _ high: Double) -> PromptDecision {
    guard let value else { return PromptDecision(isKept: true, reason: .unseen) }
    let reason = value < low ? PromptDecision.Reason.below : value > high ? .above : .inside
    return PromptDecision(isKept: reason == .inside, reason: reason, value: value)
  }

  /// LIMR's score of each prompt: 1 − Σ (share − mean)² / Σ (1 − mean)², over its visits; `mean` is that of all
  /// prompts at their visit of the same number. It is 1 for a prompt that follows the mean, and low for one that is
  /// always far from it.
  ///
  /// - Returns: [prompt] nil without a visit.
  package static func alignmentScores(_ visits: [[PromptVisit]]) -> [Double?] {
    let means = (0..<(visits.map(\.count).max() ?? 0)).map { number in
      let shares = visits.compactMap { number < $0.count ? $0[number].share : nil }
      return shares.reduce(0, +) / Double(shares.count)
    }
    return visits.map { visits in
      guard !visits.isEmpty else { return nil }
      let distance = zip(visits, means).reduce(0) { $0 + ($1.0.share - $1.1) * ($1.0.share - $1.1) }
      let room = means.prefix(visits.count).reduce(0) { $0 + (1 - $1) * (1 - $1) }
      // If all prompts always agree with themselves, each follows the mean.
      return room == 0 ? 1 : 1 - distance / room
    }
  }
}

extension PromptVisit {
  /// - Parameter reports: of all steps, in their order.
  /// - Returns: [prompt][visit]
  package static func visits(in reports: [StepReport], promptCount: Int) -> [[PromptVisit]] {
    var visits = Array(repeating: [PromptVisit](), count: promptCount)
    for report in reports.flatMap(\.prompts) where Int(report.prompt) < promptCount {
      visits[Int(report.prompt)].append(PromptVisit(report))
    }
    return visits
  }
}
