// ChatTemplate: what stands around a question before the model sees it.
//
// Model folders carry their template as a program in a template language. Four fixed texts cover the families we run,
// and a fixed text can be read, tested and named in the settings. A response is what follows the rendered prompt.
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

  /// The whole prompt, up to where the response begins.
  package func render(question: String, suffix: String = "") -> String {
    switch self {
    case .plain: "\(question)\(suffix)\n"
    case .chatML: Self.chatML(user: question + suffix)
    case .qwen25Math: "<|im_start|>system\n\(Self.reasoningLine)<|im_end|>\n" + Self.chatML(user: question + suffix)
    case .llama3:
      "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n\(question)\(suffix)<|eot_id|>"
        + "<|start_header_id|>assistant<|end_header_id|>\n\n"
    }
  }

  private static func chatML(user: String) -> String {
    "<|im_start|>user\n\(user)<|im_end|>\n<|im_start|>assistant\n"
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

  /// The `chat_template` of a tokenizer_config.json; of several, the default one. nil where there is none.
  package static func source(tokenizerConfig bytes: [UInt8]) throws(JSONError) -> String? {
    let template = try JSON.parse(bytes)["chat_template"]
    guard let named = template?.elements else { return template?.string }
    return (named.first { $0["name"] == "default" } ?? named.first)?["template"]?.string
  }
}
