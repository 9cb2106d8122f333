// A run directory that an earlier version of the program made, under today's commands: its settings and figures have
// former names.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct EarlierRunTests {
    private let scratch = Scratch()

    /// A copy of the fixture, with the built-in model in its settings.
    private func run(_ name: String) throws -> String {
      // The first command that needs the model unpacks it.
      _ = try Program.run(["train", "--run", scratch.file("never"), "--dry-run"])
      let cache = Scratch.shared.file("cache/ttrl")
      let model = cache + "/" + (try #require(try FileManager.default.contentsOfDirectory(atPath: cache).first))
      let source = Program.packageRoot.appendingPathComponent("Tests/Fixtures/earlier-run").path
      try FileManager.default.copyItem(atPath: source, toPath: scratch.file(name))
      let settings = textOfFile(scratch.file(name) + "/settings.json")
      scratch.write(settings.replacingOccurrences(of: "MODEL", with: model), to: name + "/settings.json")
      return scratch.file(name)
    }

    @Test func `status, report and the results read it`() throws {
      let run = try run("run")
      let status = try Program.run(["status", "--run", run, "--json"])
      #expect(status.output.contains(#""steps_done":3,"steps":3,"policy":3,"finished":true"#), "\(status.output)")
      #expect(status.output.contains(#""balanced":true"#), "\(status.output)")
      // Of `samples_saved`, and `votes` of the steps' prompts.
      let results = try Program.run(["train", "--run", run])
      #expect(results.status == 0, "\(results.errors)")
      #expect((results.output + results.errors).contains("early stop: 6 of 96 training samples were not needed"))
      let report = try Program.run(["report", run])
      #expect(report.status == 0, "\(report.errors)")
      // Prompt 27: 4 votes of 5.
      #expect(textOfFile(run + "/report.html").contains("80%"))
    }

    @Test func `it is the same as itself`() throws {
      let diff = try Program.run(["diff", try run("left"), try run("right")])
      #expect(diff.status == 0, "\(diff.errors)")
      #expect(diff.output.contains("90 responses, 3 steps and 4 policy versions are the same"), "\(diff.output)")
    }

    @Test func `it is not continued, because its products had another order`() throws {
      let run = try run("run")
      try FileManager.default.removeItem(atPath: run + "/summary.json")
      for command in [["train"], ["coordinator"]] {
        let outcome = try Program.run(command + ["--run", run])
        #expect(outcome.status != 0, "\(outcome)")
        #expect(outcome.errors.contains("before bfloat16 products had the orders tile and pair"), "\(outcome.errors)")
      }
    }

    @Test func `a setting with a former name is known`() throws {
      let outcome = try Program.run(["train", "--run", try run("run"), "--zero-advantage-groups", "train"])
      #expect(outcome.status == 2)
      #expect(outcome.errors.contains("zero-advantage-groups is train, the run has skip"), "\(outcome.errors)")
    }
  }
}
