// StepBudget: how much work one answer may cost, counted in steps and not in seconds.
//
// A clock would let a slow machine call an answer unreadable that a fast one reads, and the two would vote apart. A
// step is a token read, a node parsed, or a node visited by the evaluator; the same text takes the same steps
// everywhere. An answer that uses them up is compared by its spelling, and its key says that it was
// (``AnswerKey/isExhausted``).

/// One budget per answer, shared by everything that reads it.
final class StepBudget {
  /// Answers of people take tens of steps, long polynomials some hundreds. 20,000 steps take about 2 ms.
  static let stepsMax = 20_000

  private(set) var used = 0
  private(set) var isExhausted = false

  /// Counts `steps`.
  /// - Returns: false once the budget is used up; it stays used up.
  func spend(_ steps: Int = 1) -> Bool {
    guard !isExhausted, steps <= Self.stepsMax - used else {
      isExhausted = true
      return false
    }
    used += steps
    return true
  }

  /// Refuses what would need more than the budget allows in another measure than steps: nesting, tokens.
  func exhaust() { isExhausted = true }
}
