// Comparison: do two finished runs agree in every bit that counts, and if not, where do they part first?

import Base
import Ledger
import Platform
import Records
package import Runs

package enum RunComparison {
  /// Where two finished runs part first, in the order of their making: versions and rounds by step, then the summary.
  ///
  /// - Returns: nil where everything agrees: all versions' hashes, all trajectories' tokens and log-probabilities, the
  ///   final weights and the learner's state.
  /// - Throws: if a ledger or a summary cannot be read.
  package static func difference(_ left: RunDirectory, _ right: RunDirectory) throws -> String? {
    let (ours, theirs) = (
      try Ledger(path: left.ledger, mode: .readOnly), try Ledger(path: right.ledger, mode: .readOnly)
    )
    if let found = try difference(ofVersions: ours, theirs) { return found }
    if let found = try difference(ofRounds: ours, theirs) { return found }
    return try difference(ofSummaries: left, right)
  }

  private static func difference(ofVersions left: Ledger, _ right: Ledger) throws(LedgerError) -> String? {
    let (ours, theirs) = (try left.policies(), try right.policies())
    for (one, other) in zip(ours, theirs) where one.version != other.version || one.sha256 != other.sha256 {
      return "policy \(one.version) is \(one.sha256), and \(other.version) is \(other.sha256)"
    }
    return ours.count == theirs.count ? nil : "\(ours.count) policy versions, and \(theirs.count)"
  }

  private static func difference(ofRounds left: Ledger, _ right: Ledger) throws(LedgerError) -> String? {
    let (ours, theirs) = (try left.rounds(), try right.rounds())
    guard ours.map(\.id) == theirs.map(\.id) else { return "\(ours.count) rounds, and \(theirs.count), not the same" }
    for round in ours {
      // A round at a time: all trajectories of a long run need not fit in memory.
      let (one, other) = (try left.trajectories(of: round.id), try right.trajectories(of: round.id))
      for (mine, yours) in zip(one, other) where mine != yours {
        return mine.slot == yours.slot ? "\(mine.slot) was sampled otherwise" : "\(mine.slot), and \(yours.slot)"
      }
      guard one.count == other.count else { return "\(round.id): \(one.count) trajectories, and \(other.count)" }
    }
    return nil
  }

  private static func difference(ofSummaries left: RunDirectory, _ right: RunDirectory) throws -> String? {
    let (ours, theirs) = (
      try JSON.parse(try Files.read(left.summary)), try JSON.parse(try Files.read(right.summary))
    )
    for name in ["weights_sha256", "state_sha256", "steps"] where ours[name] != theirs[name] {
      return "\(name) \(ours[name]?.text() ?? "missing"), and \(theirs[name]?.text() ?? "missing")"
    }
    return nil
  }
}
