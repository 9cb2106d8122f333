// AnswerRule: finds and compares answers by one of two rules: `exact` is this program's own, `reference` is that of the
// reference implementation.
//
// A key knows by which rule it was made. Under both rules, a vote counts equal keys. Rewards and figures ask whether an
// answer agrees with a label or a truth. Under `exact`, they agree if their keys are equal. Under `reference`, a
// separate grader decides (Reference/), so its votes and its rewards can contradict each other.

package import Base

extension AnswerRule {
  /// The answer in a response: its text, and the class that it votes for. nil if the response states none. Under the
  /// reference's rule this never happens: there the answer is then the empty text.
  /// - Parameter startsInThinking: whether the prompt ended inside of thinking (``Thinking/isOpen(atEndOf:)``). The
  ///   reference's rule does not know of thinking.
  package func answer(
    in response: String, kind: AnswerKind, startsInThinking: Bool = false
  ) -> (text: String, key: AnswerKey)? {
    switch self {
    case .exact:
      return extractAnswer(from: response, kind: kind, startsInThinking: startsInThinking).map {
        ($0, answerKey($0, kind: kind))
      }
    case .reference:
      let text = kind == .choice ? referenceChoice(in: response) : referenceAnswer(in: response)
      return (text, AnswerKey(referenceText: text))
    }
  }

  /// The key of a question's true answer.
  package func key(ofTruth answer: String, kind: AnswerKind) -> AnswerKey {
    switch self {
    case .exact: answerKey(answer, kind: kind)
    case .reference: AnswerKey(referenceText: answer)
    }
  }
}

extension AnswerKey? {
  /// Whether an answer agrees with a label or a truth. False if one of the two is nil.
  package func agrees(with gold: AnswerKey?) -> Bool {
    guard let self, let gold else { return false }
    guard let given = self.referenceText, let right = gold.referenceText else { return self == gold }
    return referenceGrade(given, gold: right)
  }
}

extension AnswerKey {
  /// Whether a label is right.
  ///
  /// The reference searches the label for an answer as if the label were a response. If the label is not a number, this
  /// finds its last digits or nothing, which is never right (D1 in docs/algorithm.md).
  package func isRightLabel(for truth: AnswerKey) -> Bool {
    guard let label = referenceText, let gold = truth.referenceText else { return self == truth }
    return referenceGrade(referenceAnswer(in: label), gold: gold)
  }
}
