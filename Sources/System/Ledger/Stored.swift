// Stored: rows of the ledger for which Records has no type.
//
// The coordinator writes them, and reads them when it restarts; the page and the report read them too. Times are
// wall-clock seconds since 1970 UTC; no decision depends on them.

import Base
package import Records

/// One question as it was read, and as the policy sees it.
package struct StoredPrompt: Equatable, Sendable {
  package var set: QuestionSet
  package var index: UInt32
  /// Its name in the question file.
  package var id: String?
  package var text: String
  package var tokens: [Int32]
  /// Used for metrics only.
  package var answer: String?

  package init(
    set: QuestionSet, index: UInt32, id: String? = nil, text: String, tokens: [Int32], answer: String? = nil
  ) {
    self.set = set
    self.index = index
    self.id = id
    self.text = text
    self.tokens = tokens
    self.answer = answer
  }
}

package struct StoredRound: Equatable, Sendable {
  package var id: RoundID
  /// Prompts times samples.
  package var slots: Int
  package var openedAt: Double
  /// nil while the round is open.
  package var closedAt: Double?
}

package struct StoredPolicy: Equatable, Sendable {
  package var version: PolicyVersion
  /// SHA-256 of the published bytes, 64 hexadecimal digits.
  package var sha256: String
  /// Relative to the run directory.
  package var path: String
  package var bytes: Int
  /// nil for the model with which the run began.
  package var madeByStep: UInt32?
  package var madeAt: Double
  /// nil while the file exists.
  package var removedAt: Double?

  package init(
    version: PolicyVersion, sha256: String, path: String, bytes: Int, madeByStep: UInt32?, madeAt: Double,
    removedAt: Double? = nil
  ) {
    self.version = version
    self.sha256 = sha256
    self.path = path
    self.bytes = bytes
    self.madeByStep = madeByStep
    self.madeAt = madeAt
    self.removedAt = removedAt
  }

  package var manifest: PolicyManifest {
    PolicyManifest(version: version, byteCount: UInt64(bytes), digest: Hexadecimal.bytes(sha256))
  }
}

/// One connection of one worker.
package struct StoredWorker: Equatable, Sendable {
  package var id: Int64
  package var name: String
  package var address: String
  package var instructionSet: String
  package var libraries: String
  package var joinedAt: Double
  package var leftAt: Double?
  package var leftBecause: String?
  /// The number of trajectories of this run that it sampled, and of their tokens.
  package var trajectories: Int
  package var tokens: Int
}

package struct StoredEvent: Equatable, Sendable {
  package var number: Int64
  package var happenedAt: Double
  package var kind: String
  package var detail: String
}
