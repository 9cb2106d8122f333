// Chat templates: the exact text of each, and which template a model folder gets.

import Base
import LanguageModel
import Testing

@Suite struct TokenizerChatTemplateTests {
  @Test func `each template has exactly this text`() {
    func render(_ template: ChatTemplate) -> String {
      PromptTemplate(.named(template), suffix: "!").render(question: "1+1?")
    }
    #expect(render(.plain) == "1+1?!\n")
    #expect(render(.chatML) == "<|im_start|>user\n1+1?!<|im_end|>\n<|im_start|>assistant\n")
    #expect(
      render(.qwen25Math) == """
        <|im_start|>system
        Please reason step by step, and put your final answer within \\boxed{}.<|im_end|>
        <|im_start|>user
        1+1?!<|im_end|>
        <|im_start|>assistant

        """)
    #expect(
      render(.llama3) == """
        <|begin_of_text|><|start_header_id|>user<|end_header_id|>

        1+1?!<|eot_id|><|start_header_id|>assistant<|end_header_id|>


        """)
  }

  @Test func `a system line is before the user's text, if the template can have one`() {
    func render(_ template: ChatTemplate) -> String {
      PromptTemplate(.named(template), system: "Be brief.", suffix: "").render(question: "1+1?")
    }
    let chatML = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    #expect(render(.chatML) == chatML && render(.qwen25Math) == chatML)
    #expect(
      render(.llama3)
        == "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        + "<|start_header_id|>user<|end_header_id|>\n\n1+1?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
    #expect(render(.plain) == "1+1?\n")
  }

  @Test func `in a user's own template, only the placeholder is replaced, by question and suffix`() {
    let template = PromptTemplate(.text("Q: {question}\nA:"), suffix: " Box it.")
    #expect(template.render(question: "1+1?") == "Q: 1+1? Box it.\nA:")
    #expect(template.render(question: "what is {question}?") == "Q: what is {question}? Box it.\nA:")
    #expect(PromptTemplate(.text("{question}{question}é")).render(question: "x") == "xxé")
  }

  @Test(arguments: [
    (
      #"{%- if messages[0]['role'] == 'system' %}"#
        + #"{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}"#
        + #"{%- else %}{{- '<|im_start|>system\nYou are Qwen. You help.<|im_end|>\n' }}{%- endif %}"#,
      "You are Qwen. You help."
    ),
    (#"{{ '<|im_start|>system\nPut it within \\boxed{}.<|im_end|>\n' }}"#, #"Put it within \boxed{}."#),
    (#"{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"#, nil), ("", nil),
  ])
  func `the system line of a folder's own template is found`(source: String, line: String?) {
    #expect(ChatTemplate.systemLine(ofChatML: source) == line)
  }

  @Test func `a template with many system lines of the caller does not take quadratic time`() {
    let line = #"{{- '<|im_start|>system\n' + system + '<|im_end|>' }}"#
    let source = String(repeating: line, count: Limits.chatTemplateBytes / line.utf8.count)
    var found: String? = ""
    let seconds = processorSeconds {
      found = ChatTemplate.systemLine(ofChatML: source + "<|im_start|>system\\nx<|im_end|>")
    }
    #expect(found == "x")
    // A copy of the rest for each line: half a minute, and a call stack of 20,000.
    #expect(seconds < 10, "\(seconds) s")
  }

  @Test func `the default suffix asks for a box, on a line of its own, if the template does not`() {
    let line = "\nPlease reason step by step, and put your final answer within \\boxed{}."
    #expect(ChatTemplate.chatML.defaultSuffix == line && ChatTemplate.llama3.defaultSuffix == line)
    #expect(ChatTemplate.qwen25Math.defaultSuffix.isEmpty && ChatTemplate.plain.defaultSuffix.isEmpty)
  }

  @Test func `the settings know these four names`() {
    #expect(ChatTemplate.allCases.map(\.rawValue) == ["plain", "chatml", "qwen2.5-math", "llama3"])
  }

  @Test func `a folder's template is guessed from its own template, or from its tokens`() throws {
    let bare = try Tokenizer(file: TestFiles.fixture("tokenizers/qwen2.json"))
    func guess(_ source: String?) -> ChatTemplate { .guess(tokenizer: bare, source: source) }
    #expect(guess(nil) == .plain)
    #expect(guess("{{ message }}") == .plain)
    #expect(guess("{{ '<|im_start|>' + role }}") == .chatML)
    #expect(guess("<|im_start|>system\\nPlease reason step by step, and put your final answer within") == .qwen25Math)
    #expect(guess("{{ '<|start_header_id|>' }}") == .llama3)
    for (token, expected) in [("<|im_start|>", ChatTemplate.chatML), ("<|start_header_id|>", .llama3)] {
      let file = try JSON.parse(TestFiles.fixture("tokenizers/qwen2.json"))
      let added: JSON = [["id": 436, "content": .string(token), "special": true]]
      let members = (file.members ?? []).map { $0.key == "added_tokens" ? .init($0.key, added) : $0 }
      let tokenizer = try Tokenizer(file: JSON.object(members).bytes())
      #expect(ChatTemplate.guess(tokenizer: tokenizer, source: nil) == expected)
    }
  }

  @Test(arguments: [
    (#"{"chat_template": "x"}"#, "x"), (#"{"chat_template": null}"#, nil), ("{}", nil),
    (#"{"chat_template": [{"name":"tools","template":"y"},{"name":"default","template":"z"}]}"#, "z"),
    (#"{"chat_template": [{"name":"tools","template":"y"}]}"#, "y"), (#"{"chat_template": []}"#, nil),
  ])
  func `the template's source is found in either form`(config: String, expected: String?) throws {
    #expect(try ChatTemplate.source(tokenizerConfig: Array(config.utf8)) == expected)
  }
}
