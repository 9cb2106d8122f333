// Question: what a user asks the model to get better at.
//
// Read from the user's data file; the prompt goes to the workers, the answer, where there is one, to the metrics only.
// The method must not be able to see answers, so `withoutAnswers` is what the training path is given.
// Not here: reading files of questions (QuestionFile.swift), comparing answers (Answers).

package import Base

/// One question of a set. Written by whoever prepared the data; read by the plan, the workers and the metrics.
package struct Question: Sendable, Equatable {
  /// Unique in its file; the line number where the file has no ids.
  package var id: String
  package var prompt: String
  /// As it is spelled in the file: "142.0" stays "142.0".
  package var answer: String?
  /// Where the question is from; a label for reports.
  package var source: String?
  /// The named set that it belongs to, where a file holds several.
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
  /// The same questions, with nothing that a method without labels may know.
  package var withoutAnswers: [Question] { map(\.withoutAnswer) }
}
