// AnswerKind: what sort of answer a question has. It decides how the answer is found and compared (Answers).

package enum AnswerKind: String, Sendable, Hashable, CaseIterable {
  case math
  case choice
  case string
}
