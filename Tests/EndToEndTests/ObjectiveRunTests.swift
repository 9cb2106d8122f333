// Runs with other objectives than the clipped surrogate: the same bits however they are run, and what they refuse.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct ObjectiveRunTests {
    private let scratch = Scratch()

    /// Two workers and two ranks; one worker and three ranks with a streamed gradient; and killed in the middle.
    @Test(arguments: [
      ["gspo"], ["nft"], ["nft", "--adapter", "lora", "--lr", "1e-3"], ["ppo"], ["prime"],
      ["ppo", "--adapter", "lora", "--lr", "1e-3", "--critic-lr", "1e-3", "--staleness", "1"],
      ["prime", "--adapter", "lora", "--lr", "1e-3", "--prime-lr", "1e-3", "--prime-update", "before"],
    ])
    func `any number of ranks gives the same bits, and so does a run that is killed`(_ words: [String]) throws {
      let settings = ["--objective"] + words
      let undisturbed = try SmallRun.finish(settings, in: scratch.file("undisturbed"))
      #expect(undisturbed.weights != SmallRun.undisturbed?.weights)
      let lines = textOfFile(scratch.file("undisturbed") + "/metrics.jsonl")
      let own = words[0] == "ppo" ? "return_mean" : "critic_accuracy"
      let hasCritic = ["ppo", "prime"].contains(words[0])
      for figure in ["critic_loss", "critic_gradient_norm", own] {
        #expect(lines.contains("\"\(figure)\"") == hasCritic, "\(figure)")
      }
      if hasCritic { #expect(try schemaProblems(in: scratch.file("undisturbed")).problems == []) }
      let other = ["--workers", "1", "--learners", "3", "--gradient", "streamed"]
      #expect(try SmallRun.finish(settings + other, in: scratch.file("other")) == undisturbed)
      let directory = scratch.file("killed")
      let run = try SmallRun.start(settings, in: directory)
      SmallRun.awaitMiddle(of: run, in: directory)
      run.signal(SIGKILL)
      _ = run.wait()
      #expect(try SmallRun.finish(settings, in: directory) == undisturbed)
      // A continued run keeps its objective.
      let changed = try SmallRun.start(["--objective", "clip"], in: directory).wait()
      #expect(changed.status != 0 || changed.errors.contains("is finished"), "\(changed)")
    }

    @Test func `a dry run names what an objective sets and ignores`() throws {
      let train = ["train", "--run", scratch.file("run"), "--dry-run", "--json"] + SmallRun.settings
      let outcome = try Program.run(train + ["--objective", "gspo", "--clip-high", "0.5"], within: 120)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.errors.contains("objective gspo: defaults of its own are clip-low 0.0003, clip-high 0.0004"))
      #expect(
        outcome.errors.contains(
          "dual-clip, nft-prompt-weight, gamma, lambda, value-clip, critic-lr, "
            + "prime-update, prime-lr, awr-temperature, awr-cap have no effect"))
      let plan = try #require(
        try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
      let settings = try #require(plan["settings"] as? [String: Any])
      #expect(settings["clip-low"] as? String == "0.0003" && settings["clip-high"] as? String == "0.5")
      #expect(settings["denominator"] as? String == "sequence-mean")
      let objective = try #require(plan["objective"] as? [String: Any])
      #expect((objective["ignores"] as? [String])?.prefix(2) == ["dual-clip", "nft-prompt-weight"])
    }

    @Test func `the memory of a critic is in the plan`() throws {
      let train = ["train", "--run", scratch.file("run"), "--dry-run", "--json", "--learners", "2"] + SmallRun.settings
      func parts(_ arguments: [String]) throws -> [String: Int] {
        let outcome = try Program.run(train + arguments, within: 120)
        let plan = try #require(
          try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any], "\(outcome)")
        let memory = try #require(plan["memory"] as? [String: Any])
        let parts = try #require(memory["parts"] as? [[String: Any]])
        return Dictionary(
          uniqueKeysWithValues: parts.compactMap { part in
            (part["name"] as? String).flatMap { name in (part["bytes"] as? Int).map { (name, $0) } }
          })
      }
      let plain = try parts([])
      let ppo = try parts(["--objective", "ppo"])
      #expect(!plain.keys.contains { $0.contains("critic") })
      // The head of the built-in model is not tied, and its critic has one row in its place.
      let (policy, critic) = (ppo["2 learner ranks, optimizer"] ?? 0, ppo["2 learner ranks, critic, optimizer"] ?? 0)
      #expect(critic < policy && critic > policy * 9 / 10, "\(ppo)")
      for (name, bytes) in plain { #expect(ppo[name] == bytes, "\(name)") }
      // PRIME's critic is a second policy. Policy 0 is kept too.
      let prime = try parts(["--objective", "prime"])
      #expect(prime["2 learner ranks, critic, optimizer"] == prime["2 learner ranks, optimizer"], "\(prime)")
      #expect((prime["2 learner ranks, policy 0"] ?? 0) > 0 && ppo["2 learner ranks, policy 0"] == nil)
    }

    @Test func `settings that an objective cannot work with are refused by name, all at once`() throws {
      let outcome = try Program.run(
        [
          "train", "--run", scratch.file("run"), "--objective", "nft", "--advantage", "rloo", "--clip-low", "0.1",
          "--estimator", "soft-vote", "--kl-coefficient", "0.1", "--kl-in", "reward",
        ])
      #expect(outcome.status == 2, "\(outcome)")
      for part in [
        "clip-low, advantage: no effect with objective nft", "estimator soft-vote has others",
        "a KL penalty in the reward has no effect",
      ] { #expect(outcome.errors.contains(part), "\(part) in \(outcome.errors)") }
    }
  }
}
