// Question: one question of the user's data file.
//
// The prompt goes to the workers. The answer, if there is one, goes to the metrics only: the method must not see
// answers, so the training path gets `withoutAnswers`. Not here: reading question files (QuestionFile.swift), comparing
// answers (Answers).

package import Base

/// One message of a conversation.
package struct Turn: Sendable, Equatable {
  /// `system`, `user`, `assistant` or another that the model's chat template knows.
  package var role: String
  package var text: String
  /// The role of the model.
  package static let assistant = "assistant"

  package init(role: String, text: String) {
    self.role = role
    self.text = text
  }

  package var json: JSON { .object([.init("role", .string(role)), .init("content", .string(text))]) }
}

/// One question of a set.
package struct Question: Sendable, Equatable {
  /// Unique in its file; the line number if the file has no ids.
  package var id: String
  /// What the user asks: the text of the last message.
  package var prompt: String
  /// The messages before it, a system line among them; empty for a single question.
  package var earlier: [Turn]
  /// As spelled in the file: "142.0" stays "142.0".
  package var answer: String?
  /// The origin of the question, a label for reports.
  package var source: String?
  /// The field that it belongs to, as "math" or "science": figures are also given for each of them.
  package var domain: String?
  /// The named set to which it belongs, if a file holds several.
  package var set: String?
  package var kind: AnswerKind
  /// Responses to learn from, in the file's order; empty if they were not asked for.
  package var responses: [String] = []
  /// By place in the prompt, the file's place of the option that is shown there; empty if the prompt has no options or
  /// has them in the file's order. The letter of `answer` is that of the prompt.
  package var order: [UInt8] = []
  /// The texts of the options, which end the prompt; empty if there are none, or if they were not asked for.
  package var choices: [String] = []
  /// Another wording of the question, without the options; nil if the file has none, or if it was not asked for.
  package var rephrased: String?

  package init(
    id: String, prompt: String, earlier: [Turn] = [], answer: String? = nil, source: String? = nil,
    domain: String? = nil, set: String? = nil, kind: AnswerKind = .math
  ) {
    self.id = id
    self.prompt = prompt
    self.earlier = earlier
    self.answer = answer
    self.source = source
    self.domain = domain
    self.set = set
    self.kind = kind
  }

  /// The whole conversation up to the response.
  package var conversation: [Turn] { earlier + [Turn(role: "user", text: prompt)] }

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
