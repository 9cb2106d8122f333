// Wrong adapters give one clear paragraph, in every command that takes one, and nothing is written.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct BadAdapterTests {
    private let scratch = Scratch()

    /// What is done to a copy of an adapter of the built-in model, and words of the refusal.
    struct Case: Sendable, CustomTestStringConvertible {
      let testDescription: String
      let words: [String]
      let change: @Sendable (_ adapter: String) throws -> Void
    }

    /// Changes keys of adapter_config.json.
    private static func setting(_ values: [String: any Sendable]) -> @Sendable (String) throws -> Void {
      { adapter in
        let url = URL(fileURLWithPath: adapter + "/adapter_config.json")
        var json = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
        for (key, value) in values { json[key] = value }
        try JSONSerialization.data(withJSONObject: json).write(to: url)
      }
    }

    private static func weights(
      _ change: @escaping @Sendable (inout SafeTensors) -> Void
    ) -> @Sendable (String) throws -> Void {
      { adapter in
        let path = adapter + "/adapter_model.safetensors"
        var file = try SafeTensors(path)
        change(&file)
        try file.data.write(to: URL(fileURLWithPath: path))
      }
    }

    private static func replacing(_ file: String, _ text: String) -> @Sendable (String) throws -> Void {
      { adapter in try Data(text.utf8).write(to: URL(fileURLWithPath: "\(adapter)/\(file)")) }
    }

    /// Puts something else in the adapter's place.
    private static func placing(_ source: @escaping @Sendable () -> String?) -> @Sendable (String) throws -> Void {
      { adapter in
        try FileManager.default.removeItem(atPath: adapter)
        if let source = source() { try FileManager.default.copyItem(atPath: source, toPath: adapter) }
      }
    }

    static let cases: [Case] = [
      Case(
        testDescription: "an adapter of another base", words: ["q_proj.lora_A.weight\" is [4, 16] F32, expected [4, "],
        change: placing { AdapterRun.fixture("qwen2") }),
      Case(
        testDescription: "an adapter of a base with other layers",
        words: ["target \"qkv_proj\" is not a linear layer of this model", "made for another model?"],
        change: placing { AdapterRun.fixture("phi3") }),
      Case(
        testDescription: "a missing tensor", words: ["q_proj.lora_B.weight\"", "is missing", "belong together"],
        change: weights { file in
          file.tensors.remove(at: file.tensors.firstIndex { $0.name.contains("0.self_attn.q_proj.lora_B") } ?? 0)
        }),
      Case(
        testDescription: "one tensor more", words: ["lm_head.lora_A.weight\"", "is not part of this adapter"],
        change: weights { file in
          file.tensors[0].name = "base_model.model.lm_head.lora_A.weight"
        }),
      Case(
        testDescription: "another rank", words: ["lora_A.weight\" is [4, ", "expected [8, "],
        change: setting(["r": 8])),
      Case(
        testDescription: "a NaN", words: ["has nan at element 0; weights must be finite"],
        change: weights { $0.tensors[0].bytes.replaceSubrange(0..<2, with: [0xC0, 0x7F]) }),
      Case(
        testDescription: "a target that the model lacks",
        words: ["target \"W_pack\" is not a linear layer of this model, which has q_proj"],
        change: setting(["target_modules": ["q_proj", "W_pack"]])),
      Case(
        testDescription: "the embedding", words: ["target \"embed_tokens\" is the embedding or the head"],
        change: setting(["target_modules": ["embed_tokens"]])),
      Case(
        testDescription: "DoRA", words: ["adapter_config.json: use_dora is true"], change: setting(["use_dora": true])),
      Case(
        testDescription: "another kind of PEFT",
        words: ["adapter_config.json: peft_type is the string \"LOHA\"", "supported: LORA"],
        change: setting(["peft_type": "LOHA"])),
      Case(
        testDescription: "a configuration that is not JSON", words: ["adapter_config.json is not JSON"],
        change: replacing("adapter_config.json", "{")),
      Case(
        testDescription: "a Git LFS pointer",
        words: ["adapter_model.safetensors is a Git LFS pointer", "git lfs pull"],
        change: replacing(
          "adapter_model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n")),
      Case(
        testDescription: "a file that is cut", words: ["adapter_model.safetensors: ", "file"],
        change: { adapter in
          let url = URL(fileURLWithPath: adapter + "/adapter_model.safetensors")
          try Data(contentsOf: url).dropLast(10).write(to: url)
        }),
      Case(
        testDescription: "no weights", words: ["there is no adapter_model.safetensors"],
        change: { try FileManager.default.removeItem(atPath: $0 + "/adapter_model.safetensors") }),
      Case(
        testDescription: "weights in PyTorch's format", words: ["it has adapter_model.bin", "safe_serialization=True"],
        change: { adapter in
          try FileManager.default.moveItem(
            atPath: adapter + "/adapter_model.safetensors", toPath: adapter + "/adapter_model.bin")
        }),
      Case(
        testDescription: "an empty directory", words: ["there is no adapter_config.json", "as peft writes it"],
        change: { adapter in
          for name in try FileManager.default.contentsOfDirectory(atPath: adapter) {
            try FileManager.default.removeItem(atPath: "\(adapter)/\(name)")
          }
        }),
      Case(testDescription: "nothing", words: ["it does not exist"], change: placing { nil }),
      Case(
        testDescription: "a file", words: ["it is a file. --adapter takes the directory"],
        change: placing { AdapterRun.checkpoint + "/adapter_model.safetensors" }),
      Case(
        testDescription: "a full model", words: ["it is a model. Give it as --model "],
        change: placing { AdapterRun.fixture("qwen2") + "/base" }),
      Case(
        testDescription: "a run", words: ["it is a run. Its newest checkpoint is ", "/checkpoints/step-000002"],
        change: placing { AdapterRun.directory }),
    ]

    @Test(arguments: cases)
    func `an adapter that cannot be used is refused with what is wrong with it`(_ bad: Case) throws {
      _ = try #require(AdapterRun.made)
      let (adapter, out) = (scratch.file("adapter"), scratch.file("out"))
      try FileManager.default.copyItem(atPath: AdapterRun.checkpoint, toPath: adapter)
      try bad.change(adapter)
      let commands = [
        ["logprobs"], ["merge", out], ["train", "--data", "builtin:questions", "--run", out],
      ]
      for command in commands {
        let outcome = try Program.run(
          command + ["--model", "builtin", "--adapter", adapter], input: Data("{\"ids\": [1, 2]}\n".utf8), within: 20)
        #expect(outcome.status == 1 && outcome.output.isEmpty, "\(command[0]): \(outcome.output)\(outcome.errors)")
        for word in bad.words { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
        #expect(outcome.errors.contains("ttrl \(command[0]): cannot "), "\(outcome.errors)")
        #expect(outcome.errors.contains(adapter) && !outcome.errors.contains("\n\n"), "\(outcome.errors)")
        #expect(!FileManager.default.fileExists(atPath: out))
      }
    }

    @Test func `the name of an adapter on the hub is answered with its download`() throws {
      let outcome = try Program.run(["logprobs", "--model", "builtin", "--adapter", "someone/an-adapter"])
      #expect(outcome.status == 1, "\(outcome.errors)")
      #expect(outcome.errors.contains("hf download someone/an-adapter --local-dir an-adapter"), "\(outcome.errors)")
    }

    @Test func `an adapter in the place of a model is answered with both flags`() throws {
      _ = try #require(AdapterRun.made)
      let both = "--model \(AdapterRun.base) --adapter \(AdapterRun.checkpoint)"
      for place in [AdapterRun.checkpoint, AdapterRun.directory] {
        let outcome = try Program.run(["logprobs", "--model", place])
        #expect(outcome.status == 1 && outcome.errors.contains(both), "\(outcome.errors)")
      }
      // What it says works.
      let words = both.split(separator: " ").map(String.init)
      let outcome = try Program.run(["logprobs"] + words, input: Data("{\"ids\": [1, 2]}\n".utf8))
      #expect(outcome.status == 0 && outcome.output.hasPrefix("{\"logprobs\":"), "\(outcome.errors)")
    }
  }
}
