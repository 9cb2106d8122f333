// Wrong input gives one clear paragraph and the right exit status, and no run begins.
//
// Status 2: usage or settings. Status 1: something that the settings name cannot be used. Each case lists words that
// the paragraph must contain.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct BadInputTests {
    private let scratch = Scratch()
    private var directory: String { scratch.file("run") }

    /// Runs `train`, which must fail at once with this status and these words, in one paragraph, and begin nothing.
    private func expectRefusal(
      _ arguments: [String], status: Int32, _ words: [String], location: SourceLocation = #_sourceLocation
    ) throws {
      let outcome = try Program.run(["train", "--run", directory] + arguments, within: 20)
      #expect(outcome.status == status, "\(outcome.errors)", sourceLocation: location)
      for word in words { #expect(outcome.errors.contains(word), "\(outcome.errors)", sourceLocation: location) }
      #expect(outcome.errors.hasPrefix("ttrl train: ") && !outcome.errors.contains("\n\n"), sourceLocation: location)
      #expect(!outcome.errors.contains("Fatal error") && outcome.output.isEmpty, sourceLocation: location)
      #expect(!FileManager.default.fileExists(atPath: directory), sourceLocation: location)
    }

    // MARK: Data

    @Test func `a missing data file is named`() throws {
      try expectRefusal(["--data", scratch.file("none.jsonl")], status: 1, ["none.jsonl: No such file"])
    }

    static let files: [(name: String, text: String, words: [String])] = [
      ("a line that is not JSON", "{\"prompt\": \"1?\"}\n\n{\"prompt\": \"2?\"\n", ["line 3, column"]),
      (
        "every bad line", "{\"prompt\": 1}\n{\"question\": \"2?\"}\n[]x\n{}\n",
        ["line 1", "line 3", "line 4: no \"prompt\""]
      ),
      (
        "an id that comes twice", "{\"id\": \"a\", \"prompt\": \"1?\"}\n{\"id\": \"a\", \"prompt\": \"2?\"}\n",
        ["line 2: the id \"a\" is taken by line 1"]
      ),
      (
        "two answers for one id",
        "{\"id\": \"a\", \"prompt\": \"1?\", \"answer\": 1}\n{\"id\": \"a\", \"prompt\": \"1?\", \"answer\": 2}\n",
        ["line 2: the id \"a\" has the answer \"2\" here and \"1\" on line 1"]
      ),
      ("no question", "\n", ["holds no questions"]),
      (
        "prompts too long, all", "{\"prompt\": \"\(String(repeating: "1+", count: 400))\"}\n",
        ["no prompt of", "context of 256"]
      ),
    ]

    @Test(arguments: files)
    func `a data file is refused with what is wrong with it`(_ file: (name: String, text: String, words: [String]))
      throws
    {
      try expectRefusal(["--data", scratch.write(file.text, to: "data.jsonl")], status: 1, ["data.jsonl"] + file.words)
    }

    @Test func `text that is not UTF-8 is refused with its line`() throws {
      let latin1 = Data("{\"prompt\": \"1?\"}\n{\"prompt\": \"caf".utf8) + [0xE9] + Data("?\"}\n".utf8)
      try expectRefusal(
        ["--data", scratch.write(latin1, to: "latin1.jsonl")], status: 1, ["line 2", "not valid UTF-8"])
    }

    @Test func `what is too long is refused by the name of its limit, before any work on it`() throws {
      func text(_ count: Int) -> String { String(repeating: "1", count: count) }
      try expectRefusal(
        ["--data", scratch.write("{\"prompt\": \"\(text(17 << 20))\"}\n", to: "line.jsonl")], status: 1,
        ["line 1", "more than 16777216 bytes"])
      try expectRefusal(
        ["--config", scratch.write("{suffix: '\(text(1_000_000))'}", to: "suffix.json5")], status: 2,
        ["suffix has 1000000 bytes, expected at most 262144"])
      try expectRefusal(
        ["--config", scratch.write("{suffix: '\(text(3_000_000))'}", to: "long.json5")], status: 2,
        ["long.json5: it has 3000012 bytes, at most 2097152"])
      let keys = (0..<100_000).map { "\"k\($0)\":1" }.joined(separator: ",")
      try expectRefusal(
        ["--config", scratch.write("{\(keys)}", to: "keys.json5")], status: 2,
        ["keys.json5: it has 100000 settings, expected at most 1000"])
      try expectRefusal(
        ["--template", scratch.write("{question}" + text(300_000), to: "template.txt")], status: 1,
        ["template.txt: it has 300010 bytes, at most 262144"])
      scratch.write("{\"a\":\"\(text(5 << 20))\"}", to: "config.json")
      let data = scratch.write("{\"prompt\": \"1?\"}\n", to: "data.jsonl")
      try expectRefusal(
        ["--model", scratch.path, "--data", data], status: 1, ["config.json: it has", "at most 4194304"])
    }

    @Test func `a line of standard input that does not end is refused at its limit`() throws {
      let outcome = try Program.run(
        ["tokenize", "--model", "builtin"],
        input: Data("{\"text\": \"1+1\"}\n".utf8) + Data(repeating: UInt8(ascii: "1"), count: 20 << 20))
      #expect(outcome.status == 1 && outcome.output.hasPrefix("{\"ids\":"), "\(outcome.output.prefix(200))")
      #expect(outcome.errors.contains("line 2 of the input has more than 16777216 bytes"), "\(outcome.errors)")
    }

    private var withLongPrompt: String {
      scratch.write(
        "{\"id\": \"short\", \"prompt\": \"1 + 2 =\"}\n"
          + "{\"id\": \"long\", \"prompt\": \"\(String(repeating: "1+", count: 400))\"}\n", to: "long.jsonl")
    }

    @Test func `a prompt that does not fit is dropped and counted, or refused and named`() throws {
      try expectRefusal(["--data", withLongPrompt, "--long-prompts", "refuse"], status: 1, [": long."])
      let dropped = try Program.run(["train", "--run", directory, "--data", withLongPrompt, "--dry-run"])
      #expect(dropped.status == 0 && dropped.errors.contains("1 of 2 prompts leave no room"), "\(dropped.errors)")
      #expect(dropped.errors.contains("1 prompt, 30 steps of 1 prompt ×"))
    }

    @Test func `labels cannot be the truth where there is none`() throws {
      let data = scratch.write("{\"prompt\": \"1?\"}\n", to: "data.jsonl")
      try expectRefusal(["--data", data, "--labels", "truth"], status: 1, ["no question of", "\"answer\""])
    }

    // MARK: What other tools take

    /// What is at the given path: a file's name and bytes, or nothing.
    static let otherData: [(name: String, bytes: Data, words: [String])] = [
      ("q.csv", Data("prompt,answer\n1+1?\n".utf8), ["line 2: the row has 1 field, the header 2 columns"]),
      ("q.tsv", Data("prompt\tanswer\n".utf8), ["it is a table with tabs", "sep="]),
      ("q", Data("prompt\tanswer\n".utf8), ["separated by tabs"]),
      ("q.parquet", Data("PAR1".utf8), ["it is a Parquet file", "pandas.read_parquet('", "lines=True"]),
      ("q", Data("PAR1xxxx".utf8), ["it is a Parquet file"]),
      ("q.arrow", Data("ARROW1\0\0".utf8), ["it is an Arrow file", "read_feather"]),
      ("q.arrow", Data([0xFF, 0xFF, 0xFF, 0xFF, 1, 0]), ["it is an Arrow stream", "pyarrow.ipc.open_stream"]),
      ("q.xlsx", Data("PK\u{3}\u{4}".utf8), ["it is an Excel workbook", "read_excel"]),
      ("q.zip", Data("PK\u{3}\u{4}".utf8), ["it is compressed (zip)", "unzip '"]),
      ("q.jsonl.gz", Data([0x1F, 0x8B, 8, 0]), ["it is compressed (gzip)", "gunzip -k '"]),
      ("q.jsonl.zst", Data([0x28, 0xB5, 0x2F, 0xFD]), ["it is compressed (zstd)", "zstd -d '"]),
      ("q.jsonl", Data("<!DOCTYPE html>\n".utf8), ["it is a web page"]),
      ("q.jsonl", Data("version https://git-lfs.github.com/spec/v1\n".utf8), ["it is a Git LFS pointer"]),
      ("q.jsonl", Data([0xFF, 0xFE, 0x7B, 0]), ["the text is UTF-16", "iconv"]),
    ]

    @Test(arguments: otherData)
    func `a data file of another kind is recognised, with the command that converts it`(
      _ file: (name: String, bytes: Data, words: [String])
    ) throws {
      try expectRefusal(["--data", scratch.write(file.bytes, to: file.name)], status: 1, file.words)
    }

    @Test func `a directory of data is answered with its files`() throws {
      let directory = scratch.file("set")
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      scratch.write("{}", to: "set/train.jsonl")
      try expectRefusal(["--data", directory], status: 1, ["it is a directory", "train.jsonl"])
    }

    @Test(arguments: [
      (["--data", "HuggingFaceH4/MATH-500"], "hf download HuggingFaceH4/MATH-500 --repo-type dataset"),
      (
        ["--model", "Qwen/Qwen2.5-0.5B-Instruct", "--data", "builtin:questions"],
        "hf download Qwen/Qwen2.5-0.5B-Instruct --local-dir Qwen2.5-0.5B-Instruct"
      ),
    ])
    func `a name of the hub is answered with its download`(_ arguments: [String], _ words: String) throws {
      try expectRefusal(arguments, status: 1, [words])
    }

    @Test func `a model of another kind is recognised`() throws {
      let cases: [(path: String, file: String, bytes: Data, words: [String])] = [
        ("m", "m/model-q4.gguf", Data("x".utf8), ["it has a GGUF file", "--model ", "m/model-q4.gguf"]),
        ("blob", "blob", Data("GGUF".utf8), ["blob: the version needs 4 bytes, but the file has 0 left"]),
        ("a", "a/adapter_config.json", Data("{}".utf8), ["it is an adapter", "Give both", "--model BASE --adapter "]),
        (
          "h", "h/adapter_config.json", Data(#"{"base_model_name_or_path": "Qwen/Qwen2.5-0.5B"}"#.utf8),
          ["--model Qwen2.5-0.5B --adapter ", "hf download Qwen/Qwen2.5-0.5B --local-dir Qwen2.5-0.5B"]
        ),
        (
          "w/model.safetensors", "w/model.safetensors", Data("x".utf8),
          ["--model takes a GGUF file, or the directory", "/w"]
        ),
        ("cache", "cache/snapshots/1a2b/config.json", Data("{}".utf8), ["cache/snapshots/1a2b"]),
        ("old", "old/settings.json", Data("{}".utf8), ["there is no config.json"]),
      ]
      for (path, file, bytes, words) in cases {
        let folder = scratch.file(file).split(separator: "/").dropLast().map { "/" + $0 }.joined()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        scratch.write(bytes, to: file)
        try expectRefusal(["--model", scratch.file(path), "--data", "builtin:questions"], status: 1, words)
      }
      _ = try #require(SmallRun.undisturbed)
      try expectRefusal(
        ["--model", SmallRun.undisturbedDirectory, "--data", "builtin:questions"], status: 1,
        ["it is a run", "\(SmallRun.undisturbedDirectory)/checkpoints/step-000004"])
    }

    /// What is added to a directory with the built-in model's files, and the words of the refusal.
    static let additions: [(file: String, text: String, words: [String])] = [
      (
        "model.safetensors.index.json", #"{"weight_map": {"model.norm.weight": "model-1-of-2.safetensors"}}"#,
        ["model.safetensors, and model.safetensors.index.json", "model-1-of-2.safetensors"]
      ),
      ("adapter_config.json", "{}", ["an adapter (adapter_config.json)"]),
      (
        "model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n",
        ["model.safetensors is a Git LFS pointer", "git lfs pull"]
      ),
      (
        "tokenizer.json", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n",
        ["tokenizer.json is a Git LFS pointer"]
      ),
      ("generation_config.json", #"{"eos_token_id": [2, 99999]}"#, ["generation_config.json: eos_token_id is 99999"]),
    ]

    @Test(arguments: additions)
    func `a directory with a file that is not what it seems is refused`(
      _ addition: (file: String, text: String, words: [String])
    ) throws {
      let cache = Scratch()
      let made = try Program.run(
        ["tokenize", "--model", "builtin"], environment: ["XDG_CACHE_HOME": cache.path])
      try #require(made.status == 0, "\(made.errors)")
      let base = try #require(try FileManager.default.contentsOfDirectory(atPath: cache.file("ttrl")).first)
      let model = cache.file("ttrl/\(base)")
      try Data(addition.text.utf8).write(to: URL(fileURLWithPath: model + "/" + addition.file))
      let outcome = try Program.run(["generate", "--model", model, "--prompt", "1", "--max-new-tokens", "1"])
      #expect(outcome.status == 1 && outcome.output.isEmpty)
      for word in addition.words { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
    }

    // MARK: Memory

    @Test func `a run that does not fit into the memory that is left is refused with what would fit`() throws {
      // A worker of the smallest model needs 64 MiB.
      let train = "exec '\(Program.path())' train --run '\(directory)' --workers"
      let outcome = try Program.run(["-c", "ulimit -v 2097152; \(train) 64"], program: "/bin/bash")
      #expect(outcome.status == 1 && outcome.errors.contains("more than the 2048 MiB that are available"), "\(outcome)")
      let flag = try #require(outcome.errors.firstMatch(of: /\nWith --workers (\d+) it fits/), "\(outcome.errors)")
      let fits = try Program.run(["-c", "ulimit -v 2097152; \(train) \(flag.1) --dry-run"], program: "/bin/bash")
      #expect(fits.status == 0, "\(fits.errors)")
      #expect(!FileManager.default.fileExists(atPath: directory))
    }

    // MARK: Settings

    @Test func `everything that is wrong with the settings is reported at once, file and flags together`() throws {
      let file = scratch.write(
        "{ /* JSON5 */ wokers: 3, votes: 'x', lr: [1], temperature: 0, seed: 18446744073709551615 }", to: "run.json5")
      try expectRefusal(
        ["--config", file, "--stpes", "3", "--labels=gold", "--steps", "-1", "--listen", "10.0.0.1:7", "stray"],
        status: 2,
        [
          "9 problems", "did you mean \"workers\"", "votes is \"x\"", "lr is a list", "did you mean \"steps\"",
          "labels is \"gold\"", "steps is \"-1\"", "10.0.0.1:7 is not on this machine", "\"stray\" is not a flag",
          "temperature 0 makes all votes equal",
        ])
    }

    @Test(arguments: [
      (["--train-samples", "9", "--votes", "8"], "train-samples (9) is above votes (8)"),
      (["--votes", "1", "--train-samples", "1"], "a majority needs at least 2"),
      (["--train-samples", "1", "--advantage", "grpo"], "so there would be no update; raise it to at least 2"),
      (["--model", "somewhere"], "--model is given without --data"),
      (["--votes"], "--votes needs a value"),
      (["--seed", "1", "--seed", "2"], "\"seed\" is given twice"),
      (["--config", "/nowhere/run.json5"], "/nowhere/run.json5: No such file"),
      (["--samples", "3"], "this command does not take \"samples\""),
    ])
    func `settings that contradict each other are refused`(_ arguments: [String], _ words: String) throws {
      try expectRefusal(arguments, status: 2, [words])
    }

    @Test func `a settings file that is not JSON5 is refused`() throws {
      try expectRefusal(
        ["--config", scratch.write("{ steps: ", to: "run.json5")], status: 2, ["is not a settings file"])
    }

    // MARK: Run directory

    @Test(arguments: ["/proc/self/ttrl-run", "/proc/version/run", "/dev/null"])
    func `a run directory that cannot be made is refused`(_ path: String) throws {
      // Below /proc and below a file even root cannot write.
      let outcome = try Program.run(["train", "--run", path] + SmallRun.settings, within: 20)
      #expect(outcome.status == 2 && outcome.errors.hasPrefix("ttrl train: cannot"), "\(outcome.errors)")
      #expect(outcome.errors.contains(path.hasPrefix("/proc") ? "/proc/" : path))
    }

    @Test func `a directory with something else in it is refused and left alone`() throws {
      let other = scratch.write("mine", to: "notes.txt")
      let outcome = try Program.run(["train", "--run", scratch.path], within: 20)
      #expect(
        outcome.status == 1 && outcome.errors.contains("not a run") && outcome.errors.contains("it has notes.txt."),
        "\(outcome.errors)")
      #expect(textOfFile(other) == "mine")
    }

    @Test func `a run can begin on a disk of its own, with logs on another`() throws {
      for name in ["lost+found", "logs"] {
        try FileManager.default.createDirectory(atPath: scratch.file(name), withIntermediateDirectories: false)
      }
      let outcome = try Program.run(["train", "--run", scratch.path, "--dry-run"] + SmallRun.settings, within: 20)
      #expect(outcome.status == 0, "\(outcome.errors)")
    }
  }

  // MARK: - Continuing

  @Suite struct ContinuationTests {
    @Test(arguments: [
      (
        ["--steps", "9"],
        [
          "steps is 9, the run has 4", "cosine over all steps", "begin another one with --steps 9",
          "ttrl train --from \(SmallRun.undisturbedDirectory) --optimizer carry --steps 5 --run DIR",
          "schedule starts anew",
        ]
      ),
      (["--steps", "3"], ["steps is 3, the run has 4", "begin another one with --steps 3"]),
      (
        ["--seed", "7", "--votes", "64", "--workers", "5"], ["seed is 7, the run has 0", "votes is 64, the run has 32"]
      ),
      (["--data", "builtin:held-out"], ["other training questions"]),
    ])
    func `settings that would change a run's result are refused, each by name`(_ extra: [String], _ words: [String])
      throws
    {
      _ = try #require(SmallRun.undisturbed)
      let outcome = try Program.run(["train", "--run", SmallRun.undisturbedDirectory] + extra)
      #expect(outcome.status == 2, "\(outcome.errors)")
      for word in words { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
      #expect(!outcome.errors.contains("workers"))
    }

    @Test func `settings that cannot change the result can differ, and the others need not be given`() throws {
      _ = try #require(SmallRun.undisturbed)
      let flags = ["--workers", "3", "--learners", "1", "--threads", "2", "--checkpoint-every", "2", "--dry-run"]
      let outcome = try Program.run(["train", "--run", SmallRun.undisturbedDirectory] + flags)
      #expect(outcome.status == 0 && outcome.errors.contains("is finished"), "\(outcome.errors)")
    }

    @Test func `with fast reduction the number of ranks is part of the run`() throws {
      let scratch = Scratch()
      let directory = scratch.file("run")
      let run = try Running(["train", "--run", directory, "--reduction", "fast"] + SmallRun.settings)
      SmallRun.awaitMiddle(of: run, in: directory)
      run.signal(SIGINT)
      #expect(run.wait().status == 130)
      let outcome = try Program.run(["train", "--run", directory, "--learners", "1"])
      #expect(outcome.status == 2 && outcome.errors.contains("learners is 1, the run has 2"), "\(outcome.errors)")
    }
  }
}
