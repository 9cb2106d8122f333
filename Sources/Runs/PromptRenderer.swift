// PromptRenderer: questions to the tokens that the model sees.

import Answers
import Base
package import LanguageModel
package import Records
package import Settings

package struct PromptRenderer: Sendable {
  private let tokenizer: Tokenizer
  package let template: ChatTemplate
  package let suffix: String
  private let rule: AnswerRule

  /// Chooses template and suffix: as set, else what the model directory suggests.
  ///
  /// - Throws: if the directory's chat template cannot be read.
  package init(settings: Settings, model: ModelDirectory, tokenizer: Tokenizer) throws {
    self.tokenizer = tokenizer
    template =
      try ChatTemplate(rawValue: settings.template) ?? model.suggestedTemplate(tokenizer)
    rule = settings.method.answers
    suffix = settings.suffix.isEmpty ? template.defaultSuffix : settings.suffix
  }

  package func tokens(of question: String) -> [Int32] {
    tokenizer.encode(template.render(question: question, suffix: suffix))
  }

  /// - Parameter questions: those of one set, in order; their places are their indices.
  package func promptSet(_ questions: [Question]) -> Run.PromptSet {
    Run.PromptSet(
      questions: questions,
      prompts: questions.enumerated().map { index, question in
        Prompt(index: UInt32(index), tokens: tokens(of: question.prompt), kind: question.kind)
      },
      truth: questions.map { question in question.answer.map { rule.key(ofTruth: $0, kind: question.kind) } })
  }
}
