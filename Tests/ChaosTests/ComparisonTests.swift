// A comparison that cannot find a difference proves nothing: here are runs that differ in one bit of one thing.

import Base
import Chaos
import Foundation
import Ledger
import Records
import Runs
import Testing

@Suite final class ComparisonTests {
  private let root = FileManager.default.temporaryDirectory.appendingPathComponent("ttrl-chaos-\(UUID().uuidString)")

  deinit { try? FileManager.default.removeItem(at: root) }

  private static let round = RoundID.train(step: 0)

  /// The files of a finished run of one round: three trajectories, two versions.
  private func run(
    _ name: String, logprob: Float = -0.25, count: UInt32 = 3, weights: String = "aa", state: String = "bb"
  ) throws -> RunDirectory {
    let directory = RunDirectory(root.appendingPathComponent(name).path)
    try FileManager.default.createDirectory(atPath: directory.logs, withIntermediateDirectories: true)
    let ledger = try Ledger(path: directory.ledger, mode: .readWrite)
    try ledger.open(Self.round, slots: 3, at: 0)
    for sample in 0..<count {
      let trajectory = Trajectory(
        slot: Slot(round: Self.round, prompt: 0, sample: sample), policy: PolicyVersion(0), tokens: [1, 2],
        logprobs: [-1, sample == 2 ? logprob : -0.25], entropySum: 1, finish: .stop)
      _ = try ledger.insert(trajectory, worker: nil)
    }
    for (version, digest) in [(UInt32(0), "00"), (1, weights)] {
      try ledger.insert(
        StoredPolicy(
          version: PolicyVersion(version), sha256: digest, path: "p", bytes: 1,
          madeByStep: version == 0 ? nil : version - 1, madeAt: 0))
    }
    let summary = #"{"steps":1,"weights_sha256":"\#(weights)","state_sha256":"\#(state)"}"#
    try summary.write(toFile: directory.summary, atomically: true, encoding: .utf8)
    return directory
  }

  @Test func `runs that agree in every bit have no difference`() throws {
    #expect(try RunComparison.difference(try run("one"), try run("other")) == nil)
  }

  @Test func `one bit of a log-probability, a version, a trajectory or the learner's state is a difference`() throws {
    let one = try run("one")
    let bit = try run("bit", logprob: Float(-0.25).nextUp)
    #expect(try RunComparison.difference(one, bit) == "step 0, prompt 0, sample 2 was sampled otherwise")
    #expect(try RunComparison.difference(one, try run("weights", weights: "ab")) == "policy 1 is aa, and 1 is ab")
    #expect(try RunComparison.difference(one, try run("few", count: 2)) == "step 0: 3 trajectories, and 2")
    let state = try RunComparison.difference(one, try run("state", state: "bc"))
    #expect(state == #"state_sha256 "bb", and "bc""#)
  }

  @Test func `what was acknowledged and is not in the ledger is lost`() throws {
    let directory = try run("receipts")
    let code = Self.round.code
    func line(_ slots: String) -> String {
      "time=2026-01-01T00:00:00.000Z level=debug role=worker-1 event=worker.settled slots=\(slots)\n"
    }
    try line("\(code):0:0,\(code):0:1").write(
      toFile: directory.logs + "/worker-1.log", atomically: true, encoding: .utf8)
    var check = ReceiptCheck()
    try check.run(on: directory)
    #expect(check.compared == 2 && check.lost == [])
    // The third is not in the ledger of a run of two.
    try line("\(code):0:7").write(toFile: directory.logs + "/worker-2.log", atomically: true, encoding: .utf8)
    try check.run(on: directory)
    #expect(check.compared == 5 && check.lost == [Slot(round: Self.round, prompt: 0, sample: 7)])
  }
}
