// StepBudget: the limit on the work for one answer, counted in steps and not in seconds.
//
// With a time limit, a slow machine could give up on an answer that a fast machine reads, and their votes would differ.
// A step is a token that is read, a node that is parsed, or a node that the evaluator visits. The same text takes the
// same steps on every machine. An answer that needs more steps is compared by its spelling, and its key says so
// (``AnswerKey/isExhausted``).

/// The budget of one answer. Everything that reads the answer shares it.
final class StepBudget {
  /// Usual answers take tens of steps, long polynomials some hundreds. 20,000 steps take about 2 ms.
  static let stepsMax = 20_000

  private(set) var used = 0
  private(set) var isExhausted = false

  /// Counts `steps`.
  /// - Returns: whether the budget was large enough. If not, it stays exhausted.
  func spend(_ steps: Int = 1) -> Bool {
    guard !isExhausted, steps <= Self.stepsMax - used else {
      isExhausted = true
      return false
    }
    used += steps
    return true
  }

  /// Ends the budget because another limit was exceeded: nesting, or the number of tokens.
  func exhaust() { isExhausted = true }
}
