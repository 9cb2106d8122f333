// Runs that begin from another run (`--from`): with its weights and its settings, with its optimizer if it is carried,
// and without needing it afterwards.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct ForkTests {
    private let scratch = Scratch()

    /// Steps of this run change nothing: hardly any question has a label.
    private static let idle = ["--steps", "1", "--min-share", "0.96", "--max-new-tokens", "4", "--page", "none"]

    private func source() throws -> String {
      _ = try #require(SmallRun.undisturbed)
      return SmallRun.undisturbedDirectory
    }

    private func train(_ extra: [String], in name: String) throws -> Program.Outcome {
      try Program.run(["train", "--run", scratch.file(name)] + extra, within: 120)
    }

    private func json(_ path: String) throws -> [String: Any] {
      let data = try #require(FileManager.default.contents(atPath: path), "\(path)")
      return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    @Test func `a run from another has its weights and its settings, and says where they came from`() throws {
      let source = try source()
      let outcome = try train(["--from", source, "--steps", "1", "--page", "none"], in: "run")
      #expect(outcome.status == 0, "\(outcome.errors)")
      let manifest = try json(scratch.file("run/settings.json"))
      let from = try #require(manifest["from"] as? [String: Any])
      let settings = try #require(manifest["settings"] as? [String: String])
      let (own, weights) = (try json(source + "/settings.json"), try SmallRun.fingerprint(of: source).weights)
      #expect(from["run"] as? String == own["run"] as? String && from["step"] as? Int == SmallRun.steps)
      #expect(from["weights_sha256"] as? String == weights && from["state_sha256"] == nil)
      #expect(settings["votes"] == "32" && settings["from"] == source && settings["optimizer"] == "reset")
      #expect(textOfFile(scratch.file("run/questions.jsonl")) == textOfFile(source + "/questions.jsonl"))
      // The model is linked: it takes no room, and stays when the other run is removed.
      let (model, original) = ("run/start/model.safetensors", "\(source)/checkpoints/step-000004/model.safetensors")
      let numbers = try [scratch.file(model), original].map {
        try #require(try FileManager.default.attributesOfItem(atPath: $0)[.systemFileNumber] as? Int)
      }
      #expect(numbers[0] == numbers[1])
      #expect(!FileManager.default.fileExists(atPath: scratch.file("run/start/trainer.bin")))
      #expect(!FileManager.default.fileExists(atPath: scratch.file("run/beginning")))
    }

    /// Masters, moments and the number of updates: the digest is of the arrays, the number is in the file's header.
    @Test func `a carried optimizer is the other run's, bit for bit, on any number of ranks`() throws {
      let source = try source()
      let state = try SmallRun.fingerprint(of: source).state
      func updates(_ path: String) throws -> UInt64 {
        let header = try #require(FileManager.default.contents(atPath: path + "/trainer.bin")).prefix(32)
        return header.dropFirst(24).reversed().reduce(0) { $0 << 8 | UInt64($1) }
      }
      for ranks in ["1", "3"] {
        let name = "ranks\(ranks)"
        let flags = ["--from", source, "--optimizer", "carry", "--learners", ranks] + Self.idle
        let outcome = try train(flags, in: name)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try SmallRun.fingerprint(of: scratch.file(name)).state == state, "\(ranks) ranks")
        let last = scratch.file("\(name)/checkpoints/step-000001")
        #expect(try updates(last) == updates(source + "/checkpoints/step-000004"))
      }
      let reset = try train(["--from", source] + Self.idle, in: "reset")
      #expect(reset.status == 0, "\(reset.errors)")
      #expect(try SmallRun.fingerprint(of: scratch.file("reset")).state != state)
    }

    @Test func `a run from a run that was removed, killed before its first checkpoint, ends with the same bits`() throws
    {
      let copy = scratch.file("copy")
      try FileManager.default.copyItem(atPath: try source(), toPath: copy)
      let flags = [
        "--from", copy + "@4", "--optimizer", "carry", "--steps", "3", "--checkpoint-every", "1000", "--page", "none",
      ]
      let whole = try train(flags + ["--learners", "2"], in: "whole")
      #expect(whole.status == 0, "\(whole.errors)")
      let killed = try Running(["train", "--run", scratch.file("killed")] + flags)
      SmallRun.awaitMiddle(of: killed, in: scratch.file("killed"))
      killed.signal(SIGKILL)
      _ = killed.wait()
      try FileManager.default.removeItem(atPath: copy)
      let after = try train(["--from", copy + "@4", "--page", "none"], in: "killed")
      #expect(after.status == 0, "\(after.errors)")
      #expect(
        try SmallRun.fingerprint(of: scratch.file("killed")) == SmallRun.fingerprint(of: scratch.file("whole")))
    }

    @Test func `a beginning that was interrupted is begun again, and a changed state is refused`() throws {
      let source = try source()
      try FileManager.default.createDirectory(atPath: scratch.file("run/start"), withIntermediateDirectories: true)
      for (name, text) in [("beginning", ""), ("questions.jsonl", "{\"pro"), ("start/model.safetensors", "half")] {
        scratch.write(text, to: "run/\(name)")
      }
      let flags = ["--from", source, "--optimizer", "carry"] + Self.idle
      let running = try Running(["train", "--run", scratch.file("run"), "--workers", "0"] + flags)
      #expect(eventually { FileManager.default.fileExists(atPath: scratch.file("run/coordinator.address")) })
      running.signal(SIGTERM)
      #expect(running.wait().status == 130, "\(running.errors)")
      // The link must not change the other run's file.
      let state = scratch.file("run/start/trainer.bin")
      var bytes = try #require(FileManager.default.contents(atPath: state))
      bytes[100] ^= 1
      try FileManager.default.removeItem(atPath: state)
      try bytes.write(to: URL(fileURLWithPath: state))
      let refused = try train(["--page", "none"], in: "run")
      #expect(
        refused.status == 1 && refused.errors.contains("start/trainer.bin is not what it was"), "\(refused.errors)")
    }

    @Test func `what does not fit is refused, all of it, before anything starts`() throws {
      let source = try source()
      let carry = ["--from", source, "--optimizer", "carry"]
      for (flags, words) in [
        (["--optimizer", "carry"], ["give --from RUN"]),
        (["--from", scratch.file("none")], ["none is not a run"]),
        (["--from", source + "@3"], ["that checkpoint is not there", "--from \(source)@4"]),
        (["--from", source, "--model", "builtin", "--like", source], ["from and model both", "from and like both"]),
        (
          carry + ["--dtype", "float32", "--objective", "ppo", "--adapter", "lora"],
          ["dtype is float32, and bfloat16 in that run", "begins an adapter", "objective is ppo"]
        ),
      ] {
        let outcome = try train(flags, in: "run")
        #expect(outcome.status == 1 || outcome.status == 2, "\(outcome.errors)")
        for word in words { #expect(outcome.errors.contains(word), "\(word) is missing in\n\(outcome.errors)") }
        #expect(!FileManager.default.fileExists(atPath: scratch.file("run")))
      }
    }

    @Test func `an adapter goes on in the next run, with its optimizer, and a new one can begin on trained weights`()
      throws
    {
      let small = SmallRun.settings(steps: 1) + ["--page", "none"]
      let first = try train(["--adapter", "lora", "--adapter-rank", "4"] + small, in: "first")
      #expect(first.status == 0, "\(first.errors)")
      let next = try train(
        ["--from", scratch.file("first"), "--optimizer", "carry", "--learners", "2"] + Self.idle, in: "next")
      #expect(next.status == 0, "\(next.errors)")
      #expect(
        try SmallRun.fingerprint(of: scratch.file("next")).state
          == SmallRun.fingerprint(of: scratch.file("first")).state)
      let other = try train(["--from", scratch.file("first"), "--adapter-rank", "8"], in: "other")
      #expect(other.status == 2 && other.errors.contains("leave out adapter-rank"), "\(other.errors)")
      let onTop = try train(["--from", try source(), "--adapter", "lora"] + Self.idle, in: "on-top")
      #expect(onTop.status == 0, "\(onTop.errors)")
      // Its base is a part of the first run, and of this one.
      #expect(FileManager.default.fileExists(atPath: scratch.file("on-top/start/model.safetensors")))
    }

    @Test func `a plateau ends a run at the same step, whatever is killed`() throws {
      let flags = ["--plateau", "stop", "--guard-window", "1", "--lr", "0", "--page", "none"]
      let settings = Array(SmallRun.settings(steps: 12)) + flags
      let whole = try train(settings, in: "whole")
      #expect(whole.status == 0 && whole.errors.contains("a plateau ended the run"), "\(whole.errors)")
      let delivered = try #require(
        try SmallRun.summary(of: scratch.file("whole"))["delivered"] as? [String: Any])
      let step = try #require((delivered["plateau"] as? [String: Any])?["step"] as? Int)
      #expect(step < 11 && delivered["policy"] as? Int == step + 1 && delivered["rule"] as? String == "last")
      let killed = try Running(["train", "--run", scratch.file("killed")] + settings + ["--learners", "1"])
      SmallRun.awaitMiddle(of: killed, in: scratch.file("killed"))
      killed.signal(SIGKILL)
      _ = killed.wait()
      let after = try train(["--page", "none"], in: "killed")
      #expect(after.status == 0, "\(after.errors)")
      #expect(
        try SmallRun.summary(of: scratch.file("killed"))["delivered"] as? NSDictionary == delivered as NSDictionary)
    }
  }
}
