// Ledger+Transactions: transactions, and the ledger as a sequence of numbered commits, for copies of it (standbys).
//
// Every transaction that changes something sets the number of the last commit, in the table `run`. So the number is
// durable with the commit that it counts, in the ledger and in each copy. What a commit changed is recorded by SQLite's
// session extension: the inserted rows, and of updated rows the values before and after. The number before is among
// them, so a changeset can be applied only to the ledger that it follows.

import Base
import CSQLite
package import Records

extension Ledger {
  /// Does all of `body` or nothing; when it returns, all of it is on the disk. For a reader: all reads see the same
  /// state.
  ///
  /// A single insert outside a transaction is a transaction of its own.
  package func transaction<Result>(
    _ body: () throws(LedgerError) -> Result
  ) throws(LedgerError) -> Result {
    precondition(!database.isInTransaction, "a transaction inside a transaction cannot be rolled back alone")
    guard mode == .readWrite else { return try inTransaction("BEGIN", body) }
    var commit: LedgerCommit?
    defer { versions = ([], []) }
    // A writer takes its lock at once: otherwise a transaction that begins with reads could fail at its first write.
    let result = try inTransaction("BEGIN IMMEDIATE") { () throws(LedgerError) in
      let recording = try onCommit == nil ? nil : Recording(database)
      let before = database.totalChanges
      let result = try body()
      guard database.totalChanges > before else { return result }
      let number = try self.number + 1
      try set("\(number)", for: .commit)
      if let recording {
        commit = LedgerCommit(
          number: number, added: versions.added, removed: versions.removed, changes: try recording.changes())
      }
      return result
    }
    if let commit { onCommit?(commit) }
    return result
  }

  private func inTransaction<Result>(
    _ begin: String, _ body: () throws(LedgerError) -> Result
  ) throws(LedgerError) -> Result {
    try database.run(begin)
    do throws(LedgerError) {
      let result = try body()
      try database.run("COMMIT")
      return result
    } catch {
      // After some failures (a full disk) SQLite has already rolled back.
      if database.isInTransaction { try? database.run("ROLLBACK") }
      throw error
    }
  }

  /// A statement that changes the ledger. Outside a transaction it is one of its own.
  ///
  /// - Returns: how many rows it changed.
  @discardableResult
  func write(_ sql: String, _ values: Database.Value...) throws(LedgerError) -> Int {
    guard !database.isInTransaction else {
      try database.run(sql, values: values)
      return database.changeCount
    }
    return try transaction { () throws(LedgerError) in
      try database.run(sql, values: values)
      return database.changeCount
    }
  }

  // MARK: Copies

  /// The number of the last commit; 0 in a ledger of an older program.
  private var number: UInt64 {
    get throws(LedgerError) { try value(for: .commit).flatMap { UInt64($0) } ?? 0 }
  }

  /// The term in which the last commit was made, and its number.
  package var position: LedgerPosition {
    get throws(LedgerError) {
      LedgerPosition(
        term: try value(for: .term).flatMap { UInt64($0) }.map(Term.init) ?? .first, number: try number)
    }
  }

  /// Writes a copy of the ledger as it is now into a new file. It takes as long as reading the ledger, so it is called
  /// on a thread, with a connection of its own. Commits of other connections do not wait for it.
  ///
  /// - Parameter path: must not exist.
  /// - Throws: what SQLite reports.
  package func copy(to path: String) throws(LedgerError) { try database.run("VACUUM INTO ?", .text(path)) }

  /// Makes the changes of another ledger's commits, in one transaction. When it returns, they are on the disk.
  ///
  /// - Parameter commits: those that follow this ledger's last commit, in order.
  /// - Throws: `.refused` if a change does not fit: this ledger is not a copy of the other one, or a commit is missing.
  package func apply(_ commits: [LedgerCommit]) throws(LedgerError) {
    try inTransaction("BEGIN IMMEDIATE") { () throws(LedgerError) in
      for commit in commits {
        let last = try number
        guard last + 1 == commit.number else {
          throw LedgerError.refused(path: database.path, detail: "commit \(commit.number) follows \(last)")
        }
        try database.apply(changes: commit.changes)
        guard try number == commit.number else {
          throw LedgerError.refused(path: database.path, detail: "commit \(commit.number) has another number in it")
        }
      }
    }
  }
}

/// Records what a connection changes, from its making on.
private final class Recording {
  private let database: Database
  private let session: OpaquePointer

  /// - Throws: what SQLite reports.
  init(_ database: Database) throws(LedgerError) {
    self.database = database
    var made: OpaquePointer?
    try database.check(sqlite3session_create(database.handle, "main", &made))
    guard let made else { preconditionFailure("SQLite made no session and reported no error") }
    session = made
    // nil: every table.
    try database.check(sqlite3session_attach(session, nil))
  }

  deinit { sqlite3session_delete(session) }

  /// The changeset so far.
  ///
  /// - Throws: what SQLite reports, for example without memory.
  func changes() throws(LedgerError) -> [UInt8] {
    var count: Int32 = 0
    var start: UnsafeMutableRawPointer?
    try database.check(sqlite3session_changeset(session, &count, &start))
    defer { sqlite3_free(start) }
    return [UInt8](UnsafeRawBufferPointer(start: start, count: Int(count)))
  }
}

extension Database {
  /// Makes the changes of a changeset.
  ///
  /// - Throws: `.refused` if a row that it changes has other values here, or exists already.
  fileprivate func apply(changes: [UInt8]) throws(LedgerError) {
    var bytes = changes
    let code = bytes.withUnsafeMutableBytes { buffer in
      sqlite3changeset_apply(
        handle, Int32(clamping: buffer.count), buffer.baseAddress, nil, { _, _, _ in SQLITE_CHANGESET_ABORT }, nil)
    }
    guard code != SQLITE_ABORT else {
      throw .refused(path: path, detail: "a commit of the coordinator does not fit this copy of its ledger")
    }
    try check(code)
  }
}
