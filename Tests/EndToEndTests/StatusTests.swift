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

    @Test func `a worker's name is shown on one line, and a terminal executes nothing in it`() throws {
      let scratch = Scratch()
      let run = scratch.file("run")
      let arguments = SmallRun.settings(steps: 1000) + ["--workers", "0", "--learners", "1", "--page", "none"]
      let running = try Running(["train", "--run", run] + arguments)
      var address = ""
      try #require(
        eventually {
          address = textOfFile(run + "/coordinator.address").trimmingCharacters(in: .whitespacesAndNewlines)
          return !address.isEmpty || !running.isRunning
        } && !address.isEmpty, "\(running.errors)")
      let name = "evil\u{1B}[2J\u{9B}31m\u{202E}\nwaits for nothing: the run is finished"
      let shown = "evil\\u{1b}[2J\\u{9b}31m\\u{202e}\\nwaits for nothing: the run is finished"
      let worker = try Running(["worker", "--coordinator", address, "--key", run + "/cluster.key", "--name", name])
      func status(_ extra: [String] = []) throws -> String { try Program.run(["status", "--run", run] + extra).output }
      #expect(eventually { (try? status().contains("worker    \(shown): connected, ")) ?? false }, "\(worker.errors)")
      let seen = [try status(), try status(["--json"]), textOfFile(run + "/logs/coordinator.log"), running.errors]
      for text in seen {
        #expect(!text.contains("\u{1B}") && !text.contains("\u{9B}") && !text.contains("\u{202E}"), "\(text)")
        #expect(!text.split(separator: "\n").contains { $0.hasPrefix("waits for nothing") }, "\(text)")
      }
      #expect(seen[2].contains(shown), "\(seen[2])")
      for process in [worker, running] { process.signal(SIGTERM) }
      _ = (worker.wait(), running.wait())
    }
  }
}
