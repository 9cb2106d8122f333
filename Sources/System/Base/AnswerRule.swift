// AnswerRule: the rules by which answers are found and compared (Answers).

package enum AnswerRule: String, Sendable, Hashable, CaseIterable {
  /// This project's rules: one equivalence for vote, reward and figures.
  case exact
  /// The rules of the reference's release of May 2025, including its defects: for comparison only.
  case reference
}
