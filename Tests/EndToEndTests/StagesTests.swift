// Courses of training (`--stages`): three runs one after the other, killed at their boundaries and in between.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct StagesTests {
    private let scratch = Scratch()

    private static let small = """
      "prompts-per-step": 4, votes: 16, "train-samples": 8, "mini-batch": 32, eval: "none", page: "none",
      """
    /// A course of some seconds.
    private static let file = """
      // Three stages.
      { \(small) lr: 2e-4, seed: 3,
        stages: [
          { name: "warmup", steps: 2, "max-new-tokens": 60 },
          { name: "vote", steps: 3, optimizer: "carry", "lr-schedule": "constant", "checkpoint-every": 1 },
          { name: "long", steps: 2, "max-new-tokens": 90, advantage: "rloo" },
        ],
      }
      """
    private static let names = ["01-warmup", "02-vote", "03-long"]

    /// Weights and state of each stage of a course that nothing disturbs, on one rank.
    private static let undisturbed: [Fingerprint]? = {
      let scratch = Scratch.shared
      scratch.write(file, to: "undisturbed.json5")
      do {
        let outcome = try Program.run(
          ["train", "--run", scratch.file("course"), "--stages", scratch.file("undisturbed.json5"), "--learners", "1"],
          within: 120)
        try #require(outcome.status == 0, "\(outcome.errors)")
        return try names.map { try SmallRun.fingerprint(of: scratch.file("course/\($0)")) }
      } catch {
        Issue.record("the undisturbed course failed: \(error)")
        return nil
      }
    }()
    private static let course = Scratch.shared.file("course")

    private func fingerprints(_ name: String) throws -> [Fingerprint] {
      try Self.names.map { try SmallRun.fingerprint(of: scratch.file("\(name)/\($0)")) }
    }

    private func json(_ text: String) throws -> [String: Any] {
      try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
    }

    @Test func `each stage begins with what the stage before delivered, and the last one is the course's result`()
      throws
    {
      let stages = try #require(Self.undisturbed)
      for (index, name) in Self.names.enumerated().dropFirst() {
        let manifest = try json(textOfFile("\(Self.course)/\(name)/settings.json"))
        let from = try #require(manifest["from"] as? [String: Any])
        #expect(from["weights_sha256"] as? String == stages[index - 1].weights)
        #expect((from["state_sha256"] != nil) == (name == "02-vote"))
      }
      let delivered = try FileManager.default.destinationOfSymbolicLink(atPath: Self.course + "/delivered")
      #expect(delivered == "03-long/checkpoints/step-000002")
      let sampled = try Program.run(
        ["generate", "--model", Self.course + "/delivered", "--prompt", "1a+1=", "--max-new-tokens", "4"])
      #expect(sampled.status == 0, "\(sampled.errors)")
      // What each stage was given.
      let longest = try Self.names.map { name in
        let manifest = try json(textOfFile("\(Self.course)/\(name)/settings.json"))
        return try #require(manifest["settings"] as? [String: String])["max-new-tokens"]
      }
      #expect(longest == ["60", "80", "90"])
    }

    @Test func `a finished course is seen in status, report, page and terminal`() throws {
      _ = try #require(Self.undisturbed)
      let again = try Program.run(["train", "--run", Self.course])
      #expect(again.status == 0 && again.errors.contains("is finished"), "\(again.errors)")
      let status = try Program.run(["status", "--run", Self.course])
      for name in Self.names { #expect(status.output.contains(name), "\(status.output)") }
      let facts = try json(try Program.run(["status", "--run", Self.course, "--json"]).output)
      let stages = try #require(facts["stages"] as? [[String: Any]])
      #expect(
        facts["finished"] as? Bool == true
          && stages.map { $0["state"] as? String } == ["finished", "finished", "finished"])
      let report = try Program.run(["report", Self.course])
      #expect(report.status == 0 && report.output == Self.course + "/report.html\n", "\(report.errors)")
      let html = textOfFile(Self.course + "/report.html")
      for name in Self.names { #expect(html.contains("href=\"\(name)/report.html\"")) }
      let page = try Served(Self.course)
      defer { page.stop() }
      let shown = try json(try page.get("/api/run"))
      let course = try #require(shown["course"] as? [String: Any])
      #expect((course["stages"] as? [[String: Any]])?.count == 3)
      #expect((shown["run"] as? String)?.hasSuffix("/03-long") == true)
    }

    /// Kills `train`, and with it all processes, when a file of the course appears.
    @Test func `a course that is killed at each boundary and within a stage, on three ranks, ends with the same bits`()
      throws
    {
      let expected = try #require(Self.undisturbed)
      let file = scratch.write(Self.file, to: "course.json5")
      let moments = [
        "course.json", "01-warmup/settings.json", "01-warmup/summary.json", "02-vote/settings.json",
        "02-vote/metrics.jsonl", "02-vote/summary.json", "03-long/metrics.jsonl", "03-long/summary.json",
      ]
      for (index, moment) in moments.enumerated() {
        // The file can be given again, and can be left out.
        let stages = index < 2 ? ["--stages", file] : []
        let running = try Running(
          ["train", "--run", scratch.file("run"), "--learners", "3", "--workers", "1"] + stages)
        #expect(
          eventually(within: 60) {
            FileManager.default.fileExists(atPath: scratch.file("run/\(moment)")) || !running.isRunning
          }, "\(moment): \(running.errors)")
        running.signal(SIGKILL)
        _ = running.wait()
      }
      let last = try Program.run(["train", "--run", scratch.file("run"), "--learners", "3"], within: 120)
      #expect(last.status == 0, "\(last.errors)")
      #expect(try fingerprints("run") == expected)
    }

    @Test func `a stopped course says which stage it trains and how to go on, and other stages are refused`() throws {
      let file = scratch.write(Self.file, to: "course.json5")
      let run = scratch.file("run")
      let running = try Running(["train", "--run", run, "--stages", file])
      #expect(
        eventually(within: 60) {
          FileManager.default.fileExists(atPath: run + "/02-vote/metrics.jsonl") || !running.isRunning
        })
      let stopped = try Program.run(["stop", "--run", run])
      #expect(stopped.status == 0, "\(stopped.errors)")
      let outcome = running.wait()
      #expect(outcome.status == 130 && outcome.errors.contains("Continue with: ttrl train --run \(run)\n"))
      #expect(outcome.errors.contains("stage 1 of 3, warmup: step 0"), "\(outcome.errors)")
      let status = try json(try Program.run(["status", "--run", run, "--json"]).output)
      let states = try #require(status["stages"] as? [[String: Any]]).map { $0["state"] as? String }
      #expect(states == ["finished", "stopped", "not begun"])
      let other = scratch.write(Self.file.replacing("2e-4", with: "1e-4"), to: "other.json5")
      let changed = try Program.run(["train", "--run", run, "--stages", other, "--votes", "32"])
      #expect(changed.status == 1 || changed.status == 2, "\(changed.errors)")
      for words in ["stage warmup: lr is 0.0001, the course has 0.0002", "stage long: votes is 32, the course has 16"] {
        #expect(changed.errors.contains(words), "\(changed.errors)")
      }
      let fewer = scratch.write(
        Self.file.replacing(/\{ name: "long".*\n/, with: "\n"), to: "fewer.json5")
      let refused = try Program.run(["train", "--run", run, "--stages", fewer])
      #expect(refused.errors.contains("warmup, vote, long, and the file has warmup, vote"), "\(refused.errors)")
      // The stages' settings that cannot change a result are free.
      let free = try Program.run(["train", "--run", run, "--workers", "3", "--dry-run"])
      #expect(free.status == 0, "\(free.errors)")
    }

    @Test func `every mistake of a file is reported, with its place and its stage`() throws {
      let file = scratch.write(
        """
        { stpes: 3,
          guard: "stop",
          stages: [
            { name: "a", lr: "x", votes: 1, },
            { name: "a", run: "b", data: "\(scratch.file("none.jsonl"))" },
            { steps: 2 },
            { name: "B c", model: "builtin", optimizer: "carry", dtype: "float32" },
            { repeat: 2, stages: [ { name: "d", temperature: 0 } ] },
            7,
          ] }
        """, to: "bad.json5")
      let outcome = try Program.run(["train", "--run", scratch.file("run"), "--stages", file, "--stpes", "3"])
      #expect(outcome.status == 2)
      for words in [
        "bad.json5:1:3: there is no setting \"stpes\"; did you mean \"steps\"?",
        "bad.json5:4:18 (stage a): lr is \"x\"", "bad.json5:5:5: there is a stage \"a\" already, at \(file):4:5",
        "bad.json5:5:18 (stage a): run belongs to the course", "bad.json5:6:5: the stage has no name",
        "bad.json5:7:13: a stage's name has 1 to 40", "(stage B c): model says what the course begins with",
        "bad.json5:9:5: a stage is a plain value", "votes is 1; a majority needs at least 2",
        "stage d-1 (\(file):8:28): temperature 0 makes all votes equal", "optimizer carry needs the state",
        "dtype is float32, and bfloat16 in the stage before", "command line: there is no setting \"stpes\"",
      ] { #expect(outcome.errors.contains(words), "\(words) is missing in\n\(outcome.errors)") }
      #expect(outcome.errors.components(separatedBy: "stpes").count == 3, "\(outcome.errors)")
      #expect(!FileManager.default.fileExists(atPath: scratch.file("run")))
      let many = scratch.write(
        "{ stages: [ { repeat: 60, stages: [ { name: \"a\" }, { name: \"b\" } ] } ] }", to: "many")
      let refused = try Program.run(["train", "--run", scratch.file("run"), "--stages", many])
      #expect(refused.status == 2 && refused.errors.contains("more than 99 stages"), "\(refused.errors)")
      _ = try #require(SmallRun.undisturbed)
      let run = try Program.run(["train", "--run", SmallRun.undisturbedDirectory, "--stages", many])
      #expect(run.status == 2, "\(run.errors)")
      // What only the files show is found before anything starts, too.
      let missing = scratch.write(
        "{ \(Self.small) stages: [ { name: \"a\" }, { name: \"b\", data: \"/nowhere/x.jsonl\" }, "
          + "{ name: \"c\", \"held-out\": \"/nowhere/y.jsonl\" } ] }", to: "missing.json5")
      let absent = try Program.run(["train", "--run", scratch.file("run"), "--stages", missing])
      #expect(absent.status == 2 && !FileManager.default.fileExists(atPath: scratch.file("run")))
      for words in ["stage b (\(missing):", "/nowhere/x.jsonl", "stage c (", "/nowhere/y.jsonl"] {
        #expect(absent.errors.contains(words), "\(absent.errors)")
      }
    }

    @Test func `a dry run shows all stages and writes nothing, and groups repeat`() throws {
      let file = scratch.write(
        """
        { \(Self.small) steps: 2, stages: [
          { name: "first" },
          { repeat: 2, seed: 7, stages: [ { name: "short", "max-new-tokens": 40 }, { name: "long" } ] } ] }
        """, to: "groups.json5")
      let outcome = try Program.run(["train", "--run", scratch.file("run"), "--stages", file, "--dry-run"], within: 60)
      #expect(outcome.status == 0, "\(outcome.errors)")
      for title in [
        "stage 1 of 5, first", "stage 2 of 5, short-1", "stage 3 of 5, long-1", "stage 4 of 5, short-2",
        "stage 5 of 5, long-2",
      ] { #expect(outcome.errors.contains(title), "\(outcome.errors)") }
      #expect(!FileManager.default.fileExists(atPath: scratch.file("run")))
    }
  }
}
