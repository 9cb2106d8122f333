// Evaluation and guards with real processes: the figures do not depend on how they are computed, and a guard can end a
// run early.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct EvaluationTests {
    private static let evaluation = [
      "eval", "--model", "builtin", "--data", "builtin:held-out", "--samples", "4", "--counts", "2,4", "--json",
    ]

    @Test func `eval with workers prints the same digits as eval in one process`() throws {
      let here = try Program.run(Self.evaluation)
      let there = try Program.run(Self.evaluation + ["--workers", "2"])
      #expect(here.status == 0 && there.status == 0, "\(here.errors)\(there.errors)")
      #expect(here.output == there.output && here.output.contains("\"expected_maj@2\""))
      // The user did not ask for a run, so the messages do not mention one.
      #expect(!there.errors.contains("a new run"))
      // It is printed once, on standard output.
      #expect(!there.errors.contains("evaluation of policy"), "\(there.errors)")
    }

    @Test func `eval with workers in a directory is a run: a second eval shows it, and other sampling is refused`()
      throws
    {
      let scratch = Scratch()
      let arguments = Self.evaluation + ["--workers", "1", "--run", scratch.file("run")]
      let first = try Program.run(arguments)
      let second = try Program.run(arguments)
      #expect(first.status == 0 && first.output == second.output && second.seconds < 30, "\(first.errors)")
      let other = try Program.run(arguments + ["--top-p", "0.5"])
      #expect(other.status == 2 && other.errors.contains("eval-top-p is 0.5, the run has 0.95"), "\(other.errors)")
    }

    /// A run of two steps with the figures of its evaluations.
    private static func evaluated(in directory: String) throws -> (before: [Double], after: [Double]) {
      let outcome = try Program.run(
        ["train", "--run", directory] + SmallRun.settings(steps: 2).dropLast(2) + [
          "--eval-samples", "4", "--eval-every", "0", "--eval-temperature", "0.7", "--held-out", "builtin:unsolvable",
          "--suffix", " ", "--seed", "3",
        ], within: 120)
      try #require(outcome.status == 0, "\(outcome.errors)")
      func figures(_ end: String) throws -> [Double] {
        let ends = try #require(try SmallRun.summary(of: directory)[end] as? [String: Any])
        return try ["train", "held_out"].map { set in
          try #require((ends[set] as? [String: Any])?["majority_ratio"] as? Double)
        }
      }
      return (try figures("before"), try figures("after"))
    }

    @Test func `eval of a run's models gives the run's own figures, to the last digit`() throws {
      let scratch = Scratch()
      let run = scratch.file("run")
      let (before, after) = try Self.evaluated(in: run)
      #expect(before != after)
      // The model's page says what was measured, in the table's words.
      let card = textOfFile(run + "/checkpoints/step-000002/README.md")
      let weights = try #require(try SmallRun.summary(of: run)["weights_sha256"] as? String)
      for words in [
        "library_name: transformers", "| **held-out questions** |", "| majority ratio | ", weights, "\"seed\": \"3\"",
      ] {
        #expect(card.contains(words), "\(card)")
      }
      func eval(_ arguments: [String]) throws -> Double {
        let outcome = try Program.run(["eval", "--json"] + arguments)
        let object = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
        return try #require(object?["majority_ratio"] as? Double, "\(outcome.errors)")
      }
      let checkpoint = ["--model", run + "/checkpoints/step-000002", "--data"]
      for (index, data) in ["builtin:questions", "builtin:unsolvable"].enumerated() {
        // The checkpoint knows how it was asked; the base model is asked as the run asked it.
        #expect(try eval(checkpoint + [data]) == after[index])
        #expect(try eval(checkpoint + [data, "--workers", "1"]) == after[index])
        #expect(try eval(["--model", "builtin", "--data", data, "--like", run]) == before[index])
      }
      // A run's directory stands for its questions too.
      let configured = ["--model", "builtin", "--config", run + "/settings.json"]
      #expect(try eval(configured) == before[0])
      #expect(try eval(configured + ["--data", "builtin:unsolvable"]) == before[1])
      #expect(try eval(checkpoint + ["builtin:questions", "--temperature", "1.5"]) != after[0])

      let said = try Program.run(["eval"] + checkpoint + ["builtin:questions", "--seed", "9"])
      #expect(said.errors.contains("step-000002/ttrl.json: template plain, suffix \" \", samples 4"), "\(said.errors)")
      #expect(said.errors.contains("prompts: template plain, suffix \" \"") && !said.errors.contains("seed 3"))
    }

    @Test func `train like a run makes the same weights, and refuses to continue another run`() throws {
      let scratch = Scratch()
      let directory = scratch.file("again")
      let original = SmallRun.undisturbed
      let again = try Program.run(["train", "--like", SmallRun.undisturbedDirectory, "--run", directory], within: 120)
      try #require(again.status == 0, "\(again.errors)")
      #expect(try SmallRun.fingerprint(of: directory) == original)
      let other = try Program.run(["train", "--like", SmallRun.undisturbedDirectory, "--run", directory])
      #expect(other.status == 2 && other.errors.contains("continues with its own settings"), "\(other.errors)")
      let renamed = scratch.write(textOfFile(directory + "/settings.json"), to: "mine.json")
      let copied = try Program.run(["train", "--config", renamed, "--run", scratch.file("b")])
      #expect(copied.status == 2 && copied.errors.contains("call it settings.json"), "\(copied.errors)")
    }

    @Test func `a model whose origin is damaged is refused, with the file's name`() throws {
      let scratch = Scratch()
      _ = SmallRun.undisturbed
      let checkpoint = SmallRun.undisturbedDirectory + "/checkpoints/step-00000\(SmallRun.steps)"
      try FileManager.default.copyItem(atPath: checkpoint, toPath: scratch.file("model"))
      let whole = textOfFile(checkpoint + "/ttrl.json")
      let changed = [("\"template\"", "\"thinking\""), ("\"exact\"", "\"vague\"")].map { old, new in
        whole.replacingOccurrences(of: old, with: new)
      }
      let far = whole.replacingOccurrences(of: "\"policy\": \(SmallRun.steps)", with: "\"policy\": 16777216")
      try #require(far != whole)
      for text in ["{", "{}", "{\"run\": 1}", far] + changed {
        scratch.write(text, to: "model/ttrl.json")
        let outcome = try Program.run(["eval", "--model", scratch.file("model"), "--data", "builtin:questions"])
        #expect(outcome.status == 1 && outcome.errors.contains("model/ttrl.json cannot be read"), "\(outcome.errors)")
      }
    }

    @Test(arguments: [[], ["--workers", "1"]])
    func `an evaluation that takes a while says how far it is, on standard error`(_ extra: [String]) throws {
      let long = try Program.run(
        ["eval", "--model", "builtin", "--data", "builtin:held-out", "--samples", "100", "--json"] + extra, within: 180)
      #expect(long.status == 0 && !long.output.contains(" of "), "\(long.output)")
      // A machine that is done within two seconds shows nothing.
      let lines = long.errors.split(separator: "\n").filter { $0.contains(" of 12,800 samples") }
      #expect(!lines.isEmpty || long.seconds < 4, "\(long.seconds) s: \(long.errors)")
      #expect(!long.errors.contains("\u{1B}"))
      let short = try Program.run(Self.evaluation.map { $0 == "4" ? "2" : $0 == "2,4" ? "2" : $0 })
      #expect(short.status == 0 && (!short.errors.contains(" samples") || short.seconds > 2), "\(short.errors)")
    }

    @Test func `settings that do not fit together are refused before a process starts`() throws {
      let scratch = Scratch()
      let few = try Program.run(Self.evaluation.map { $0 == "2,4" ? "2,8" : $0 })
      #expect(few.status == 2 && few.errors.contains("counts has 8, which is above samples (4)"))
      let idle = try Program.run(["train", "--run", scratch.file("a"), "--steps", "0", "--eval", "none"])
      #expect(idle.status == 2 && idle.errors.contains("there is nothing to do"))
      let twins = try Program.run(["train", "--run", scratch.file("b"), "--transfer", "x/amc.jsonl,y/amc.json"])
      #expect(twins.status == 2 && twins.errors.contains("two files that are called amc"))
      let alone = try Program.run(Self.evaluation + ["--run", scratch.file("c")])
      #expect(alone.status == 2 && alone.errors.contains("--workers"))
    }

    /// A learning rate at which the built-in model forgets how to answer within a few steps.
    private static let collapsing =
      SmallRun.settings(steps: 10) + [
        "--lr", "0.01", "--warmup-steps", "0", "--guard", "stop", "--guard-window", "2", "--checkpoint-every", "3",
        "--keep-checkpoints", "1",
      ]

    /// What a run delivered, from its summary.
    private func delivered(_ directory: String) throws -> NSDictionary {
      try #require(try SmallRun.summary(of: directory)["delivered"] as? NSDictionary)
    }

    @Test
    func `a run that collapses ends early with its best version, also if it is killed on the way`()
      throws
    {
      let scratch = Scratch()
      let directory = scratch.file("run")
      let outcome = try Program.run(["train", "--run", directory] + Self.collapsing, within: 120)
      try #require(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.errors.contains("the guard ended the run after step"), "\(outcome.errors)")
      let result = try delivered(directory)
      let policy = try #require(result["policy"] as? Int)
      #expect(result["rule"] as? String == "guard" && result["directory"] as? String == "delivered")
      // The learner's last step was not the plan's last, so it has no hashes; the hash in the summary is that of the
      // result.
      let digest = try #require(result["weights_sha256"] as? String)
      #expect(try SmallRun.summary(of: directory)["weights_sha256"] as? String == digest)
      #expect(try #require(SmallRun.summary(of: directory)["steps"] as? Int) < 10)
      let again = try Program.run(["train", "--run", directory])
      #expect(again.status == 0 && again.errors.contains("is finished"))
      // It is a model directory like every other.
      let opened = try Program.run(
        ["generate", "--model", directory + "/delivered", "--max-new-tokens", "2"],
        input: Data("{\"ids\": [1]}\n".utf8))
      #expect(opened.status == 0, "policy \(policy): \(opened.errors)")

      let disturbed = scratch.file("disturbed")
      let running = try Running(["train", "--run", disturbed] + Self.collapsing)
      SmallRun.awaitMiddle(of: running, in: disturbed)
      running.signal(SIGKILL)
      _ = running.wait()
      let continued = try Program.run(["train", "--run", disturbed], within: 120)
      #expect(continued.status == 0, "\(continued.errors)")
      #expect(try delivered(disturbed) == result)
    }

    @Test func `transfer sets are evaluated at the beginning and at the end, each under its name`() throws {
      let scratch = Scratch()
      let one = scratch.write("{\"prompt\": \"1+2=\", \"answer\": 3}\n{\"prompt\": \"2+2=\"}\n", to: "one.jsonl")
      let two = scratch.write("{\"prompt\": \"5+2=\", \"answer\": 7}\n", to: "two.jsonl")
      let directory = scratch.file("run")
      let outcome = try Program.run(
        ["train", "--run", directory, "--transfer", "\(one),\(two)", "--held-out", two, "--eval-samples", "2"]
          + SmallRun.settings(steps: 1).dropLast(2), within: 120)
      try #require(outcome.status == 0, "\(outcome.errors)")
      for end in ["before", "after"] {
        let figures = try #require(try SmallRun.summary(of: directory)[end] as? [String: Any])
        let sets = try #require(figures["transfer"] as? [String: [String: Any]])
        #expect(sets.keys.sorted() == ["one", "two"])
        #expect(sets["one"]?["pass@1"] is Double || sets["one"]?["pass@1"] is Int, "\(sets)")
      }
      #expect(outcome.errors.contains("transfer questions: one"), "\(outcome.errors)")
      let other = try Program.run(["train", "--run", directory, "--transfer", two])
      // Other transfer sets are another run, also after the run has finished.
      #expect(other.status == 2 && other.errors.contains("transfer"), "\(other.errors)")
    }

    @Test func `figures are also given for each domain that the questions name`() throws {
      let scratch = Scratch()
      let lines = [
        #"{"prompt": "12b+1a+2", "answer": "15", "domain": "sums"}"#,
        #"{"prompt": "34b+1a+2", "answer": "37", "domain": "sums"}"#, #"{"prompt": "56a+1", "domain": "others"}"#,
        #"{"prompt": "78a+1", "answer": "79", "domain": " "}"#,
      ]
      let data = scratch.write(lines.joined(separator: "\n") + "\n", to: "data.jsonl")
      let run = scratch.file("run")
      let outcome = try Program.run(
        ["train", "--steps", "0", "--run", run, "--data", data, "--eval-samples", "4"], within: 120)
      try #require(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.errors.contains("training questions: sums"), "\(outcome.errors)")
      let before = try #require(try SmallRun.summary(of: run)["before"] as? [String: Any])
      let sets = try #require(before["domains"] as? [String: Any])
      let domains = try #require(sets["train"] as? [String: [String: Any]])
      #expect(domains.keys.sorted() == ["others", "sums"])
      #expect(domains["sums"]?["pass@1"] is NSNumber && domains["others"]?["pass@1"] is NSNull, "\(domains)")
    }
  }
}
