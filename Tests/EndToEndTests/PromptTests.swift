// The user's own prompt templates, and stop strings, for single commands and for a run (whose workers have no
// tokenizer).

import Foundation
import Testing

extension EndToEnd {
  @Suite struct PromptTests {
    private let scratch = Scratch()

    private struct Response: Decodable, Equatable {
      var ids: [Int32]
      var text: String?
      var logprobs: [Float]
      var finish_reason: String
    }

    private func generate(_ arguments: [String], _ input: String) throws -> [Response] {
      let outcome = try Program.run(
        ["generate", "--model", "builtin", "--samples", "6", "--max-new-tokens", "30", "--dtype", "float32"]
          + arguments,
        input: Data(input.utf8))
      try #require(outcome.status == 0, "\(outcome.errors)")
      return try outcome.output.split(separator: "\n").map {
        try JSONDecoder().decode(Response.self, from: Data($0.utf8))
      }
    }

    @Test func `the model sees the user's own template, given as text or as a file`() throws {
      let text = "9{question}+1\n"
      let tokens = try Program.run(
        ["tokenize", "--model", "builtin"], input: Data("{\"text\": \"92d+1c+5+1\\n\"}".utf8))
      let expected = try generate([], tokens.output).map(\.ids)
      #expect(expected.count == 6)
      for template in [text, scratch.write(text, to: "own.txt")] {
        let found = try generate(["--template", template], "{\"prompt\": \"2d+1c+5\"}")
        #expect(found.map(\.ids) == expected)
      }
      let missing = try Program.run(["generate", "--model", "builtin", "--template", "/nowhere/own.txt"])
      #expect(missing.status == 1 && missing.errors.contains("/nowhere/own.txt: No such file"), "\(missing.errors)")
      let bad = try Program.run(["generate", "--model", "builtin", "--template", "own"])
      #expect(bad.status == 2 && bad.errors.contains("{question}"), "\(bad.errors)")
    }

    @Test func `a stop string ends a response at the token that completes it`() throws {
      let input = "{\"prompt\": \"42d+1c+5b+2a+5\"}"
      let whole = try generate([], input)
      let stopped = try generate(["--stop", "[\"c+\", \"nothing\"]"], input)
      for (one, other) in zip(stopped, whole) {
        let text = try #require(other.text)
        #expect(one.logprobs == Array(other.logprobs.prefix(one.ids.count)))
        guard let range = text.range(of: "c+") else {
          #expect(one == other)
          continue
        }
        // The built-in tokenizer has one token per byte here.
        #expect(one.text == String(text[..<range.upperBound]) && one.finish_reason == "stop")
      }
      #expect(stopped.contains { $0.finish_reason == "stop" } && stopped != whole)
    }

    @Test func `a run's workers also end responses at stop strings`() throws {
      let directory = scratch.file("run")
      let outcome = try Program.run(
        ["train", "--run", directory, "--stop", "c"] + SmallRun.settings(steps: 1), within: 120)
      try #require(outcome.status == 0, "\(outcome.errors)")
      let line = try #require(
        textOfFile(directory + "/metrics.jsonl").split(separator: "\n").first { $0.contains("\"kind\":\"step\"") })
      let step = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
      // Solutions of three or more terms contain a "c" long before their answer.
      #expect(step["unlabeled_ratio"] as? Double ?? 0 > 0.5, "\(line)")
      #expect(step["logprob_gap"] as? Double == 0, "\(line)")
    }
  }
}
