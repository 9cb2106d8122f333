// `ttrl-dev chaos` with one run: every kind of process dies once, and the bits stay the same. docs/testing.md has the
// figures of large runs.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct ChaosTests {
    private let scratch = Scratch()

    @Test func `a run in which every kind of process is killed ends identical, and is reported`() throws {
      let directory = scratch.file("chaos")
      let arguments = ["--kills", "5", "--chaos-seed", "2", "--json"]
      let command = ["chaos", "--run", directory] + SmallRun.settings(steps: 16) + arguments
      let outcome = try Running(command, program: Program.dev).wait(within: 300)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let last = try #require(outcome.output.split(separator: "\n").last)
      let result = try #require(try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any])
      #expect(result["identical"] as? Bool == true, "\(last)")
      let kills = try #require(result["kills"] as? [String: Int])
      // On a busy machine the run can end before the last of them.
      #expect(kills.count == 5 && kills.values.reduce(0, +) >= 3, "\(kills)")
      #expect(try #require(result["acknowledged_compared"] as? Int) > 0)
      #expect(result["acknowledged_lost"] as? Int == 0)
      let undisturbed = try SmallRun.fingerprint(of: directory + "/undisturbed")
      #expect(try SmallRun.fingerprint(of: directory + "/disturbed") == undisturbed)
      // The same command again neither mixes runs nor deletes one.
      let again = try Running(command, program: Program.dev).wait()
      #expect(again.status == 2 && again.errors.contains("is there already"), "\(again.errors)")
      let inside = try Running(["chaos", "--run", directory + "/disturbed"], program: Program.dev).wait()
      #expect(inside.status == 2 && inside.errors.contains("is a run"), "\(inside.errors)")
    }
  }
}
