// The numbers of workers, ranks and threads, and the answers in the data, must not change a result. The seed must.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct ExactnessTests {
    private let scratch = Scratch()
    private var directory: String { scratch.file("run") }

    @Test func `the same seed gives the same bits`() throws {
      #expect(try SmallRun.finish(in: directory) == SmallRun.undisturbed)
    }

    @Test func `another seed gives other bits`() throws {
      let other = try SmallRun.finish(["--seed", "1"], in: directory)
      let undisturbed = try #require(SmallRun.undisturbed)
      #expect(other.weights != undisturbed.weights && other.state != undisturbed.state)
    }

    @Test(arguments: [1, 3]) func `any number of workers gives the same bits`(_ workers: Int) throws {
      #expect(try SmallRun.finish(["--workers", "\(workers)"], in: directory) == SmallRun.undisturbed)
    }

    @Test(arguments: [1, 3, 4]) func `any number of learner ranks gives the same bits`(_ ranks: Int) throws {
      #expect(try SmallRun.finish(["--learners", "\(ranks)"], in: directory) == SmallRun.undisturbed)
    }

    @Test(arguments: [1, 2, 3]) func `streamed gradients give the same bits on any number of ranks`(_ ranks: Int) throws
    {
      let settings = ["--gradient", "streamed", "--learners", "\(ranks)"]
      #expect(try SmallRun.finish(settings, in: directory) == SmallRun.undisturbed)
    }

    @Test(arguments: [["--learners", "3"], ["--learners", "2", "--gradient", "streamed"]])
    func `ranks that encrypt what they send give the same bits`(_ settings: [String]) throws {
      #expect(try SmallRun.finish(settings + ["--protect-mpi", "on"], in: directory) == SmallRun.undisturbed)
    }

    @Test func `a rank with another key is refused, and the message says what to do`() throws {
      #expect(try Program.run(["key", "--key", scratch.file("cluster.key")]).status == 0)
      let run = try SmallRun.start(
        ["--learners", "2", "--protect-mpi", "on"], in: directory, environment: ["TTRL_FILES": scratch.path])
      let outcome = run.wait(within: 120)
      #expect(outcome.status != 0 && outcome.errors.contains("does not have this rank's key"), "\(outcome.errors)")
    }

    @Test(arguments: [1, 2]) func `any number of threads gives the same bits`(_ threads: Int) throws {
      #expect(try SmallRun.finish(["--threads", "\(threads)"], in: directory) == SmallRun.undisturbed)
    }

    /// The instruction sets to which this processor can be capped, widest first.
    private func caps() throws -> [String] {
      let refusal = try Program.run(["--version"], environment: ["TTRL_INSTRUCTION_SET": "none"]).errors
      let list = try #require(refusal.components(separatedBy: "it has ").last?.components(separatedBy: ". ").first)
      return list.components(separatedBy: ", ")
    }

    @Test(arguments: ["pair", "tile"])
    func `every instruction set gives the same bits, also if a run continues on another one`(_ products: String) throws
    {
      let settings = ["--products", products]
      let caps = try caps()
      #expect(caps.contains("avx2"))
      let results = try caps.map { cap in
        try SmallRun.finish(settings, in: scratch.file(cap), environment: ["TTRL_INSTRUCTION_SET": cap])
      }
      for (cap, result) in zip(caps, results) { #expect(result == results[0], "\(cap) and \(caps[0])") }
      let run = try SmallRun.start(settings, in: directory, environment: ["TTRL_INSTRUCTION_SET": "avx2"])
      #expect(eventually { SmallRun.stepsDone(in: directory) >= 1 || !run.isRunning })
      run.signal(SIGINT)
      #expect(run.wait().status == 130, "\(run.errors)")
      #expect(try SmallRun.finish(settings, in: directory) == results[0])
    }

    @Test func `processes under different instruction sets are one fleet, with the same bits`() throws {
      let caps = try caps()
      let coordinator = try Running(
        ["coordinator", "--run", directory, "--listen", "127.0.0.1:0"] + SmallRun.settings)
      var address = ""
      #expect(
        eventually {
          address = textOfFile(directory + "/coordinator.address").trimmingCharacters(in: .whitespacesAndNewlines)
          return !address.isEmpty
        })
      let join = ["--coordinator", address, "--key", directory + "/cluster.key", "--threads", "1"]
      func start(_ arguments: [String], _ cap: String) throws -> Running {
        try Running(arguments + join, environment: ["TTRL_INSTRUCTION_SET": cap])
      }
      let workers = try [caps[0], caps[caps.count - 1]].map { try start(["worker", "--name", $0], $0) }
      let log = directory + "/logs/coordinator.log"
      for cap in [caps[0], caps[caps.count - 1]] {
        #expect(eventually { (textOfFile(log) + coordinator.errors).contains("name=\(cap)") }, "\(coordinator.errors)")
      }
      // One rank needs no mpirun.
      let learner = try start(["learner", "--run", directory], caps[caps.count / 2])
      for process in workers + [learner, coordinator] { #expect(process.wait().status == 0, "\(process.errors)") }
      #expect(try SmallRun.fingerprint(of: directory) == SmallRun.undisturbed)
    }

    @Test func `the two orders of products give other bits, and the built-in example has one of them everywhere`()
      throws
    {
      let tile = try SmallRun.finish(["--products", "tile"], in: directory)
      #expect(tile.weights != SmallRun.undisturbed?.weights)
      let manifest = textOfFile(SmallRun.undisturbedDirectory + "/settings.json")
      #expect(manifest.contains(#""products": "pair""#), "\(manifest)")
    }

    @Test func `with a KL penalty, any number of learner ranks gives the same bits, and other bits than without`()
      throws
    {
      let kl = ["--kl-coefficient", "0.05"]
      let results = try [1, 2, 3].map { ranks in
        try SmallRun.finish(kl + ["--learners", "\(ranks)"], in: scratch.file("run-\(ranks)"))
      }
      #expect(results[0] == results[1] && results[1] == results[2])
      #expect(results[0].weights != SmallRun.undisturbed?.weights)
    }

    /// The number and the speed of workers and ranks do not matter: step s is always sampled by version s − 1, whether
    /// or not version s exists already.
    @Test
    func `one version behind, any number of workers and ranks gives the same bits, and other bits than on-policy`()
      throws
    {
      let one = scratch.file("one")
      let results = try [
        SmallRun.finish(["--staleness", "1", "--workers", "1", "--learners", "1"], in: one),
        SmallRun.finish(["--staleness", "1", "--workers", "3"], in: scratch.file("three")),
      ]
      #expect(results[0] == results[1] && results[0].weights != SmallRun.undisturbed?.weights)
      let steps = try textOfFile(one + "/metrics.jsonl").split(separator: "\n").compactMap { line in
        try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      }.filter { $0["kind"] as? String == "step" }
      #expect(steps.map { $0["policy_lag"] as? Int } == [0, 1, 1, 1])
      #expect(steps.map { $0["importance_mean"] is NSNull } == [true, false, false, false])
      #expect(steps.allSatisfy { $0["logprob_gap"] as? Double == 0 })
      let changed = try SmallRun.start(["--staleness", "0"], in: one).wait()
      #expect(changed.status == 2 && changed.errors.contains("staleness"))
    }

    @Test func `the same data without its answers gives the same bits`() throws {
      _ = SmallRun.undisturbed
      let questions = textOfFile(SmallRun.undisturbedDirectory + "/questions.jsonl").split(separator: "\n")
      try #require(questions.count > 100 && questions.allSatisfy { $0.contains("\"answer\"") })
      let blind = try questions.map { line -> String in
        var question = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        question["answer"] = nil
        return String(decoding: try JSONSerialization.data(withJSONObject: question), as: UTF8.self)
      }
      let data = scratch.write(blind.joined(separator: "\n"), to: "blind.jsonl")
      #expect(try SmallRun.finish(["--data", data], in: directory) == SmallRun.undisturbed)
      #expect(!textOfFile(directory + "/questions.jsonl").contains("answer"))
      #expect(try SmallRun.summary(of: directory)["label_accuracy"] is NSNull)
    }

    @Test(arguments: ["truth", "random"]) func `the other sources of labels work, and give other results`(
      _ labels: String
    ) throws {
      let arm = try SmallRun.finish(["--labels", labels], in: directory)
      #expect(arm.weights != SmallRun.undisturbed?.weights)
    }
  }
}
