// The commands as users type them, and their help.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct CommandLineTests {
    private static let programs = ["ttrl", "ttrl-dev"]

    /// The names of all commands; some have two words, such as bench rollout.
    private static func commands(of program: String) throws -> [String] {
      let help = try Program.run(["--help"], program: Program.path(program)).output
      let lines = help.split(separator: "\n").drop { $0 != "Commands:" }.dropFirst().prefix { $0.hasPrefix("  ") }
      return lines.map { line in
        let text = line.drop { $0 == " " }
        return String(text[..<(text.firstRange(of: "  ")?.lowerBound ?? text.endIndex)])
      }
    }

    private static func help(_ command: String, of program: String) throws -> Program.Outcome {
      try Program.run(
        command.split(separator: " ").map(String.init) + ["--help"], program: Program.path(program))
    }

    @Test func `the version is one line, then what computes`() throws {
      let outcome = try Program.run(["--version"])
      #expect(outcome.status == 0 && outcome.output.hasPrefix("ttrl "))
      #expect(outcome.output.contains(" tile by ") && outcome.output.contains(", pair by "))
    }

    @Test func `the page of changes begins with this version and its formats`() throws {
      let lines = try Program.run(["--version"]).output.split(separator: "\n")
      try #require(lines.count == 3, "\(lines)")
      let formats = try #require(
        lines[2].wholeMatch(
          of: /commit (unknown|[0-9a-f]{40}), edition (\d+), protocol (\d+), ledger (\d+), archive (\d+)/))
      let page = Pages.text(of: "docs/changes.md")
      let newest = try #require(page.firstMatch(of: /\n## ([0-9.]+)\n\n(.*)\n/))
      #expect("ttrl \(newest.1)" == lines[0])
      #expect(newest.2 == "Edition \(formats.2), protocol \(formats.3), ledger \(formats.4), archives \(formats.5).")
    }

    @Test func `a cap on the instruction set is obeyed, and one that the processor lacks is an error`() throws {
      let capped = try Program.run(["--version"], environment: ["TTRL_INSTRUCTION_SET": "avx2"])
      #expect(capped.status == 0 && capped.output.contains("\navx2 tile by float32, pair by float32"), "\(capped)")
      let other = try Program.run(["--version"], environment: ["TTRL_INSTRUCTION_SET": "avx10"])
      #expect(other.status == 1 && other.errors.contains("TTRL_INSTRUCTION_SET is \"avx10\""), "\(other)")
      #expect(other.errors.contains("avx2"), "\(other)")
      let run = try Program.run(
        ["train", "--run", "nowhere", "--dry-run"], environment: ["TTRL_INSTRUCTION_SET": "avx10"])
      #expect(run.status == 2 && run.errors.contains("TTRL_INSTRUCTION_SET is \"avx10\""), "\(run)")
    }

    @Test func `a result that could not be written is a failure that says so`() throws {
      let outcome = try Program.run(["-c", "\(Program.path()) --version >/dev/full"], program: "/bin/bash")
      #expect(outcome.status == 1, "\(outcome)")
      #expect(outcome.errors.contains("cannot write to standard output: No space left"), "\(outcome.errors)")
    }

    @Test func `a message that cannot be written does not end the command`() throws {
      let outcome = try Program.run(["-c", "\(Program.path()) 2>/dev/full"], program: "/bin/bash")
      #expect(outcome.status == 2, "\(outcome)")
    }

    @Test func `without a command there is help and status 2`() throws {
      let outcome = try Program.run([])
      #expect(outcome.status == 2 && outcome.errors.contains("Commands:") && outcome.output.isEmpty)
    }

    @Test(arguments: ["bench", "chaos", "pretrain"])
    func `a command of the other program is refused with where it is`(_ name: String) throws {
      let outcome = try Program.run([name])
      #expect(outcome.status == 2 && outcome.errors.contains("ttrl-dev \(name) --help"), "\(outcome.errors)")
    }

    @Test func `a command that is not there is refused, with the one that was meant`() throws {
      let outcome = try Program.run(["trian"])
      #expect(outcome.status == 2 && outcome.errors.contains("did you mean \"train\"?"))
    }

    @Test(arguments: programs)
    func `every command has help, whose lines fit a wide terminal`(_ program: String) throws {
      let commands = try Self.commands(of: program)
      #expect(commands.count >= 11)
      for command in commands {
        let outcome = try Self.help(command, of: program)
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        #expect(outcome.output.hasPrefix("\(program) \(command): "))
        let long = outcome.output.split(separator: "\n").filter { $0.count > 130 }
        #expect(long.isEmpty, "\(command): \(long)")
      }
    }

    @Test(arguments: programs)
    func `every help has an example, of settings that the command takes`(_ program: String) throws {
      for command in try Self.commands(of: program) {
        let help = try Self.help(command, of: program).output
        let example = try #require(help.split(separator: "\n").dropFirst().first { $0.hasPrefix("  ") })
        guard command != "completions" else { continue }
        let own = try #require(example.range(of: "\(program) \(command)"), "\(example)")
        for word in example[own.upperBound...].split(separator: " ") where word.hasPrefix("--") {
          #expect(help.contains("\n  \(word)"), "\(command) does not take \(word)")
        }
      }
    }

    @Test func `the manual page has every command and setting`() throws {
      let page = try Program.run(["manual"]).output
      #expect(page.hasPrefix(".TH TTRL 1\n"))
      for command in try Self.commands(of: "ttrl") { #expect(page.contains("\n.B \(command)\n")) }
      #expect(page.contains("\\fB\\-\\-max\\-new\\-tokens\\fR \\fIN\\fR"))
      // `ttrl train` alone runs the built-in example.
      let train = try #require(page.split(separator: "\n.TP\n").first { $0.hasPrefix(".B train\n") })
      #expect(train.contains("Needs \\-\\-run for a model other than the built\\-in one."), "\(train)")
      let json = try JSONSerialization.jsonObject(with: Data(try Program.run(["manual", "--json"]).output.utf8))
      let settings = try #require((json as? [String: Any])?["settings"] as? [[String: Any]])
      #expect(
        settings.contains { $0["name"] as? String == "dtype" && $0["choices"] as? [String] == ["float32", "bfloat16"] })
    }

    @Test(arguments: programs) func `every command takes --json`(_ program: String) throws {
      for command in try Self.commands(of: program) {
        #expect(try Self.help(command, of: program).output.contains("\n  --json"), "\(command)")
      }
      let line = Data("{\"ids\": [1, 2, 3]}\n".utf8)
      let arguments = ["--model", "builtin", "--max-new-tokens", "2"]
      let plain = try Program.run(["generate"] + arguments, input: line)
      #expect(try Program.run(["generate", "--json"] + arguments, input: line).output == plain.output)
    }

    @Test func `what commands print about a run is JSON if it is asked for`() throws {
      _ = try #require(SmallRun.undisturbed)
      let directory = SmallRun.undisturbedDirectory
      func object(_ arguments: [String]) throws -> [String: Any] {
        let outcome = try Program.run(arguments + ["--json"])
        try #require(outcome.status == 0, "\(outcome.errors)")
        return try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
      }
      let prompt = try object(["explain", directory, "--prompt", "0"])
      let visits = try #require(prompt["visits"] as? [[String: Any]])
      #expect(prompt["question"] is String && prompt["responses"] is [Any] && visits.allSatisfy { $0["votes"] is Int })
      #expect(try object(["report", directory])["report"] as? String == directory + "/report.html")
      #expect(try object(["stop", "--run", directory])["stopped"] is NSNull)
    }

    @Test func `generate takes one prompt from the command line`() throws {
      let flags = ["--model", "builtin", "--max-new-tokens", "3", "--samples", "2"]
      let typed = try Program.run(["generate", "--prompt", "1 + 2 ="] + flags)
      let read = try Program.run(["generate"] + flags, input: Data("{\"prompt\": \"1 + 2 =\"}\n".utf8))
      #expect(typed.status == 0 && typed.output == read.output && typed.output.contains("\"sample_index\":1"))
    }

    @Test(arguments: ["", "none"]) func `an empty suffix or system line is none`(_ empty: String) throws {
      let ids = { (arguments: [String]) in
        let outcome = try Program.run(
          ["generate", "--model", "builtin", "--template", "qwen2.5-math", "--prompt", "2+3", "--max-new-tokens", "4"]
            + arguments)
        #expect(outcome.status == 0, "\(outcome.errors)")
        return outcome.output
      }
      // The template has a system line of its own; the same prompt as a text without one.
      let bare = try Program.run([
        "generate", "--model", "builtin", "--prompt", "2+3", "--max-new-tokens", "4", "--template",
        "<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n",
      ]).output
      #expect(try ids(["--system", empty]) == bare && ids([]) != bare)
      #expect(try ids(["--suffix", empty, "--system", empty]) == bare)
    }

    @Test func `a dry run prints its plan, or what is wrong, as one JSON object`() throws {
      let scratch = Scratch()
      func object(_ arguments: [String]) throws -> (outcome: Program.Outcome, json: [String: Any]) {
        let outcome = try Program.run(["train", "--run", scratch.file("run"), "--dry-run", "--json"] + arguments)
        let json = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
        return (outcome, try #require(json, "\(outcome)"))
      }
      let (outcome, json) = try object(["--steps", "7"])
      #expect(outcome.status == 0 && outcome.errors.contains("this run compared with the paper"))
      #expect((json["settings"] as? [String: String])?["steps"] == "7")
      #expect((json["problems"] as? [Any])?.isEmpty == true && json["prompts"] as? Int == 128)
      let memory = try #require(json["memory"] as? [String: Any])
      let parts = try #require(memory["parts"] as? [[String: Any]])
      #expect(parts.reduce(0) { $0 + ($1["bytes"] as? Int ?? 0) } == memory["bytes"] as? Int)
      #expect(!FileManager.default.fileExists(atPath: scratch.file("run")))
      let wrong = try object(["--votes", "1", "--gpu", "0"])
      #expect(wrong.outcome.status == 2 && (wrong.json["problems"] as? [String])?.count == 3, "\(wrong)")
      let missing = try object(["--data", scratch.file("none.jsonl")])
      #expect(missing.outcome.status == 1 && (missing.json["problems"] as? [String])?.count == 1, "\(missing)")
    }

    @Test(arguments: [
      (["ttrl", "tra"], "train"), (["ttrl", "train", "--mini"], "--mini-batch"),
      (["ttrl-dev", "bench", "coord"], "coordinator"),
      (["ttrl-dev", "bench", "coordinator", "--worker-"], "--worker-tokens"),
      (["ttrl", "train", "--dtype", ""], "float32 bfloat16"), (["ttrl", "train", "--reduction", "f"], "fast"),
      (["ttrl", "train", "--early-stop", "'='", "o"], "off on"),
      (["ttrl-dev", "bench", "gemm", "--dtype", "b"], "bfloat16"),
    ])
    func `bash completes commands and their settings`(_ words: [String], _ completion: String) throws {
      let script = """
        source <("\(Program.path(words[0]))" completions)
        COMP_WORDS=(\(words.joined(separator: " "))); COMP_CWORD=\(words.count - 1)
        _\(words[0].replacing("-", with: "_")); echo "${COMPREPLY[@]}"
        """
      #expect(try Program.run(["-c", script], program: "/bin/bash").output == completion + "\n")
    }

    private static let hasScript = FileManager.default.isExecutableFile(atPath: "/usr/bin/script")

    @Test(
      .enabled(if: hasScript, "script (util-linux) is missing, which makes a terminal"), arguments: ["dumb", "xterm"])
    func `a dumb terminal gets no control sequences`(_ terminal: String) throws {
      let scratch = Scratch()
      let words = ["train", "--run", scratch.file("run")] + SmallRun.settings(steps: 1)
      let outcome = try Program.run(
        ["-qec", "'\(Program.path())' \(words.joined(separator: " "))", "/dev/null"], program: "/usr/bin/script",
        environment: ["TERM": terminal])
      #expect(outcome.status == 0 && outcome.output.contains("report.html"), "\(outcome)")
      #expect(outcome.output.contains("\u{1B}") == (terminal != "dumb"), "\(outcome.output)")
    }

    @Test func `train's help shows the built-in example's defaults and the usual ones`() throws {
      let help = try Program.run(["train", "--help"]).output
      #expect(help.contains("[240; builtin: 30]") && help.contains("[exact]"))
    }

    @Test(arguments: [
      ("tokenize", Data("{\"text\": \"a\"}\n\n{\"text\": ".utf8), "line 3 of the input is not JSON"),
      ("tokenize", Data("{\"text\": \"caf".utf8) + [0xE9] + Data("\"}".utf8), "not valid UTF-8"),
      ("logprobs", Data("{\"ids\": [1, 999]}".utf8), "line 1 of the input: \"ids\" has the number 999"),
      ("generate", Data("{\"ids\": [\(repeatElement("7", count: 300).joined(separator: ","))]}".utf8), "300 tokens"),
    ])
    func `a bad line of input is refused with its number`(_ command: String, _ input: Data, _ words: String) throws {
      let outcome = try Program.run([command, "--model", "builtin"], input: input)
      #expect(outcome.status == 1 && outcome.errors.contains(words), "\(outcome.errors)")
    }

    @Test func `vote follows the recipe that it is given`() throws {
      let group = #"{"responses": ["no idea", "no", "\\boxed{1/2}"], "answer": "0.5"}"#
      let ours = try Program.run(["vote"], input: Data(group.utf8)).output
      #expect(ours.contains(#""label":"1/2","votes":1"#) && ours.contains(#""label_accuracy":1.0"#), "\(ours)")
      let reference = try Program.run(["vote", "--recipe", "ttrl-reference"], input: Data(group.utf8)).output
      #expect(reference.contains(#""label":"","votes":2,"rewards":[1.0,1.0,0.0]"#), "\(reference)")
    }

    @Test(
      arguments: [("5", true), ("5.0", true), ("6", false), ("\"5\"", true), ("\"\"", nil), ("null", nil)]
        as [(String, Bool?)])
    func `vote takes a string or a number as the truth, and nothing as no truth`(_ truth: String, _ isRight: Bool?)
      throws
    {
      let group = #"{"responses": ["\\boxed{5}"], "answer": \#(truth)}"#
      let output = try Program.run(["vote"], input: Data(group.utf8)).output
      #expect(output.contains("label_accuracy") == (isRight != nil), "\(output)")
      if let isRight { #expect(output.contains("\"label_accuracy\":\(isRight ? "1.0" : "0.0")"), "\(output)") }
    }

    @Test(arguments: ["[\"5\"]", "true", "{}"])
    func `vote and grade refuse what is not an answer`(_ truth: String) throws {
      for (command, line) in [
        ("vote", #"{"responses": ["\\boxed{5}"], "answer": \#(truth)}"#),
        ("grade", #"{"reference": "5", "answer": \#(truth)}"#),
      ] {
        let outcome = try Program.run([command], input: Data(line.utf8))
        #expect(
          outcome.status == 1 && outcome.errors.contains("expected an answer: a string or a number"), "\(outcome)")
      }
    }

    private static let record =
      (ProcessInfo.processInfo.environment["TTRL_SHARED"]
        ?? Program.packageRoot.deletingLastPathComponent().appendingPathComponent("shared").path)
      + "/reference/groups.jsonl"

    @Test(.enabled(if: FileManager.default.fileExists(atPath: record), "no reference record; set TTRL_SHARED"))
    func `every difference from the reference's record has a cause, and docs/sources.md has the table`() throws {
      let outcome = try Program.run(["differences", Self.record], program: Program.dev)
      #expect(outcome.status == 0, "\(outcome.errors)\(outcome.output)")
      let page = textOfFile(Program.packageRoot.appendingPathComponent("docs/sources.md").path)
      #expect(page.contains(outcome.output), "run ttrl-dev differences again:\n\(outcome.output)")
    }

    @Test func `a dry run shows which settings differ from the recipe and the preset, and starts nothing`() throws {
      let scratch = Scratch()
      let outcome = try Program.run([
        "train", "--run", scratch.file("run"), "--dry-run", "--preset", "amc", "--suffix", " ", "--max-new-tokens",
        "80",
      ])
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.errors.contains("recipe ttrl, preset amc for other; this run compared with the paper"))
      #expect(outcome.errors.contains("* max-new-tokens") || outcome.errors.contains("*  max-new-tokens"))
      #expect(!FileManager.default.fileExists(atPath: scratch.file("run")))
    }

    @Test func `a question file of another format is converted`() throws {
      let scratch = Scratch()
      let data = scratch.write(#"[{"problem": "1 + 2 =", "answer": 3.0, "unique_id": "a"}]"#, to: "train.json")
      let outcome = try Program.run(["convert", "--data", data])
      #expect(outcome.output == #"{"id":"a","prompt":"1 + 2 =","answer":"3.0","kind":"math"}"# + "\n", "\(outcome)")
    }

    @Test func `eval of a model that gives no answers says so`() throws {
      let scratch = Scratch()
      let data = scratch.write("{\"prompt\": \"1 + 2 =\"}\n", to: "data.jsonl")
      let cut = try Program.run(
        ["eval", "--model", "builtin", "--data", data, "--samples", "2", "--max-new-tokens", "1", "--json"])
      #expect(cut.status == 0 && cut.output.contains("\"no_answer_ratio\":1"), "\(cut.output)\(cut.errors)")
      #expect(cut.errors.contains("nothing could be voted on") && cut.errors.contains("--max-new-tokens"))
    }
  }
}
