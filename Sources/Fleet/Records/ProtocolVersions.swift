// ProtocolVersions: which versions of the protocol a program speaks, and which of them two programs use.
//
// A program speaks its newest version and the one before, so that a fleet can be upgraded process by process while its
// run goes on. The side that connects says in its hello what it speaks, and the other side answers in the newest
// version that both speak. Not here: how a version changes the bytes of a message (Wire).

package struct ProtocolVersions: Sendable, Equatable, CustomStringConvertible {
  package var oldest: UInt16
  package var newest: UInt16

  package init(oldest: UInt16, newest: UInt16) {
    self.oldest = oldest
    self.newest = newest
  }

  /// What this program speaks.
  package static let own = ProtocolVersions(oldest: 9, newest: 10)
  /// The version of the messages that are sent before two sides have agreed on one: they are never changed. It is the
  /// first version that was negotiated.
  package static let greeting: UInt16 = 9

  /// Version 10 has terms and standbys.
  package static let standbys: UInt16 = 10

  /// Version 10 also has more figures of a step than fit into one word, and positions.
  package static let moreFigures: UInt16 = 10

  /// Whether a process can be told of standbys.
  package var knowsStandbys: Bool { newest >= Self.standbys }

  package func contains(_ version: UInt16) -> Bool { oldest <= version && version <= newest }

  /// The newest version that both speak; nil if there is none.
  package func common(with other: ProtocolVersions) -> UInt16? {
    let version = min(newest, other.newest)
    return contains(version) && other.contains(version) ? version : nil
  }

  package var description: String { oldest == newest ? "version \(newest)" : "versions \(oldest) to \(newest)" }
}

/// Programs of one edition compute the same bits from the same run. A change that alters any bit of any run's result
/// raises the number: another order of products, other random numbers, another vote. A run is finished by programs of
/// the edition that began it.
package enum Edition {
  package static let own: UInt32 = 1
}
