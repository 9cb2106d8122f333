// AnswerRule: finding and comparing answers by our rules or by the reference's.
//
// A key knows by whose rule it was made. Votes count equal keys under both rules. Rewards and figures ask whether an
// answer agrees with a label or a truth: under our rule that is equality of the same keys, under the reference's it is
// a grader of its own (Reference/), which is why its votes and rewards can contradict each other.

package import Base

extension AnswerRule {
  /// The answer in a response: its text and the class it votes for. nil where the response states none, which under the
  /// reference's rule never happens: there it is the empty text.
  package func answer(in response: String, kind: AnswerKind) -> (text: String, key: AnswerKey)? {
    switch self {
    case .exact: return extractAnswer(from: response, kind: kind).map { ($0, answerKey($0, kind: kind)) }
    case .reference:
      let text = kind == .choice ? referenceChoice(in: response) : referenceAnswer(in: response)
      return (text, AnswerKey(referenceText: text))
    }
  }

  /// The key of a question's own answer.
  package func key(ofTruth answer: String, kind: AnswerKind) -> AnswerKey {
    switch self {
    case .exact: answerKey(answer, kind: kind)
    case .reference: AnswerKey(referenceText: answer)
    }
  }
}

extension AnswerKey? {
  /// Whether an answer is the label's, or the truth's. Without both there is nothing to agree.
  package func agrees(with gold: AnswerKey?) -> Bool {
    guard let self, let gold else { return false }
    guard let given = self.referenceText, let right = gold.referenceText else { return self == gold }
    return referenceGrade(given, gold: right)
  }
}

extension AnswerKey {

  /// Whether a label is right.
  ///
  /// The reference looks for an answer in the label as if it were a response; of one that is no number that finds the
  /// last digits or nothing, which is never right (D1).
  package func isRightLabel(for truth: AnswerKey) -> Bool {
    guard let label = referenceText, let gold = truth.referenceText else { return self == truth }
    return referenceGrade(referenceAnswer(in: label), gold: gold)
  }
}
