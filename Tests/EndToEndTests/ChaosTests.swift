// `ttrl-dev chaos`, small: every kind of process dies once, and the bits stay. docs/testing.md has the large figures.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct ChaosTests {
    private let scratch = Scratch()

    @Test func `a run in which every kind of process is killed ends identical, and says how`() throws {
      let directory = scratch.file("chaos")
      let arguments = ["--kills", "5", "--chaos-seed", "2", "--json"]
      let command = ["chaos", "--run", directory] + SmallRun.settings(steps: 16) + arguments
      let outcome = try Running(command, program: Program.dev).wait(within: 300)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let last = try #require(outcome.output.split(separator: "\n").last)
      let result = try #require(try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any])
      #expect(result["identical"] as? Bool == true, "\(last)")
      let kills = try #require(result["kills"] as? [String: Int])
      // A busy machine may end the run before the last of them.
      #expect(kills.count == 5 && kills.values.reduce(0, +) >= 3, "\(kills)")
      #expect(try #require(result["acknowledged_compared"] as? Int) > 0)
      #expect(result["acknowledged_lost"] as? Int == 0)
      let undisturbed = try SmallRun.fingerprint(of: directory + "/undisturbed")
      #expect(try SmallRun.fingerprint(of: directory + "/disturbed") == undisturbed)
      // Given again, it neither mixes runs nor throws any away.
      let again = try Running(command, program: Program.dev).wait()
      #expect(again.status == 2 && again.errors.contains("is there already"), "\(again.errors)")
      let inside = try Running(["chaos", "--run", directory + "/disturbed"], program: Program.dev).wait()
      #expect(inside.status == 2 && inside.errors.contains("is a run"), "\(inside.errors)")
    }
  }
}
