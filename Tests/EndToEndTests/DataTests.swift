// Data as people bring it: question files of other forms, and text files from Windows, given to the commands.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct DataTests {
    private let scratch = Scratch()

    private func convert(_ text: String, _ name: String) throws -> Program.Outcome {
      try Program.run(["convert", "--data", scratch.write(text, to: name)])
    }

    @Test func `what is converted and read again is the same, and what was left out is counted`() throws {
      let made = try convert(
        ##"{"question":"N had 48 and 24","answer":"48+24 = 72\n#### 72","level":1}"## + "\r\n"
          + #"{"prompt":[{"role":"system","content":"Be brief."},{"role":"user","content":"1+1?"}],"answer":""}"#
          + "\r\n"
          + #"{"question":"Capital?","choices":["Rome","Oslo"],"answer":1,"level":2}"# + "\r\n", "mixed.jsonl")
      let expected = ##"""
        {"id":"1","prompt":"N had 48 and 24","answer":"72","kind":"math"}
        {"id":"2","prompt":[{"role":"system","content":"Be brief."},{"role":"user","content":"1+1?"}],"kind":"math"}
        {"id":"3","prompt":"Capital?\nA) Rome\nB) Oslo","answer":"B","kind":"choice"}

        """##
      #expect(made.status == 0 && made.output == expected, "\(made)")
      let said = [
        "3 questions, 2 with an answer", "left out: the solution before \"####\", of 1 question",
        "left out: the key \"level\", of 2 questions", "left out: an empty \"answer\", of 1 question",
      ]
      for words in said { #expect(made.errors.contains(words), "\(made.errors)") }
      let again = try convert(made.output, "again.jsonl")
      #expect(again.output == expected && !again.errors.contains("left out"), "\(again)")
      let table = try convert("question,A,B,answer\r\nCapital?,Rome,Oslo,Oslo\r\n", "table.csv")
      #expect(table.output == #"{"id":"2","prompt":"Capital?\nA) Rome\nB) Oslo","answer":"B","kind":"choice"}"# + "\n")
    }

    @Test func `an empty answer is not a truth`() throws {
      let data = scratch.write(
        "{\"prompt\":\"1a+2a\",\"answer\":null}\n{\"prompt\":\"3\",\"answer\":\"\"}\n", to: "q.jsonl")
      let outcome = try Program.run([
        "eval", "--model", "builtin", "--data", data, "--samples", "2", "--max-new-tokens", "4", "--json",
      ])
      #expect(outcome.status == 0 && outcome.output.contains("\"pass@1\":null"), "\(outcome)")
      let trained = try Program.run([
        "train", "--data", data, "--labels", "truth", "--run", scratch.file("run"), "--dry-run",
      ])
      #expect(trained.status == 1 && trained.errors.contains("no question of"), "\(trained.errors)")
    }

    @Test func `templates and settings of a Windows editor are those of any other`() throws {
      func generated(_ template: String, _ name: String) throws -> String {
        let outcome = try Program.run([
          "generate", "--model", "builtin", "--prompt", "2d+1c+5", "--max-new-tokens", "4", "--template",
          scratch.write(template, to: name),
        ])
        #expect(outcome.status == 0, "\(outcome.errors)")
        return outcome.output
      }
      let template = "9\n{question}+1\n"
      #expect(
        try generated(template, "own.txt")
          == generated("\u{FEFF}" + template.replacingOccurrences(of: "\n", with: "\r\n"), "windows.txt"))
      let file = scratch.write("\u{FEFF}{\r\n  // of Windows\r\n  steps: 7,\r\n  suffix: 'x'\r\n}\r\n", to: "run.json5")
      let plan = try Program.run(["train", "--config", file, "--run", scratch.file("run"), "--dry-run", "--json"])
      #expect(plan.status == 0 && plan.output.contains("\"steps\":\"7\""), "\(plan)")
    }

    @Test(arguments: ["auto", "whole", "streamed"])
    func `a dry run shows the gradient that the run has, for all ranks and for each`(_ form: String) throws {
      let plan = try Program.run(
        ["train", "--run", scratch.file("run"), "--learners", "2", "--gradient", form, "--dry-run"], within: 120)
      let gradients = plan.errors.split(separator: "\n").filter { $0.contains("gradient") && $0.contains(" MiB") }
      let name = form == "streamed" ? "gradient (streamed):" : "gradient:"
      #expect(gradients.count == 3 && gradients.allSatisfy { $0.contains(name) }, "\(plan.errors)")
    }

    // MARK: The time of a run

    @Test func `a dry run says whether the run fits an hour, and proposes one that does`() throws {
      let data = scratch.write("{\"prompt\":\"1a+2a\"}\n", to: "q.jsonl")
      func plan(_ arguments: [String]) throws -> (outcome: Program.Outcome, json: [String: Any]) {
        let outcome = try Program.run(
          ["train", "--run", scratch.file("my run"), "--dry-run", "--json"] + arguments, within: 120)
        #expect(outcome.status == 0, "\(outcome.errors)")
        return (
          outcome, try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        )
      }
      let short = try plan([])
      #expect(short.outcome.errors.contains("So it fits an hour") && short.json["proposal"] is NSNull)
      let long = try plan([
        "--data", data, "--steps", "16000000", "--labels", "random", "--ignore-eos", "--eval", "none",
      ])
      let proposal = try #require(long.json["proposal"] as? [String: Any])
      let command = try #require(proposal["command"] as? String)
      #expect(long.outcome.errors.contains("A run that takes at most about") && long.outcome.errors.contains(command))
      #expect(proposal["seconds"] as? Double ?? .infinity <= 3600)
      #expect(
        ["--labels random", "--ignore-eos", "--eval none", "--data \(data)", "/my run'"].allSatisfy(command.contains),
        "\(command)")
      #expect(!command.contains("--dry-run") && !command.contains("16000000"))
      // The command can be run, and its run fits.
      let words = command.dropFirst("ttrl ".count)
      let shell = try Program.run(["-c", "exec \(Program.path()) \(words) --dry-run"], program: "/bin/sh", within: 120)
      #expect(shell.status == 0 && shell.errors.contains("it takes about"), "\(shell.errors)")
    }
  }
}
