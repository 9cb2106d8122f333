// AnswerRule: by whose rules answers are found and compared (Answers).

package enum AnswerRule: String, Sendable, Hashable, CaseIterable {
  /// Ours: one equivalence for vote, reward and figures.
  case exact
  /// Those of the reference's release of May 2025, defects included: for comparison only.
  case reference
}
