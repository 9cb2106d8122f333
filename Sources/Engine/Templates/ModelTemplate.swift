// ModelTemplate: the chat template that a model directory brings, with what else its template sees: the directory's
// special tokens, the user's arguments and a date.
//
// The rules are those of transformers' AutoTokenizer and apply_chat_template (5.24). What they would take from
// somewhere else than the directory is refused by name.

package import Base
import Records

/// Why a model's own template cannot be used.
package struct ModelTemplateError: Error, Sendable, Equatable, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }
}

package struct ModelTemplate: Sendable {
  /// The files of a model directory that decide how its template renders, as far as it has them.
  package struct Files: Sendable {
    /// chat_template.jinja.
    package var jinja: String?
    /// tokenizer_config.json.
    package var configuration: JSON?
    /// special_tokens_map.json.
    package var specialTokens: JSON?

    package init(jinja: String? = nil, configuration: JSON? = nil, specialTokens: JSON? = nil) {
      self.jinja = jinja
      self.configuration = configuration
      self.specialTokens = specialTokens
    }
  }

  /// The file that has the template.
  package let file: String
  /// As a JSON object; empty if there are none.
  package let arguments: [JSON.Member]
  package let now: CalendarTime
  private let template: Template
  private let specialTokens: [(name: String, text: String)]

  /// Whether the date can change the prompt.
  package var usesDate: Bool { template.names.contains("strftime_now") }

  /// - Parameters:
  ///   - arguments: a JSON object: what the template is given besides the messages.
  ///   - now: for templates that write a date.
  /// - Returns: nil if the directory has no template.
  /// - Throws: `ModelTemplateError`, with the file and, in a template, the line and the column.
  package init?(_ files: Files, arguments: [JSON.Member], now: CalendarTime) throws(ModelTemplateError) {
    guard let (file, source) = try Self.source(files) else { return nil }
    self.file = file
    self.arguments = arguments
    self.now = now
    do throws(TemplateError) { template = try Template(source) } catch {
      throw ModelTemplateError(
        "the chat template in \(file), \(error). Give --template another form of prompt to do without it")
    }
    specialTokens = try Self.specialTokens(files, for: template)
    try Self.check(arguments, template)
  }

  /// The template's text, and the file that has it. As in transformers, chat_template.jinja comes first.
  package static func source(_ files: Files) throws(ModelTemplateError) -> (file: String, text: String)? {
    if let jinja = files.jinja { return ("chat_template.jinja", jinja) }
    let file = "tokenizer_config.json"
    switch files.configuration?["chat_template"] {
    case nil, .null: return nil
    case .string(let text): return (file, text)
    case .array(let named):
      // As in transformers, the last one of a name counts.
      if let text = named.last(where: { $0["name"]?.string == "default" })?["template"]?.string { return (file, text) }
      let names = named.map { $0["name"]?.string?.excerpt ?? "one without a name" }.joined(separator: ", ")
      throw ModelTemplateError("\(file) has chat templates (\(names)), but none is named default")
    case .some(let other):
      throw ModelTemplateError("chat_template in \(file) is \(other.summary), expected a text or a list of named ones")
    }
  }

  /// The prompt, or the whole conversation if the response is the last of the turns.
  ///
  /// - Parameter turns: the question is the last, or the response to it.
  func render(_ turns: [Turn]) throws(TemplateError) -> String {
    var values: [(name: String, value: TemplateValue)] = [
      ("messages", TemplateValue(.array(turns.map(\.json)))), ("tools", .none), ("documents", .none),
      ("add_generation_prompt", .bool(turns.last?.role != Turn.assistant)),
    ]
    values += specialTokens.map { ($0.name, TemplateValue($0.text)) }
    values += arguments.map { ($0.key, TemplateValue($0.value)) }
    return try template.render(values, now: now)
  }

  // MARK: Arguments

  /// Names that apply_chat_template takes for itself, so that they do not reach the template.
  private static let reserved: Set<String> = [
    "messages", "conversation", "add_generation_prompt", "continue_final_message", "tokenize", "padding", "truncation",
    "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs", "chat_template",
    "sanitize_control_tokens",
  ]

  private static func check(_ arguments: [JSON.Member], _ template: Template) throws(ModelTemplateError) {
    for argument in arguments {
      guard !reserved.contains(argument.key) else {
        throw ModelTemplateError("template-arguments has \(argument.key), which is not the user's to give")
      }
      guard template.names.contains(argument.key) else {
        throw ModelTemplateError(
          "template-arguments has \"\(argument.key.excerpt)\", which the model's chat template does not use; leave it "
            + "out, or correct its name")
      }
    }
  }

  // MARK: Special tokens

  private static let tokenNames = [
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
  ]

  /// The special tokens that a template sees, by their names. One that is null does not exist for a template.
  private static func specialTokens(
    _ files: Files, for template: Template
  ) throws(ModelTemplateError) -> [(name: String, text: String)] {
    var members = files.configuration?.members ?? []
    // An older directory: the map of special tokens overrides the configuration.
    if files.configuration?["added_tokens_decoder"] == nil { members += files.specialTokens?.members ?? [] }
    if let extra = files.configuration?["extra_special_tokens"]?.members { members += extra }
    var tokens: [(name: String, text: String)] = []
    var said: Set<String> = []
    for member in members where tokenNames.contains(member.key) || member.key.hasSuffix("_token") {
      said.insert(member.key)
      tokens.removeAll { $0.name == member.key }
      if let text = member.value.string ?? member.value["content"]?.string {
        tokens.append((member.key, text))
      } else if !member.value.isNull, tokenNames.contains(member.key) {
        throw ModelTemplateError(
          "\(member.key) in tokenizer_config.json or special_tokens_map.json is \(member.value.summary), expected a "
            + "text, an object with the text as \"content\", or null")
      }
    }
    let defaults = defaults(ofClass: files.configuration?["tokenizer_class"]?.string)
    for name in tokenNames where template.names.contains(name) && !said.contains(name) {
      guard let defaults else {
        throw ModelTemplateError(
          "the model's chat template uses \(name), and tokenizer_config.json does not say what that is. Add "
            + "\"\(name)\" to it: its text, or null if the model has none")
      }
      if let text = defaults[name] { tokens.append((name, text)) }
    }
    return tokens
  }

  /// The special tokens of a tokenizer whose configuration does not mention them; nil for a class that is not known
  /// here. Source: transformers 5.24.
  private static func defaults(ofClass name: String?) -> [String: String]? {
    let name = name.map { $0.hasSuffix("Fast") ? String($0.dropLast(4)) : $0 }
    let end = "<|endoftext|>"
    return switch name {
    case "PreTrainedTokenizer", "TokenizersBackend": [:]
    case "Qwen2Tokenizer", "Qwen3_5Tokenizer": ["unk_token": end, "eos_token": end, "pad_token": end]
    case "GPT2Tokenizer": ["unk_token": end, "bos_token": end, "eos_token": end]
    case "LlamaTokenizer": ["unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"]
    default: nil
    }
  }
}
