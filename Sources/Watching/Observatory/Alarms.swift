// Alarms: what the guard saw, in words.
//
// An alarm is in the record of every step at which its condition is true. It is reported once, at the first of them.

/// An alarm at the first step that has it.
package struct AlarmOnset: Sendable, Equatable {
  package let step: Int
  package let alarm: AlarmRecord

  /// "guard: few_labels at step 58: there are few distinct labels, … (0.21, limit 0.4)"
  package var text: String {
    "guard: \(alarm.name) at step \(step): \(AlarmOnset.meaning(of: alarm.name)) "
      + "(\(Figures.short(alarm.value)), limit \(Figures.short(alarm.limit)))"
  }

  /// What an alarm means; its own name if it is not known here.
  static func meaning(of name: String) -> String {
    switch name {
    case "few_labels": "there are few distinct labels, as in a collapse to one answer"
    case "overturned": "labels that most responses had agreed on are replaced by others"
    case "disagreement": "responses agree much less than before"
    case "no_answers": "many more responses give no answer"
    case "truncation": "many more responses are cut off"
    case "entropy": "the entropy is well above that of the first steps"
    case "length": "responses have become much longer or shorter"
    case "flips": "most labels change from one visit to the next"
    case "locked": "labels stopped changing early"
    case "certain": "nearly all responses agree, and the entropy is near 0"
    case "zero_advantage": "almost every group has zero advantage, so there is almost nothing to learn from"
    case "divergence": "the policy is far from the base model"
    default: name
    }
  }
}

extension RunHistory {
  /// Every alarm, with the first step that has it.
  package var alarms: [AlarmOnset] {
    var on: [String] = []
    var onsets: [AlarmOnset] = []
    for step in steps {
      onsets += step.alarms.filter { !on.contains($0.name) }.map { AlarmOnset(step: step.step, alarm: $0) }
      on = step.alarms.map(\.name)
    }
    return onsets
  }
}
