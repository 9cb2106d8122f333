// The files in docs/ that users copy: the example of a settings file, and the notebook.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct ExampleFilesTests {
    private let scratch = Scratch()

    private static let example = Pages.text(of: "docs/example.json5")
    private static let tokenizer = Program.packageRoot.appendingPathComponent("Tests/Fixtures/tokenizers/qwen2.json")

    /// A model whose context has room for the example's responses.
    private func model() throws -> String {
      let config = """
        { "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 448, "hidden_size": 32,
          "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
          "max_position_embeddings": 4096, "tie_word_embeddings": true }
        """
      let made = try Program.run(
        [
          "random-model", "--config", scratch.write(config, to: "config.json"), "--tokenizer", Self.tokenizer.path,
          "--out", scratch.file("model"),
        ], program: Program.dev)
      try #require(made.status == 0, "\(made.errors)")
      return scratch.file("model")
    }

    private func dryRun(_ text: String) throws -> Program.Outcome {
      let questions = scratch.write(#"{"prompt": "What is 1 + 1?"}"#, to: "questions.jsonl")
      return try Program.run([
        "train", "--config", scratch.write(text, to: "my.json5"), "--model", try model(), "--data", questions, "--run",
        scratch.file("run"), "--dry-run",
      ])
    }

    @Test func `every key of the example is a setting with a valid value`() throws {
      let outcome = try dryRun(Self.example)
      #expect(outcome.status == 0, "\(outcome.errors)")
      // Settings that a comment offers are settings too.
      let lines = Self.example.split(separator: "\n").map { line in
        line.replacing(/^  \/\/ ("?[a-z-]+"?: )/) { "  \($0.output.1)" }
      }
      scratch.write(#"{"prompt": "What is 2 + 1?"}"#, to: "held-out.jsonl")
      let whole = lines.joined(separator: "\n").replacing(
        "held-out.jsonl", with: scratch.file("held-out.jsonl"))
      #expect(whole != Self.example)
      let all = try dryRun(whole)
      #expect(all.status == 0, "\(all.errors)")
    }

    @Test func `a wrong key of the example is refused`() throws {
      let outcome = try dryRun(Self.example.replacing("votes: 64", with: "votse: 64"))
      #expect(outcome.status == 2 && outcome.errors.contains("did you mean"), "\(outcome.errors)")
    }

    @Test(.enabled(if: Python.has("pandas"), "no Python with pandas; name one with TTRL_PYTHON"))
    func `the notebook runs on a run with evaluations`() throws {
      let questions = scratch.write(
        """
        {"prompt": "17c+4b+25a+3"}
        {"prompt": "64b+9a+8", "answer": "81"}
        {"prompt": "38d+2c+7b+5a+6", "answer": "58"}

        """, to: "questions.jsonl")
      let run = try Program.run([
        "train", "--model", "builtin", "--data", questions, "--run", scratch.file("run"), "--max-new-tokens", "64",
        "--steps", "2", "--votes", "8", "--train-samples", "4", "--eval-samples", "16", "--page", "none",
      ])
      try #require(run.status == 0, "\(run.errors)")
      let runner = Program.packageRoot.appendingPathComponent("Tests/Fixtures/notebook/run.py").path
      let notebook = Program.packageRoot.appendingPathComponent("docs/notebook.ipynb").path
      let outcome = try Program.run(
        [runner, notebook], program: Python.path, environment: ["RUN": scratch.file("run"), "MPLBACKEND": "agg"])
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.output.contains("pass@1") && outcome.output.contains("worker-1"), "\(outcome.output)")
      print(outcome.output.split(separator: "\n").filter { $0.hasPrefix("skipped") }.joined(separator: "\n"))
    }
  }
}
