// Ledger+Verdicts: what the reward command said about responses.
//
// Float values are stored as the doubles that they are exactly, so a verdict that is read has the bits of the one that
// was recorded.

package import Records

extension Ledger {
  /// Records a verdict. Its slot must not have one.
  ///
  /// - Throws: `.refused` if the slot has a verdict, or if its round was not opened.
  package func insert(_ said: SlotVerdict, at time: Double) throws(LedgerError) {
    let (slot, verdict) = (said.slot, said.verdict)
    try write(
      """
      INSERT INTO verdicts (round, prompt, sample, reward, vote_weight, valid, fault, judged_at)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?)
      """,
      .integer(Int64(slot.round.code)), .integer(Int64(slot.prompt)), .integer(Int64(slot.sample)),
      verdict.reward.map { .real(Double($0)) } ?? .null, verdict.voteWeight.map { .real(Double($0)) } ?? .null,
      .integer(verdict.isValid ? 1 : 0), verdict.fault.map { .text($0.name) } ?? .null, .real(time))
  }

  /// The verdicts of a round, in the order (prompt, sample).
  ///
  /// - Parameters:
  ///   - first: the first slot to read; nil for the round's first.
  ///   - end: the slot before which to stop; nil for the round's end.
  package func verdicts(
    of round: RoundID, from first: Slot? = nil, before end: Slot? = nil
  ) throws(LedgerError) -> [SlotVerdict] {
    // A ledger of an older program, which a reader does not migrate.
    guard schemaVersion >= Self.verdictsSince else { return [] }
    return try database.rows(
      """
      SELECT prompt, sample, reward, vote_weight, valid, fault FROM verdicts WHERE round = ?
      AND (prompt, sample) >= (?, ?) AND (prompt, sample) < (?, ?) ORDER BY prompt, sample
      """, .integer(Int64(round.code)), .integer(Int64(first?.prompt ?? 0)), .integer(Int64(first?.sample ?? 0)),
      .integer(end.map { Int64($0.prompt) } ?? .max), .integer(end.map { Int64($0.sample) } ?? 0)
    ) { row throws(LedgerError) in
      let slot = Slot(
        round: round, prompt: try row.exactly(0, "a prompt's index"), sample: try row.exactly(1, "a sample's index"))
      var verdict = Verdict(
        reward: row.optionalReal(2).map { Float($0) }, voteWeight: row.optionalReal(3).map { Float($0) },
        isValid: row.integer(4) == 1)
      if let word = row.optionalText(5) {
        guard let fault = VerdictFault(name: word) else {
          throw LedgerError.corrupt(path: database.path, detail: "\(slot) has the fault \(word)")
        }
        verdict.fault = fault
      }
      return SlotVerdict(slot, verdict)
    }
  }

  /// The trajectories that count, in the order (prompt, sample), with their verdicts.
  ///
  /// - Parameters:
  ///   - first: the first slot to read; nil for the round's first.
  ///   - end: the slot before which to stop; nil for the round's end.
  package func trajectoriesWithVerdicts(
    of round: RoundID, from first: Slot? = nil, before end: Slot? = nil
  ) throws(LedgerError) -> [Trajectory] {
    var trajectories = try trajectories(of: round, from: first, before: end)
    var verdicts = try verdicts(of: round, from: first, before: end)[...]
    for index in trajectories.indices {
      while let said = verdicts.first, said.slot < trajectories[index].slot { verdicts.removeFirst() }
      guard let said = verdicts.first, said.slot == trajectories[index].slot else { continue }
      trajectories[index].verdict = said.verdict
    }
    return trajectories
  }

  package func verdictCount(of round: RoundID) throws(LedgerError) -> Int {
    guard schemaVersion >= Self.verdictsSince else { return 0 }
    return try database.rows("SELECT count(*) FROM verdicts WHERE round = ?", .integer(Int64(round.code))) {
      Int($0.integer(0))
    }.reduce(0, +)
  }

  /// How often each fault occurred in a round, in the order of their names.
  package func verdictFaults(of round: RoundID) throws(LedgerError) -> [(fault: String, count: Int)] {
    guard schemaVersion >= Self.verdictsSince else { return [] }
    return try database.rows(
      "SELECT fault, count(*) FROM verdicts WHERE round = ? AND fault IS NOT NULL GROUP BY fault ORDER BY fault",
      .integer(Int64(round.code))
    ) { ($0.text(0), Int($0.integer(1))) }
  }

  /// The version of the schema that added the table.
  private static var verdictsSince: Int { 6 }
}
