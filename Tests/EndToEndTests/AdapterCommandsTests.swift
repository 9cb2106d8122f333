// Adapters in commands without a run: eval, generate, logprobs and merge, with the adapter that a run made and with
// those that PEFT made.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct AdapterCommandsTests {
    private let scratch = Scratch()

    // MARK: The run's adapter

    @Test func `eval of a run's adapter gives the run's own figures, to the last digit`() throws {
      _ = try #require(AdapterRun.made)
      let summary = try SmallRun.summary(of: AdapterRun.directory)
      func figures(_ end: String) throws -> [Double] {
        let ends = try #require(summary[end] as? [String: Any])
        return try ["train", "held_out"].map { set in
          try #require((ends[set] as? [String: Any])?["majority_ratio"] as? Double)
        }
      }
      let (before, after) = (try figures("before"), try figures("after"))
      #expect(before != after)
      func eval(_ arguments: [String]) throws -> Double {
        let outcome = try Program.run(["eval", "--json", "--model", "builtin"] + arguments)
        let object = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
        return try #require(object?["majority_ratio"] as? Double, "\(outcome.errors)")
      }
      let adapter = ["--adapter", AdapterRun.checkpoint]
      for (index, data) in ["builtin:questions", "builtin:unsolvable"].enumerated() {
        #expect(try eval(adapter + ["--data", data]) == after[index])
        #expect(try eval(adapter + ["--data", data, "--workers", "1"]) == after[index])
        // The run's adapter is not part of what is adopted with --like, as its model is not.
        #expect(try eval(["--data", data, "--like", AdapterRun.directory]) == before[index])
        #expect(try eval(adapter + ["--data", data, "--like", AdapterRun.directory]) == after[index])
      }
    }

    @Test func `a run's adapter is asked as the run asked it, by generate and in further training`() throws {
      _ = try #require(AdapterRun.made)
      let adapter = ["--model", "builtin", "--adapter", AdapterRun.checkpoint]
      let sampled = try Program.run(["generate", "--prompt", "1 + 2 =", "--samples", "2"] + adapter)
      #expect(sampled.status == 0 && sampled.output.split(separator: "\n").count == 2, "\(sampled.errors)")
      #expect(sampled.errors.contains("step-000002/ttrl.json: template plain, suffix \" \""), "\(sampled.errors)")
      let trained = try Program.run(
        ["train", "--data", "builtin:questions", "--run", scratch.file("run"), "--dry-run"] + adapter)
      #expect(trained.status == 0 && trained.errors.contains("suffix \" \""), "\(trained.errors)")
      #expect(trained.errors.contains("adapter: LoRA of rank 4, alpha 8.0 on "), "\(trained.errors)")
    }

    @Test func `a new adapter is refused where nothing is trained`() throws {
      let commands = [
        ["eval", "--data", "builtin:questions"], ["eval", "--data", "builtin:questions", "--workers", "1"],
        ["generate", "--prompt", "1"], ["logprobs"], ["merge", scratch.file("out")],
      ]
      for command in commands {
        let outcome = try Program.run(command + ["--model", "builtin", "--adapter", "lora"])
        #expect(outcome.status == 2 && outcome.output.isEmpty, "\(command)")
        #expect(outcome.errors.contains("adapter is lora, a new adapter, which computes what"), "\(outcome.errors)")
      }
      let nothing = try Program.run(["merge", "--model", "builtin", "--adapter", "none", scratch.file("out")])
      #expect(nothing.status == 2 && nothing.errors.contains("there is nothing to merge"), "\(nothing.errors)")
    }

    @Test func `an adapter that names another base as its own is used, and the user is told`() throws {
      _ = try #require(AdapterRun.made)
      let copy = scratch.file("copy")
      try FileManager.default.copyItem(atPath: AdapterRun.base, toPath: copy)
      let words = "was made for the model in \(AdapterRun.base), and the model here is \(copy)"
      let scored = try logprobs(["--model", copy, "--adapter", AdapterRun.checkpoint])
      #expect(scored.outcome.errors.contains(words), "\(scored.outcome.errors)")
      let merged = try Program.run(
        ["merge", "--model", copy, "--adapter", AdapterRun.checkpoint, scratch.file("merged")])
      #expect(merged.status == 0 && merged.output.contains("note: the adapter in "), "\(merged.errors)")
      let trained = try Program.run([
        "train", "--model", copy, "--adapter", AdapterRun.checkpoint, "--data", "builtin:questions", "--run",
        scratch.file("run"), "--dry-run", "--max-new-tokens", "80",
      ])
      #expect(trained.status == 0 && trained.errors.contains(words), "\(trained.errors)")
      let own = try logprobs(["--model", AdapterRun.base, "--adapter", AdapterRun.checkpoint])
      #expect(!own.outcome.errors.contains("was made for"), "\(own.outcome.errors)")
    }

    // MARK: merge

    /// Sequences of token ids below 31, which every model here has.
    private static let sequences = Data(
      (1..<5).map { row in
        "{\"ids\": [\((0..<6 * row).map { "\(($0 * 17 + row * 5 + 3) % 31)" }.joined(separator: ","))]}\n"
      }.joined().utf8)

    /// In float32.
    private func logprobs(_ arguments: [String]) throws -> (values: [Double], outcome: Program.Outcome) {
      let outcome = try Program.run(["logprobs", "--dtype", "float32"] + arguments, input: Self.sequences)
      try #require(outcome.status == 0, "\(outcome.errors)")
      return (try Self.values(outcome), outcome)
    }

    private static func values(_ outcome: Program.Outcome) throws -> [Double] {
      try outcome.output.split(separator: "\n").flatMap { line in
        let json = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: [Double]]
        return try #require(json?["logprobs"])
      }
    }

    private func gap(_ one: [Double], _ other: [Double]) -> Double {
      one.count == other.count ? zip(one, other).map { abs($0 - $1) }.max() ?? 1 : .infinity
    }

    @Test(arguments: ["qwen2", "llama", "qwen3", "phi3", "qwen3_5_text"])
    func `a merged model computes what base and adapter compute`(_ name: String) throws {
      let fixture = AdapterRun.fixture(name)
      let merged = scratch.file("merged")
      let made = try Program.run(["merge", "--model", fixture + "/base", "--adapter", fixture, merged])
      #expect(made.status == 0 && made.output.contains("weights: float32"), "\(made.errors)")
      let whole = try logprobs(["--model", merged]).values
      let parts = try logprobs(["--model", fixture + "/base", "--adapter", fixture]).values
      let base = try logprobs(["--model", fixture + "/base"]).values
      #expect(gap(whole, parts) < 1e-4 && gap(whole, base) > 0.1, "\(gap(whole, parts)), \(gap(whole, base))")
    }

    @Test func `a run's merged adapter is a whole model directory, in the base's type or in float32`() throws {
      _ = try #require(AdapterRun.made)
      let parts = ["--model", "builtin", "--adapter", AdapterRun.checkpoint]
      let (exact, rounded) = (scratch.file("exact"), scratch.file("rounded"))
      let first = try Program.run(["merge", "--weights", "float32", "--json", exact] + parts)
      let json = try #require(
        try JSONSerialization.jsonObject(with: Data(first.output.utf8)) as? [String: Any], "\(first.errors)")
      let files = try FileManager.default.contentsOfDirectory(atPath: exact).sorted()
      #expect(json["files"] as? [String] == files && json["weights"] as? String == "float32")
      #expect(files.contains("tokenizer.json") && files.contains("ttrl.json"), "\(files)")
      let (whole, added) = (try logprobs(["--model", exact]).values, try logprobs(parts).values)
      let base = try logprobs(["--model", "builtin"]).values
      #expect(gap(whole, added) < 1e-4 && gap(whole, base) > 1e-3, "\(gap(whole, added)), \(gap(whole, base))")

      let second = try Program.run(["merge", rounded] + parts)
      #expect(second.output.contains("weights: bfloat16"), "\(second.errors)")
      #expect(second.output.contains("% of the adapted weights are as in the base"), "\(second.output)")
      let evaluated = try Program.run([
        "eval", "--model", rounded, "--data", "builtin:unsolvable", "--samples", "2",
      ])
      #expect(evaluated.status == 0 && evaluated.errors.contains("suffix \" \""), "\(evaluated.errors)")
    }

    @Test func `merge writes over nothing`() throws {
      let notes = scratch.write("mine", to: "notes.txt")
      let fixture = AdapterRun.fixture("qwen2")
      for place in [scratch.path, notes] {
        let outcome = try Program.run(["merge", "--model", fixture + "/base", "--adapter", fixture, place])
        #expect(outcome.status == 1 && outcome.errors.contains("it is there already"), "\(outcome.errors)")
      }
      #expect(textOfFile(notes) == "mine")
      let usage = try Program.run(["merge", "--model", "a", "b"])
      #expect(usage.status == 2 && usage.errors.contains("--adapter lora|DIR is missing"), "\(usage.errors)")
    }

    @Test func `a sum that the type does not have is refused, and nothing is left`() throws {
      let fixture = AdapterRun.fixture("qwen2")
      var base = try SafeTensors(fixture + "/base/model.safetensors")
      for index in base.tensors.indices {
        base.tensors[index].type = "F16"
        // 64000 in every weight.
        base.tensors[index].bytes = Data((0..<base.tensors[index].count).flatMap { _ in [0xD0, 0x7B] as [UInt8] })
      }
      var adapter = try SafeTensors(fixture + "/adapter_model.safetensors")
      for index in adapter.tensors.indices {
        let values = [Float](repeating: 30, count: adapter.tensors[index].count)
        adapter.tensors[index].bytes = values.withUnsafeBytes { Data($0) }
      }
      for (name, file, from) in [("base", base, fixture + "/base"), ("adapter", adapter, fixture)] {
        try FileManager.default.copyItem(atPath: from, toPath: scratch.file(name))
        let weights = name == "base" ? "model.safetensors" : "adapter_model.safetensors"
        try file.data.write(to: URL(fileURLWithPath: scratch.file("\(name)/\(weights)")))
      }
      let arguments = ["merge", "--model", scratch.file("base"), "--adapter", scratch.file("adapter")]
      let outcome = try Program.run(arguments + [scratch.file("merged")])
      #expect(outcome.status == 1 && outcome.errors.contains("which float16 does not have"), "\(outcome.errors)")
      #expect(!FileManager.default.fileExists(atPath: scratch.file("merged")))
      let wide = try Program.run(arguments + [scratch.file("merged"), "--weights", "float32"])
      #expect(wide.status == 0, "\(wide.errors)")
    }

    // MARK: Against PEFT

    private static let hasPEFT = Python.has("torch", "transformers", "peft", "safetensors")

    /// - Parameter script: a file of Tests/Fixtures/transformers.
    private func python(_ script: String, _ arguments: [String]) throws -> Program.Outcome {
      let path = Program.packageRoot.appendingPathComponent("Tests/Fixtures/transformers/\(script).py").path
      let outcome = try Program.run(
        [path] + arguments, program: Python.path, input: Self.sequences, within: 180)
      try #require(outcome.status == 0, "\(outcome.errors)")
      return outcome
    }

    @Test(.enabled(if: hasPEFT, "no Python with transformers and peft; name one with TTRL_PYTHON"))
    func `peft opens a run's adapter, computes the same, and merges the same`() throws {
      _ = try #require(AdapterRun.made)
      let own = try logprobs(["--model", "builtin", "--adapter", AdapterRun.checkpoint]).values
      let other = try Self.values(python("logprobs", [AdapterRun.base, AdapterRun.checkpoint]))
      print("a run's adapter: the largest difference from peft is \(gap(own, other))")
      #expect(gap(own, other) < 1e-4)
      let fixtures = ["qwen2", "llama", "qwen3", "phi3", "qwen3_5_text"].map(AdapterRun.fixture)
      var places: [String] = []
      for (base, adapter) in [(AdapterRun.base, AdapterRun.checkpoint)] + fixtures.map({ ($0 + "/base", $0) }) {
        let merged = scratch.file("merged-\(places.count)")
        let made = try Program.run(["merge", "--model", base, "--adapter", adapter, "--weights", "float32", merged])
        try #require(made.status == 0, "\(made.errors)")
        places += [base, adapter, merged]
      }
      let differences = try python("merged", places).output.split(separator: "\n").compactMap { Double($0) }
      print("the largest differences from peft's merged weights are \(differences)")
      #expect(differences.count == 6 && differences.allSatisfy { $0 < 1e-6 })
      let opened = try Self.values(python("logprobs", [places[2]]))
      #expect(gap(opened, try logprobs(["--model", places[2]]).values) < 1e-4)
    }
  }
}

/// A run of two steps that trains a new adapter, made once for all tests, with the figures of its evaluations.
enum AdapterRun {
  static let directory = Scratch.shared.file("adapter-run")
  static var checkpoint: String { directory + "/checkpoints/step-000002" }

  /// The built-in model's directory; nil if the run failed.
  static let made: String? = {
    do {
      let outcome = try Program.run(
        ["train", "--run", directory, "--adapter", "lora", "--adapter-rank", "4", "--adapter-alpha", "8"]
          + SmallRun.settings(steps: 2).dropLast(2) + [
            "--eval-samples", "4", "--eval-every", "0", "--eval-temperature", "0.7", "--held-out", "builtin:unsolvable",
            "--suffix", " ", "--seed", "3",
          ], within: 120)
      try #require(outcome.status == 0, "\(outcome.errors)")
      let data = try #require(FileManager.default.contents(atPath: directory + "/settings.json"))
      let json = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
      return try #require((json["settings"] as? [String: Any])?["model"] as? String)
    } catch {
      Issue.record("the run with an adapter failed: \(error)")
      return nil
    }
  }()

  static var base: String { made ?? "" }

  /// The directory of an adapter that PEFT made; its base is in `base`.
  static func fixture(_ name: String) -> String {
    Program.packageRoot.appendingPathComponent("Tests/Fixtures/adapters/\(name)").path
  }
}

/// A .safetensors file, to be changed.
struct SafeTensors {
  struct Tensor {
    var name: String
    var type: String
    var shape: [Int]
    var bytes: Data

    var count: Int { shape.reduce(1, *) }
  }

  var tensors: [Tensor] = []

  init(_ path: String) throws {
    let file = try Data(contentsOf: URL(fileURLWithPath: path))
    let length = file.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try #require(
      try JSONSerialization.jsonObject(with: file[8..<8 + length]) as? [String: [String: Any]])
    for (name, entry) in header where name != "__metadata__" {
      let range = try #require(entry["data_offsets"] as? [Int])
      tensors.append(
        Tensor(
          name: name, type: try #require(entry["dtype"] as? String), shape: try #require(entry["shape"] as? [Int]),
          bytes: Data(file[8 + length + range[0]..<8 + length + range[1]])))
    }
    tensors.sort { $0.name < $1.name }
  }

  var data: Data {
    var (header, bytes) = ([String: Any](), Data())
    for tensor in tensors {
      let offsets = [bytes.count, bytes.count + tensor.bytes.count]
      header[tensor.name] = ["dtype": tensor.type, "shape": tensor.shape, "data_offsets": offsets] as [String: Any]
      bytes += tensor.bytes
    }
    var text = (try? JSONSerialization.data(withJSONObject: header)) ?? Data()
    text += Data(repeating: UInt8(ascii: " "), count: (8 - text.count % 8) % 8)
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) } + text + bytes
  }
}
