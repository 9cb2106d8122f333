// `ttrl export` and `ttrl runs`, as users type them.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct ExportTests {
    private let scratch = Scratch()

    private func object(_ text: some StringProtocol) throws -> [String: Any] {
      try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test func `a run is exported twice to the same bytes, checked, and refused when it is cut short`() throws {
      _ = try #require(SmallRun.undisturbed)
      let run = SmallRun.undisturbedDirectory
      let archive = scratch.file("a.jsonl.zst")
      let written = try Program.run(["export", run, archive, "--license", "CC0-1.0", "--json"])
      #expect(written.status == 0 && written.errors.isEmpty, "\(written.errors)")
      let facts = try object(written.output)
      // 8 prompts in each of 4 steps, 32 votes each.
      #expect(facts["rounds"] as? Int == 4 && facts["groups"] as? Int == 32 && facts["responses"] as? Int == 1024)
      let bytes = try Data(contentsOf: URL(fileURLWithPath: archive))
      let again = try Program.run(["export", "--run", run, "--out", archive, "--license", "CC0-1.0"])
      let hash = try #require(facts["sha256"] as? String)
      #expect(again.status == 0 && again.output.contains(hash), "\(again)")
      #expect(try Data(contentsOf: URL(fileURLWithPath: archive)) == bytes)
      let checked = try Program.run(["export", "--verify", archive])
      #expect(checked.status == 0 && checked.output == again.output, "\(checked)")
      let cut = scratch.write(bytes.dropLast(200), to: "cut.jsonl.zst")
      let refused = try Program.run(["export", "--verify", cut])
      #expect(refused.status == 1 && refused.errors.contains("is cut short: it ends after line"), "\(refused.errors)")
      // A second program, where there is one.
      guard Python.has("zstandard") || FileManager.default.isExecutableFile(atPath: "/usr/bin/zstd") else { return }
      let script = Program.packageRoot.appendingPathComponent("scripts/archives").path
      let other = try Program.run([script, run, archive], program: Python.path)
      #expect(other.status == 0 && other.output.contains("the same 1024 responses in 4 rounds"), "\(other.errors)")
    }

    @Test(arguments: [
      (["a"], "expected a run's directory and the archive to write"), ([], "or --verify and the archive to check"),
      (["a", "b.json"], "expected a name that ends in .jsonl.zst"),
      (["a", "b.jsonl.zst", "--verify", "c"], "--verify checks an archive; give it without a run to export"),
    ])
    func `wrong usage is refused`(_ arguments: [String], _ words: String) throws {
      let outcome = try Program.run(["export"] + arguments)
      #expect(outcome.status == 2 && outcome.errors.contains(words), "\(outcome.errors)")
    }

    @Test func `runs are listed, and what is damaged is named without stopping the others`() throws {
      let fingerprint = try #require(SmallRun.undisturbed)
      let files = FileManager.default
      for name in ["all/group/finished", "all/stopped", "all/damaged", "all/without-a-run", "all/.hidden"] {
        try files.createDirectory(atPath: scratch.file(name), withIntermediateDirectories: true)
      }
      for file in ["settings.json", "ledger.sqlite", "summary.json"] {
        let source = SmallRun.undisturbedDirectory + "/" + file
        try files.copyItem(atPath: source, toPath: scratch.file("all/group/finished/" + file))
      }
      let log = SmallRun.undisturbedDirectory + "/ledger.sqlite-wal"
      if files.fileExists(atPath: log) {
        try files.copyItem(atPath: log, toPath: scratch.file("all/group/finished/ledger.sqlite-wal"))
      }
      try files.copyItem(
        atPath: SmallRun.undisturbedDirectory + "/settings.json", toPath: scratch.file("all/stopped/settings.json"))
      scratch.write("{", to: "all/damaged/settings.json")
      scratch.write("{", to: "all/.hidden/settings.json")
      let outcome = try Program.run(["runs", scratch.file("all"), scratch.file("nowhere"), "--json"])
      #expect(outcome.status == 1)
      #expect(outcome.errors.contains("all/damaged/settings.json cannot be read"), "\(outcome.errors)")
      #expect(outcome.errors.contains("nowhere: "), "\(outcome.errors)")
      let lines = try outcome.output.split(separator: "\n").map { try object($0) }
      #expect(lines.count == 4, "\(outcome.output)")
      let finished = try #require(lines.first { ($0["path"] as? String)?.hasSuffix("/finished") == true })
      #expect(finished["state"] as? String == "finished" && finished["steps_done"] as? Int == 4)
      #expect(finished["weights_sha256"] as? String == fingerprint.weights)
      #expect((finished["chosen"] as? [String: String])?["votes"] == "32")
      #expect((finished["model"] as? [String: String])?["name"] == "builtin")
      #expect(
        lines.compactMap { $0["state"] as? String }.sorted() == ["damaged", "damaged", "finished", "not running"])
      let table = try Program.run(["runs", scratch.file("all/group"), scratch.file("all/stopped")])
      #expect(table.status == 0 && table.output.split(separator: "\n").count == 3, "\(table)")
      #expect(table.output.contains("4/4") && table.output.contains("votes=32"), "\(table.output)")
    }
  }
}
