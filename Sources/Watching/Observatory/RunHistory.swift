// RunHistory: what a run has recorded so far, read from its metrics.jsonl.
//
// The program that appends to the file can be killed at any byte, and a run that continues can write a step again. So
// reading never fails: an incomplete last line is ignored, a damaged line is remembered by its number, and the last
// record of a step or an evaluation replaces the earlier ones. A figure that a line does not have, or has as null, is
// nil. Tables, the report and summary.json are functions of this value.

package import Base
import Records

/// All records of a run, each once, in order.
package struct RunHistory: Sendable {
  private var stepsByIndex = SortedMap<Int, StepRecord>()
  private var evaluationsByPlace = SortedMap<EvaluationRecord.Place, EvaluationRecord>()
  /// The version that the run delivered; nil until it is finished.
  package private(set) var delivered: DeliveredRecord?
  /// Numbers, from 1, of lines that are not a record. An incomplete last line is not counted.
  package private(set) var unreadableLines: [Int] = []

  package init() {}

  /// - Parameter metrics: the text of metrics.jsonl.
  package init(parsing metrics: String) { self.init(parsing: Array(metrics.utf8)) }

  /// - Parameter metrics: the bytes of metrics.jsonl. An incomplete last line need not be UTF-8.
  package init(parsing metrics: [UInt8]) {
    var start = 0
    var line = 1
    while start < metrics.count {
      let end = metrics[start...].firstIndex(of: UInt8(ascii: "\n")) ?? metrics.count
      if !isBlank(metrics[start..<end]) {
        let record = try? MetricsRow.parse(metrics, in: start..<end)
        let isRead = record.map { add($0) } ?? false
        if !isRead, end < metrics.count { unreadableLines.append(line) }
      }
      start = end + 1
      line += 1
    }
  }

  /// Adds one line's value, in place of an earlier one for the same step, or the same policy and set.
  ///
  /// - Returns: whether it is a record. Records of unknown kinds count as read: a later version can write
  ///   them.
  @discardableResult package mutating func add(_ record: JSON) -> Bool {
    switch record["kind"]?.string {
    case "step":
      guard let step = StepRecord(record) else { return false }
      stepsByIndex[step.step] = step
    case "evaluation":
      guard let evaluation = EvaluationRecord(record) else { return false }
      evaluationsByPlace[evaluation.place] = evaluation
    case "delivered":
      guard let record = DeliveredRecord(record) else { return false }
      delivered = record
    case nil: return false
    default: break
    }
    return true
  }
}

private func isBlank(_ line: ArraySlice<UInt8>) -> Bool {
  line.allSatisfy { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: "\r") }
}

// MARK: - Views

extension RunHistory {
  /// One record per step, by step.
  package var steps: [StepRecord] { stepsByIndex.values }

  /// One record per policy and set of questions, by policy, the training set first.
  package var evaluations: [EvaluationRecord] { evaluationsByPlace.values }

  /// The evaluations on one set of questions, by policy.
  package func evaluations(on set: QuestionSet) -> [EvaluationRecord] { evaluations.filter { $0.set == set } }

  /// Whether no step had an answer to vote on, and so none changed the weights. False before the first step. Rewards
  /// that need no answers (`entropy`, `confidence`) can change them.
  package var hasNothingToVoteOn: Bool {
    !steps.isEmpty && steps.allSatisfy { ($0.unlabeledRatio ?? 0) >= 1 && ($0[.updates] ?? 0) == 0 }
  }

  /// Samples that early stop left out, and all that there would have been; nil if it left out none.
  package var savedSamples: (saved: Int, of: Int)? {
    let saved = steps.reduce(0) { $0 + ($1.unneededSamples ?? 0) }
    let counted = steps.reduce(0) { $0 + $1.prompts.reduce(0) { $0 + $1.samples } }
    return saved > 0 ? (saved, counted + saved) : nil
  }

  /// How many different prompts have been trained on.
  package var promptCount: Int { visitsByPrompt.count }

  /// Every prompt with its visits in step order, by prompt.
  var visitsByPrompt: SortedMap<Int, [PromptVisit]> {
    var visits = SortedMap<Int, [PromptVisit]>()
    for step in steps {
      for prompt in step.prompts {
        let visit = PromptVisit(step: step.step, record: prompt)
        if visits.update(prompt.prompt, { $0.append(visit) }) == nil { visits[prompt.prompt] = [visit] }
      }
    }
    return visits
  }

  /// Seconds that the steps after the last recorded one will take, at the mean pace of the last 8; nil before the
  /// first.
  ///
  /// - Parameter stepCount: the steps of the whole run.
  package func secondsLeft(ofSteps stepCount: Int) -> Double? {
    let recent = steps.suffix(8).compactMap(\.seconds)
    guard let last = steps.last, !recent.isEmpty else { return nil }
    let pace = recent.reduce(0, +) / Double(recent.count)
    return pace * Double(max(0, stepCount - last.step - 1))
  }
}

/// One prompt's group in one step.
struct PromptVisit: Sendable {
  let step: Int
  let record: PromptRecord
}
