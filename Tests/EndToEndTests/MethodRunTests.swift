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

    private static func file(_ name: String, _ rows: [String]) -> String {
      let path = Scratch.shared.file(name)
      try? Data(rows.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: path))
      return path
    }

    /// Four of the built-in questions, and the same sums in another order.
    private static let rephrased = file(
      "rephrased.jsonl",
      [
        ("53b+1a+6", "53b+6a+1", 60), ("12c+4b+1a+4", "12c+1b+4a+4", 21), ("42d+4c+1b+7a+1", "42d+7c+1b+1a+4", 55),
        ("30b+2a+5", "30b+5a+2", 37),
      ].map { #"{"prompt":"\#($0.0)","rephrased":"\#($0.1)","answer":"\#($0.2)"}"# })

    /// Questions with ten options.
    private static let choices = file(
      "choices.jsonl",
      (0..<4).map { question in
        let options = (0..<10).map { "\"\(10 * question + $0)\"" }.joined(separator: ",")
        return #"{"prompt":"\#(question)","choices":[\#(options)],"answer":\#(question)}"#
      })
    /// Responses of one token, nearly any of them, so that some are letters.
    private static let orders = [
      "--data", choices, "--choice-orders", "2", "--temperature", "100", "--max-new-tokens", "1", "--lr", "1e-3",
    ]

    /// Labels with weights, a history that decides, and a selection by answers; then what only samplers can record;
    /// then questions in several forms.
    static let methods = [
      ["--estimator", "restrain", "--prompt-weights", "flips", "--selection", "balanced", "--advantage", "maxrl"],
      ["--estimator", "spine", "--lr", "1e-3"],
      ["--data", rephrased, "--estimator", "co-rewarding", "--lr", "1e-3"], orders,
    ]

    private func settings(_ method: [String]) -> [String] {
      (method.contains("--data") ? [] : ["--data", Self.questions]) + method
    }

    @Test func `a run shows which places of options are chosen, and tells options apart by their content`() throws {
      let plan = try Program.run(["train", "--run", directory, "--dry-run"] + SmallRun.settings + Self.orders)
      #expect(plan.errors.contains("4 questions, each with its options in 2 orders"), "\(plan.errors)")
      _ = try SmallRun.finish(Self.orders, in: directory)
      let steps = try textOfFile(directory + "/metrics.jsonl").split(separator: "\n").compactMap {
        try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
      }.filter { $0["kind"] as? String == "step" }
      #expect(steps.count == SmallRun.steps)
      #expect(try schemaProblems(in: directory).problems == [])
      for step in steps {
        let positions = try #require(step["positions"] as? [Int])
        let bias = try #require(step["position_bias"] as? Double)
        #expect(positions.count == 10 && positions.reduce(0, +) > 10 && bias > 0 && bias < 1)
        // The two orders of a question have one label.
        let labels = try #require(step["prompts"] as? [[String: Any]]).map { $0["label"] as? String }
        #expect(labels.count == 8 && stride(from: 0, to: 8, by: 2).allSatisfy { labels[$0] == labels[$0 + 1] })
      }
      let rows = textOfFile(directory + "/questions.jsonl").split(separator: "\n")
      #expect(rows.count == 8 && rows.allSatisfy { $0.contains("\"choice_order\"") })
      let status = try Program.run(["status", "--run", directory])
      #expect(status.output.contains("position bias"), "\(status.output)")
    }

    @Test func `questions that cannot be asked in these forms are refused, all at once`() throws {
      let call = ["train", "--run", directory, "--dry-run"]
      let missing = try Program.run(call + ["--data", Self.questions, "--estimator", "co-rewarding"])
      #expect(missing.status == 1, "\(missing)")
      #expect(missing.errors.contains("8 questions of") && missing.errors.contains("give one in \"rephrased\""))
      let few = try Program.run(
        call + ["--data", Self.file("two.jsonl", [#"{"prompt":"x","choices":["a","b"]}"#, #"{"prompt":"y"}"#])]
          + ["--choice-orders", "4"])
      #expect(few.status == 1 && few.errors.contains("lower choice-orders to 2"), "\(few.errors)")
      #expect(few.errors.contains("question 2 has no options"))
      let contradictions = try Program.run(
        call + [
          "--choice-orders", "3", "--estimator", "snr", "--reward-command", "cat", "--answer-rule", "reference",
        ])
      #expect(contradictions.status == 2)
      for part in ["estimator snr counts those", "multiple of 3", "a reward command is asked about one", "use exact"] {
        #expect(contradictions.errors.contains(part), "\(part): \(contradictions.errors)")
      }
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
