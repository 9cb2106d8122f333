// Ledger+Watching: reading a run while it goes on, a little at a time.
//
// The page and the terminal ask again every second, perhaps for days and over millions of rows. So each query either
// asks for what is new since a known row, or has a limit. Nothing is written and no read stays open, so watching never
// makes the coordinator wait. Not here: how the results are shown (Observatory, PageRole).

import Base
package import Records

/// A delivered trajectory, without its tokens.
package struct DurableTrajectory: Equatable, Sendable {
  /// Its place in the order of arrival; ascending.
  package let row: Int64
  package let round: RoundID
  package let worker: Int64?
  package let tokens: Int
}

/// One response in the ledger, with its origin.
package struct SampledResponse: Equatable, Sendable {
  package let trajectory: Trajectory
  /// Its worker's name and address; nil if the ledger does not have them.
  package let worker: String?
  package let address: String?
  /// Whether it counts; false if the vote of its prompt did not need it.
  package let counts: Bool
  /// The lease under which it was sampled; nil if an older program wrote the row.
  package let lease: UInt64?
}

extension Ledger {
  /// The version of the schema that this program writes.
  package static var newestSchemaVersion: Int { Schema.migrations.count }

  // MARK: What is new

  /// A number that changes when another connection commits.
  package func changeCounter() throws(LedgerError) -> Int64 {
    try database.rows("PRAGMA data_version") { $0.integer(0) }.first ?? 0
  }

  /// The rows of steps after a known step, ascending.
  ///
  /// - Parameters:
  ///   - step: the last known step; −1 if there is none.
  ///   - limit: the largest number of rows.
  package func stepMetrics(after step: Int, limit: Int) throws(LedgerError) -> [(step: UInt32, json: String)] {
    try database.rows(
      "SELECT step, metrics FROM steps WHERE step > ? ORDER BY step LIMIT ?",
      .integer(Int64(step)), .integer(Int64(limit))
    ) { row throws(LedgerError) in (try row.exactly(0, "a step"), row.text(1)) }
  }

  /// A step's metrics as JSON; nil if the step is not recorded.
  package func metrics(ofStep step: Int) throws(LedgerError) -> String? {
    try database.rows("SELECT metrics FROM steps WHERE step = ?", .integer(Int64(step))) { $0.text(0) }.first
  }

  /// An evaluation's metrics as JSON; nil if it is not recorded.
  package func metrics(of evaluation: RoundID) throws(LedgerError) -> String? {
    try database.rows("SELECT metrics FROM evaluations WHERE round = ?", .integer(Int64(evaluation.code))) {
      $0.text(0)
    }.first
  }

  package func evaluationCount() throws(LedgerError) -> Int {
    try database.rows("SELECT count(*) FROM evaluations") { Int($0.integer(0)) }.first ?? 0
  }

  /// Trajectories in the order in which they became durable.
  ///
  /// - Parameters:
  ///   - row: the last known row; 0 for all.
  ///   - limit: the largest number of rows.
  package func deliveries(after row: Int64, limit: Int) throws(LedgerError) -> [DurableTrajectory] {
    try database.rows(
      "SELECT rowid, round, worker, length(tokens) / 4 FROM trajectories WHERE rowid > ? ORDER BY rowid LIMIT ?",
      .integer(row), .integer(Int64(limit))
    ) { row throws(LedgerError) in
      DurableTrajectory(
        row: row.integer(0), round: try self.round(row, 1), worker: row.optionalInteger(2), tokens: Int(row.integer(3)))
    }
  }

  // MARK: The state of the run

  /// Rounds that are being sampled, in the order of `RoundID`.
  package func openRounds() throws(LedgerError) -> [StoredRound] {
    try database.rows(
      "SELECT code, slots, opened_at FROM rounds WHERE state = 'open' AND abandoned_at IS NULL"
    ) { row throws(LedgerError) in
      StoredRound(
        id: try self.round(row, 0), slots: try row.exactly(1, "a round's slots"), openedAt: row.real(2), closedAt: nil)
    }
    .sorted { $0.id < $1.id }
  }

  /// The newest connections of workers, newest first, without the counts of their trajectories and tokens.
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

  /// When the version that a step made became durable, in seconds since 1970; nil if there is no such version.
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
  ///   - number: only events before this one; nil for the newest.
  ///   - limit: the largest number of rows.
  package func events(before number: Int64?, limit: Int) throws(LedgerError) -> [StoredEvent] {
    try database.rows(
      "SELECT number, happened_at, kind, detail FROM events WHERE number < ? ORDER BY number DESC LIMIT ?",
      .integer(number ?? .max), .integer(Int64(limit))
    ) { StoredEvent(number: $0.integer(0), happenedAt: $0.real(1), kind: $0.text(2), detail: $0.text(3)) }
  }

  /// How often each kind of event happened, in the order of the kinds.
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

  /// Some prompts of a set, without their tokens, in the order of their indices.
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

  /// A prompt's tokens; empty if there is no such prompt.
  package func promptTokens(of set: QuestionSet, index: UInt32) throws(LedgerError) -> [Int32] {
    try database.rows(
      "SELECT tokens FROM prompts WHERE question_set = ? AND prompt_index = ?", .text(set.name), .integer(Int64(index))
    ) { row throws(LedgerError) in try row.words(0, "a prompt's tokens").map { Int32(bitPattern: $0) } }.first ?? []
  }

  /// The first training question as the model sees it; nil in a run of an earlier version.
  package func examplePrompt() throws(LedgerError) -> ExamplePrompt? {
    try value(for: .examplePrompt).flatMap { try? JSON.parse(Array($0.utf8)) }.flatMap { ExamplePrompt($0) }
  }

  /// The prompt that has this id; ids are unique.
  package func prompt(of set: QuestionSet, id: String) throws(LedgerError) -> StoredPrompt? {
    let found = try database.rows(
      "SELECT prompt_index FROM prompts WHERE question_set = ? AND id = ?", .text(set.name), .text(id)
    ) { Int($0.integer(0)) }
    guard let index = found.first else { return nil }
    return try prompts(of: set, from: index, limit: 1).first
  }

  /// The indices, ascending, of the prompts whose id or text contains a text, in any case of its ASCII letters.
  package func promptIndices(of set: QuestionSet, containing text: String) throws(LedgerError) -> [Int] {
    try database.rows(
      """
      SELECT prompt_index FROM prompts
      WHERE question_set = ?1 AND (instr(lower(text), lower(?2)) > 0 OR instr(lower(id), lower(?2)) > 0)
      ORDER BY prompt_index
      """, .text(set.name), .text(text)
    ) { Int($0.integer(0)) }
  }

  /// Some of the responses to one prompt in one round, in the order of their samples.
  package func responses(
    to prompt: UInt32, in round: RoundID, from sample: Int, limit: Int
  ) throws(LedgerError) -> [SampledResponse] {
    let lease = schemaVersion >= 3 ? "sampled.lease" : "NULL"
    return try database.rows(
      """
      SELECT prompt, sample, policy_version, tokens, logprobs, entropy_sum, finish, \(recordColumns),
        workers.name, workers.address,
        NOT EXISTS (
          SELECT 1 FROM unneeded_slots AS spare
          WHERE spare.round = sampled.round AND spare.prompt = sampled.prompt AND spare.sample = sampled.sample),
        \(lease)
      FROM trajectories AS sampled LEFT JOIN workers ON workers.id = sampled.worker
      WHERE round = ? AND prompt = ? AND sample >= ? ORDER BY sample LIMIT ?
      """, .integer(Int64(round.code)), .integer(Int64(prompt)), .integer(Int64(sample)), .integer(Int64(limit))
    ) { row throws(LedgerError) in
      SampledResponse(
        trajectory: try self.trajectory(row, of: round), worker: row.optionalText(9), address: row.optionalText(10),
        counts: row.integer(11) != 0, lease: row.optionalInteger(12).map { UInt64(clamping: $0) })
    }
  }
}
