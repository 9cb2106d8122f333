// CheckpointPace: after which steps the learner writes a checkpoint.
//
// What a killed learner lost since its last checkpoint is trained again from the ledger, with the same bits. So the
// pace depends on the clock and changes no result. Checkpoints of large models take long: one of 7 billion parameters
// has 98 GB. With `auto`, the time from one checkpoint to the next is at least 20 times what the last one took. The
// first one after a start is written at once: it measures the disk, and a learner that is killed again and again
// makes progress.

package import Base
package import Settings

package struct CheckpointPace {
  /// The time between two checkpoints, as a multiple of the time that the last one took.
  package static let multiple: UInt64 = 20

  private let interval: CheckpointInterval
  private var begun: Instant?
  /// How long the newest checkpoint took; nil while it is written.
  private var cost: Instant.Span?

  package init(_ interval: CheckpointInterval) { self.interval = interval }

  /// Whether a checkpoint of this version is due now.
  package func isDue(_ version: UInt32, at now: Instant) -> Bool {
    switch interval {
    case .steps(let count): return version % count == 0
    case .auto:
      guard let begun else { return true }
      guard let pause else { return false }
      return now.since(begun) >= pause
    }
  }

  /// The shortest time from the beginning of the newest checkpoint to that of the next; nil while the newest is
  /// written, and where the number of steps is given.
  package var pause: Instant.Span? { interval == .auto ? cost.map { $0 * Self.multiple } : nil }

  package mutating func begin(at now: Instant) { (begun, cost) = (now, nil) }

  package mutating func end(after cost: Instant.Span) { self.cost = cost }
}
