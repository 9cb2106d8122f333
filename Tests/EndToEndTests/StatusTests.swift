// `ttrl status` during a run: which process waits for which.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct StatusTests {
    /// Without workers the run does not progress, so the time of the command does not matter.
    @Test func `status says which process waits for which, and that no coordinator runs`() throws {
      let scratch = Scratch()
      let run = scratch.file("run")
      let arguments = SmallRun.settings + ["--workers", "0", "--learners", "1", "--page", "none"]
      let running = try Running(["train", "--run", run] + arguments)
      func status() throws -> [String: Any] {
        let outcome = try Program.run(["status", "--run", run, "--json"])
        return try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any] ?? [:]
      }
      var waits: [[String: Any]] = []
      let areThere = eventually {
        usleep(200_000)
        waits = ((try? status()["waits"]) ?? nil) as? [[String: Any]] ?? []
        return waits.count == 2 && waits[0]["waiter"] as? String == "learner"
      }
      #expect(areThere, "\(waits)")
      #expect(
        waits.map { "\($0["waiter"] ?? "") < \($0["awaited"] ?? "")" } == [
          "learner < step 0", "step 0 < a worker to connect",
        ])
      let text = try Program.run(["status", "--run", run]).output
      #expect(
        text.contains("step 0 waits for a worker to connect, 256 slots: 0 promised, 256 not yet, for "), "\(text)")
      running.signal(SIGTERM)
      _ = running.wait()
      let after = try status()
      #expect(after["waits_for"] as? String == "nothing: the run was stopped" && after["balanced"] as? Bool == true)
      #expect(after["state"] as? String == "stopped")
    }
  }
}
