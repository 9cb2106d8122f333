// Reward commands in whole runs: what is recorded is what counts, whatever the program would say the next time.

import Foundation
import Testing

/// The Python of the system, for programs that judge.
private enum SystemPython {
  static let path = "/usr/bin/python3"
  static let isThere = (try? Program.run(["-c", "import json, sqlite3"], program: path))?.status == 0
}

extension EndToEnd {
  @Suite(.enabled(if: SystemPython.isThere, "needs /usr/bin/python3 with json and sqlite3"))
  struct RewardCommandTests {
    private let scratch = Scratch()

    /// A command line of a program that is in `scratch`.
    private func command(_ program: String, _ name: String, _ arguments: String...) -> String {
      let words = [SystemPython.path, scratch.write(program, to: name)] + arguments
      return String(decoding: (try? JSONEncoder().encode(words)) ?? Data(), as: UTF8.self)
    }

    // MARK: Exactness

    /// Gives random verdicts of all kinds, dies now and then, and writes down each answer before it gives it.
    private static let random = """
      import json, os, random, sys, time
      log = open(sys.argv[1], "a")
      for line in sys.stdin:
          request = json.loads(line)
          time.sleep(0.002)
          luck, value = random.random(), random.random()
          if luck < 0.01: os._exit(1)
          verdict = {"valid": False} if luck < 0.1 else {"vote_weight": value} if luck < 0.3 else {"reward": value}
          log.write(json.dumps([request["id"], verdict]) + "\\n")
          log.flush()
          print(json.dumps(verdict), flush=True)

      """

    /// Gives the verdicts that a ledger has.
    private static let replay = """
      import json, os, sqlite3, sys
      ledger = sqlite3.connect("file:%s?mode=ro" % sys.argv[1], uri=True)
      for line in sys.stdin:
          place = [int(part) for part in json.loads(line)["id"].split("/")]
          reward, weight, valid, fault = ledger.execute(
              "SELECT reward, vote_weight, valid, fault FROM verdicts WHERE round = ? AND prompt = ? AND sample = ?",
              place).fetchone()
          if fault: os._exit(1)
          verdict = {"valid": valid == 1}
          if reward is not None: verdict["reward"] = reward
          if weight is not None: verdict["vote_weight"] = weight
          print(json.dumps(verdict), flush=True)

      """

    /// What a program that writes its answers down has said so far.
    private func said() -> [[Any]] {
      scratch.read("said").split(separator: "\n").compactMap {
        (try? JSONSerialization.jsonObject(with: Data($0.utf8))) as? [Any]
      }
    }

    /// The comparison means something: some response was asked about twice and got two different answers, of which the
    /// run used the recorded one. A run with other answers ends with other bits.
    @Test func `a run whose processes are killed while a random program judges ends as its record says`() throws {
      let judge = command(Self.random, "dice.py", scratch.file("said"))
      let disturbed = scratch.file("disturbed")
      let run = try SmallRun.start(["--reward-command", judge, "--reward-processes", "2"], in: disturbed)
      let isCoordinator: (ProcessEntry) -> Bool = { $0.role == "coordinator" }
      let isLearner: (ProcessEntry) -> Bool = {
        $0.role == "learner" && $0.environment.contains("OMPI_COMM_WORLD_RANK=0")
      }
      for (count, isVictim) in [(60, isCoordinator), (330, isLearner), (600, isCoordinator)] {
        #expect(eventually { said().count >= count || !run.isRunning }, "\(run.errors)")
        let victim = try #require(ProcessTable.descendants(of: run.id).first(where: isVictim), "\(run.errors)")
        #expect(kill(victim.id, SIGKILL) == 0)
      }
      let outcome = run.wait(within: 120)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.errors.contains("starting it again"))
      let answers = Dictionary(grouping: said()) { $0.first as? String ?? "" }.mapValues { Set($0.map { "\($0)" }) }
      #expect(answers.values.contains { $0.count > 1 }, "no response was asked about twice")

      let replay = command(Self.replay, "replay.py", disturbed + "/ledger.sqlite")
      let undisturbed = try SmallRun.finish(["--reward-command", replay], in: scratch.file("undisturbed"))
      #expect(try SmallRun.fingerprint(of: disturbed) == undisturbed)
      let other = try SmallRun.finish(["--reward-command", judge], in: scratch.file("other"))
      #expect(other != undisturbed)
    }

    // MARK: What is seen

    @Test func `the rewards that are shown are those of the program, and what it left out has none`() throws {
      let judge = command(
        """
        import json, sys
        for line in sys.stdin:
            sample = json.loads(line)["sample"]
            kinds = [{"reward": sample + 0.5}, {"valid": False}, {"vote_weight": 0}]
            print(json.dumps(kinds[sample % 3]), flush=True)
        """, "thirds.py")
      let directory = scratch.file("shown")
      _ = try SmallRun.finish(["--reward-command", judge], in: directory)
      let report = textOfFile(directory + "/metrics.jsonl").split(separator: "\n").first ?? ""
      let step = try #require(try JSONSerialization.jsonObject(with: Data(report.utf8)) as? [String: Any])
      let prompt = try #require((step["prompts"] as? [[String: Any]])?.first?["prompt"] as? Int)
      let shown = try Program.run(["explain", "--run", directory, "--prompt", "#\(prompt)", "--step", "0"])
      let lines = shown.output.split(separator: "\n").filter { $0.hasPrefix("  sample ") }
      try #require(lines.count == 8, "\(shown)")
      for (sample, line) in lines.enumerated() {
        switch sample % 3 {
        case 0: #expect(line.contains("reward \(sample).5"), "\(line)")
        case 1: #expect(!line.contains("reward ") || line.contains("left out: the reward command"), "\(line)")
        // It does not vote, so it is not rewarded, and it is trained on.
        default: #expect(line.contains("reward 0"), "\(line)")
        }
      }
      #expect(lines.contains { $0.contains("left out: the reward command called it not valid") }, "\(lines)")
    }

    @Test func `a step that waits for the program says so, and counts what the program did not judge`() throws {
      let judge = command(
        """
        import json, os, sys, time
        for number, line in enumerate(sys.stdin):
            request = json.loads(line)
            if request["sample"] == 0: time.sleep(5)
            if request["sample"] == 3: sys.exit("I do not like it")
            print(json.dumps({"valid": False} if request["sample"] == 1 else {"reward": number % 2}), flush=True)

        """, "slow.py")
      let directory = scratch.file("run")
      let outcome = try Program.run(
        [
          "train", "--run", directory, "--steps", "1", "--votes", "8", "--train-samples", "8", "--prompts-per-step",
          "2", "--eval", "none", "--reward-command", judge, "--reward-processes", "1",
        ], within: 120)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.errors.contains("reward command: \(SystemPython.path) \(scratch.file("slow.py")); 1 process"))
      #expect(outcome.errors.contains("of the reward command"), "\(outcome.errors)")
      #expect(outcome.errors.contains("2 failed verdicts"), "\(outcome.errors)")
      let row = textOfFile(directory + "/metrics.jsonl")
      #expect(row.contains("\"failed_verdicts\":2,") && row.contains("\"invalid_samples\":2,"), "\(row)")
      let log = textOfFile(directory + "/logs/coordinator.log")
      #expect(log.contains("fault=ended") && log.contains("I do not like it") && log.contains("awaits_verdicts"))
      #expect(!FileManager.default.fileExists(atPath: directory + "/reward-command/0-1"))
      let report = textOfFile(directory + "/report.html")
      #expect(!report.isEmpty)
    }

    @Test func `a program that is gone when the run continues is named`() throws {
      let judge = command(Self.random, "judge.py", scratch.file("said"))
      let directory = scratch.file("run")
      let program = scratch.write("#!\(SystemPython.path)\n" + Self.random, to: "judge")
      chmod(program, 0o755)
      let run = try SmallRun.start(["--reward-command", "\(program) \(scratch.file("said"))"], in: directory)
      #expect(eventually { said().count >= 100 || !run.isRunning }, "\(run.errors)")
      run.signal(SIGTERM)
      #expect(run.wait().status == 130)
      unlink(program)
      let gone = try Program.run(["train", "--run", directory])
      #expect(gone.status != 0 && gone.errors.contains("cannot run \(program): it is not there"), "\(gone.errors)")
      let other = try Program.run(["train", "--run", directory, "--reward-command", judge])
      #expect(other.status == 2 && other.errors.contains("reward-command is"), "\(other.errors)")
    }

    // MARK: Settings

    @Test func `a dry run shows the command with the paths that it keeps, and contradictions are refused together`()
      throws
    {
      let program = scratch.write(Self.random, to: "judge.py")
      let train = "'\(Program.path())' train --run r --dry-run --reward-command 'python3 judge.py'"
      let dry = try Program.run(["-c", "cd '\(scratch.path)' && exec \(train)"], program: "/bin/sh")
      #expect(dry.status == 0 && dry.errors.contains("python3 \(program); "), "\(dry.errors)")
      #expect(dry.errors.contains("at most 30.0 s per answer, at most 4096 MiB each, "))
      let refused = try Program.run([
        "train", "--run", scratch.file("r"), "--reward-command", "[1]", "--early-stop", "on", "--labels", "random",
      ])
      #expect(refused.status == 2)
      for part in ["reward-command is [1]", "a reward command decides which responses vote", "leave one of them out"] {
        #expect(refused.errors.contains(part), "\(refused.errors)")
      }
      let orphan = try Program.run(["train", "--run", scratch.file("r"), "--reward-seconds", "5"])
      #expect(orphan.status == 2 && orphan.errors.contains("reward-seconds belong to a reward command"))
      let absent = try Program.run(["train", "--run", scratch.file("r"), "--reward-command", "./absent"])
      #expect(absent.status != 0 && absent.errors.contains("it is not there") && absent.errors.contains("absent"))
    }

    @Test func `the doctor says what a reward command could do`() throws {
      let outcome = try Program.run(["doctor"])
      #expect(outcome.output.contains("reward command: one would have "), "\(outcome.output)")
    }

    @Test func `the benchmark judges all responses`() throws {
      let outcome = try Program.run(
        ["bench", "rewards", "--prompts", "2", "--runs", "1", "--json"], program: Program.dev)
      let result = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
      #expect(outcome.status == 0 && result["responses"] as? Int == 128 && result["value"] as? Double ?? 0 > 0)
    }

    // MARK: The page's examples

    /// What a program of docs/rewards.md answers.
    private func answers(of name: String, to requests: [[String: Any?]]) throws -> [[String: Any]] {
      let page = textOfFile(Program.packageRoot.path + "/docs/rewards.md")
      let blocks = page.components(separatedBy: "```python\n").dropFirst()
      let block = try #require(blocks.first { $0.hasPrefix("# \(name)\n") })
      // The block ends at the line that only closes it.
      let program = scratch.write(block.components(separatedBy: "\n```\n")[0] + "\n", to: name)
      let lines = try requests.map { request in
        let values = request.mapValues { $0 ?? NSNull() }
        return String(decoding: try JSONSerialization.data(withJSONObject: values), as: UTF8.self) + "\n"
      }
      let outcome = try Program.run([program], program: SystemPython.path, input: Data(lines.joined().utf8))
      #expect(outcome.status == 0, "\(outcome.errors)")
      return try outcome.output.split(separator: "\n").map {
        try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
      }
    }

    @Test func `the example that runs unit tests gives the share of those that pass`() throws {
      let prompt = "Write double(x).\nTests:\nassert double(2) == 4\nassert double('a') == 'aa'\nassert double(0) == 0"
      let found = try answers(
        of: "judge_tests.py",
        to: [
          ["id": "a", "prompt": prompt, "response": "Sure:\n```python\ndef double(x): return 2 * x\n```\nDone."],
          ["id": "b", "prompt": prompt, "response": "```\ndef double(x): return x * x\n```"],
          ["id": "c", "prompt": prompt, "response": "def double(x): return x +"],
        ])
      #expect(found.map { $0["id"] as? String } == ["a", "b", "c"])
      let rewards = found.map { $0["reward"] as? Double ?? -1 }
      // x * x is right for 2 and for 0.
      #expect(rewards[0] == 1 && abs(rewards[1] - 2.0 / 3) < 1e-12 && rewards[2] == 0)
    }

    @Test func `the example that checks an equation weighs answers that solve it`() throws {
      let found = try answers(
        of: "judge_equation.py",
        to: [
          ["id": "a", "prompt": "Solve for x: 3x + 1 = 10", "answer": "q:3"],
          ["id": "b", "prompt": "Solve for x: 3x + 1 = 10", "answer": "q:4"],
          ["id": "c", "prompt": "Solve: 2(x - 1)^2 = 1/2.", "answer": "q:3/2"],
          ["id": "d", "prompt": "Solve for x: 3x + 1 = 10", "answer": nil],
          ["id": "e", "prompt": "How many apples?", "answer": "q:3"],
          ["id": "f", "prompt": "Solve for x: __import__('os') = 10", "answer": "q:3"],
        ])
      #expect(found.map { $0["vote_weight"] as? Int } == [5, 0, 5, 1, 1, 1])
      #expect(found.map { $0["valid"] as? Bool } == [true, false, true, nil, nil, nil])
    }
  }
}
