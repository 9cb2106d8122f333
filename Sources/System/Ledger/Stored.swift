// Stored: the ledger's rows that are no record of their own.
//
// Written by the coordinator, read when it restarts, and by the status page and the report. Times are wall-clock
// seconds since 1970 UTC and decide nothing.

package import Records

/// One question, as it was read and as the policy sees it.
package struct StoredPrompt: Equatable, Sendable {
  package var set: QuestionSet
  package var index: UInt32
  /// The question file's own name for it.
  package var id: String?
  package var text: String
  package var tokens: [Int32]
  /// For metrics only.
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
  /// nil while slots are missing.
  package var closedAt: Double?
}

package struct StoredPolicy: Equatable, Sendable {
  package var version: PolicyVersion
  /// Of the published bytes, 64 hexadecimal digits.
  package var sha256: String
  /// Relative to the run directory.
  package var path: String
  package var bytes: Int
  /// nil for the model that the run began with.
  package var madeByStep: UInt32?
  package var madeAt: Double
  /// nil while the file is there.
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
  /// How many trajectories of this run it sampled, and their tokens.
  package var trajectories: Int
  package var tokens: Int
}

package struct StoredEvent: Equatable, Sendable {
  package var number: Int64
  package var happenedAt: Double
  package var kind: String
  package var detail: String
}

extension QuestionSet {
  /// As the tables spell it.
  var name: String {
    switch self {
    case .training: "training"
    case .heldOut: "held_out"
    case .transfer: "transfer"
    }
  }
}

extension RoundID.Purpose {
  /// As the tables spell it.
  var name: String {
    switch self {
    case .train: "train"
    case .evaluate: "evaluate"
    }
  }
}

extension FinishReason {
  init?(name: String) {
    switch name {
    case FinishReason.stop.name: self = .stop
    case FinishReason.length.name: self = .length
    default: return nil
    }
  }
}
