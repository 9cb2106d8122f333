// A model's own chat template in real commands and runs: what is asked, what is shown, and what is refused.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct ChatTemplateTests {
    private let scratch = Scratch()

    private static let roles =
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
      + "{% if add_generation_prompt %}<assistant>{% endif %}"

    /// A small model with random weights and a chat template; its directory.
    private func model(_ template: String?, configuration: String? = nil) throws -> String {
      let config = """
        { "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 448, "hidden_size": 32,
          "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
          "max_position_embeddings": 512, "tie_word_embeddings": true, "eos_token_id": [436] }
        """
      let made = try Program.run(
        [
          "random-model", "--config", scratch.write(config, to: "config.json"), "--tokenizer",
          Program.packageRoot.appendingPathComponent("Tests/Fixtures/tokenizers/qwen2.json").path, "--seed", "3",
          "--out", scratch.file("model"),
        ], program: Program.dev)
      try #require(made.status == 0, "\(made.errors)")
      if let template { _ = scratch.write(template, to: "model/chat_template.jinja") }
      if let configuration { _ = scratch.write(configuration, to: "model/tokenizer_config.json") }
      return scratch.file("model")
    }

    private func prompt(_ model: String, _ flags: [String] = []) throws -> Program.Outcome {
      let data = scratch.write(#"{"id": "a", "prompt": "What is 2 times 2?"}"#, to: "questions.jsonl")
      return try Program.run(["prompt", "--model", model, "--data", data] + flags)
    }

    private func object(_ text: some StringProtocol) throws -> [String: Any] {
      try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
    }

    @Test func `prompt prints what the model sees, without reading weights`() throws {
      let model = try model(Self.roles)
      try FileManager.default.removeItem(atPath: model + "/model.safetensors")
      let text = "<system>Be brief.\n<user>What is 2 times 2? Box it.\n<assistant>"
      let outcome = try prompt(model, ["--system", "Be brief.", "--suffix", " Box it.", "--ids"])
      #expect(outcome.status == 0, "\(outcome.errors)")
      let row = try object(outcome.output)
      #expect(row["id"] as? String == "a" && row["text"] as? String == text)
      let ids =
        try object(
          try Program.run(
            ["tokenize", "--model", model],
            input: try JSONSerialization.data(withJSONObject: ["text": text])
          ).output)["ids"] as? [Int]
      #expect(row["ids"] as? [Int] == ids && row["tokens"] as? Int == ids?.count)
      #expect(try object(try prompt(model).output)["ids"] == nil)
      #expect(outcome.errors.contains("prompts: the model's own chat template (chat_template.jinja)"))
    }

    @Test func `generate asks with the model's own template`() throws {
      let model = try model(Self.roles)
      func ids(_ flags: [String]) throws -> String {
        let outcome = try Program.run(
          ["generate", "--model", model, "--prompt", "2+2?", "--max-new-tokens", "8", "--samples", "4"] + flags)
        #expect(outcome.status == 0, "\(outcome.errors)")
        return outcome.output
      }
      #expect(try ids([]) == ids(["--template", "<user>{question}\n<assistant>"]))
    }

    @Test func `a model without a template is asked plainly, and the program says so`() throws {
      let outcome = try prompt(try model(nil))
      #expect(try object(outcome.output)["text"] as? String == "What is 2 times 2?\n")
      #expect(outcome.errors.contains("template plain (the model has no chat template)"))
      let refused = try prompt(try model(nil), ["--system", "Be brief."])
      #expect(refused.status == 1 && refused.errors.contains("system would have no effect"), "\(refused.errors)")
    }

    @Test func `what is wrong with a template is one paragraph with its place`() throws {
      func refusal(_ template: String, _ flags: [String] = []) throws -> String {
        let outcome = try prompt(try model(template), flags)
        #expect(outcome.status == 1 || outcome.status == 2, "\(outcome.output)")
        #expect(outcome.errors.split(separator: "\n").count <= 2, "\(outcome.errors)")
        return outcome.errors
      }
      #expect(try refusal("a\n{% if x %}").contains("chat_template.jinja, line 2, column 11: the template ends within"))
      #expect(
        try refusal("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}")
          .contains("question a: chat_template.jinja, line 1"))
      #expect(
        try refusal("{{ raise_exception('No system line.') }}").contains("refuses these messages: No system line."))
      #expect(try refusal("{% include 'x' %}").contains("the statement include, which ttrl does not reproduce"))
      #expect(try refusal("{{ bos_token }}").contains("uses bos_token, and tokenizer_config.json does not say"))
      #expect(
        try refusal(Self.roles, ["--template-arguments", #"{"enable_thinking": false}"#])
          .contains("\"enable_thinking\", which the model's chat template does not use"))
      #expect(try refusal(Self.roles, ["--template-arguments", "no"]).contains("expected a JSON object"))
      #expect(try refusal(Self.roles, ["--template-date", "2026-02-30"]).contains("expected a date as 2026-07-04"))
      #expect(try refusal(Self.roles, ["--system", ""]).contains("decides itself"))
    }

    @Test func `a run shows its prompt everywhere, keeps its date, and does not go on with other prompts`() throws {
      let template = Self.roles + "{{ strftime_now('%Y-%m-%d %H:%M:%S') }}{% if polite %}, please{% endif %}"
      let (model, run) = (try model(template), scratch.file("run"))
      let data = scratch.write(
        (1...4).map { "{\"id\": \"q\($0)\", \"prompt\": \"What is \($0) times \($0)?\"}" }.joined(separator: "\n"),
        to: "questions.jsonl")
      let flags = [
        "train", "--run", run, "--model", model, "--data", data, "--steps", "1", "--votes", "4", "--train-samples", "2",
        "--max-new-tokens", "8", "--eval", "none", "--template-arguments", #"{"polite": true}"#,
      ]
      let plan = try object(try Program.run(flags + ["--dry-run", "--json"]).output)
      let planned = try #require(plan["prompt"] as? [String: Any])
      #expect((planned["text"] as? String)?.hasPrefix("<user>What is 1 times 1?\n<assistant>20") == true, "\(planned)")
      let outcome = try Program.run(flags, within: 120)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.errors.contains(#"(chat_template.jinja), with {"polite":true}, on 20"#), "\(outcome.errors)")
      let settings = try object(textOfFile(run + "/settings.json"))["settings"] as? [String: String]
      let date = try #require(settings?["template-date"])
      let asked = "<user>What is 1 times 1?\n<assistant>\(date.replacingOccurrences(of: "T", with: " ")), please"
      #expect(outcome.errors.contains("the prompt of question q1, "), "\(outcome.errors)")
      for line in asked.split(separator: "\n") {
        #expect(outcome.errors.contains("\n  \(line)\n"), "\(outcome.errors)")
      }
      let report = textOfFile(run + "/report.html")
      #expect(report.contains("A prompt as the model sees it") && report.contains("please</pre>"))
      // The result's own settings have the date, so the same question is the same prompt on another day.
      let later = try object(
        try #require(
          try Program.run(["prompt", "--model", run + "/checkpoints/step-000001", "--data", data]).output
            .split(separator: "\n").first))
      #expect(later["text"] as? String == asked)

      try FileManager.default.removeItem(atPath: run + "/summary.json")
      _ = scratch.write(template + "!", to: "model/chat_template.jinja")
      let other = try Program.run(["coordinator", "--run", run], within: 30)
      #expect(other.status != 0 && other.errors.contains("asked other prompts so far"), "\(other.errors)")
    }
  }
}
