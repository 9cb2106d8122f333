// `ttrl grow` and what a run does with questions that a model has written. The built-in model was trained to solve, not
// to write, so these tests show the mechanics.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct GrowTests {
    private let scratch = Scratch()

    private func rows(_ text: String) throws -> [[String: Any]] {
      try text.split(separator: "\n").map { line in
        try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
      }
    }

    /// Short questions, so that a prompt with three of them fits the built-in model's context.
    private var data: String {
      let lines = ["12c+4b+1a+4", "53b+1a+6", "42b+4a+1", "77b+2a+3", "10b+9a+9"].enumerated().map {
        "{\"id\": \"s\($0)\", \"prompt\": \"\($1)\"}\n"
      }
      return scratch.write(lines.joined(), to: "seeds.jsonl")
    }

    private func flags(_ out: String) -> [String] {
      [
        "grow", "--model", "builtin", "--data", data, "--new-questions", "4", "--examples", "3", "--words-least", "1",
        "--likeness", "1", "--max-new-tokens", "60", "--temperature", "1.5", "--top-p", "1", "--json", "--out",
        scratch.file(out),
      ]
    }

    @Test func `new questions follow those of the set, the same ones in this process and over workers`() throws {
      let here = try Program.run(flags("here.jsonl"))
      try #require(here.status == 0, "\(here.errors)")
      let fates = try rows(here.output)
      let kept = fates.filter { $0["fate"] as? String == "kept" }.compactMap { $0["question"] as? String }
      #expect(fates.count == 16 && !kept.isEmpty && kept.count <= 4, "\(here.output)")
      let grown = try rows(textOfFile(scratch.file("here.jsonl")))
      #expect(grown.prefix(5).compactMap { $0["id"] as? String } == ["s0", "s1", "s2", "s3", "s4"])
      #expect(grown.dropFirst(5).compactMap { $0["prompt"] as? String } == kept)
      #expect(grown.dropFirst(5).allSatisfy { $0["source"] as? String == "self-made" })

      let there = try Program.run(flags("there.jsonl") + ["--workers", "2"])
      try #require(there.status == 0, "\(there.errors)")
      #expect(there.output == here.output)
      #expect(textOfFile(scratch.file("there.jsonl")) == textOfFile(scratch.file("here.jsonl")))

      let again = try Program.run(flags("here.jsonl"))
      #expect(again.status == 1 && again.errors.contains("exists already"), "\(again.errors)")
    }

    @Test func `self-made questions are trained on and not evaluated`() throws {
      let lines = [
        "{\"id\": \"new\", \"prompt\": \"77b+2a+3\", \"source\": \"self-made\"}",
        "{\"id\": \"old\", \"prompt\": \"53b+1a+6\", \"answer\": \"60\"}",
      ]
      let data = scratch.write(lines.joined(separator: "\n") + "\n", to: "mixed.jsonl")
      let run = scratch.file("run")
      let outcome = try Program.run(
        [
          "train", "--run", run, "--data", data, "--held-out", data, "--steps", "1", "--votes", "8",
          "--train-samples", "4", "--prompts-per-step", "2", "--mini-batch", "8", "--eval-samples", "4",
          "--eval-every", "0",
        ])
      try #require(outcome.status == 0, "\(outcome.errors)")
      let metrics = try rows(textOfFile(run + "/metrics.jsonl"))
      let step = try #require(metrics.first { $0["kind"] as? String == "step" })
      #expect((step["prompts"] as? [Any])?.count == 2)
      let evaluations = metrics.filter { $0["kind"] as? String == "evaluation" }
      #expect(evaluations.count == 4)
      for evaluation in evaluations {
        let prompts = evaluation["by_prompt"] as? [[String: Any]]
        #expect(prompts?.compactMap { $0["prompt"] as? Int } == [1], "\(evaluation)")
      }
    }

    @Test func `what cannot be done is said before anything is sampled`() throws {
      let missing = try Program.run(["grow", "--model", "builtin"])
      #expect(missing.status == 2)
      for name in ["--data", "--out"] { #expect(missing.errors.contains("\(name) ")) }
      let words = try Program.run(flags("x.jsonl") + ["--words-most", "0"])
      #expect(words.status == 2 && words.errors.contains("words-most"), "\(words.errors)")
    }
  }
}
