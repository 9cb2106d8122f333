// ChatTemplate: what stands around a question before the model sees it.
//
// Model folders carry their template as a program in a template language. Four fixed texts cover the families we run,
// and a fixed text can be read, tested and named in the settings; any other is written by the user, as a text with a
// place for the question. A response is what follows the rendered prompt.
// Not here: conversations of several turns, tools.

package import Base

/// How a question becomes a prompt. The raw value is its name in the settings.
package enum ChatTemplate: String, Sendable, CaseIterable {
  /// The question and a newline: for base models, and for the embedded default.
  case plain
  /// Qwen and others, without a system line.
  case chatML = "chatml"
  /// ChatML with the system line that Qwen2.5-Math was trained with; needs no suffix.
  case qwen25Math = "qwen2.5-math"
  /// Llama 3 Instruct, without a system line.
  case llama3

  /// What Qwen2.5-Math's own template says to the model.
  package static let reasoningLine = #"Please reason step by step, and put your final answer within \boxed{}."#

  /// What the other families need after the question: without it base models rarely box an answer, and the vote has
  /// nothing to count. Source: the reference's `suffix_prompt` for Qwen2.5-7B and Llama 3.1.
  package static let reasoningSuffix = "\n" + reasoningLine

  /// The suffix that a run uses unless told otherwise.
  package var defaultSuffix: String {
    switch self {
    case .plain, .qwen25Math: ""
    case .chatML, .llama3: Self.reasoningSuffix
    }
  }

  /// The system line that it has by itself, if any.
  package var defaultSystem: String? { self == .qwen25Math ? Self.reasoningLine : nil }

  /// Whether there is a place for a system line.
  package var takesSystem: Bool { self != .plain }

  /// The whole prompt, up to where the response begins. A system line is what the model is told before the user speaks.
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

/// A template with everything that settings can say about it.
package struct PromptTemplate: Sendable, Equatable {
  package enum Kind: Sendable, Equatable {
    case named(ChatTemplate)
    /// The user's own: `{question}` is where the question goes, everything else stands as it is.
    case text(String)
  }

  /// What a text must have to be a template.
  package static let questionMark = "{question}"

  package let kind: Kind
  /// nil: no system line.
  package let system: String?
  package let suffix: String

  /// - Parameters:
  ///   - kind: which.
  ///   - system: instead of the template's own line.
  ///   - suffix: instead of the template's own.
  package init(_ kind: Kind, system: String? = nil, suffix: String? = nil) {
    self.kind = kind
    guard case .named(let template) = kind else {
      self.system = nil
      self.suffix = suffix ?? ""
      return
    }
    self.system = template.takesSystem ? system ?? template.defaultSystem : nil
    self.suffix = suffix ?? template.defaultSuffix
  }

  /// The whole prompt, up to where the response begins.
  package func render(question: String) -> String {
    switch kind {
    case .named(let template): template.render(question: question, suffix: suffix, system: system)
    case .text(let text):
      // Split, not replaced: a question that holds the mark is left alone.
      text.components(separatedBy: Self.questionMark).joined(separator: question + suffix)
    }
  }
}

extension String {
  /// The parts between occurrences of a text; one part where there is none.
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
  /// The template of a model folder, by the marks in its own template or, without one, by the tokens it has.
  /// - Parameters:
  ///   - tokenizer: the folder's tokenizer.
  ///   - source: the folder's chat template, from `source(tokenizerConfig:)` or chat_template.jinja.
  /// - Returns: `.plain` where nothing tells.
  package static func guess(tokenizer: Tokenizer, source: String?) -> ChatTemplate {
    func has(_ mark: String) -> Bool { source.map { $0.contains(mark) } ?? tokenizer.hasAddedToken(mark) }
    if has("<|im_start|>") {
      let isMath = source.map { $0.contains("put your final answer within") } ?? false
      return isMath ? .qwen25Math : .chatML
    }
    return has("<|start_header_id|>") ? .llama3 : .plain
  }

  /// The system line that a folder's own ChatML template says when the user gives none, as Qwen2.5's do.
  /// - Returns: nil where there is none, or where it is not a plain text.
  package static func systemLine(ofChatML source: String) -> String? {
    // In the template's source a line break is written as a backslash and an n.
    guard let start = source.firstRange(of: #"<|im_start|>system\n"#)?.upperBound,
      let end = source[start...].firstRange(of: "<|im_end|>")?.lowerBound
    else { return nil }
    let line = source[start..<end]
    // The first mention may be of a line that the caller gives; the template's own then follows.
    if line.contains("'") || line.contains("{") && line.contains("}}") {
      return systemLine(ofChatML: String(source[end...]))
    }
    return line.isEmpty ? nil : String(line).replacing(#"\\"#, with: #"\"#)
  }

  /// The `chat_template` of a tokenizer_config.json; of several, the default one. nil where there is none.
  package static func source(tokenizerConfig bytes: [UInt8]) throws(JSONError) -> String? {
    let template = try JSON.parse(bytes)["chat_template"]
    guard let named = template?.elements else { return template?.string }
    return (named.first { $0["name"] == "default" } ?? named.first)?["template"]?.string
  }
}
