// Commits: a copy of the ledger that makes the commits of the original has the same rows, and nothing else fits it.

import Base
import Foundation
import Ledger
import Records
import Testing

@Suite final class CommitTests {
  private let directory: String

  init() throws {
    directory = NSTemporaryDirectory() + "ttrl-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  private func ledger(_ name: String) throws -> Ledger { try Ledger(path: "\(directory)/\(name)", mode: .readWrite) }

  private let round = RoundID.train(step: 0)

  private func trajectory(_ sample: UInt32) -> Trajectory {
    Trajectory(
      slot: Slot(round: round, prompt: 0, sample: sample), policy: PolicyVersion(0), tokens: [Int32(sample), -1],
      logprobs: [-0.5, -0.0], entropySum: 0.1, finish: .stop)
  }

  private let policy = StoredPolicy(
    version: PolicyVersion(0), sha256: String(repeating: "ab", count: 32), path: "p", bytes: 4, madeByStep: nil,
    madeAt: 1)

  /// Rows of every table, each of them inserted, and some changed.
  private func work(on ledger: Ledger) throws {
    try ledger.set("{}", for: .manifest)
    try ledger.transaction { () throws(LedgerError) in
      try ledger.insert(policy)
      try ledger.open(round, policy: PolicyVersion(0), slots: 2, at: 1)
    }
    let worker = try ledger.join(name: "ada", address: "", instructionSet: "avx2", libraries: "", at: 2)
    _ = try ledger.insert(trajectory(0), worker: worker)
    try ledger.insert(unneeded: Slot(round: round, prompt: 0, sample: 1))
    try ledger.insert(SlotVerdict(trajectory(0).slot, Verdict(reward: 0.25)), at: 3)
    try ledger.setMetrics("{\"a\":1}", ofStep: 0)
    try ledger.setMetrics("{\"a\":2}", ofStep: 0)
    try ledger.close(round, at: 4)
    try ledger.record(event: "e", "d", at: 5)
    try ledger.leave(worker: worker, because: "b", at: 6)
    try ledger.markRemoved(PolicyVersion(0), at: 7)
    try ledger.insert(
      StoredPrompt(set: .training, index: 0, id: "q", text: "t", tokens: [1], answer: nil))
  }

  private func dump(_ name: String) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
    let script = "import sqlite3, sys\nprint('\\n'.join(sorted(sqlite3.connect(sys.argv[1]).iterdump())))"
    process.arguments = ["-c", script, "\(directory)/\(name)"]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
  }

  @Test func `a copy that makes all commits has the same rows and the same number`() throws {
    let original = try ledger("original")
    let copy = try ledger("copy")
    var commits: [LedgerCommit] = []
    original.onCommit = { commits.append($0) }
    try work(on: original)
    #expect(commits.map(\.number) == Array(1...UInt64(commits.count)) && commits.count == 13)
    #expect(commits.flatMap(\.added) == [policy.manifest] && commits.flatMap(\.removed) == [PolicyVersion(0)])
    try copy.apply(Array(commits.prefix(3)))
    try copy.apply(Array(commits.dropFirst(3)))
    #expect(try copy.position == original.position)
    #expect(try dump("copy") == dump("original"))
    #expect(try !dump("copy").isEmpty)
  }

  @Test func `a copy of the file goes on with the commits after it`() throws {
    let original = try ledger("original")
    try work(on: original)
    try original.copy(to: "\(directory)/copy")
    let copy = try ledger("copy")
    #expect(try copy.position == original.position)
    var next: LedgerCommit?
    original.onCommit = { next = $0 }
    _ = try original.insert(trajectory(1), worker: nil)
    try copy.apply([try #require(next)])
    #expect(try copy.trajectories(of: round) == original.trajectories(of: round))
    #expect(try dump("copy") == dump("original"))
  }

  @Test func `a commit that does not follow, or does not fit, changes nothing`() throws {
    let original = try ledger("original")
    var commits: [LedgerCommit] = []
    original.onCommit = { commits.append($0) }
    try work(on: original)
    let copy = try ledger("copy")
    try copy.apply(Array(commits.prefix(2)))
    let before = try dump("copy")
    #expect(throws: LedgerError.self) { try copy.apply([commits[3]]) }
    var renumbered = commits[3]
    renumbered.number = 3
    #expect(throws: LedgerError.self) { try copy.apply([renumbered]) }
    // The first fits, the second does not: neither is made.
    #expect(throws: LedgerError.self) { try copy.apply([commits[2], commits[2]]) }
    var damaged = commits[2]
    damaged.changes = Array(damaged.changes.dropLast(5))
    #expect(throws: LedgerError.self) { try copy.apply([damaged]) }
    #expect(try dump("copy") == before)
    // A row that only the copy has.
    try copy.set("x", for: .wallSeconds)
    #expect(throws: LedgerError.self) { try copy.apply([commits[2]]) }
  }

  @Test func `a transaction that fails or changes nothing is not a commit`() throws {
    let original = try ledger("original")
    var count = 0
    original.onCommit = { _ in count += 1 }
    #expect(throws: LedgerError.self) {
      try original.transaction { () throws(LedgerError) in
        try original.set("{}", for: .manifest)
        try original.setMetrics("not JSON", ofStep: 0)
      }
    }
    try original.transaction { () throws(LedgerError) in _ = try original.value(for: .manifest) }
    #expect(try count == 0 && original.position.number == 0)
    try original.set("{}", for: .manifest)
    #expect(try count == 1 && original.position == LedgerPosition(term: .first, number: 1))
  }
}
