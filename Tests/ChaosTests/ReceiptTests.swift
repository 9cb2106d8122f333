// The check of acknowledgements finds a slot that the ledger lacks.

import Base
import Chaos
import Foundation
import Ledger
import Records
import Runs
import Testing

@Suite final class ReceiptTests {
  private let root = FileManager.default.temporaryDirectory.appendingPathComponent("ttrl-chaos-\(UUID().uuidString)")

  deinit { try? FileManager.default.removeItem(at: root) }

  private static let round = RoundID.train(step: 0)

  /// A run whose ledger has three trajectories.
  private func run() throws -> RunDirectory {
    let directory = RunDirectory(root.path)
    try FileManager.default.createDirectory(atPath: directory.logs, withIntermediateDirectories: true)
    let ledger = try Ledger(path: directory.ledger, mode: .readWrite)
    try ledger.open(Self.round, policy: PolicyVersion(0), slots: 3, at: 0)
    for sample in 0..<UInt32(3) {
      let trajectory = Trajectory(
        slot: Slot(round: Self.round, prompt: 0, sample: sample), policy: PolicyVersion(0), tokens: [1, 2],
        logprobs: [-1, -0.25], entropySum: 1, finish: .stop)
      _ = try ledger.insert(trajectory, worker: nil)
    }
    return directory
  }

  @Test func `a slot that was acknowledged and is not in the ledger is lost`() throws {
    let directory = try run()
    let code = Self.round.code
    func line(_ slots: String) -> String {
      "time=2026-01-01T00:00:00.000Z level=debug role=worker-1 event=worker.settled slots=\(slots)\n"
    }
    try line("\(code):0:0,\(code):0:1").write(
      toFile: directory.logs + "/worker-1.log", atomically: true, encoding: .utf8)
    var check = ReceiptCheck()
    try check.run(on: directory)
    #expect(check.compared == 2 && check.lost == [])
    // This slot is not in the ledger.
    try line("\(code):0:7").write(toFile: directory.logs + "/worker-2.log", atomically: true, encoding: .utf8)
    try check.run(on: directory)
    #expect(check.compared == 5 && check.lost == [Slot(round: Self.round, prompt: 0, sample: 7)])
  }
}
