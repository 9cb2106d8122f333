// AnswerKind: what sort of answer a question has. It decides how the answer is found and compared (Answers).

package enum AnswerKind: String, Sendable, Hashable, CaseIterable {
  /// Mathematics: LaTeX, numbers, expressions, words.
  case math
  /// A letter from a list of choices.
  case choice
  /// Text, compared without regard to case and spacing.
  case string
  /// Text, compared character by character.
  case exact
  /// A program: the last fenced block. Equal are only equal texts, so its judge is a reward command.
  case code
}
