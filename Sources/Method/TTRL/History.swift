// History: for each prompt, its last label, how often the label has changed, and a window of its latest visits.
//
// It is computed from the judgements of all steps, in order. The learner keeps it with the optimizer's state and saves
// it in every checkpoint, so it is the same after a restart as without one. A prompt is identified by its index in the
// run's question file, which is fixed when the run begins. Estimators can read it (`Evidence.history`), and so do
// prompt weights; figures show its flips.

import Answers
package import Base
package import Records

/// One prompt's past.
package struct PromptHistory: Sendable, Equatable {
  /// Visits whose vote had a label.
  package var visits = 0
  /// The key of the latest such label.
  package var label: String?
  /// How often a label differed from the label before it.
  package var flips = 0
  /// The share of the samples that gave the label, of the latest visits, oldest first; at most `window`.
  package var ratios: [Double] = []
  /// Whether the label differed from the one before it, of the same visits.
  package var recentFlips: [Bool] = []
  /// The share at the first visit.
  package var firstRatio: Double?
  /// Visits at which the label had never changed, after enough of them, and agreement was strong (`isSteady`).
  package var steadyVisits = 0

  /// Visits that are kept singly. Methods look at the last 5; more would only make checkpoints larger.
  package static let window = 8

  package init() {}

  /// A vote with a label.
  struct Visit {
    var label: String
    var ratio: Double
    var isFlip: Bool

    /// - Returns: nil if there is no label.
    init?(_ report: PromptReport) {
      guard let label = report.label else { return nil }
      self.label = label
      ratio = Double(report.labelVotes) / Double(max(report.samples, 1))
      isFlip = report.isFlip == true
    }

    /// - Returns: nil if there is no label.
    init?(_ judgement: Judgement) {
      guard let label = judgement.vote.label?.text else { return nil }
      self.label = label
      ratio = Double(judgement.vote.votes) / Double(max(judgement.answers.count, 1))
      isFlip = judgement.isFlip == true
    }
  }

  mutating func add(_ visit: Visit) {
    visits += 1
    flips += visit.isFlip ? 1 : 0
    label = visit.label
    // Runs of earlier versions did not record it.
    if visits == 1 { firstRatio = visit.ratio }
    ratios = ratios.suffix(Self.window - 1) + [visit.ratio]
    recentFlips = recentFlips.suffix(Self.window - 1) + [visit.isFlip]
    steadyVisits += isSteady ? 1 : 0
  }
}

package struct History: Sendable {
  private var byPrompt = SortedMap<UInt32, PromptHistory>()

  package init() {}

  package subscript(prompt: UInt32) -> PromptHistory { byPrompt[prompt] ?? PromptHistory() }

  /// Adds a step's votes. A vote without a label changes nothing.
  package mutating func record(_ judgements: [Judgement]) {
    for judgement in judgements { add(PromptHistory.Visit(judgement), to: judgement.prompt) }
  }

  /// Adds a step's votes as its report has them: the same as `record` of its judgements.
  package mutating func record(_ report: StepReport) {
    for prompt in report.prompts { add(PromptHistory.Visit(prompt), to: prompt.prompt) }
  }

  private mutating func add(_ visit: PromptHistory.Visit?, to prompt: UInt32) {
    guard let visit else { return }
    var entry = self[prompt]
    entry.add(visit)
    byPrompt[prompt] = entry
  }
}

extension History: Equatable {
  package static func == (left: Self, right: Self) -> Bool {
    left.byPrompt.keys == right.byPrompt.keys && left.byPrompt.values == right.byPrompt.values
  }
}

// MARK: - Bytes

extension History {
  /// One object per prompt, in ascending order.
  package var json: JSON {
    .array(
      byPrompt.map { prompt, entry in
        [
          "prompt": .int(Int(prompt)), "visits": .int(entry.visits), "label": .optional(entry.label),
          "flips": .int(entry.flips), "ratios": .array(entry.ratios.map { .double($0) }),
          "recent_flips": .array(entry.recentFlips.map { .bool($0) }),
          "first_ratio": entry.firstRatio.map { .double($0) } ?? .null, "steady_visits": .int(entry.steadyVisits),
        ]
      })
  }

  /// Members that earlier versions did not write can be missing: their runs begin with an empty window.
  ///
  /// - Returns: nil if the value has not the form that `json` writes.
  package init?(_ json: JSON) {
    guard let elements = json.elements else { return nil }
    for element in elements {
      guard let prompt = element["prompt"]?.int.flatMap(UInt32.init(exactly:)), let visits = element["visits"]?.int,
        let flips = element["flips"]?.int, visits >= 0, flips >= 0
      else { return nil }
      var entry = PromptHistory()
      entry.visits = visits
      entry.label = element["label"]?.string
      entry.flips = flips
      let ratios = element["ratios"]?.elements ?? []
      let recentFlips = element["recent_flips"]?.elements ?? []
      entry.ratios = ratios.compactMap(\.double)
      entry.recentFlips = recentFlips.compactMap(\.bool)
      entry.firstRatio = element["first_ratio"]?.double
      entry.steadyVisits = element["steady_visits"]?.int ?? 0
      guard entry.ratios.count == ratios.count, entry.recentFlips.count == recentFlips.count,
        ratios.count == recentFlips.count, ratios.count <= PromptHistory.window, entry.steadyVisits >= 0
      else { return nil }
      byPrompt[prompt] = entry
    }
  }
}
