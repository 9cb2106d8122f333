// RunDifference: the first differences between two runs.
//
// Two runs with the same settings are the same, bit for bit. If they are not, the first difference shows the cause: a
// setting, a response (a worker's arithmetic), a step's figures (the learner's arithmetic), the weights. The first of
// each kind is reported; later ones follow from it. Different times are not a difference.

package import Base
import Records

package struct RunDifference: Sendable, Equatable {
  /// Settings that can change a result, with both values.
  package var settings: [(name: String, left: String, right: String)] = []
  /// Input that differs: the model's hash, a question.
  package var facts: [(name: String, left: String, right: String)] = []
  /// The first response that differs: its place, and how it differs.
  package var response: String?
  /// The first step whose figures differ, from 0, and their names.
  package var step: (step: Int, figures: [String])?
  /// The first policy version whose weights differ.
  package var policy: Int?
  /// What was compared and found equal.
  package var equalResponses = 0
  package var equalSteps = 0
  package var equalPolicies = 0

  package init() {}

  package static func == (left: Self, right: Self) -> Bool { left.text == right.text }

  package var isEmpty: Bool {
    settings.isEmpty && facts.isEmpty && response == nil && step == nil && policy == nil
  }

  /// Whether a member of a step's record is a time, or has times.
  private static func isTime(_ name: String) -> Bool {
    name == "processes" || FigureName.named(name)?.isTime ?? false
  }

  /// The names of the figures in which two records of a step differ, in the order of the first.
  package static func figures(_ left: JSON, _ right: JSON) -> [String] {
    let names = (left.members ?? []).map(\.key)
    let added = (right.members ?? []).map(\.key).filter { !names.contains($0) }
    return (names + added).filter { !isTime($0) && left[$0] != right[$0] }
  }

  package var text: String {
    var lines: [String] = []
    for one in facts { lines.append("\(one.name.visible): \(one.left.visible) here, \(one.right.visible) there") }
    for one in settings { lines.append("setting \(one.name): \(one.left.visible) here, \(one.right.visible) there") }
    if let response { lines.append("first response that differs: \(response.visible)") }
    if let step {
      let names = step.figures.prefix(8).map(\.visible).joined(separator: ", ") + (step.figures.count > 8 ? ", …" : "")
      lines.append("first step whose figures differ: step \(step.step) (\(names))")
    }
    if let policy { lines.append("the weights differ from policy version \(policy) on") }
    let equal =
      "\(counted(equalResponses, "response")), \(counted(equalSteps, "step")) and "
      + "\(counted(equalPolicies, "policy version"))"
    guard isEmpty else { return (lines + ["equal before that: \(equal)"]).joined(separator: "\n") }
    return "no difference: \(equal) are the same, bit for bit"
  }
}
