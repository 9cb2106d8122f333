// Runs that learn from an archive of a run: the same bits as from the run itself, and what is refused.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct ArchiveRunTests {
    private let scratch = Scratch()

    /// The archive of the small run.
    private func archive() throws -> String {
      _ = try #require(SmallRun.undisturbed)
      let path = scratch.file("small.jsonl.zst")
      let written = try Program.run(["export", SmallRun.undisturbedDirectory, path])
      try #require(written.status == 0, "\(written.errors)")
      return path
    }

    private static let following = [
      "--steps", "3", "--prompts-per-step", "6", "--mini-batch", "8", "--eval", "none", "--workers", "0",
    ]

    private func finish(_ settings: [String], in directory: String) throws -> Fingerprint {
      let outcome = try Program.run(["train", "--run", directory] + settings + Self.following)
      try #require(outcome.status == 0, "\(outcome.errors)")
      return try SmallRun.fingerprint(of: directory)
    }

    @Test(arguments: [
      ["--objective", "awr", "--train-samples", "4", "--awr-temperature", "0.5"],
      ["--objective", "sft", "--train-samples", "3", "--min-share", "0.25"],
    ])
    func `from an archive a run has the same questions, responses and bits as from the run that was archived`(
      _ settings: [String]
    ) throws {
      let archive = try archive()
      let run = SmallRun.undisturbedDirectory
      let expected = try finish(settings + ["--responses", run, "--learners", "1"], in: scratch.file("run"))
      let found = try finish(
        settings + ["--responses", archive, "--like", archive, "--learners", "2"], in: scratch.file("archive"))
      #expect(found == expected)
      for name in ["questions.jsonl", "responses.jsonl"] {
        #expect(textOfFile(scratch.file("archive/\(name)")) == textOfFile(scratch.file("run/\(name)")), "\(name)")
      }
    }

    @Test func `an archive that is not whole, or not of this model, is refused before anything starts`() throws {
      let archive = try archive()
      let bytes = try Data(contentsOf: URL(fileURLWithPath: archive))
      func refusal(_ path: String, _ more: [String] = []) throws -> String {
        let outcome = try Program.run(
          ["train", "--run", scratch.file("refused"), "--objective", "awr", "--responses", path] + more
            + Self.following, within: 30)
        #expect(outcome.status == 1, "\(outcome.errors)")
        #expect(!FileManager.default.fileExists(atPath: scratch.file("refused")))
        return outcome.errors
      }
      let cut = scratch.write(bytes.dropLast(200), to: "cut.jsonl.zst")
      #expect(try refusal(cut).contains("cut.jsonl.zst is cut short: it ends after line"))
      var changed = bytes
      changed[changed.count / 2] ^= 1
      let damaged = try refusal(scratch.write(changed, to: "changed.jsonl.zst"))
      #expect(damaged.contains("is damaged after line") || damaged.contains("are not those that were written"))
      let other = scratch.write("{}\n", to: "other.jsonl.zst")
      #expect(try refusal(other).contains("is not an archive of ttrl"))
      #expect(try refusal(scratch.file("nowhere")).contains("is not a run: it has no settings"))
      #expect(
        try refusal(archive, ["--temperature", "0.9"]).contains("temperature is 0.9, and the responses were sampled"))
      // Another template makes other prompts of the same questions.
      let asked = try refusal(archive, ["--template", "Q: {question}"])
      #expect(asked.contains("becomes another prompt than the one that was answered"), "\(asked)")
      #expect(asked.contains("With --like \(archive) it is asked in the same way"), "\(asked)")
    }

    @Test func `a tokenizer that does not fit the archive is refused`() throws {
      let archive = try archive()
      // The built-in model's own files, but for two exchanged tokens that no prompt has.
      let files = Program.packageRoot.appendingPathComponent("Sources/Run/CEmbedded/files").path
      let model = scratch.file("model")
      try FileManager.default.createDirectory(atPath: model, withIntermediateDirectories: true)
      for name in ["config.json", "generation_config.json", "model.safetensors"] {
        try FileManager.default.copyItem(atPath: "\(files)/\(name)", toPath: "\(model)/\(name)")
      }
      let tokenizer = textOfFile(files + "/tokenizer.json")
      let exchanged = tokenizer.replacing("\"=\": 61", with: "\"=\": 62").replacing("\">\": 62", with: "\">\": 61")
      try #require(exchanged != tokenizer)
      scratch.write(exchanged, to: "model/tokenizer.json")
      let outcome = try Program.run(
        [
          "train", "--run", scratch.file("refused"), "--model", model, "--objective", "awr", "--responses", archive,
          "--like", archive, "--dry-run",
        ] + Self.following, within: 30)
      #expect(outcome.status == 1, "\(outcome.errors)")
      #expect(outcome.errors.contains("its tokenizer is not the one of the recorded run"), "\(outcome.errors)")
    }
  }
}
