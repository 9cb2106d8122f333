// Acknowledged means committed, and committed means on the disk: the ledger on a disk whose power fails at any moment.
// What was not synced is then lost or torn (CFaultyDisk).

import Base
import CFaultyDisk
import Foundation
import Ledger
import Records
import Testing

@Suite(.serialized) final class PowerLossTests {
  private let directory = FileManager.default.temporaryDirectory
    .appendingPathComponent("ttrl-power-\(UUID().uuidString)")
  private let round = RoundID.train(step: 0)

  init() throws { try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true) }
  deinit { try? FileManager.default.removeItem(at: directory) }

  private func trajectory(_ sample: Int) -> Trajectory {
    Trajectory(
      slot: Slot(round: round, prompt: 0, sample: UInt32(sample)), policy: PolicyVersion(0),
      tokens: (0..<Int32(20 + sample % 50)).map { $0 + Int32(sample) },
      logprobs: (0..<20 + sample % 50).map { -Float($0) / 8 }, entropySum: 1, finish: .stop)
  }

  /// Commits trajectories, `perCommit` at a time, until the power fails or all are stored.
  /// - Returns: how many were committed, and how many that number would be with the commit that failed.
  private func live(_ path: String, commits: Int, perCommit: Int) -> (acknowledged: Int, attempted: Int) {
    guard let ledger = try? Ledger(path: path, mode: .readWrite, disk: "faulty") else { return (0, 0) }
    var stored = 0
    do throws(LedgerError) {
      try ledger.open(round, policy: PolicyVersion(round.step), slots: commits * perCommit, at: 0)
      for _ in 0..<commits {
        try ledger.transaction { () throws(LedgerError) in
          for sample in stored..<stored + perCommit { _ = try ledger.insert(trajectory(sample), worker: nil) }
        }
        stored += perCommit
      }
      return (stored, stored)
    } catch {
      return (stored, stored + perCommit)
    }
  }

  /// What the next process finds; nil if not even the tables were made.
  private func found(_ path: String) throws -> [Trajectory]? {
    guard FileManager.default.fileExists(atPath: path), let ledger = try? Ledger(path: path, mode: .readWrite) else {
      return nil
    }
    return try ledger.trajectories(of: round)
  }

  @Test func `what was committed before the power failed is there afterwards, and no commit is there only in part`()
    throws
  {
    let (commits, perCommit) = (12, 7)
    #expect(ttrl_faulty_disk(1, 0) == 0)
    #expect(live(directory.appendingPathComponent("whole").path, commits: commits, perCommit: perCommit).0 == 84)
    let operations = ttrl_faulty_disk_operations()
    #expect(operations > 40, "\(operations) operations are too few for this test")
    var failures = 0
    for moment in 1...operations {
      for seed in UInt64(0)..<2 {
        let path = directory.appendingPathComponent("\(moment)-\(seed)").path
        #expect(ttrl_faulty_disk(UInt64(moment) * 1000 + seed, moment) == 0)
        let (acknowledged, attempted) = live(path, commits: commits, perCommit: perCommit)
        failures += Int(ttrl_faulty_disk_failed())
        let stored = try found(path) ?? []
        #expect(stored.count >= acknowledged && stored.count <= attempted, "power lost at \(moment), seed \(seed)")
        #expect(stored.count.isMultiple(of: perCommit), "power lost at \(moment), seed \(seed): half a commit")
        #expect(stored == (0..<stored.count).map { trajectory($0) }, "power lost at \(moment), seed \(seed)")
      }
    }
    #expect(failures == 2 * Int(operations))
  }

  /// This tests the test: with a disk that only claims to sync, trajectories are missing.
  @Test func `a disk that lies about syncing loses what was acknowledged`() throws {
    var lost = 0
    for moment in stride(from: Int64(30), to: 60, by: 3) {
      let path = directory.appendingPathComponent("lies-\(moment)").path
      #expect(ttrl_faulty_disk(UInt64(moment), moment) == 0)
      ttrl_faulty_disk_lies()
      let (acknowledged, _) = live(path, commits: 12, perCommit: 7)
      let stored = (try? found(path)) ?? nil
      if (stored?.count ?? 0) < acknowledged { lost += 1 }
    }
    #expect(lost > 0)
  }
}
