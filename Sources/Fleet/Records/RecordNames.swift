// RecordNames: the words for sets, purposes and finishes in the ledger's tables and in archives.
//
// They are part of both formats and never change.

extension QuestionSet {
  /// - Returns: nil for a word that is not a set's name.
  package init?(name: String) {
    guard let set = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = set
  }

  /// Its name in the ledger and in archives.
  package var name: String {
    switch self {
    case .training: "training"
    case .heldOut: "held_out"
    case .transfer: "transfer"
    }
  }
}

extension RoundID.Purpose {
  /// - Returns: nil for a word that is not a purpose's name.
  package init?(name: String) {
    guard let purpose = [Self.train, .evaluate].first(where: { $0.name == name }) else { return nil }
    self = purpose
  }

  /// Its name in the ledger and in archives.
  package var name: String {
    switch self {
    case .train: "train"
    case .evaluate: "evaluate"
    }
  }
}

extension FinishReason {
  /// - Returns: nil for a word that is not a reason's name.
  package init?(name: String) {
    switch name {
    case FinishReason.stop.name: self = .stop
    case FinishReason.length.name: self = .length
    default: return nil
    }
  }
}
