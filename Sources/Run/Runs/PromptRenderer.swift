// PromptRenderer: turns questions into the tokens that the model sees.

import Answers
import Base
package import LanguageModel
import Platform
package import Records
package import Settings
import Templates

/// Why a question cannot become a prompt, or no question can.
package struct PromptingError: LastingError, CustomStringConvertible {
  package let description: String
}

package struct PromptRenderer: Sendable, CustomStringConvertible {
  let tokenizer: Tokenizer
  private let template: PromptTemplate
  private let rule: AnswerRule
  /// What the tokenizer puts before a text of no template, as BOS. Templates write it themselves.
  private let beginning: [Int32]
  /// Tokens that end a response, of which the first is the model's own end of text.
  private let endTokens: [Int32]
  /// Whether `auto` found no template in the model's directory.
  private let lacksTemplate: Bool

  /// Chooses template, system line and suffix: those of the settings, or else the model's own template.
  ///
  /// - Throws: if the directory's chat template cannot be read or is not reproduced here.
  package init(settings: RunSettings, model: ModelDirectory, tokenizer: Tokenizer) throws {
    self.tokenizer = tokenizer
    rule = settings.method.answers
    endTokens = model.configuration.eosTokens
    let suffix = settings.suffix == RunSettings.noText ? "" : settings.suffix
    let system = settings.system.isEmpty ? nil : settings.system == RunSettings.noText ? "" : settings.system
    let kind: PromptTemplate.Kind
    if settings.template.contains(PromptTemplate.questionPlaceholder) {
      kind = .text(settings.template)
    } else if let named = ChatTemplate(rawValue: settings.template) {
      kind = .named(named)
    } else {
      kind = try Self.own(settings, model).map { .own($0) } ?? .named(.plain)
    }
    if settings.template == "auto" { try Self.check(settings, kind, model) }
    lacksTemplate = if settings.template == "auto", case .named = kind { true } else { false }
    template = PromptTemplate(kind, system: system, suffix: suffix)
    beginning = if case .named(.plain) = kind { try Self.beginning(tokenizer, model) } else { [] }
  }

  /// The model's own template; nil if it has none.
  private static func own(_ settings: RunSettings, _ model: ModelDirectory) throws -> ModelTemplate? {
    let arguments =
      settings.templateArguments.isEmpty ? nil : try JSON.parse(Array(settings.templateArguments.utf8)).members
    do {
      return try ModelTemplate(
        try ModelDirectory.templateFiles(at: model.path), arguments: arguments ?? [],
        now: CalendarTime(settings.templateDate) ?? WallClock.local())
    } catch let error as ModelTemplateError {
      throw PromptingError(description: "cannot ask the model in \(model.path): \(error)".visible)
    }
  }

  private static func beginning(_ tokenizer: Tokenizer, _ model: ModelDirectory) throws -> [Int32] {
    do { return try tokenizer.tokensAround().before } catch {
      throw PromptingError(
        description: "cannot ask the model in \(model.path) plainly: \(error). Choose another --template".visible)
    }
  }

  /// Refuses settings that have no effect on what `auto` found.
  private static func check(_ settings: RunSettings, _ kind: PromptTemplate.Kind, _ model: ModelDirectory) throws {
    switch kind {
    case .own:
      guard settings.system == RunSettings.noText else { return }
      throw PromptingError(
        description: "system '' removes the system line of a named template, but the template of the model in "
          + "\(model.path) decides itself what it writes for a question without one; leave system out, or choose "
          + "another --template")
    default:
      let given = [
        ("system", settings.system), ("template-arguments", settings.templateArguments),
      ].filter { !$0.1.isEmpty && $0.1 != RunSettings.noText }.map(\.0)
      guard !given.isEmpty else { return }
      throw PromptingError(
        description: "\(given.joined(separator: " and ")) would have no effect: the model in \(model.path) has no chat "
          + "template, so a prompt is the question and a newline. Choose a --template with a system line, or write "
          + "the line into one of your own")
    }
  }

  /// What the template takes as now, as the setting `template-date`; empty if no prompt depends on it.
  package var date: String {
    guard case .own(let own) = template.kind, own.usesDate else { return "" }
    return own.now.text
  }

  /// How a question becomes a prompt, for the user.
  package var description: String {
    func quoted(_ text: String) -> String { JSON.string(text).text() }
    var parts: [String] = []
    switch template.kind {
    case .named(let named): parts.append("template \(named.rawValue)")
    case .text(let text): parts.append("template \(quoted(text))")
    case .own(let own):
      parts.append("the model's own chat template (\(own.file))")
      if !own.arguments.isEmpty { parts.append("with \(JSON.object(own.arguments).text())") }
      if own.usesDate { parts.append("on \(own.now.text)") }
    }
    if lacksTemplate { parts[0] += " (the model has no chat template)" }
    if let system = template.system { parts.append("system line \(quoted(system))") }
    if !template.suffix.isEmpty { parts.append("suffix \(quoted(template.suffix))") }
    return parts.joined(separator: ", ")
  }

  /// A question as the model sees it.
  ///
  /// - Throws: `PromptingError` if the template does not render it.
  package func rendered(_ question: Question) throws -> RenderedPrompt {
    do throws(PromptError) {
      let text = try template.render(question)
      return RenderedPrompt(text: text, tokens: beginning + tokenizer.encode(text))
    } catch {
      throw PromptingError(description: "question \(question.id): \(error)".visible)
    }
  }

  /// The tokens of a given response: those that follow the prompt's in the whole conversation, and the token that ends
  /// it. They are what a sampler would have to draw for this text.
  ///
  /// The template decides which token ends a response. One that writes no end (`plain`, a text of the user's) leaves it
  /// to the model: the first of its end tokens.
  /// - Throws: `PromptingError` if the conversation has other tokens than the prompt and the response, with both.
  package func tokens(of response: String, to question: Question) throws -> [Int32] {
    let prompt = try rendered(question)
    let open = beginning + tokenizer.encode(prompt.text + response)
    func refuse(_ problem: String, _ learned: String, _ found: String) -> PromptingError {
      PromptingError(
        description: "the response to question \(question.id.visible) cannot be learned: \(problem)\n"
          + "    prompt and response: \(learned)\n    the conversation:    \(found)")
    }
    guard open.starts(with: prompt.tokens) else {
      let place = zip(open, prompt.tokens).enumerated().first { $1.0 != $1.1 }?.offset ?? open.count
      throw refuse(
        "its beginning becomes one token with the end of the prompt. Begin the response with other characters, or "
          + "choose another --template",
        texts(prompt.tokens, from: place) + " | " + texts(tokenizer.encode(response), from: 0),
        texts(open, from: place))
    }
    let tokens = open[prompt.tokens.count...]
    if let end = tokens.first(where: endTokens.contains) {
      throw PromptingError(
        description: "the response to question \(question.id.visible) cannot be learned: it has the text "
          + "\(texts([end], from: 0)) inside, which ends a response. Remove it")
    }
    guard template.endsResponses else {
      guard let end = endTokens.first else {
        throw PromptingError(
          description: "the response to question \(question.id.visible) cannot be learned: nothing says which token "
            + "ends a response. Add \"eos_token_id\" to the model's generation_config.json, or choose a chat template")
      }
      return tokens + [end]
    }
    let whole = try text(of: question, response)
    let learned = prompt.text + response
    guard whole.utf8.starts(with: learned.utf8) else {
      throw refuse(
        "the template writes another text for the whole conversation than for the prompt, followed by the response. "
          + "Choose another --template, or other --template-arguments",
        Self.excerpt(of: learned, comparedWith: whole), Self.excerpt(of: whole, comparedWith: learned))
    }
    let all = beginning + tokenizer.encode(whole)
    guard all.starts(with: open), all.count > open.count, endTokens.contains(all[open.count]) else {
      let names = endTokens.map { texts([$0], from: 0) }.joined(separator: ", ")
      throw refuse(
        "behind it the template does not write a token with which the model ends a response"
          + (names.isEmpty ? "" : " (\(names))") + ". Choose another --template",
        texts(open, from: max(0, open.count - 2)), texts(all, from: max(0, open.count - 2)))
    }
    return tokens + [all[open.count]]
  }

  private func text(of question: Question, _ response: String) throws -> String {
    do throws(PromptError) { return try template.render(question, response: response) } catch {
      throw PromptingError(description: "question \(question.id): \(error)".visible)
    }
  }

  /// Tokens as text, special ones too.
  func text(of tokens: [Int32]) -> String { tokenizer.decode(tokens, skipSpecial: false) }

  /// A few tokens, each in quotes, for messages.
  private func texts(_ tokens: [Int32], from place: Int) -> String {
    tokens.dropFirst(place).prefix(3).map { JSON.string(text(of: [$0])).text() }
      .joined(separator: " ")
  }

  /// The place where a text begins to differ from another one, in quotes, for messages.
  static func excerpt(of text: String, comparedWith other: String) -> String {
    let bytes = Array(text.utf8)
    let same = zip(bytes, other.utf8).prefix { $0 == $1 }.count
    let (start, end) = (max(0, same - excerptBytes / 2), min(bytes.count, same + excerptBytes / 2))
    return (start > 0 ? "…" : "") + JSON.string(String(decoding: bytes[start..<end], as: UTF8.self)).text()
      + (end < bytes.count ? "…" : "")
  }

  /// Bytes around a difference: a line of a terminal.
  private static let excerptBytes = 80

  /// A question as the model sees it, for the user.
  ///
  /// - Throws: `PromptingError` if the template does not render it.
  package func example(_ question: Question) throws -> ExamplePrompt {
    let prompt = try rendered(question)
    return ExamplePrompt(id: question.id, text: prompt.text, tokens: prompt.tokens.count, form: description)
  }

  /// - Parameter questions: those of one set. A question's place in the list is its index.
  /// - Throws: `PromptingError` for the first that the template does not render.
  package func promptSet(_ questions: [Question]) throws -> Run.PromptSet {
    Run.PromptSet(
      questions: questions,
      prompts: try questions.enumerated().map { index, question in
        let prompt = try rendered(question)
        return Prompt(
          index: UInt32(index), tokens: prompt.tokens, kind: question.kind,
          opensThinking: Thinking.isOpen(atEndOf: prompt.text), order: question.order)
      },
      truth: questions.map { question in
        question.fileAnswer.map { rule.key(ofTruth: $0, kind: question.kind) }
      })
  }
}

/// One question as the model sees it.
package struct RenderedPrompt: Sendable {
  package var text: String
  package var tokens: [Int32]
}
