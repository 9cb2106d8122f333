// BatchFeed: sends a step's batch to a learner.
//
// A batch may not fit in memory. So it is read from the ledger one message at a time. A message is read when the
// learner has taken the messages before it, and the coordinator serves the other peers in between. A complete round
// does not change, so it does not matter when it is read.

import Ledger
import Records

struct BatchFeed {
  private let round: RoundID
  /// The first slot of every message.
  private let starts: [Slot]
  private var next = 0

  init(_ round: RoundID, from recorder: RunRecorder) throws(LedgerError) {
    self.round = round
    starts = try recorder.partStarts(of: round)
  }

  var isOver: Bool { next == starts.count }

  /// The next message. There must be one.
  mutating func take(from recorder: RunRecorder) throws(LedgerError) -> Message {
    let end = next + 1 < starts.count ? starts[next + 1] : nil
    let part = try recorder.trajectories(of: round, from: starts[next], before: end)
    defer { next += 1 }
    return .batch(step: round.step, part: UInt32(next), partCount: UInt32(starts.count), part)
  }
}
