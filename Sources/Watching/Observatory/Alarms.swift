// Alarms: what the guard saw, in words.
//
// An alarm is on in a step's record for as long as its sign lasts; it is told once, when it goes on.

/// An alarm that went on.
package struct AlarmOnset: Sendable, Equatable {
  package let step: Int
  package let alarm: AlarmRecord

  /// "guard: few_labels at step 58: questions share fewer and fewer labels (0.21, limit 0.4)"
  package var text: String {
    "guard: \(alarm.name) at step \(step + 1): \(AlarmOnset.meaning(of: alarm.name)) "
      + "(\(Figures.short(alarm.value)), limit \(Figures.short(alarm.limit)))"
  }

  /// What an alarm says; its own name for one that is unknown here.
  static func meaning(of name: String) -> String {
    switch name {
    case "few_labels": "questions share fewer and fewer labels, as in a collapse to one answer"
    case "overturned": "labels that most responses agreed on are replaced by others"
    case "disagreement": "responses agree much less than they did"
    case "no_answers": "many more responses give no answer"
    case "truncation": "many more responses are cut off"
    case "entropy": "entropy is well above the start"
    case "length": "responses have become much longer or shorter"
    case "flips": "most labels change from visit to visit"
    case "locked": "labels stopped changing early"
    case "certain": "all agree and nothing is open any more"
    case "zero_advantage", "silence": "hardly a question has anything left to teach"
    case "divergence": "the policy is far from the model it began as"
    default: name
    }
  }
}

extension RunHistory {
  /// Every alarm, at the step where it went on.
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
