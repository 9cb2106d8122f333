// LedgerError: what SQLite refused, and what to do about it.

import Base
import CSQLite

package enum LedgerError: LastingError, Equatable, Sendable {
  /// The ledger was opened for reading, and the file does not exist.
  case missing(path: String)
  /// The ledger was opened for reading, and this user may not read it.
  case denied(path: String)
  /// The file is not a ledger: it is another program's database, or not a database.
  case notALedger(path: String)
  /// A newer ttrl has written the file; its schema is above the highest that this one knows.
  case newerSchema(path: String, found: Int, known: Int)
  /// The file contradicts itself.
  case corrupt(path: String, detail: String)
  /// Another process held the lock for longer than the busy timeout.
  case locked(path: String, milliseconds: Int)
  case diskFull(path: String)
  /// Reading or writing the file failed; the code is SQLite's extended one.
  case storage(path: String, code: Int32, detail: String)
  /// The file system cannot share memory between processes, which write-ahead logging needs.
  case noSharedMemory(path: String)
  /// SQLite refused the content: it violates a constraint of the schema, or a value has the wrong type.
  case refused(path: String, detail: String)

  /// - Parameters:
  ///   - code: SQLite's extended result code.
  ///   - detail: SQLite's text.
  ///   - path: the ledger's path.
  ///   - waited: the busy timeout, in milliseconds.
  init(code: Int32, detail: String, path: String, waited: Int) {
    switch code & 0xFF {
    case SQLITE_NOTADB: self = .notALedger(path: path)
    case SQLITE_CORRUPT: self = .corrupt(path: path, detail: detail)
    case SQLITE_BUSY, SQLITE_LOCKED: self = .locked(path: path, milliseconds: waited)
    case SQLITE_FULL: self = .diskFull(path: path)
    case SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_TOOBIG: self = .refused(path: path, detail: detail)
    default: self = .storage(path: path, code: code, detail: detail)
    }
  }
}

extension LedgerError: CustomStringConvertible {
  /// On one line, whatever the path is.
  package var description: String { text.visible }

  private var text: String {
    switch self {
    case .missing(let path):
      "there is no ledger at \(path). Is this a run directory? A run makes its ledger when it starts"
    case .denied(let path):
      "cannot read the ledger \(path): permission denied (EACCES). Ask its owner for the right to read it and to enter "
        + "its directory, or run ttrl as its owner"
    case .notALedger(let path):
      "\(path) is not a ledger of ttrl: it is another program's database, or no database. Choose another run directory"
    case .newerSchema(let path, let found, let known):
      "the ledger \(path) was made by a newer ttrl: its schema is version \(found), this program knows up to \(known). "
        + "Use the newer program"
    case .corrupt(let path, let detail):
      "the ledger \(path) is damaged: \(detail). Keep the file and its -wal and -shm files; "
        + "\"sqlite3 \(path) .recover\" can save what is readable. Start the run again in a new directory"
    case .locked(let path, let milliseconds):
      "the ledger \(path) stayed locked for \(milliseconds) ms: another program writes to it. "
        + "Close that program (fuser \(path) names it) and start again; nothing is lost"
    case .diskFull(let path):
      "cannot write to the ledger \(path): the disk is full, or the ledger has reached its size limit. "
        + "Free space and start again; every trajectory that was acknowledged is safe"
    case .storage(let path, let code, let detail):
      "cannot use the ledger \(path): \(detail) (SQLite \(code)). Check who may write there, and the disk"
    case .noSharedMemory(let path):
      "cannot use the ledger \(path): its file system cannot share memory between processes, as many network file "
        + "systems cannot. Put the run directory on a local disk"
    case .refused(let path, let detail):
      "the ledger \(path) refused a record: \(detail). This is a defect of ttrl; please report it"
    }
  }
}

extension LedgerError {
  package var isLasting: Bool {
    switch self {
    // The process that holds the lock can release it; a read that failed can succeed.
    case .locked, .storage: false
    default: true
    }
  }
}
