// Ledger+Watching: reading a run that goes on, a little at a time.
//
// Whoever watches (the page, the terminal) asks again every second, perhaps for days and over millions of rows. So each
// question here is either about what is new since a row that is known, or has a limit. Nothing is written and no read
// stays open, so watching never makes the coordinator wait. Not here: what is made of it (Observatory, PageRole).

package import Records

/// A trajectory that has been delivered, without its tokens.
package struct DurableTrajectory: Equatable, Sendable {
  /// Its place in the order of arrival; ascending.
  package let row: Int64
  package let round: RoundID
  package let worker: Int64?
  package let tokens: Int
}

/// One response as it lies in the ledger, with where it came from.
package struct SampledResponse: Equatable, Sendable {
  package let trajectory: Trajectory
  /// Its worker's name and address; nil if the ledger does not know.
  package let worker: String?
  package let address: String?
  /// Whether it counts; false for one that its prompt's vote did not need.
  package let counts: Bool
  /// The lease that it came under; nil in ledgers of older programs.
  package let lease: UInt64?
}

extension Ledger {
  // MARK: What is new

  /// A number that is another one after somebody else has committed.
  package func changeCounter() throws(LedgerError) -> Int64 {
    try database.rows("PRAGMA data_version") { $0.integer(0) }.first ?? 0
  }

  /// Rows of steps after one that is known, ascending.
  ///
  /// - Parameters:
  ///   - step: the last one known; −1 for none.
  ///   - limit: no more than this many.
  package func stepMetrics(after step: Int, limit: Int) throws(LedgerError) -> [(step: UInt32, json: String)] {
    try database.rows(
      "SELECT step, metrics FROM steps WHERE step > ? ORDER BY step LIMIT ?",
      .integer(Int64(step)), .integer(Int64(limit))
    ) { row throws(LedgerError) in (try row.exactly(0, "a step"), row.text(1)) }
  }

  /// A step's row as JSON; nil if it is not recorded.
  package func metrics(ofStep step: Int) throws(LedgerError) -> String? {
    try database.rows("SELECT metrics FROM steps WHERE step = ?", .integer(Int64(step))) { $0.text(0) }.first
  }

  package func evaluationCount() throws(LedgerError) -> Int {
    try database.rows("SELECT count(*) FROM evaluations") { Int($0.integer(0)) }.first ?? 0
  }

  /// Trajectories in the order in which they became durable.
  ///
  /// - Parameters:
  ///   - row: the last one known; 0 for all.
  ///   - limit: no more than this many.
  package func deliveries(after row: Int64, limit: Int) throws(LedgerError) -> [DurableTrajectory] {
    try database.rows(
      "SELECT rowid, round, worker, length(tokens) / 4 FROM trajectories WHERE rowid > ? ORDER BY rowid LIMIT ?",
      .integer(row), .integer(Int64(limit))
    ) { row throws(LedgerError) in
      guard let round = RoundID(code: try row.exactly(1, "a round's code")) else {
        throw .corrupt(path: self.database.path, detail: "\(row.integer(1)) is no round's code")
      }
      return DurableTrajectory(
        row: row.integer(0), round: round, worker: row.optionalInteger(2), tokens: Int(row.integer(3)))
    }
  }

  // MARK: The state of things

  /// Rounds whose sampling is under way, in the order of `RoundID`.
  package func openRounds() throws(LedgerError) -> [StoredRound] {
    try database.rows(
      "SELECT code, slots, opened_at FROM rounds WHERE state = 'open' AND abandoned_at IS NULL"
    ) { row throws(LedgerError) in
      guard let id = RoundID(code: try row.exactly(0, "a round's code")) else {
        throw .corrupt(path: self.database.path, detail: "\(row.integer(0)) is no round's code")
      }
      return StoredRound(id: id, slots: try row.exactly(1, "a round's slots"), openedAt: row.real(2), closedAt: nil)
    }
    .sorted { $0.id < $1.id }
  }

  /// The newest connections of workers, newest first, without what each has contributed.
  package func connections(limit: Int) throws(LedgerError) -> [StoredWorker] {
    try database.rows(
      """
      SELECT id, name, address, instruction_set, libraries, joined_at, left_at, left_because FROM workers
      ORDER BY id DESC LIMIT ?
      """, .integer(Int64(limit))
    ) { row in
      StoredWorker(
        id: row.integer(0), name: row.text(1), address: row.text(2), instructionSet: row.text(3),
        libraries: row.text(4), joinedAt: row.real(5), leftAt: row.optionalReal(6), leftBecause: row.optionalText(7),
        trajectories: 0, tokens: 0)
    }
  }

  /// When the version that a step made became durable, seconds since 1970; nil if it is not there.
  package func timeMade(byStep step: Int) throws(LedgerError) -> Double? {
    try database.rows("SELECT made_at FROM policy_versions WHERE made_by_step = ?", .integer(Int64(step))) {
      $0.real(0)
    }.first
  }

  package func newestPolicy() throws(LedgerError) -> UInt32 {
    try database.rows("SELECT max(version) FROM policy_versions") { row in UInt32(clamping: row.integer(0)) }.first ?? 0
  }

  /// The newest events, newest first.
  ///
  /// - Parameters:
  ///   - number: only those before it; nil for the very newest.
  ///   - limit: no more than this many.
  package func events(before number: Int64?, limit: Int) throws(LedgerError) -> [StoredEvent] {
    try database.rows(
      "SELECT number, happened_at, kind, detail FROM events WHERE number < ? ORDER BY number DESC LIMIT ?",
      .integer(number ?? .max), .integer(Int64(limit))
    ) { StoredEvent(number: $0.integer(0), happenedAt: $0.real(1), kind: $0.text(2), detail: $0.text(3)) }
  }

  /// How often each kind of event happened, by kind.
  package func eventCounts() throws(LedgerError) -> [(kind: String, count: Int)] {
    try database.rows("SELECT kind, count(*) FROM events GROUP BY kind ORDER BY kind") {
      ($0.text(0), Int($0.integer(1)))
    }
  }

  // MARK: Prompts and responses

  package func promptCount(of set: QuestionSet) throws(LedgerError) -> Int {
    try database.rows("SELECT count(*) FROM prompts WHERE question_set = ?", .text(set.name)) { Int($0.integer(0)) }
      .first ?? 0
  }

  /// Some prompts of a set without their tokens, by index.
  package func prompts(
    of set: QuestionSet, from index: Int, limit: Int
  ) throws(LedgerError) -> [StoredPrompt] {
    try database.rows(
      """
      SELECT prompt_index, id, text, answer FROM prompts WHERE question_set = ? AND prompt_index >= ?
      ORDER BY prompt_index LIMIT ?
      """, .text(set.name), .integer(Int64(index)), .integer(Int64(limit))
    ) { row throws(LedgerError) in
      StoredPrompt(
        set: set, index: try row.exactly(0, "a prompt's index"), id: row.optionalText(1), text: row.text(2),
        tokens: [], answer: row.optionalText(3))
    }
  }

  /// Some of the responses to one prompt in one round, by sample.
  package func responses(
    to prompt: UInt32, in round: RoundID, from sample: Int, limit: Int
  ) throws(LedgerError) -> [SampledResponse] {
    let lease = schemaVersion >= 3 ? "sampled.lease" : "NULL"
    return try database.rows(
      """
      SELECT prompt, sample, policy_version, tokens, logprobs, entropy_sum, finish, workers.name, workers.address,
        NOT EXISTS (
          SELECT 1 FROM unneeded_slots AS spare
          WHERE spare.round = sampled.round AND spare.prompt = sampled.prompt AND spare.sample = sampled.sample),
        \(lease)
      FROM trajectories AS sampled LEFT JOIN workers ON workers.id = sampled.worker
      WHERE round = ? AND prompt = ? AND sample >= ? ORDER BY sample LIMIT ?
      """, .integer(Int64(round.code)), .integer(Int64(prompt)), .integer(Int64(sample)), .integer(Int64(limit))
    ) { row throws(LedgerError) in
      SampledResponse(
        trajectory: try self.trajectory(row, of: round), worker: row.optionalText(7), address: row.optionalText(8),
        counts: row.integer(9) != 0, lease: row.optionalInteger(10).map { UInt64(clamping: $0) })
    }
  }
}
