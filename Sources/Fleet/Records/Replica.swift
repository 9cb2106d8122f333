// Replica: what a coordinator sends to a standby, so that the standby can go on in its place.
//
// A standby has a copy of the run's directory: files, the ledger, and the versions of the weights that are needed. The
// ledger is followed commit by commit. Commits are numbered, and the number is in the ledger itself, so a copy says how
// far it is. Docs: docs/protocol.md (bytes), docs/operating.md (use).

package import Base

/// When results are acknowledged to the process that made them.
package enum Durability: String, Sendable, CaseIterable {
  /// When they are on the coordinator's disk.
  case local
  /// When they are on a standby's disk too.
  case replicated
}

/// Which coordinator leads. A coordinator that takes over leads under a higher term, and a process that has seen a term
/// does not join a lower one.
///
/// Its number is a generation in the upper 32 bits and a random number of the coordinator in the lower ones, so
/// that two standbys that take over at the same time have different terms, and one of them is the higher.
package struct Term: Comparable, Hashable, Sendable, CustomStringConvertible {
  package var number: UInt64

  package init(_ number: UInt64) { self.number = number }

  /// Of a process that has not heard of any coordinator.
  package static let none = Term(0)
  /// Of the coordinator that begins a run.
  package static let first = Term(1 << 32)

  /// The term of a coordinator that takes over after this one.
  ///
  /// - Parameter leader: a random number.
  package func next(of leader: UInt32) -> Term { Term((number >> 32 + 1) << 32 | UInt64(leader)) }

  package static func < (left: Self, right: Self) -> Bool { left.number < right.number }
  package var description: String { "\(number >> 32)" }
}

/// How far a ledger is: the term in which it was written, and the number of its last commit.
package struct LedgerPosition: Hashable, Sendable {
  package var term: Term
  package var number: UInt64

  package init(term: Term, number: UInt64) {
    self.term = term
    self.number = number
  }

  /// Of a ledger that does not exist.
  package static let none = LedgerPosition(term: .none, number: 0)
}

/// One commit of the ledger.
package struct LedgerCommit: Sendable, Equatable {
  /// One more than that of the commit before.
  package var number: UInt64
  /// Versions that the commit records. A copy of the ledger needs their bytes before it has the commit.
  package var added: [PolicyManifest]
  /// Versions whose bytes are not needed any more.
  package var removed: [PolicyVersion]
  /// What changed in which rows: a changeset of SQLite's session extension.
  package var changes: [UInt8]

  package init(number: UInt64, added: [PolicyManifest] = [], removed: [PolicyVersion] = [], changes: [UInt8]) {
    self.number = number
    self.added = added
    self.removed = removed
    self.changes = changes
  }
}

/// A file of the run's directory.
package struct ReplicaFile: Sendable, Equatable {
  /// Relative to the directory.
  package var name: String
  package var byteCount: UInt64
  /// SHA-256, 32 bytes.
  package var digest: ChunkDigest

  package init(name: String, byteCount: UInt64, digest: ChunkDigest) {
    self.name = name
    self.byteCount = byteCount
    self.digest = digest
  }
}

/// Everything that a standby needs that has nothing, or too little.
package struct ReplicaSnapshot: Sendable, Equatable {
  /// The version of the ledger's schema.
  package var schema: UInt32
  /// How far the ledger among the files is.
  package var position: LedgerPosition
  package var files: [ReplicaFile]
  /// The versions whose bytes are needed, in the order of their numbers.
  package var kept: [PolicyManifest]

  package init(schema: UInt32, position: LedgerPosition, files: [ReplicaFile], kept: [PolicyManifest]) {
    self.schema = schema
    self.position = position
    self.files = files
    self.kept = kept
  }
}

/// What a standby says of itself when it begins to follow.
package struct FollowRequest: Sendable, Equatable {
  /// The id of the run that it has a copy of; empty if it has none.
  package var runID: String
  package var position: LedgerPosition
  /// The silence after which it takes over.
  package var patience: Instant.Span

  package init(runID: String, position: LedgerPosition, patience: Instant.Span) {
    self.runID = runID
    self.position = position
    self.patience = patience
  }
}
