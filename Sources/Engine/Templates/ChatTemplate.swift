// ChatTemplate: fixed texts around a question, for models without a template of their own, and for users who want one
// of these forms whatever the model brings. A fixed text can be read, tested and named in the settings.

import Base
package import Records

/// A fixed form of a prompt. The raw value is its name in the settings.
package enum ChatTemplate: String, Sendable, CaseIterable {
  /// The question and a newline: for base models, and for the built-in model.
  case plain
  /// Qwen and others, without a system line.
  case chatML = "chatml"
  /// ChatML with the system line that Qwen2.5-Math was trained with.
  case qwen25Math = "qwen2.5-math"
  /// Llama 3 Instruct, without a system line.
  case llama3

  /// The instruction in Qwen2.5-Math's own template.
  private static let reasoningLine = #"Please reason step by step, and put your final answer within \boxed{}."#

  /// The system line of a conversation that has none; nil: no system line.
  fileprivate var defaultSystem: String? { self == .qwen25Math ? Self.reasoningLine : nil }

  /// Whether the template can have messages before the question.
  fileprivate var takesTurns: Bool { self != .plain }

  /// The whole prompt, up to the beginning of the response; or, if the last of the turns is the response, the whole
  /// conversation.
  ///
  /// - Parameter turns: the question is the last, or the response to it. `plain` shows only these two.
  fileprivate func render(_ turns: [Turn]) -> String {
    let isWhole = turns.last?.role == Turn.assistant
    return switch self {
    case .plain: isWhole ? turns.suffix(2).map(\.text).joined(separator: "\n") : (turns.last?.text ?? "") + "\n"
    case .chatML, .qwen25Math:
      turns.map { "<|im_start|>\($0.role)\n\($0.text)<|im_end|>\n" }.joined()
        + (isWhole ? "" : "<|im_start|>assistant\n")
    case .llama3:
      "<|begin_of_text|>"
        + turns.map { "<|start_header_id|>\($0.role)<|end_header_id|>\n\n\($0.text)<|eot_id|>" }.joined()
        + (isWhole ? "" : "<|start_header_id|>assistant<|end_header_id|>\n\n")
    }
  }
}

/// Why a question cannot become a prompt.
package enum PromptError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The model's own template does not render it.
  case template(file: String, TemplateError)
  /// The form of the prompt has no place for the messages before the question.
  case earlierMessages(template: String)

  package var description: String {
    switch self {
    case .template(let file, let error): "\(file), \(error)"
    case .earlierMessages(let template):
      "the question has messages before it, and the template \(template) has no place for them. Use a template for "
        + "conversations, or ask the question in one message"
    }
  }
}

/// A form of prompts, with everything that settings can change about it.
package struct PromptTemplate: Sendable {
  package enum Kind: Sendable {
    case named(ChatTemplate)
    /// The user's own text. `{question}` is replaced by the question; everything else is unchanged.
    case text(String)
    /// The template that the model brings.
    case own(ModelTemplate)
  }

  /// What a text must contain to be a template.
  package static let questionPlaceholder = "{question}"

  package let kind: Kind
  /// The system line of a question that has none of its own; nil: what the template does without one.
  package let system: String?
  package let suffix: String

  /// - Parameters:
  ///   - kind: where the form comes from.
  ///   - system: replaces the default system line of a named template; an empty text removes it.
  ///   - suffix: appended to every question.
  package init(_ kind: Kind, system: String? = nil, suffix: String = "") {
    self.kind = kind
    self.suffix = suffix
    let line =
      switch kind {
      case .named(let template) where template.takesTurns: system ?? template.defaultSystem
      case .own: system
      case .named, .text: nil as String?
      }
    self.system = line == "" ? nil : line
  }

  /// Whether the template writes what ends a response.
  package var endsResponses: Bool {
    switch kind {
    case .named(let template): template.takesTurns
    case .text: false
    case .own: true
    }
  }

  /// The whole prompt, up to the beginning of the response; or the whole conversation with its response.
  ///
  /// - Throws: if the template does not render the conversation.
  package func render(_ question: Question, response: String? = nil) throws(PromptError) -> String {
    var turns = question.conversation
    turns[turns.count - 1].text += suffix
    if let system, turns[0].role != "system" { turns.insert(Turn(role: "system", text: system), at: 0) }
    if let response { turns.append(Turn(role: Turn.assistant, text: response)) }
    switch kind {
    case .named(let template):
      guard template.takesTurns || question.earlier.isEmpty else {
        throw .earlierMessages(template: template.rawValue)
      }
      return template.render(turns)
    case .text(let text):
      guard question.earlier.isEmpty else { throw .earlierMessages(template: JSON.string(text.excerpt).text()) }
      // The text is split at the placeholder, so a placeholder inside the question is not replaced.
      return text.components(separatedBy: Self.questionPlaceholder).joined(separator: question.prompt + suffix)
        + (response ?? "")
    case .own(let template):
      do throws(TemplateError) { return try template.render(turns) } catch {
        throw .template(file: template.file, error)
      }
    }
  }
}

extension String {
  /// The parts between occurrences of a text; one part if there is none.
  fileprivate func components(separatedBy mark: String) -> [String] {
    let (whole, mark) = (Array(utf8), Array(mark.utf8))
    var parts: [String] = []
    var start = 0
    var index = 0
    while index + mark.count <= whole.count {
      if whole[index..<index + mark.count].elementsEqual(mark) {
        parts.append(String(decoding: whole[start..<index], as: UTF8.self))
        index += mark.count
        start = index
      } else {
        index += 1
      }
    }
    return parts + [String(decoding: whole[start...], as: UTF8.self)]
  }
}
