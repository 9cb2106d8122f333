// ChatTemplate: the text around a question in the prompt.
//
// A model folder has its template as a program in a template language. Four fixed texts cover the supported families. A
// fixed text can be read, tested and named in the settings. Users can write any other template as a text with a
// placeholder for the question. The response is what follows the rendered prompt.
// Not here: conversations of several turns, tools.

package import Base

/// How a question becomes a prompt. The raw value is its name in the settings.
package enum ChatTemplate: String, Sendable, CaseIterable {
  /// The question and a newline: for base models, and for the built-in model.
  case plain
  /// Qwen and others, without a system line.
  case chatML = "chatml"
  /// ChatML with the system line that Qwen2.5-Math was trained with. It needs no suffix.
  case qwen25Math = "qwen2.5-math"
  /// Llama 3 Instruct, without a system line.
  case llama3

  /// The instruction in Qwen2.5-Math's own template.
  package static let reasoningLine = #"Please reason step by step, and put your final answer within \boxed{}."#

  /// The other families need this after the question: without it, base models rarely box an answer, and the vote has
  /// nothing to count. Source: the reference's `suffix_prompt` for Qwen2.5-7B and Llama 3.1.
  package static let reasoningSuffix = "\n" + reasoningLine

  /// The suffix that a run uses if the settings name none.
  package var defaultSuffix: String {
    switch self {
    case .plain, .qwen25Math: ""
    case .chatML, .llama3: Self.reasoningSuffix
    }
  }

  /// The system line that a run uses if the settings name none; nil: no system line.
  package var defaultSystem: String? { self == .qwen25Math ? Self.reasoningLine : nil }

  /// Whether the template can have a system line.
  package var takesSystem: Bool { self != .plain }

  /// The whole prompt, up to the beginning of the response. A system line is an instruction before the user's text.
  package func render(question: String, suffix: String = "", system: String? = nil) -> String {
    let user = question + suffix
    switch self {
    case .plain: return user + "\n"
    case .chatML, .qwen25Math:
      return (system.map { Self.chatML("system", $0) } ?? "") + Self.chatML("user", user) + "<|im_start|>assistant\n"
    case .llama3:
      return "<|begin_of_text|>" + (system.map { Self.llama3("system", $0) } ?? "") + Self.llama3("user", user)
        + "<|start_header_id|>assistant<|end_header_id|>\n\n"
    }
  }

  private static func chatML(_ role: String, _ text: String) -> String {
    "<|im_start|>\(role)\n\(text)<|im_end|>\n"
  }

  private static func llama3(_ role: String, _ text: String) -> String {
    "<|start_header_id|>\(role)<|end_header_id|>\n\n\(text)<|eot_id|>"
  }
}

/// A template, with everything that settings can change about it.
package struct PromptTemplate: Sendable, Equatable {
  package enum Kind: Sendable, Equatable {
    case named(ChatTemplate)
    /// The user's own template. `{question}` is replaced by the question; everything else is unchanged.
    case text(String)
  }

  /// What a text must contain to be a template.
  package static let questionPlaceholder = "{question}"

  package let kind: Kind
  /// nil: no system line.
  package let system: String?
  package let suffix: String

  /// - Parameters:
  ///   - kind: a named template, or the user's own.
  ///   - system: replaces the template's default system line; an empty text removes it.
  ///   - suffix: replaces the template's default suffix.
  package init(_ kind: Kind, system: String? = nil, suffix: String? = nil) {
    self.kind = kind
    guard case .named(let template) = kind else {
      self.system = nil
      self.suffix = suffix ?? ""
      return
    }
    let line = system ?? template.defaultSystem
    self.system = template.takesSystem && line != "" ? line : nil
    self.suffix = suffix ?? template.defaultSuffix
  }

  /// The whole prompt, up to the beginning of the response.
  package func render(question: String) -> String {
    switch kind {
    case .named(let template): template.render(question: question, suffix: suffix, system: system)
    case .text(let text):
      // The text is split at the placeholder, so a placeholder inside the question is not replaced.
      text.components(separatedBy: Self.questionPlaceholder).joined(separator: question + suffix)
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

extension ChatTemplate {
  /// The template of a model folder, guessed from its own template, or, if it has none, from its tokens.
  /// - Parameters:
  ///   - tokenizer: the folder's tokenizer.
  ///   - source: the folder's chat template, from `source(tokenizerConfig:)` or chat_template.jinja.
  /// - Returns: `.plain` if neither is known.
  package static func guess(tokenizer: Tokenizer, source: String?) -> ChatTemplate {
    func has(_ mark: String) -> Bool { source.map { $0.contains(mark) } ?? tokenizer.hasAddedToken(mark) }
    if has("<|im_start|>") {
      let isMath = source.map { $0.contains("put your final answer within") } ?? false
      return isMath ? .qwen25Math : .chatML
    }
    return has("<|start_header_id|>") ? .llama3 : .plain
  }

  /// The system line that a folder's own ChatML template uses if the user gives none, as those of Qwen2.5 do.
  /// - Returns: nil if there is none, or if it is not plain text.
  package static func systemLine(ofChatML source: String) -> String? {
    var rest = source[...]
    // In the template's source, a line break is a backslash and an n.
    while let start = rest.firstRange(of: #"<|im_start|>system\n"#)?.upperBound,
      let end = rest[start...].firstRange(of: "<|im_end|>")?.lowerBound
    {
      let line = rest[start..<end]
      rest = rest[end...]
      // The first system line in the source can be the one that the caller gives. Then the template's own follows it.
      if line.contains("'") || line.contains("{") && line.contains("}}") { continue }
      return line.isEmpty ? nil : String(line).replacing(#"\\"#, with: #"\"#)
    }
    return nil
  }

  /// The `chat_template` of a tokenizer_config.json; if there are several, the default one. nil if there is none.
  package static func source(tokenizerConfig bytes: [UInt8]) throws(JSONError) -> String? {
    let template = try JSON.parse(bytes)["chat_template"]
    guard let named = template?.elements else { return template?.string }
    return (named.first { $0["name"] == "default" } ?? named.first)?["template"]?.string
  }
}
