// Stages of a course that are skipped because their filter keeps too few questions: the same bits as without them, also
// over a kill, and visible with the reason.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct SkippedStagesTests {
    private let scratch = Scratch()
    private let names = ["01-vote", "02-hard", "03-again"]

    /// Of 24 questions, the first stage visits 8. Nearly all votes have to agree, so some of these fail.
    ///
    /// - Parameter hard: the settings of the second stage's filter; nil leaves the stage out.
    private func file(_ hard: String?) -> String {
      let data = scratch.write(GivenRunTests.solved, to: "solved.jsonl")
      let stage = hard.map {
        """
        { name: "hard", objective: "sft", "prompt-filter": "failed", "prompt-history": "stage:vote", \($0) },
        """
      }
      return scratch.write(
        """
        { data: "\(data)", "prompts-per-step": 4, "train-samples": 8, "mini-batch": 32, eval: "none", page: "none",
          steps: 2, seed: 3, learners: 1, workers: 1,
          stages: [
            { name: "vote", votes: 16, "min-share": 0.9 }, \(stage ?? "") { name: "again", votes: 16 } ] }
        """, to: hard == nil ? "without.json5" : "with.json5")
    }

    private func finish(_ stages: String, in directory: String) throws {
      let outcome = try Program.run(["train", "--run", directory, "--stages", stages])
      try #require(outcome.status == 0, "\(outcome.errors)")
    }

    private func json(_ text: String) throws -> [String: Any] {
      try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
    }

    @Test func `a stage with too few questions is skipped, also over a kill, and the next one goes on as without it`()
      throws
    {
      try finish(file(nil), in: scratch.file("without"))
      let expected = try SmallRun.fingerprint(of: scratch.file("without/02-again"))
      // At most 8 questions fail.
      let course = scratch.file("course")
      let stages = file("\"skip-below\": 9")
      let running = try Running(["train", "--run", course, "--stages", stages])
      #expect(
        eventually(within: 60) {
          FileManager.default.fileExists(atPath: course + "/02-hard/skipped.json") || !running.isRunning
        }, "\(running.errors)")
      running.signal(SIGKILL)
      _ = running.wait()
      // The decision is not made again.
      let note = textOfFile(course + "/02-hard/skipped.json")
      let plan = try Program.run(["train", "--run", course, "--dry-run"])
      #expect(plan.status == 0 && plan.errors.contains("fewer than skip-below, 9"), "\(plan.errors)")
      let last = try Program.run(["train", "--run", course])
      #expect(last.status == 0, "\(last.errors)")
      #expect(textOfFile(course + "/02-hard/skipped.json") == note)
      #expect(try SmallRun.fingerprint(of: course + "/03-again") == expected)

      let skipped = try json(note)
      #expect((skipped["questions"] as? [[String: Any]])?.count == 24)
      let reason = try #require(skipped["reason"] as? String)
      #expect(reason.contains("of 24 questions kept") && reason.hasSuffix("fewer than skip-below, 9"), "\(reason)")
      #expect(last.errors.contains("hard was skipped: \(reason)"), "\(last.errors)")
      let status = try json(try Program.run(["status", "--run", course, "--json"]).output)
      let shown = try #require(status["stages"] as? [[String: Any]])
      #expect(shown.map { $0["state"] as? String } == ["finished", "skipped", "finished"])
      #expect(shown[1]["skip_reason"] as? String == reason && status["finished"] as? Bool == true)
      #expect(textOfFile(course + "/report.html").contains("hard was skipped: "))
      let delivered = try FileManager.default.destinationOfSymbolicLink(atPath: course + "/delivered")
      #expect(delivered == "03-again/checkpoints/step-000002")
    }

    @Test func `a stage with enough questions learns those that failed`() throws {
      let course = scratch.file("course")
      try finish(file("\"skip-below\": 1"), in: course)
      func rows(_ path: String) throws -> [[String: Any]] {
        try textOfFile(path).split(separator: "\n").map { try json(String($0)) }
      }
      // By the steps of the first stage: the last visit of each question.
      var failed: [Int: Bool] = [:]
      for step in try rows(course + "/01-vote/metrics.jsonl") {
        for prompt in step["prompts"] as? [[String: Any]] ?? [] {
          failed[try #require(prompt["prompt"] as? Int)] = prompt["rewarded"] as? Int == 0
        }
      }
      let expected = failed.filter(\.value).keys.sorted().map { "s\($0)" }
      let learned = try rows(course + "/02-hard/questions.jsonl").compactMap { $0["id"] as? String }
      #expect(!expected.isEmpty && learned == expected)
      #expect(!FileManager.default.fileExists(atPath: course + "/02-hard/skipped.json"))
    }

    @Test func `a last stage that is skipped leaves the result of the one before it`() throws {
      let data = scratch.write(GivenRunTests.solved, to: "solved.jsonl")
      let stages = scratch.write(
        """
        { data: "\(data)", "prompts-per-step": 4, votes: 16, "train-samples": 8, eval: "none", page: "none", steps: 1,
          learners: 1, workers: 1, stages: [ { name: "vote" },
            { name: "hard", "prompt-filter": "failed", "prompt-history": "stage:vote", "skip-below": 9 } ] }
        """, to: "last.json5")
      try finish(stages, in: scratch.file("course"))
      let delivered = try FileManager.default.destinationOfSymbolicLink(atPath: scratch.file("course/delivered"))
      #expect(delivered == "01-vote/checkpoints/step-000001")
    }

    @Test func `a setting that skips nothing is refused`() throws {
      let run = try Program.run(["train", "--run", scratch.file("run"), "--skip-below", "3"])
      #expect(run.status == 2 && run.errors.contains("skip-below is 3 without prompt-filter"), "\(run.errors)")
      _ = try #require(SmallRun.undisturbed)
      let single = try Program.run(
        [
          "train", "--run", scratch.file("run"), "--prompt-filter", "failed", "--prompt-history",
          SmallRun.undisturbedDirectory, "--skip-below", "3",
        ])
      #expect(single.status == 1, "\(single.errors)")
      #expect(single.errors.contains("Only a stage of a course can be skipped"), "\(single.errors)")
    }
  }
}
