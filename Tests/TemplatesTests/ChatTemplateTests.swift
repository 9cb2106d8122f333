// Chat templates: the exact text of each named one, and what a model's own template is given.

import Base
import Records
import Templates
import Testing

private let system = Turn(role: "system", text: "Be brief.")
private let earlier = [Turn(role: "user", text: "2+2?"), Turn(role: "assistant", text: "4")]

private func question(_ text: String, after earlier: [Turn] = []) -> Question {
  Question(id: "1", prompt: text, earlier: earlier)
}

@Suite struct ChatTemplateTests {
  private func render(
    _ template: ChatTemplate, system: String? = nil, suffix: String = "", after earlier: [Turn] = []
  ) throws -> String {
    try PromptTemplate(.named(template), system: system, suffix: suffix).render(question("1+1?", after: earlier))
  }

  @Test func `each named template has exactly this text`() throws {
    #expect(try render(.plain, suffix: "!") == "1+1?!\n")
    #expect(
      try render(.chatML, suffix: "!") == "<|im_start|>user\n1+1?!<|im_end|>\n<|im_start|>assistant\n")
    #expect(
      try render(.qwen25Math) == """
        <|im_start|>system
        Please reason step by step, and put your final answer within \\boxed{}.<|im_end|>
        <|im_start|>user
        1+1?<|im_end|>
        <|im_start|>assistant

        """)
    #expect(
      try render(.llama3) == """
        <|begin_of_text|><|start_header_id|>user<|end_header_id|>

        1+1?<|eot_id|><|start_header_id|>assistant<|end_header_id|>


        """)
  }

  @Test func `a system line is before the user's text, if the template can have one`() throws {
    let chatML = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    for template in [ChatTemplate.chatML, .qwen25Math] {
      #expect(try render(template, system: "Be brief.") == chatML)
      // A question's own line is not replaced.
      #expect(try render(template, after: [system]) == chatML)
      #expect(try render(template, system: "Be long.", after: [system]) == chatML)
    }
    #expect(try !render(.qwen25Math, system: "").contains("system"))
    #expect(
      try render(.llama3, system: "Be brief.")
        == "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        + "<|start_header_id|>user<|end_header_id|>\n\n1+1?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
    #expect(try render(.plain, system: "Be brief.") == "1+1?\n")
  }

  @Test func `earlier messages are rendered, or refused`() throws {
    #expect(
      try render(.chatML, suffix: "!", after: earlier) == """
        <|im_start|>user
        2+2?<|im_end|>
        <|im_start|>assistant
        4<|im_end|>
        <|im_start|>user
        1+1?!<|im_end|>
        <|im_start|>assistant

        """)
    #expect(throws: PromptError.earlierMessages(template: "plain")) { try render(.plain, after: [system]) }
    #expect { try PromptTemplate(.text("Q: {question}")).render(question("x", after: earlier)) } throws: {
      "\($0)".contains("template \"Q: {question}\"")
    }
  }

  @Test func `in a user's own text, only the placeholder is replaced, by question and suffix`() throws {
    let template = PromptTemplate(.text("Q: {question}\nA:"), suffix: " Box it.")
    #expect(try template.render(question("1+1?")) == "Q: 1+1? Box it.\nA:")
    #expect(try template.render(question("what is {question}?")) == "Q: what is {question}? Box it.\nA:")
    #expect(try PromptTemplate(.text("{question}{question}é")).render(question("x")) == "xxé")
  }

  @Test func `the settings know these four names`() {
    #expect(ChatTemplate.allCases.map(\.rawValue) == ["plain", "chatml", "qwen2.5-math", "llama3"])
  }
}

@Suite struct ModelTemplateTests {
  private static let date = CalendarTime(year: 2026, month: 7, day: 4)

  private func own(
    _ jinja: String?, _ configuration: JSON? = nil, map: JSON? = nil, arguments: [JSON.Member] = []
  ) throws -> ModelTemplate? {
    try ModelTemplate(
      .init(jinja: jinja, configuration: configuration, specialTokens: map), arguments: arguments, now: Self.date)
  }

  private func render(
    _ jinja: String?, _ configuration: JSON? = nil, map: JSON? = nil, arguments: [JSON.Member] = [],
    system: String? = nil, suffix: String = "", after earlier: [Turn] = []
  ) throws -> String {
    let template = try #require(try own(jinja, configuration, map: map, arguments: arguments))
    return try PromptTemplate(.own(template), system: system, suffix: suffix).render(question("1+1?", after: earlier))
  }

  private static let roles = "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}"

  @Test func `the template sees all messages, and writes the beginning of the response`() throws {
    let source = Self.roles + "{% if add_generation_prompt %}[assistant:{% endif %}"
    #expect(try render(source) == "[user:1+1?][assistant:")
    #expect(
      try render(source, system: "Be kind.", suffix: "!", after: earlier)
        == "[system:Be kind.][user:2+2?][assistant:4][user:1+1?!][assistant:")
    #expect(try render(source, system: "Be kind.", after: [system]) == "[system:Be brief.][user:1+1?][assistant:")
  }

  @Test func `chat_template jinja comes before tokenizer_config json, and a list's default is taken`() throws {
    let config: JSON = ["chat_template": "config"]
    #expect(try render("file", config) == "file")
    #expect(try render(nil, config) == "config")
    let named: JSON = [
      "chat_template": [["name": "tool_use", "template": "tools"], ["name": "default", "template": "this"]]
    ]
    #expect(try render(nil, named) == "this")
    #expect(try own(nil, ["chat_template": .null]) == nil)
    #expect(try own(nil, nil) == nil)
    #expect { try own(nil, ["chat_template": [["name": "rag", "template": "x"]]]) } throws: {
      "\($0)".contains("(rag), but none is named default")
    }
    #expect { try own(nil, ["chat_template": 5]) } throws: { "\($0)".contains("chat_template in tokenizer_config") }
  }

  @Test func `special tokens come from the configuration, and one that is not said is refused`() throws {
    let source = "{{ bos_token }}|{{ eos_token is defined }}|{{ image_token }}"
    let config: JSON = [
      "bos_token": ["content": "<s>", "__type": "AddedToken"], "eos_token": .null, "image_token": "<i>",
      "added_tokens_decoder": [:],
    ]
    let map: JSON = ["bos_token": "<map>", "eos_token": "</map>"]
    #expect(try render(source, config, map: map) == "<s>|False|<i>")
    // Without added_tokens_decoder, the map overrides.
    #expect(try render(source, ["bos_token": "<s>"], map: map) == "<map>|True|")
    #expect { try own(source) } throws: { "\($0)".contains("uses bos_token, and tokenizer_config.json does not say") }
    #expect(try render(source, ["tokenizer_class": "LlamaTokenizerFast"]) == "<s>|True|")
    #expect(try render(source, ["tokenizer_class": "Qwen2Tokenizer"]) == "|True|")
    #expect(try render(source, ["tokenizer_class": "PreTrainedTokenizerFast"]) == "|False|")
    #expect { try own(source, ["tokenizer_class": "OtherTokenizer"]) } throws: { "\($0)".contains("uses bos_token") }
    #expect { try own(source, ["bos_token": 3]) } throws: { "\($0)".contains("bos_token in tokenizer_config.json") }
  }

  @Test func `arguments reach the template, and one that it does not use is refused`() throws {
    let source = "{% if enable_thinking is false %}no{% else %}yes{% endif %} thinking{{ bos_token }}"
    let config: JSON = ["bos_token": "<s>"]
    #expect(try render(source, config) == "yes thinking<s>")
    #expect(try render(source, config, arguments: [.init("enable_thinking", false)]) == "no thinking<s>")
    // An argument overrides a special token of its name.
    #expect(try render(source, config, arguments: [.init("bos_token", "^")]) == "yes thinking^")
    for name in ["enable_thinkin", "messages", "add_generation_prompt"] {
      #expect { try own(source, config, arguments: [.init(name, 1)]) } throws: { "\($0)".contains(name) }
    }
  }

  @Test func `a date is the given one, and only a template that writes one uses it`() throws {
    let dated = try #require(try own("{{ strftime_now('%d %b %Y') }}"))
    #expect(try PromptTemplate(.own(dated)).render(question("x")) == "04 Jul 2026")
    #expect(dated.usesDate)
    #expect(try own(Self.roles)?.usesDate == false)
  }

  @Test func `a broken template is refused with its file, line and column`() {
    #expect { try own("a\n{% if %}") } throws: {
      "\($0)".contains("the chat template in chat_template.jinja, line 2, column 7")
    }
    #expect { try own(nil, ["chat_template": "{{"]) } throws: { "\($0)".contains("in tokenizer_config.json, line 1") }
    #expect { try render("{{ raise_exception('Only one turn.') }}") } throws: {
      "\($0)".contains("the template refuses these messages: Only one turn.")
    }
    #expect { try render("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}") } throws: {
      "\($0)".contains("more than 500000 steps")
    }
  }
}
