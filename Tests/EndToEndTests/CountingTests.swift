// Steps are counted from 0 where one is named, and counts are said as counts; a prompt has an id and an index "#12".
// All outputs of one run are held against its metrics.jsonl.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct CountingTests {
    private let scratch = Scratch()

    private func json(_ text: String) throws -> [String: Any] {
      try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
    }

    /// The last step's record, its first prompt and that prompt's label votes.
    private func lastStep(of run: String) throws -> (step: Int, prompt: Int, votes: Int) {
      let lines = textOfFile(run + "/metrics.jsonl").split(separator: "\n").filter { $0.contains("\"kind\":\"step\"") }
      let record = try json(String(try #require(lines.last)))
      let first = try #require((record["prompts"] as? [[String: Any]])?.first)
      return (
        try #require(record["step"] as? Int), try #require(first["prompt"] as? Int),
        try #require(first["label_votes"] as? Int)
      )
    }

    @Test func `a step has one number in every output of a run, and what is done is a count`() throws {
      try #require(SmallRun.undisturbed != nil)
      let run = SmallRun.undisturbedDirectory
      let (step, prompt, votes) = try lastStep(of: run)
      #expect(step == SmallRun.steps - 1)
      // The terminal, while it runs and later.
      let lines = try Program.run(["status", "--run", run, "--watch"]).errors
      #expect(lines.contains("step \(step)  \(step + 1) of \(step + 1) done"), "\(lines)")
      #expect(!lines.contains("step \(step + 1)"))
      let status = try Program.run(["status", "--run", run]).output
      #expect(status.contains("steps     \(step + 1) of \(step + 1) done") && status.contains("policy    \(step + 1)"))
      // What the step made has the number of steps done.
      #expect(FileManager.default.fileExists(atPath: run + "/checkpoints/step-00000\(step + 1)"))
      // One prompt.
      let explained = try Program.run(["explain", run, "--prompt", "#\(prompt)", "--step", "\(step)"]).output
      #expect(explained.contains("(#\(prompt))") && explained.contains("responses of step \(step);"), "\(explained)")
      #expect(
        try Program.run(["explain", run, "--prompt", "#\(prompt)", "--step", "\(step + 1)"]).output
          .contains("no responses of step \(step + 1)"))
      // The page and the charts.
      let page = try Served(run)
      let rows = try #require(try json(try page.get("/api/steps"))["steps"] as? [[String: Any]])
      #expect(rows.first?["step"] as? Int == step)
      let prompts = try #require(try json(try page.get("/api/step?step=\(step)"))["prompts"] as? [[String: Any]])
      #expect(prompts.first?["prompt"] as? Int == prompt && prompts.first?["label_votes"] as? Int == votes)
      let id = try #require(prompts.first?["id"] as? String)
      #expect(explained.contains("prompt    \(id) (#\(prompt))"))
      let track = try #require(try json(try page.get("/api/prompt?id=\(prompt)"))["votes"] as? [[String: Any]])
      #expect(track.last?["step"] as? Int == step && track.last?["label_votes"] as? Int == votes)
      #expect(try json(try page.get("/api/charts"))["steps"] as? [Int] == Array(0...step))
      #expect(try json(try page.get("/api/run"))["steps_done"] as? Int == step + 1)
      // The report names prompts as the page does.
      #expect(textOfFile(run + "/report.html").contains("\(id) (#\(prompt))"))
    }

    @Test func `no view adds one to a step`() throws {
      let folders = ["Sources/Watching", "Sources/ttrl", "Sources/Run/CoordinatorRole"]
      for folder in folders {
        let path = Program.packageRoot.appendingPathComponent(folder).path
        for file in FileManager.default.enumerator(atPath: path)?.compactMap({ $0 as? String }) ?? [] {
          for line in textOfFile("\(path)/\(file)").split(separator: "\n") where line.contains("step") {
            // A condition can compare a step's successor; a text must not contain it.
            let texts = ["tep \\(step + 1)", ".step + 1)", "\"step \" + ("]
            #expect(!texts.contains { line.contains($0) }, "\(file): \(line)")
          }
        }
      }
    }

    @Test func `a prompt is found by its id, by its index, and by a number that can be either`() throws {
      let questions = [("1", "1a+1"), ("0", "2a+2"), ("x", "3a+3")].map {
        #"{"id":"\#($0.0)","prompt":"\#($0.1)","answer":"1"}"# + "\n"
      }
      let run = scratch.file("run")
      let data = scratch.write(questions.joined(), to: "data.jsonl")
      let running = try Running(
        ["train", "--run", run, "--model", "builtin", "--template", "plain", "--max-new-tokens", "20", "--data", data]
          + ["--workers", "0", "--page", "none"] + SmallRun.settings)
      #expect(eventually { FileManager.default.fileExists(atPath: run + "/fleet.json") }, "\(running.errors)")
      running.signal(SIGTERM)
      _ = running.wait()
      for (given, name, said) in [
        ("#0", "1 (#0)", ""), ("x", "x (#2)", ""), ("0", "0 (#1)", "0 is the id of prompt #1"),
        ("1", "1 (#0)", "1 is the id of prompt #0"), ("2", "x (#2)", "the one with the index #2"),
      ] {
        let outcome = try Program.run(["explain", run, "--prompt", given])
        #expect(outcome.output.hasPrefix("prompt    \(name)\n"), "\(given): \(outcome.output)\(outcome.errors)")
        #expect(said.isEmpty ? outcome.errors.isEmpty : outcome.errors.contains(said), "\(given): \(outcome.errors)")
      }
      let missing = try Program.run(["explain", run, "--prompt", "#3"])
      #expect(missing.status == 1 && missing.errors.contains("3 prompts") && missing.errors.contains("'#0' to '#2'"))
    }

    // MARK: Without the model

    @Test func `a run without its model directory is shown, except the texts of its responses`() throws {
      try #require(SmallRun.undisturbed != nil)
      let run = scratch.file("archived")
      try FileManager.default.copyItem(atPath: SmallRun.undisturbedDirectory, toPath: run)
      let settings = try json(textOfFile(run + "/settings.json"))
      let model = try #require((settings["settings"] as? [String: String])?["model"])
      let moved = textOfFile(run + "/settings.json").replacingOccurrences(of: model, with: "/nowhere/model")
      _ = scratch.write(moved, to: "archived/settings.json")
      try FileManager.default.removeItem(atPath: run + "/report.html")
      let (step, prompt, _) = try lastStep(of: run)
      let status = try Program.run(["status", "--run", run])
      #expect(status.status == 0 && status.output.contains("4 of 4 done"), "\(status.errors)")
      #expect(try Program.run(["status", "--run", run, "--watch"]).status == 0)
      let report = try Program.run(["report", run])
      let html = textOfFile(run + "/report.html")
      #expect(report.status == 0 && html.contains("Question by question"), "\(report.errors)")
      let same = try Program.run(["diff", run, SmallRun.undisturbedDirectory])
      #expect(same.status == 0, "\(same.output)\(same.errors)")
      let explained = try Program.run(["explain", run, "--prompt", "#\(prompt)"])
      #expect(explained.status == 0 && explained.output.contains("answer not known"), "\(explained.output)")
      #expect(!explained.output.contains("states no answer"))
      #expect(explained.errors.contains("/nowhere/model"), "\(explained.errors)")
      let page = try Served(run)
      let responses = try json(try page.get("/api/responses?prompt=\(prompt)&step=\(step)"))
      #expect((responses["problem"] as? String)?.contains("/nowhere/model") == true)
      #expect((responses["responses"] as? [[String: Any]])?.first?["readable"] as? Bool == false)
      #expect(try json(try page.get("/api/run"))["state"] as? String == "finished")
    }
  }
}
