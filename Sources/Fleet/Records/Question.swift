// Question: one question of the user's data file.
//
// The prompt goes to the workers. The answer, if there is one, goes to the metrics only: the method must not see
// answers, so the training path gets `withoutAnswers`. Not here: reading question files (QuestionFile.swift), comparing
// answers (Answers).

package import Base

/// One question of a set.
package struct Question: Sendable, Equatable {
  /// Unique in its file; the line number if the file has no ids.
  package var id: String
  package var prompt: String
  /// As spelled in the file: "142.0" stays "142.0".
  package var answer: String?
  /// The origin of the question, a label for reports.
  package var source: String?
  /// The named set to which it belongs, if a file holds several.
  package var set: String?
  package var kind: AnswerKind

  package init(
    id: String, prompt: String, answer: String? = nil, source: String? = nil, set: String? = nil,
    kind: AnswerKind = .math
  ) {
    self.id = id
    self.prompt = prompt
    self.answer = answer
    self.source = source
    self.set = set
    self.kind = kind
  }

  package var withoutAnswer: Question {
    var question = self
    question.answer = nil
    return question
  }
}

extension [Question] {
  /// The same questions without what a method without labels must not know.
  package var withoutAnswers: [Question] { map(\.withoutAnswer) }
}
