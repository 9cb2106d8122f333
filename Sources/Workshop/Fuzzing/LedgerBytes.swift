// LedgerBytes: rows that no coordinator wrote: blobs of any length, and numbers of any size.
//
// SQLite checks the file format, and its authors fuzz it; here ttrl's reading of the values is fuzzed. The rows are
// written with SQL, without the ledger's code, and read with it.

import Base
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

  /// One ledger is used for all inputs.
  private init() {
    let directory = try? OwnedDirectory.temporary(prefix: "ttrl-fuzz")
    path = (directory ?? "") + "/ledger.sqlite"
    hasLedger = directory != nil && (try? Ledger(path: path, mode: .readWrite)) != nil
  }

  /// The first two bytes say where the tokens end and the log-probabilities begin. The third says which numbers are
  /// replaced; bytes 4 to 11 are the number that replaces them. The blobs follow from byte 12 on.
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
    let (tokenHex, logprobHex) = (Hexadecimal.text(tokens), Hexadecimal.text(logprobs))
    let script = """
      PRAGMA synchronous = OFF; BEGIN;
      DELETE FROM trajectories; DELETE FROM rounds; DELETE FROM prompts; DELETE FROM policy_versions;
      INSERT INTO rounds (code, purpose, question_set, step, policy_version, slots, state, opened_at)
        VALUES (\(round), 'train', 'training', 0, 0, \(slots), 'open', 0);
      INSERT INTO trajectories (round, prompt, sample, policy_version, tokens, logprobs, entropy_sum, finish)
        VALUES (\(round), \(prompt), \(sample), \(policy), x'\(tokenHex)', x'\(logprobHex)', 0, '\(finish)');
      INSERT INTO prompts (question_set, prompt_index, text, tokens) VALUES ('training', \(prompt), '', x'\(tokenHex)');
      INSERT INTO policy_versions (version, sha256, path, bytes, made_by_step, made_at)
        VALUES (\(policy), '', '', \(slots), \(sample), 0);
      COMMIT
      """
    // A script that SQLite refuses would leave nothing to read, and the fuzzer nothing to find.
    let code = sqlite3_exec(handle, script, nil, nil, nil)
    precondition(code == SQLITE_OK, "the rows were not written: \(String(cString: sqlite3_errmsg(handle)))")
  }
}
