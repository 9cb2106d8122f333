// Database: SQLite as values in, values out.
//
// Statements are prepared once and kept. Every result code becomes a LedgerError here, so no other file sees one. Not
// here: what the tables mean (Schema, Ledger).

import CSQLite

/// One connection, used by one thread.
final class Database {
  /// A value that can be bound to a parameter.
  enum Value {
    case null, integer(Int64), real(Double), text(String), blob([UInt8])
  }

  let path: String
  let handle: OpaquePointer
  private let busyMilliseconds: Int
  /// Looked up by their text; iterated only to free them.
  private var statements: [String: OpaquePointer] = [:]

  /// - Parameters:
  ///   - path: the database file.
  ///   - flags: SQLITE_OPEN_….
  ///   - busyMilliseconds: how long to wait for a lock of another process.
  ///   - disk: the name of the SQLite VFS; nil is the system's.
  /// - Throws: what SQLite reports, as a LedgerError.
  init(_ path: String, flags: Int32, busyMilliseconds: Int, disk: String? = nil) throws(LedgerError) {
    var opened: OpaquePointer?
    let code = sqlite3_open_v2(path, &opened, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, disk)
    guard code == SQLITE_OK, let opened else {
      let detail = String(cString: sqlite3_errstr(code))
      sqlite3_close_v2(opened)
      throw LedgerError(code: code, detail: detail, path: path, waited: busyMilliseconds)
    }
    self.path = path
    self.busyMilliseconds = busyMilliseconds
    handle = opened
    sqlite3_busy_timeout(handle, Int32(clamping: busyMilliseconds))
  }

  deinit {
    for statement in statements.values { sqlite3_finalize(statement) }
    sqlite3_close_v2(handle)
  }

  /// Whether a transaction is open.
  var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

  /// The number of rows that the last insert, update or delete changed.
  var changeCount: Int { Int(sqlite3_changes64(handle)) }

  var lastInsertedRow: Int64 { sqlite3_last_insert_rowid(handle) }

  /// The number of rows that this connection has changed so far.
  var totalChanges: Int64 { sqlite3_total_changes64(handle) }

  /// Several statements without parameters: a schema, a pragma.
  func execute(_ script: String) throws(LedgerError) { try check(sqlite3_exec(handle, script, nil, nil, nil)) }

  /// A statement that returns no rows.
  func run(_ sql: String, _ values: Value...) throws(LedgerError) { try run(sql, values: values) }

  /// A statement that returns no rows.
  func run(_ sql: String, values: [Value]) throws(LedgerError) {
    let statement = try prepared(sql, values)
    defer { sqlite3_reset(statement) }
    while try step(statement) {}
  }

  /// Runs a query.
  /// - Parameters:
  ///   - sql: one statement.
  ///   - values: the values of its parameters, in order.
  ///   - read: turns one row into a value.
  /// - Returns: all rows, in the statement's order.
  /// - Throws: what SQLite or `read` reports.
  func rows<Result>(
    _ sql: String, _ values: Value..., read: (Row) throws(LedgerError) -> Result
  ) throws(LedgerError) -> [Result] {
    let statement = try prepared(sql, values)
    // Reset at once: an open read would prevent the checkpoint of the write-ahead log.
    defer { sqlite3_reset(statement) }
    var results: [Result] = []
    while try step(statement) { results.append(try read(Row(statement: statement, path: path))) }
    return results
  }

  private func step(_ statement: OpaquePointer) throws(LedgerError) -> Bool {
    let code = sqlite3_step(statement)
    if code == SQLITE_ROW { return true }
    if code != SQLITE_DONE { try check(code) }
    return false
  }

  private func prepared(_ sql: String, _ values: [Value]) throws(LedgerError) -> OpaquePointer {
    let statement = try prepare(sql)
    sqlite3_clear_bindings(statement)
    for (index, value) in values.enumerated() { try bind(value, to: Int32(index + 1), of: statement) }
    return statement
  }

  private func prepare(_ sql: String) throws(LedgerError) -> OpaquePointer {
    if let known = statements[sql] { return known }
    var statement: OpaquePointer?
    try check(sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil))
    guard let statement else { preconditionFailure("an empty statement was prepared") }
    statements[sql] = statement
    return statement
  }

  private func bind(_ value: Value, to index: Int32, of statement: OpaquePointer) throws(LedgerError) {
    switch value {
    case .null: try check(sqlite3_bind_null(statement, index))
    case .integer(let value): try check(sqlite3_bind_int64(statement, index, value))
    case .real(let value): try check(sqlite3_bind_double(statement, index, value))
    case .text(let value):
      // Bound with its length, because a text can contain a NUL.
      try check(sqlite3_bind_text(statement, index, value, Int32(clamping: value.utf8.count), ttrl_sqlite_transient()))
    case .blob(let bytes):
      // An empty array can have no address, and a null address would bind NULL.
      guard !bytes.isEmpty else { return try check(sqlite3_bind_zeroblob(statement, index, 0)) }
      try check(sqlite3_bind_blob64(statement, index, bytes, UInt64(bytes.count), ttrl_sqlite_transient()))
    }
  }

  func check(_ code: Int32) throws(LedgerError) {
    guard code != SQLITE_OK else { return }
    let detail = String(cString: sqlite3_errmsg(handle))
    throw LedgerError(code: code, detail: detail, path: path, waited: busyMilliseconds)
  }
}

/// One row of a result, valid only inside the closure that gets it. Columns count from 0.
struct Row {
  fileprivate let statement: OpaquePointer
  fileprivate let path: String

  func isNull(_ column: Int32) -> Bool { sqlite3_column_type(statement, column) == SQLITE_NULL }
  func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(statement, column) }
  func real(_ column: Int32) -> Double { sqlite3_column_double(statement, column) }
  func optionalReal(_ column: Int32) -> Double? { isNull(column) ? nil : real(column) }
  func optionalInteger(_ column: Int32) -> Int64? { isNull(column) ? nil : integer(column) }

  func text(_ column: Int32) -> String {
    guard let start = sqlite3_column_text(statement, column) else { return "" }
    let count = Int(sqlite3_column_bytes(statement, column))
    return String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
  }

  func optionalText(_ column: Int32) -> String? { isNull(column) ? nil : text(column) }

  /// A number that must fit its type.
  func exactly<Number: FixedWidthInteger>(_ column: Int32, _ name: String) throws(LedgerError) -> Number {
    guard let number = Number(exactly: integer(column)) else {
      throw .corrupt(path: path, detail: "\(name) is \(integer(column))")
    }
    return number
  }

  /// A little-endian array of 32-bit words.
  func words(_ column: Int32, _ name: String) throws(LedgerError) -> [UInt32] {
    let bytes = UnsafeRawBufferPointer(
      start: sqlite3_column_blob(statement, column), count: Int(sqlite3_column_bytes(statement, column)))
    guard bytes.count % 4 == 0 else { throw .corrupt(path: path, detail: "\(name) has \(bytes.count) bytes") }
    return (0..<bytes.count / 4).map {
      UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self))
    }
  }
}
