// Evaluation and guards as processes: the same figures however they are made, and a run that ends before its time.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct EvaluationTests {
    private static let evaluation = [
      "eval", "--model", "builtin", "--data", "builtin:held-out", "--samples", "4", "--counts", "2,4", "--json",
    ]

    @Test func `eval by workers prints what eval in one process prints, to the last digit`() throws {
      let here = try Program.run(Self.evaluation)
      let there = try Program.run(Self.evaluation + ["--workers", "2"])
      #expect(here.status == 0 && there.status == 0, "\(here.errors)\(there.errors)")
      #expect(here.output == there.output && here.output.contains("\"expected_maj@2\""))
      // Nothing is left of a run that nobody asked for.
      #expect(!there.errors.contains("a new run"))
    }

    @Test func `eval by workers in a directory is a run: given again it shows, with other sampling it refuses`() throws
    {
      let scratch = Scratch()
      let arguments = Self.evaluation + ["--workers", "1", "--run", scratch.file("run")]
      let first = try Program.run(arguments)
      let second = try Program.run(arguments)
      #expect(first.status == 0 && first.output == second.output && second.seconds < 30, "\(first.errors)")
      let other = try Program.run(arguments + ["--top-p", "0.5"])
      #expect(other.status == 2 && other.errors.contains("eval-top-p is 0.5, the run has 0.95"), "\(other.errors)")
    }

    @Test func `what makes no sense together is refused before anything starts`() throws {
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

    /// What a run delivered, as its summary says.
    private func delivered(_ directory: String) throws -> NSDictionary {
      try #require(try SmallRun.summary(of: directory)["delivered"] as? NSDictionary)
    }

    @Test
    func `a run that collapses ends well, early, with its best version in hand; killed on the way, with the same`()
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
      // The learner's last step was not the plan's last, so it has no hashes: the summary's is the result's.
      let digest = try #require(result["weights_sha256"] as? String)
      #expect(try SmallRun.summary(of: directory)["weights_sha256"] as? String == digest)
      #expect(try #require(SmallRun.summary(of: directory)["steps"] as? Int) < 10)
      let again = try Program.run(["train", "--run", directory])
      #expect(again.status == 0 && again.errors.contains("is finished"))
      // It is a model directory like any other.
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

    @Test func `transfer sets are evaluated at both ends, each under its name`() throws {
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
      // Finished or not, another set is another run.
      #expect(other.status == 2 && other.errors.contains("transfer"), "\(other.errors)")
    }
  }
}
