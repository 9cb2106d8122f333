// Runs of methods whose state or records go beyond a vote: the same bits on any number of ranks, and after kills. The
// four steps visit eight questions again and again, so histories matter from the second step on.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct MethodRunTests {
    private let scratch = Scratch()
    private var directory: String { scratch.file("run") }

    /// Eight of the built-in questions.
    private static let questions: String = {
      let path = Scratch.shared.file("eight.jsonl")
      let all = textOfFile(
        Program.packageRoot.appendingPathComponent("Sources/Run/CEmbedded/files/questions.jsonl").path)
      let eight = all.split(separator: "\n").prefix(8).joined(separator: "\n")
      try? Data(eight.utf8).write(to: URL(fileURLWithPath: path))
      return path
    }()

    /// Labels with weights, a history that decides, and a selection by answers; then what only samplers can record.
    static let methods = [
      ["--estimator", "restrain", "--prompt-weights", "flips", "--selection", "balanced", "--advantage", "maxrl"],
      ["--estimator", "spine", "--lr", "1e-3"],
    ]

    private func settings(_ method: [String]) -> [String] {
      ["--data", Self.questions] + method
    }

    @Test(arguments: methods) func `one to three ranks give the same bits, and a plain vote gives others`(
      _ method: [String]
    ) throws {
      let alone = try SmallRun.finish(settings(method) + ["--learners", "1"], in: scratch.file("1"))
      for ranks in ["2", "3"] {
        #expect(try SmallRun.finish(settings(method) + ["--learners", ranks], in: scratch.file(ranks)) == alone)
      }
      #expect(try SmallRun.finish(settings([]), in: directory) != alone)
    }

    @Test(arguments: methods) func `a run that is killed after each of its steps ends with the same bits`(
      _ method: [String]
    ) throws {
      let whole = try SmallRun.finish(settings(method), in: scratch.file("whole"))
      for steps in 1...2 {
        let run = try SmallRun.start(settings(method), in: directory)
        #expect(eventually { SmallRun.stepsDone(in: directory) >= steps || !run.isRunning }, "\(run.errors)")
        run.signal(SIGKILL)
        _ = run.wait()
      }
      #expect(try SmallRun.finish(settings(method), in: directory) == whole)
      let history = textOfFile(directory + "/checkpoints/step-00000\(SmallRun.steps)/history.json")
      #expect(
        history.contains("\"ratios\"")
          && history
            == textOfFile(
              scratch.file("whole") + "/checkpoints/step-00000\(SmallRun.steps)/history.json")
      )
    }

    @Test func `a dry run names what a method sets and ignores, and refuses what contradicts it, all at once`() throws {
      let call = ["train", "--run", directory, "--dry-run"]
      let taken = try Program.run(call + ["--estimator", "ddrl", "--json"])
      #expect(taken.status == 0 && taken.errors.contains("estimator ddrl sets selection balanced, advantage fixed"))
      let object = try JSONSerialization.jsonObject(with: Data(taken.output.utf8)) as? [String: Any]
      let method = object?["method"] as? [String: Any]
      #expect((method?["sets"] as? [[String: String]])?.map { $0["setting"] } == ["selection", "advantage"])
      #expect((method?["ignores"] as? [String])?.contains("early-stop") == true)
      let refused = try Program.run(
        call + [
          "--estimator", "ddrl", "--advantage", "grpo", "--selection", "first", "--early-stop", "on",
          "--prompt-weights",
          "flips",
        ])
      #expect(refused.status == 2 && refused.errors.contains("leave out selection first and advantage grpo"))
      for part in ["early-stop stops when a majority is certain", "prompt-weights flips needs the share"] {
        #expect(refused.errors.contains(part), "\(refused.errors)")
      }
    }
  }
}
