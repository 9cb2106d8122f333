// GGUF files as models: `ttrl import`, and --model with a file.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct ImportTests {
    private static let fixtures = Program.packageRoot.appendingPathComponent("Tests/Fixtures/gguf")

    private let scratch = Scratch()

    private static func fixture(_ name: String) -> String { fixtures.appendingPathComponent(name + ".gguf").path }

    private func logprobs(of model: String, cache: String) throws -> Program.Outcome {
      try Program.run(
        ["logprobs", "--model", model, "--dtype", "float32"], input: Data("{\"ids\": [1, 2, 3, 200]}\n".utf8),
        environment: ["XDG_CACHE_HOME": cache])
    }

    @Test(arguments: ["llama", "qwen2", "qwen3", "sentencepiece"])
    func `a GGUF file becomes a model directory that computes the same as the file itself`(_ name: String) throws {
      let directory = scratch.file(name)
      let made = try Program.run(["import", Self.fixture(name), directory])
      #expect(made.status == 0, "\(made.errors)")
      for words in ["config.json", "model.safetensors", "weights: float32", "note: "] {
        #expect(made.output.contains(words), "\(made.output)")
      }
      let own = try logprobs(of: directory, cache: scratch.file("cache"))
      #expect(own.status == 0 && own.output.hasPrefix("{\"logprobs\":[-"), "\(own.errors)")
      // The file itself is imported at its first use only.
      let first = try logprobs(of: Self.fixture(name), cache: scratch.file("cache"))
      let second = try logprobs(of: Self.fixture(name), cache: scratch.file("cache"))
      #expect(first.output == own.output && first.errors.contains("was imported into"), "\(first.errors)")
      #expect(second.output == own.output && second.errors.isEmpty, "\(second.errors)")
    }

    @Test func `the result can be read by a program`() throws {
      let made = try Program.run([
        "import", Self.fixture("qwen3"), scratch.file("m"), "--json", "--weights", "bfloat16",
      ])
      let json = try #require(try JSONSerialization.jsonObject(with: Data(made.output.utf8)) as? [String: Any])
      #expect(json["architecture"] as? String == "Qwen3ForCausalLM" && json["weights"] as? String == "bfloat16")
      let files = try FileManager.default.contentsOfDirectory(atPath: scratch.file("m")).sorted()
      #expect(json["files"] as? [String] == files)
      #expect(textOfFile(scratch.file("m/chat_template.jinja")).hasPrefix("{% for m in messages %}"))
    }

    @Test func `text is sampled with the file's own tokenizer`() throws {
      let outcome = try Program.run([
        "generate", "--model", Self.fixture("qwen2"), "--prompt", "12 and", "--template", "plain", "--max-new-tokens",
        "4", "--temperature", "0",
      ])
      #expect(outcome.status == 0 && outcome.output.contains("\"text\":"), "\(outcome.errors)")
    }

    @Test func `nothing that is there is written over, and nothing is left of an import that fails`() throws {
      let notes = scratch.write("mine", to: "notes.txt")
      let occupied = try Program.run(["import", Self.fixture("llama"), scratch.path])
      #expect(occupied.status == 1 && occupied.errors.contains("it is there already"), "\(occupied.errors)")
      #expect(textOfFile(notes) == "mine")
      let whole = try Data(contentsOf: URL(fileURLWithPath: Self.fixture("llama")))
      let cut = scratch.write(whole.dropLast(100), to: "cut.gguf")
      let outcome = try Program.run(["import", cut, scratch.file("m")])
      #expect(outcome.status == 1 && outcome.errors.contains("Was the file copied completely?"), "\(outcome.errors)")
      #expect(!FileManager.default.fileExists(atPath: scratch.file("m")))
      let cache = scratch.file("cache")
      let used = try logprobs(of: cut, cache: cache)
      #expect(used.status == 1 && used.errors.contains("cut.gguf: tensor"), "\(used.errors)")
      #expect(
        try !FileManager.default.fileExists(atPath: cache)
          || FileManager.default.contentsOfDirectory(
            atPath: cache + "/ttrl"
          ).isEmpty)
    }

    @Test(arguments: [
      (["import"], "--model DIR|FILE is missing"), (["import", "a.gguf"], "--out FILE|DIR is missing"),
      (["import", "a.gguf", "b", "c"], "\"c\" is one argument too many"),
    ])
    func `wrong usage is refused`(_ arguments: [String], _ words: String) throws {
      let outcome = try Program.run(arguments)
      #expect(outcome.status == 2 && outcome.errors.contains(words), "\(outcome.errors)")
    }

    @Test(
      .enabled(
        if: Python.has("torch", "transformers", "gguf", "safetensors"),
        "no Python with torch, transformers and gguf; name one with TTRL_PYTHON"))
    func `the gguf package and transformers agree with every import`() throws {
      let script = Program.packageRoot.appendingPathComponent("scripts/gguf").path
      let outcome = try Program.run(
        [script] + ["llama", "qwen2", "sentencepiece"].map(Self.fixture), program: Python.path,
        environment: ["TTRL": Program.path()], within: 600)
      #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
      #expect(outcome.output.matches(of: /numbers equal.*equal logits.*greedy texts equal/).count == 3)
    }
  }
}
