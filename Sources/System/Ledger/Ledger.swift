// Ledger: the durable record of a run.
//
// It is one SQLite database in the run directory. Only the coordinator writes it; any process can read it while the run
// goes on. A commit is on the disk when it returns (write-ahead log, full sync), so "durable, then acknowledged" is one
// call after another. Records go in and come out as the types of Records; the tables and their comments are in Schema.
//
// The database itself enforces these rules: a slot has one trajectory (the primary key refuses the second), a
// trajectory has a round, metrics are JSON. Not here: when something is stored, and what it means (Fleet, the roles).

import Base
import CSQLite
import Glibc
package import Records

/// The largest size of a ledger, and the longest wait of a call.
package struct LedgerLimits: Equatable, Sendable {
  /// Bytes of the database file. When they are used up, writing fails as on a full disk. A trajectory of 3,000 tokens
  /// takes 24 kB, so the default holds about 40 million of them.
  package var bytes: Int
  /// How long to wait for a write of another process. Readers never make the coordinator wait, and no other process
  /// should write.
  package var busyMilliseconds: Int

  package init(bytes: Int = 1 << 40, busyMilliseconds: Int = 10_000) {
    self.bytes = bytes
    self.busyMilliseconds = busyMilliseconds
  }
}

/// A connection to the ledger, for one thread.
package final class Ledger {
  package enum Mode: Equatable, Sendable {
    /// Makes the ledger if it does not exist, and migrates an older one.
    case readWrite
    /// For a reader, while a coordinator can be writing.
    case readOnly
  }

  let database: Database
  let mode: Mode
  /// Called with each commit when it is on the disk. While it is nil, nothing is recorded.
  package var onCommit: ((LedgerCommit) -> Void)?
  /// Versions that the transaction in progress records, or marks as removed.
  var versions: (added: [PolicyManifest], removed: [PolicyVersion]) = ([], [])
  /// The version of the file's schema. An older file is migrated when it is opened for writing, not when it is read.
  package let schemaVersion: Int

  /// - Parameters:
  ///   - path: the path of ledger.sqlite; the files with the endings -wal and -shm belong to it.
  ///   - mode: whether to write.
  ///   - limits: the bounds of size and waiting.
  ///   - disk: the name of the SQLite VFS that is used for writing, for tests; nil is the system's.
  /// - Throws: any `LedgerError` except `.refused`.
  package init(
    path: String, mode: Mode, limits: LedgerLimits = LedgerLimits(), disk: String? = nil
  ) throws(LedgerError) {
    self.mode = mode
    switch mode {
    case .readWrite:
      database = try Database(
        path, flags: SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, busyMilliseconds: limits.busyMilliseconds, disk: disk)
      // Checked before anything is changed: the file can belong to another program.
      try Schema.version(of: database, mayBeEmpty: true)
      try Self.configure(database, limits)
      try Schema.migrate(database)
      schemaVersion = Schema.migrations.count
    case .readOnly:
      do throws(LedgerError) {
        database = try Database(path, flags: SQLITE_OPEN_READONLY, busyMilliseconds: limits.busyMilliseconds)
      } catch {
        guard case .storage(_, SQLITE_CANTOPEN, _) = error else { throw error }
        throw access(path, R_OK) != 0 && errno == EACCES ? .denied(path: path) : .missing(path: path)
      }
      schemaVersion = try Schema.version(of: database, mayBeEmpty: false)
    }
  }

  private static func configure(_ database: Database, _ limits: LedgerLimits) throws(LedgerError) {
    let journal = try database.rows("PRAGMA journal_mode = WAL") { $0.text(0) }
    guard journal == ["wal"] else { throw .noSharedMemory(path: database.path) }
    try database.execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
    // After a burst the log's file is cut to this size; without a limit it would keep its largest size.
    try database.execute("PRAGMA journal_size_limit = \(64 << 20)")
    let pageBytes = try database.rows("PRAGMA page_size") { Int($0.integer(0)) }.first ?? 4096
    try database.execute("PRAGMA max_page_count = \(max(1, limits.bytes / pageBytes))")
  }

  // MARK: The run

  /// Sets or replaces a fact about the run.
  package func set(_ value: String, for key: LedgerKey) throws(LedgerError) {
    try write(
      "INSERT INTO run (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
      .text(key.rawValue), .text(value))
  }

  package func value(for key: LedgerKey) throws(LedgerError) -> String? {
    try database.rows("SELECT value FROM run WHERE key = ?", .text(key.rawValue)) { $0.text(0) }.first
  }

  // MARK: Prompts

  package func insert(_ prompt: StoredPrompt) throws(LedgerError) {
    try write(
      "INSERT INTO prompts (question_set, prompt_index, id, text, tokens, answer) VALUES (?, ?, ?, ?, ?, ?)",
      .text(prompt.set.name), .integer(Int64(prompt.index)), .optional(prompt.id), .text(prompt.text),
      .words(prompt.tokens.map { UInt32(bitPattern: $0) }), .optional(prompt.answer))
  }

  /// In the order of their indices.
  package func prompts(of set: QuestionSet) throws(LedgerError) -> [StoredPrompt] {
    try database.rows(
      """
      SELECT prompt_index, id, text, tokens, answer FROM prompts WHERE question_set = ? ORDER BY prompt_index
      """, .text(set.name)
    ) { row throws(LedgerError) in
      StoredPrompt(
        set: set, index: try row.exactly(0, "a prompt's index"), id: row.optionalText(1), text: row.text(2),
        tokens: try row.words(3, "a prompt's tokens").map { Int32(bitPattern: $0) }, answer: row.optionalText(4))
    }
  }

  // MARK: Rounds

  /// Records that the sampling of a round begins. A round that is recorded already is not changed.
  /// - Parameters:
  ///   - round: the round to open.
  ///   - policy: the version that samples it.
  ///   - slots: prompts times samples.
  ///   - time: wall-clock time, in seconds since 1970.
  /// - Throws: `LedgerError`.
  package func open(
    _ round: RoundID, policy: PolicyVersion, slots: Int, at time: Double
  ) throws(LedgerError) {
    try write(
      """
      INSERT INTO rounds (code, purpose, question_set, step, policy_version, slots, state, opened_at)
      VALUES (?, ?, ?, ?, ?, ?, 'open', ?) ON CONFLICT (code) DO NOTHING
      """,
      .integer(Int64(round.code)), .text(round.purpose.name), .text(round.set.name), .integer(Int64(round.step)),
      .integer(Int64(policy.number)), .integer(Int64(slots)), .real(time))
  }

  /// Records that every slot of the round is settled.
  package func close(_ round: RoundID, at time: Double) throws(LedgerError) {
    try write(
      "UPDATE rounds SET state = 'closed', closed_at = ? WHERE code = ? AND state = 'open'",
      .real(time), .integer(Int64(round.code)))
  }

  /// Records that the run ends although the round is not complete.
  package func abandon(_ round: RoundID, at time: Double) throws(LedgerError) {
    try write(
      "UPDATE rounds SET abandoned_at = ? WHERE code = ? AND state = 'open' AND abandoned_at IS NULL",
      .real(time), .integer(Int64(round.code)))
  }

  /// Closed rounds whose accounting is wrong: a needed slot has no trajectory that counts.
  package func unbalancedRounds() throws(LedgerError) -> [RoundID] {
    try database.rows(
      """
      SELECT code FROM rounds WHERE state = 'closed' AND slots <>
        (SELECT count(*) FROM unneeded_slots AS u WHERE u.round = code)
        + (SELECT count(*) FROM trajectories AS t WHERE t.round = code AND NOT EXISTS
            (SELECT 1 FROM unneeded_slots AS u
             WHERE u.round = t.round AND u.prompt = t.prompt AND u.sample = t.sample))
      """
    ) { row throws(LedgerError) in try self.round(row, 0) }
    .sorted()
  }

  /// In the order of `RoundID`.
  package func rounds() throws(LedgerError) -> [StoredRound] {
    try database.rows("SELECT code, slots, opened_at, closed_at FROM rounds") { row throws(LedgerError) in
      StoredRound(
        id: try self.round(row, 0), slots: try row.exactly(1, "a round's slots"), openedAt: row.real(2),
        closedAt: row.optionalReal(3))
    }
    .sorted { $0.id < $1.id }
  }

  // MARK: Trajectories

  /// Stores a trajectory unless its slot has one. Its round must have been opened.
  /// - Parameters:
  ///   - trajectory: as sampled.
  ///   - worker: the number that `join` returned, if it is known.
  ///   - lease: the lease under which it was sampled, for people.
  /// - Returns: false if the slot already had one, which stays.
  /// - Throws: `.refused` if the round was not opened.
  package func insert(
    _ trajectory: Trajectory, worker: Int64?, lease: UInt64? = nil
  ) throws(LedgerError) -> Bool {
    let count = try write(
      """
      INSERT INTO trajectories
        (round, prompt, sample, policy_version, worker, tokens, logprobs, entropy_sum, finish, lease, entropies,
          self_certainty)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (round, prompt, sample) DO NOTHING
      """,
      .integer(Int64(trajectory.slot.round.code)), .integer(Int64(trajectory.slot.prompt)),
      .integer(Int64(trajectory.slot.sample)), .integer(Int64(trajectory.policy.number)),
      worker.map { .integer($0) } ?? .null, .words(trajectory.tokens.map { UInt32(bitPattern: $0) }),
      .words(trajectory.logprobs.map(\.bitPattern)), .real(Double(trajectory.entropySum)),
      .text(trajectory.finish.name), lease.map { .integer(Int64(clamping: $0)) } ?? .null,
      trajectory.entropies.isEmpty ? .null : .words(trajectory.entropies.map(\.bitPattern)),
      trajectory.selfCertainty.map { .real(Double($0)) } ?? .null)
    return count == 1
  }

  /// Records that a slot does not count, because its prompt's vote was decided without it. A second call changes
  /// nothing.
  package func insert(unneeded slot: Slot) throws(LedgerError) {
    try write(
      """
      INSERT INTO unneeded_slots (round, prompt, sample, reason) VALUES (?, ?, ?, 'vote decided')
      ON CONFLICT (round, prompt, sample) DO NOTHING
      """, .integer(Int64(slot.round.code)), .integer(Int64(slot.prompt)), .integer(Int64(slot.sample)))
  }

  package func unneededSlots(of round: RoundID) throws(LedgerError) -> [Slot] {
    try database.rows(
      "SELECT prompt, sample FROM unneeded_slots WHERE round = ? ORDER BY prompt, sample",
      .integer(Int64(round.code))
    ) { row throws(LedgerError) in try self.slot(row, of: round) }
  }

  /// The trajectories that count, in the order (prompt, sample).
  ///
  /// - Parameters:
  ///   - first: the first slot to read; nil for the round's first.
  ///   - end: the slot before which to stop; nil for the round's end.
  package func trajectories(
    of round: RoundID, from first: Slot? = nil, before end: Slot? = nil
  ) throws(LedgerError) -> [Trajectory] {
    try database.rows(
      """
      SELECT prompt, sample, policy_version, tokens, logprobs, entropy_sum, finish, \(recordColumns) \(Self.counting)
      AND (prompt, sample) >= (?, ?) AND (prompt, sample) < (?, ?) ORDER BY prompt, sample
      """, .integer(Int64(round.code)), .integer(Int64(first?.prompt ?? 0)), .integer(Int64(first?.sample ?? 0)),
      .integer(end.map { Int64($0.prompt) } ?? .max), .integer(end.map { Int64($0.sample) } ?? 0)
    ) { row throws(LedgerError) in try self.trajectory(row, of: round) }
  }

  /// The slots of trajectories that count and for which `condition` is true. It is called in the order (prompt,
  /// sample), with the length of each response in tokens. No response is read.
  package func slots(of round: RoundID, where condition: (Int) -> Bool) throws(LedgerError) -> [Slot] {
    try database.rows(
      "SELECT prompt, sample, length(tokens) / 4 \(Self.counting) ORDER BY prompt, sample", .integer(Int64(round.code))
    ) { row throws(LedgerError) in condition(Int(row.integer(2))) ? try self.slot(row, of: round) : nil }
    .compactMap { $0 }
  }

  /// The trajectories of a round, except those that it did not need.
  private static let counting = """
    FROM trajectories AS sampled
    WHERE round = ? AND NOT EXISTS (
      SELECT 1 FROM unneeded_slots AS spare
      WHERE spare.round = sampled.round AND spare.prompt = sampled.prompt AND spare.sample = sampled.sample)
    """

  /// What samplers recorded on request, of the rows of `trajectories` that are called `sampled`.
  var recordColumns: String { schemaVersion >= 5 ? "sampled.entropies, sampled.self_certainty" : "NULL, NULL" }

  func trajectory(_ row: Row, of round: RoundID) throws(LedgerError) -> Trajectory {
    let slot = try slot(row, of: round)
    let tokens = try row.words(3, "tokens of \(slot)").map { Int32(bitPattern: $0) }
    let logprobs = try row.words(4, "log-probabilities of \(slot)").map { Float(bitPattern: $0) }
    guard tokens.count == logprobs.count else {
      throw corrupt("\(slot) has \(tokens.count) tokens and \(logprobs.count) log-probabilities")
    }
    guard let finish = FinishReason(name: row.text(6)) else { throw corrupt("\(slot) has the finish \(row.text(6))") }
    var trajectory = Trajectory(
      slot: slot, policy: PolicyVersion(try row.exactly(2, "policy of \(slot)")), tokens: tokens,
      logprobs: logprobs, entropySum: Float(row.real(5)), finish: finish)
    if !row.isNull(7) {
      trajectory.entropies = try row.words(7, "entropies of \(slot)").map { Float(bitPattern: $0) }
      guard trajectory.entropies.count == tokens.count else {
        throw corrupt("\(slot) has \(tokens.count) tokens and \(trajectory.entropies.count) entropies")
      }
    }
    trajectory.selfCertainty = row.optionalReal(8).map { Float($0) }
    return trajectory
  }

  private func slot(_ row: Row, of round: RoundID) throws(LedgerError) -> Slot {
    Slot(round: round, prompt: try row.exactly(0, "a prompt's index"), sample: try row.exactly(1, "a sample's index"))
  }

  /// The slots that have a trajectory, in the order (prompt, sample).
  package func settledSlots(of round: RoundID) throws(LedgerError) -> [Slot] {
    try database.rows(
      "SELECT prompt, sample FROM trajectories WHERE round = ? ORDER BY prompt, sample",
      .integer(Int64(round.code))
    ) { row throws(LedgerError) in try self.slot(row, of: round) }
  }

  package func trajectoryCount(of round: RoundID) throws(LedgerError) -> Int {
    try database.rows("SELECT count(*) FROM trajectories WHERE round = ?", .integer(Int64(round.code))) {
      Int($0.integer(0))
    }
    .reduce(0, +)
  }

  /// The number of slots of a round that no worker has to sample any more: they have a trajectory, or are not needed,
  /// or both.
  package func accountedCount(of round: RoundID) throws(LedgerError) -> Int {
    let code = Int64(round.code)
    return try database.rows(
      """
      SELECT count(*) FROM (
        SELECT prompt, sample FROM trajectories WHERE round = ?
        UNION SELECT prompt, sample FROM unneeded_slots WHERE round = ?)
      """, .integer(code), .integer(code)
    ) { Int($0.integer(0)) }
    .reduce(0, +)
  }

  package func trajectoryCount() throws(LedgerError) -> Int {
    try database.rows("SELECT count(*) FROM trajectories") { Int($0.integer(0)) }.reduce(0, +)
  }

  // MARK: Policy versions

  /// Records a version whose file is complete and on the disk. If the version is recorded already, its bytes must be
  /// the same.
  /// - Throws: `.refused` if the version is recorded with another hash.
  package func insert(_ policy: StoredPolicy) throws(LedgerError) {
    if let known = try self.policy(policy.version) {
      guard known.sha256 == policy.sha256 else {
        throw .refused(
          path: database.path,
          detail: "policy \(policy.version) has hash \(policy.sha256), but \(known.sha256) was recorded before")
      }
      return
    }
    versions.added.append(policy.manifest)
    try write(
      "INSERT INTO policy_versions (version, sha256, path, bytes, made_by_step, made_at) VALUES (?, ?, ?, ?, ?, ?)",
      .integer(Int64(policy.version.number)), .text(policy.sha256), .text(policy.path),
      .integer(Int64(policy.bytes)), policy.madeByStep.map { .integer(Int64($0)) } ?? .null, .real(policy.madeAt))
  }

  /// Records that the version's file was deleted.
  package func markRemoved(_ version: PolicyVersion, at time: Double) throws(LedgerError) {
    versions.removed.append(version)
    try write(
      "UPDATE policy_versions SET removed_at = ? WHERE version = ? AND removed_at IS NULL",
      .real(time), .integer(Int64(version.number)))
  }

  /// All versions, ascending, including those whose file has been deleted.
  package func policies() throws(LedgerError) -> [StoredPolicy] {
    try database.rows(Self.policyColumns + " ORDER BY version", read: policy)
  }

  package func policy(_ version: PolicyVersion) throws(LedgerError) -> StoredPolicy? {
    try database.rows(Self.policyColumns + " WHERE version = ?", .integer(Int64(version.number)), read: policy).first
  }

  private static let policyColumns =
    "SELECT version, sha256, path, bytes, made_by_step, made_at, removed_at FROM policy_versions"

  private func policy(_ row: Row) throws(LedgerError) -> StoredPolicy {
    StoredPolicy(
      version: PolicyVersion(try row.exactly(0, "a policy version")), sha256: row.text(1), path: row.text(2),
      bytes: try row.exactly(3, "a policy's size"),
      madeByStep: row.isNull(4) ? nil : try row.exactly(4, "a step"), madeAt: row.real(5),
      removedAt: row.optionalReal(6))
  }

  // MARK: Metrics

  /// Sets or replaces the metrics of a training step.
  /// - Parameters:
  ///   - json: one JSON object.
  ///   - step: from 0.
  /// - Throws: `.refused` if it is not JSON.
  package func setMetrics(_ json: String, ofStep step: UInt32) throws(LedgerError) {
    try write(
      "INSERT INTO steps (step, metrics) VALUES (?, ?) ON CONFLICT (step) DO UPDATE SET metrics = excluded.metrics",
      .integer(Int64(step)), .text(json))
  }

  /// The metrics of all steps as JSON, ascending by step.
  package func stepMetrics() throws(LedgerError) -> [(step: UInt32, json: String)] {
    try database.rows("SELECT step, metrics FROM steps ORDER BY step") { row throws(LedgerError) in
      (try row.exactly(0, "a step"), row.text(1))
    }
  }

  /// Sets or replaces the metrics of an evaluation. Its round must have been opened.
  package func setMetrics(_ json: String, of evaluation: RoundID) throws(LedgerError) {
    try write(
      """
      INSERT INTO evaluations (round, metrics) VALUES (?, ?)
      ON CONFLICT (round) DO UPDATE SET metrics = excluded.metrics
      """, .integer(Int64(evaluation.code)), .text(json))
  }

  /// The metrics of all evaluations as JSON, in the order of `RoundID`.
  package func evaluationMetrics() throws(LedgerError) -> [(round: RoundID, json: String)] {
    try database.rows("SELECT round, metrics FROM evaluations") { row throws(LedgerError) in
      (try self.round(row, 0), row.text(1))
    }
    .sorted { $0.round < $1.round }
  }

  // MARK: Workers and events

  /// Records that a worker connected.
  /// - Returns: the worker's number, to which its trajectories refer.
  package func join(
    name: String, address: String, instructionSet: String, libraries: String, at time: Double
  ) throws(LedgerError) -> Int64 {
    try write(
      "INSERT INTO workers (name, address, instruction_set, libraries, joined_at) VALUES (?, ?, ?, ?, ?)",
      .text(name), .text(address), .text(instructionSet), .text(libraries), .real(time))
    return database.lastInsertedRow
  }

  /// Records that a worker's connection ended.
  package func leave(worker: Int64, because reason: String, at time: Double) throws(LedgerError) {
    try write(
      "UPDATE workers SET left_at = ?, left_because = ? WHERE id = ? AND left_at IS NULL",
      .real(time), .text(reason), .integer(worker))
  }

  /// All connections of workers in the order in which they joined, with the counts of their trajectories and tokens.
  package func workers() throws(LedgerError) -> [StoredWorker] {
    try database.rows(
      """
      SELECT id, name, address, instruction_set, libraries, joined_at, left_at, left_because,
        coalesce(share.trajectories, 0), coalesce(share.tokens, 0)
      FROM workers LEFT JOIN (
        SELECT worker, count(*) AS trajectories, sum(length(tokens)) / 4 AS tokens FROM trajectories GROUP BY worker
      ) AS share ON share.worker = workers.id
      ORDER BY id
      """
    ) { row throws(LedgerError) in
      StoredWorker(
        id: row.integer(0), name: row.text(1), address: row.text(2), instructionSet: row.text(3),
        libraries: row.text(4), joinedAt: row.real(5), leftAt: row.optionalReal(6),
        leftBecause: row.optionalText(7), trajectories: try row.exactly(8, "a count"),
        tokens: try row.exactly(9, "a count"))
    }
  }

  package func record(event kind: String, _ detail: String, at time: Double) throws(LedgerError) {
    try write(
      "INSERT INTO events (happened_at, kind, detail) VALUES (?, ?, ?)", .real(time), .text(kind), .text(detail))
  }

  // MARK: Reading

  func round(_ row: Row, _ column: Int32) throws(LedgerError) -> RoundID {
    guard let round = RoundID(code: try row.exactly(column, "a round's code")) else {
      throw corrupt("\(row.integer(column)) is not the code of a round")
    }
    return round
  }

  private func corrupt(_ detail: String) -> LedgerError { .corrupt(path: database.path, detail: detail) }
}

extension Database.Value {
  static func optional(_ text: String?) -> Self { text.map { .text($0) } ?? .null }

  /// 32-bit words, little-endian.
  static func words(_ words: [UInt32]) -> Self {
    .blob(words.map(\.littleEndian).withUnsafeBytes { [UInt8]($0) })
  }
}
