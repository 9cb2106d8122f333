// Model directories that are damaged or not supported.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct CheckpointTests {
    private let scratch = Scratch()

    /// A changed copy of the built-in model.
    private func model(_ change: ((inout WeightFile, String) throws -> Void)?) throws -> String {
      let cache = Scratch.shared.file("cache/ttrl")
      // The first command that uses it unpacks it.
      _ = try Program.run(["train", "--run", scratch.file("never"), "--dry-run"])
      let names = try FileManager.default.contentsOfDirectory(atPath: cache)
      let source = cache + "/" + (try #require(names.first))
      let copy = scratch.file("model")
      try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
      for name in ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"] {
        try FileManager.default.copyItem(atPath: source + "/" + name, toPath: copy + "/" + name)
      }
      guard let change else { return copy }
      var weights = try WeightFile(source + "/model.safetensors")
      try change(&weights, copy)
      scratch.write(try weights.bytes(), to: "model/model.safetensors")
      return copy
    }

    private func train(_ model: String, in directory: String) throws -> Program.Outcome {
      try Program.run(
        ["train", "--run", directory, "--model", model, "--data", "builtin:questions", "--max-new-tokens", "80"]
          + SmallRun.settings)
    }

    private func expectRefusal(_ model: String, _ words: [String]) throws {
      let outcome = try train(model, in: scratch.file("run"))
      #expect(outcome.status == 1, "\(outcome.errors)")
      for word in ["cannot load a model from \(model)"] + words {
        #expect(outcome.errors.contains(word), "\(outcome.errors)")
      }
      #expect(!FileManager.default.fileExists(atPath: scratch.file("run")))
    }

    private static let tensor = "model.layers.0.self_attn.q_proj.weight"

    @Test func `a checkpoint that lacks a tensor is refused with the name of the tensor`() throws {
      try expectRefusal(
        try model { weights, _ in weights.header[Self.tensor] = nil }, ["\"\(Self.tensor)\"", "is missing"])
    }

    @Test func `a tensor with another shape is refused with both shapes`() throws {
      let bad = try model { weights, _ in weights.header[Self.tensor]?["shape"] = [64, 256] }
      try expectRefusal(bad, ["\"\(Self.tensor)\" is [64, 256]", "expected [128, 128]"])
    }

    @Test func `a weight that is not a number is refused with its place`() throws {
      let bad = try model { weights, _ in
        let offsets = try #require(weights.header[Self.tensor]?["data_offsets"] as? [Int])
        weights.data.replaceSubrange((offsets[0] + 6)..<(offsets[0] + 8), with: [0xC0, 0x7F])
      }
      try expectRefusal(bad, ["\"\(Self.tensor)\" has nan at element 3"])
    }

    @Test func `a file that was cut off is refused`() throws {
      try expectRefusal(try model { weights, _ in weights.data.removeLast(10) }, ["copied completely"])
    }

    @Test func `tensors that share bytes are refused with their names`() throws {
      let bad = try model { weights, _ in
        let others = weights.header["model.layers.1.self_attn.q_proj.weight"]?["data_offsets"]
        weights.header[Self.tensor]?["data_offsets"] = others
      }
      try expectRefusal(bad, ["\"\(Self.tensor)\"", "share bytes"])
    }

    @Test(arguments: [
      (Data([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]), "it has 9223372036854775807 bytes"),
      (Data([0x10, 0, 0]), "too few for its header"),
      (Data([4, 0, 0, 0, 0, 0, 0, 0]) + Data("{\"a\"".utf8), "the header is not JSON"),
    ])
    func `a header that is too long, cut off or not JSON is refused`(_ bytes: Data, _ words: String) throws {
      let path = try model(nil)
      scratch.write(bytes, to: "model/model.safetensors")
      try expectRefusal(path, [words])
    }

    /// The text in config.json that is replaced, its replacement, and the words of the refusal.
    @Test(arguments: [
      ("Qwen2ForCausalLM", "GemmaForCausalLM", "the architecture is GemmaForCausalLM, which ttrl does not know"),
      ("\"vocab_size\": 258", "\"vocab_size\": 200", "Is it the tokenizer of this model?"),
      ("\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "hidden_act is"),
    ])
    func `a configuration that is not supported, or does not fit the files, is refused`(
      _ text: String, _ other: String, _ words: String
    ) throws {
      let path = try model(nil)
      let config = textOfFile(path + "/config.json")
      try #require(config.contains(text), "\(config)")
      // The end token is the vocabulary's last.
      let changed = config.replacingOccurrences(of: text, with: other).replacingOccurrences(
        of: "\"eos_token_id\": 257", with: "\"eos_token_id\": 57")
      scratch.write(changed, to: "model/config.json")
      scratch.write("{\"eos_token_id\": 57}", to: "model/generation_config.json")
      try expectRefusal(path, [words])
    }

    @Test func `an end token beyond the vocabulary is refused`() throws {
      let path = try model(nil)
      scratch.write("{\"eos_token_id\": 258}", to: "model/generation_config.json")
      try expectRefusal(path, ["eos_token_id is 258", "0 to 257"])
    }

    @Test func `a tokenizer of another kind is refused with the name of its kind`() throws {
      let path = try model(nil)
      scratch.write("{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}", to: "model/tokenizer.json")
      try expectRefusal(path, ["model.type is the string \"Unigram\""])
    }

    @Test func `a model that needs more memory than there is, is refused before its weights are read`() throws {
      let path = try model(nil)
      var config = textOfFile(path + "/config.json")
      for (key, value) in [("hidden_size", "131072"), ("head_dim", "512"), ("intermediate_size", "524288")] {
        config = config.replacing(try Regex("\"\(key)\": [0-9]+"), with: "\"\(key)\": \(value)")
      }
      scratch.write(config, to: "model/config.json")
      let training = try train(path, in: scratch.file("run"))
      #expect(training.status == 1 && training.errors.contains("No setting makes it fit"), "\(training.errors)")
      #expect(training.errors.contains("1 learner rank, optimizer"), "\(training.errors)")
      #expect(!FileManager.default.fileExists(atPath: scratch.file("run")))
      let sampling = try Program.run(["generate", "--model", path], input: Data("{\"ids\": [1]}".utf8))
      #expect(
        sampling.status == 1 && sampling.errors.contains("the model needs at least"), "\(sampling.errors)")
    }

    @Test func `a processor without AVX2 is refused before anything is read`() throws {
      // The kernels can be told to assume an older processor.
      let outcome = try Program.run(
        ["train", "--run", scratch.file("run"), "--model", "nowhere", "--data", "nowhere"],
        environment: ["TTRL_INSTRUCTION_SET": "portable"])
      #expect(
        outcome.status == 2 && outcome.errors.contains("needs the AVX2 and FMA instructions"), "\(outcome.errors)")
      #expect(!outcome.errors.contains("No such file"))
    }

    @Test(arguments: ["config.json", "tokenizer.json"])
    func `a directory without one of its files is refused`(_ name: String) throws {
      let bad = try model { _, path in try FileManager.default.removeItem(atPath: path + "/" + name) }
      try expectRefusal(bad, ["there is no \(name)"])
    }

    @Test func `a run continues with the same model under another name, and refuses another model under the same name`()
      throws
    {
      let directory = scratch.file("run")
      let good = try model(nil)
      let first = try Program.run(
        ["train", "--run", directory, "--model", good, "--data", "builtin:questions", "--max-new-tokens", "80"]
          + SmallRun.settings(steps: 1))
      #expect(first.status == 0, "\(first.errors)")
      let named = try Program.run(["train", "--run", directory, "--model", "builtin"])
      #expect(named.status == 0, "the same model under another name\n\(named.errors)")
      let config = textOfFile(good + "/config.json").replacingOccurrences(of: "1000", with: "1001")
      scratch.write(config, to: "model/config.json")
      let replaced = try Program.run(["train", "--run", directory])
      #expect(replaced.status == 2 && replaced.errors.contains("begun with another model"), "\(replaced.errors)")
    }
  }
}

/// The parts of a safetensors file.
private struct WeightFile {
  var header: [String: [String: Any]]
  var data: Data

  init(_ path: String) throws {
    let file = try #require(FileManager.default.contents(atPath: path))
    let length = file.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    let json = try JSONSerialization.jsonObject(with: file.subdata(in: 8..<8 + length))
    header = try #require(json as? [String: [String: Any]])
    data = file.subdata(in: 8 + length..<file.count)
  }

  func bytes() throws -> Data {
    let json = try JSONSerialization.data(withJSONObject: header)
    return Data((0..<8).map { UInt8(truncatingIfNeeded: json.count >> (8 * $0)) }) + json + data
  }
}
