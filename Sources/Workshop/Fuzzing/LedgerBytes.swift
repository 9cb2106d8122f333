// LedgerBytes: rows that no coordinator wrote: blobs of any length, numbers out of any range, names that name nothing.
//
// The file itself is SQLite's to judge, which is fuzzed by its makers; what is ours is what we make of its values. They
// are written past the ledger's own code, and read through it.

import CSQLite
import Glibc
import Ledger
import Platform
import Records
import Synchronization

final class LedgerBytes: Sendable {
  static let shared = LedgerBytes()

  private let path: String
  private let hasLedger: Bool

  /// One ledger for all inputs, removed when the process ends well.
  private init() {
    path = "/tmp/ttrl-fuzz-\(getpid()).sqlite"
    hasLedger = (try? Ledger(path: path, mode: .readWrite)) != nil
  }

  /// Two bytes say where tokens end and log-probabilities begin; the next which numbers are changed, and to what.
  func feed(_ bytes: [UInt8]) {
    guard hasLedger, bytes.count >= 12 else { return }
    let rest = Array(bytes[12...])
    let cut = min(Int(bytes[0]) | Int(bytes[1]) << 8, rest.count)
    let number = bytes[4..<12].reduce(Int64(0)) { $0 << 8 | Int64($1) }
    func chosen(_ bit: UInt8, or usual: Int64) -> Int64 { bytes[2] & 1 << bit != 0 ? number : usual }
    let round = chosen(0, or: Int64(RoundID.train(step: 0).code))
    write(
      round: round, slots: chosen(1, or: 1), prompt: chosen(2, or: 0), sample: chosen(3, or: 0),
      policy: chosen(4, or: 0), tokens: Array(rest[..<cut]), logprobs: Array(rest[cut...]),
      finish: bytes[2] & 1 << 5 != 0 ? "length" : "stop")
    guard let ledger = try? Ledger(path: path, mode: .readOnly) else { return }
    for known in (try? ledger.rounds()) ?? [] {
      _ = try? ledger.trajectories(of: known.id)
      _ = try? ledger.settledSlots(of: known.id)
      _ = try? ledger.accountedCount(of: known.id)
    }
    _ = try? ledger.prompts(of: .training)
    _ = try? ledger.policies()
    _ = try? ledger.workers()
  }

  private func write(
    round: Int64, slots: Int64, prompt: Int64, sample: Int64, policy: Int64, tokens: [UInt8], logprobs: [UInt8],
    finish: String
  ) {
    var handle: OpaquePointer?
    guard sqlite3_open(path, &handle) == SQLITE_OK, let handle else { return }
    defer { sqlite3_close_v2(handle) }
    func hex(_ bytes: [UInt8]) -> String {
      bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
    let script = """
      PRAGMA synchronous = OFF; BEGIN;
      DELETE FROM trajectories; DELETE FROM rounds; DELETE FROM prompts; DELETE FROM policy_versions;
      INSERT INTO rounds VALUES (\(round), 'train', 'training', 0, 0, \(slots), 'open', 0, NULL);
      INSERT INTO trajectories VALUES
        (\(round), \(prompt), \(sample), \(policy), NULL, x'\(hex(tokens))', x'\(hex(logprobs))', 0, '\(finish)');
      INSERT INTO prompts VALUES ('training', \(prompt), NULL, '', x'\(hex(tokens))', NULL);
      INSERT INTO policy_versions VALUES (\(policy), '', '', \(slots), \(sample), 0, NULL);
      COMMIT
      """
    sqlite3_exec(handle, script, nil, nil, nil)
  }
}
