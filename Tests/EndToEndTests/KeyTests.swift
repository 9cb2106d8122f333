// A key is replaced while a run lives: processes go over to the new one, the old one is refused, the bits are the same.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct KeyTests {
    private let scratch = Scratch()
    private var directory: String { scratch.file("run") }
    private var key: String { directory + "/cluster.key" }

    private func ids(of file: String) -> [String] {
      textOfFile(file).split(separator: "\n").filter { $0.hasPrefix("id ") }.map { String($0.dropFirst(3)) }
    }

    private func change(_ action: String, _ file: String) throws {
      let outcome = try Program.run(["key", action, "--key", file])
      try #require(outcome.status == 0, "\(outcome.errors)")
    }

    /// Waits for lines of the coordinator's log.
    private func awaitLog(_ run: Running, _ text: String, atLeast count: Int = 1) -> Bool {
      eventually {
        textOfFile(directory + "/logs/coordinator.log").components(separatedBy: text).count > count || !run.isRunning
      }
    }

    @Test func `a key is replaced and retired in the middle of a run, which ends with the same bits`() throws {
      let undisturbed = try #require(SmallRun.undisturbed)
      let run = try SmallRun.start(in: directory)
      SmallRun.awaitMiddle(of: run, in: directory)
      let lost = scratch.file("lost.key")
      try FileManager.default.copyItem(atPath: key, toPath: lost)

      try change("rotate", key)
      let both = ids(of: key)
      #expect(both.count == 2 && both[1] == ids(of: lost)[0])
      // Two workers and the learner call again with the new key.
      #expect(awaitLog(run, "coordinator.joined", atLeast: 6), "\(run.errors)")
      try change("retire", key)
      #expect(ids(of: key) == [both[0]])
      #expect(awaitLog(run, "coordinator.keys", atLeast: 2), "\(run.errors)")

      let address = textOfFile(directory + "/coordinator.address").trimmingCharacters(in: .whitespacesAndNewlines)
      if run.isRunning, !address.isEmpty {
        let stranger = try Program.run(["worker", "--coordinator", address, "--key", lost, "--relay", "none"])
        #expect(stranger.status != 0)
      }
      let outcome = run.wait()
      #expect(outcome.status == 0 && !outcome.errors.contains("again"), "\(outcome.errors)")
      #expect(try SmallRun.fingerprint(of: directory) == undisturbed)
    }

    @Test func `a lost key is revoked while the run goes on`() throws {
      let undisturbed = try #require(SmallRun.undisturbed)
      let run = try SmallRun.start(in: directory)
      SmallRun.awaitMiddle(of: run, in: directory)
      let lost = ids(of: key)
      try change("revoke", key)
      #expect(ids(of: key).count == 1 && ids(of: key) != lost)
      let outcome = run.wait()
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(try SmallRun.fingerprint(of: directory) == undisturbed)
    }

    @Test func `a step that does not follow is refused, and leaves the file as it is`() throws {
      let file = scratch.file("k")
      func refusal(_ action: String) throws -> String {
        let before = textOfFile(file)
        let outcome = try Program.run(["key", action, "--key", file])
        #expect(outcome.status == 1 && textOfFile(file) == before, "\(outcome.errors)")
        return outcome.errors
      }
      #expect(try refusal("rotate").contains(file))
      #expect(try Program.run(["key", "--key", file]).status == 0)
      #expect(try refusal("make").contains(file))
      #expect(try refusal("retire").contains("only one key"))
      try change("rotate", file)
      #expect(try refusal("rotate").contains("two keys already"))
      let unknown = try Program.run(["key", "change", "--key", file])
      #expect(unknown.status == 2 && unknown.errors.contains("make or rotate or retire or revoke"), "\(unknown.errors)")
    }
  }
}
