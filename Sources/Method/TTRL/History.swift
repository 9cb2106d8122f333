// History: for each prompt, its last label and how often the label has changed.
//
// It is computed from the judgements of all steps, in order. The learner keeps it with the optimizer's state and saves
// it in every checkpoint, so it is the same after a restart as without one. A prompt is identified by its index in the
// run's question file, which is fixed when the run begins. Estimators can read it (`Evidence.history`); figures show
// its flips.

import Answers
package import Base

/// One prompt's past.
package struct PromptHistory: Sendable, Equatable {
  /// Visits whose vote had a label.
  package var visits = 0
  /// The key of the latest such label.
  package var label: String?
  /// How often a label differed from the label before it.
  package var flips = 0

  package init() {}
}

package struct History: Sendable {
  private var byPrompt = SortedMap<UInt32, PromptHistory>()

  package init() {}

  package subscript(prompt: UInt32) -> PromptHistory { byPrompt[prompt] ?? PromptHistory() }

  /// Adds a step's votes. A vote without a label changes nothing.
  package mutating func record(_ judgements: [Judgement]) {
    for judgement in judgements {
      guard let label = judgement.vote.label?.text else { continue }
      var entry = self[judgement.prompt]
      entry.visits += 1
      entry.flips += judgement.isFlip == true ? 1 : 0
      entry.label = label
      byPrompt[judgement.prompt] = entry
    }
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
          "flips": .int(entry.flips),
        ]
      })
  }

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
      byPrompt[prompt] = entry
    }
  }
}
