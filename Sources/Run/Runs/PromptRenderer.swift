// PromptRenderer: turns questions into the tokens that the model sees.

import Answers
import Base
package import LanguageModel
package import Records
package import Settings

package struct PromptRenderer: Sendable, CustomStringConvertible {
  private let tokenizer: Tokenizer
  package let template: PromptTemplate
  private let rule: AnswerRule

  /// Chooses template, system line and suffix: those of the settings, or else those that the model directory suggests.
  ///
  /// - Throws: if the directory's chat template cannot be read.
  package init(settings: RunSettings, model: ModelDirectory, tokenizer: Tokenizer) throws {
    self.tokenizer = tokenizer
    rule = settings.method.answers
    let suffix = Self.text(settings.suffix)
    let system = Self.text(settings.system)
    if settings.template.contains(PromptTemplate.questionPlaceholder) {
      template = PromptTemplate(.text(settings.template), suffix: suffix)
    } else if let named = ChatTemplate(rawValue: settings.template) {
      template = PromptTemplate(.named(named), system: system, suffix: suffix)
    } else {
      let suggested = try model.suggestedTemplate(tokenizer)
      template = PromptTemplate(.named(suggested.template), system: system ?? suggested.system, suffix: suffix)
    }
  }

  /// How a question becomes a prompt, for the user.
  package var description: String {
    func quoted(_ text: String) -> String { JSON.string(text).text() }
    let name =
      switch template.kind {
      case .named(let named): "template \(named.rawValue)"
      case .text(let text): "template \(quoted(text))"
      }
    return name + (template.system.map { ", system line \(quoted($0))" } ?? "")
      + (template.suffix.isEmpty ? "" : ", suffix \(quoted(template.suffix))")
  }

  /// A text of the settings: nil leaves the template's own, an empty text removes it.
  private static func text(_ setting: String) -> String? {
    setting.isEmpty ? nil : setting == RunSettings.noText ? "" : setting
  }

  package func tokens(of question: String) -> [Int32] {
    tokenizer.encode(template.render(question: question))
  }

  /// - Parameter questions: those of one set. A question's place in the list is its index.
  package func promptSet(_ questions: [Question]) -> Run.PromptSet {
    Run.PromptSet(
      questions: questions,
      prompts: questions.enumerated().map { index, question in
        Prompt(index: UInt32(index), tokens: tokens(of: question.prompt), kind: question.kind)
      },
      truth: questions.map { question in question.answer.map { rule.key(ofTruth: $0, kind: question.kind) } })
  }
}
