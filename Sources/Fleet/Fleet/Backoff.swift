// Backoff: how long a process waits before it tries a connection again. The wait doubles up to a limit. It has a random
// part, so that workers that lost the coordinator at the same time do not all reconnect at the same time.

import Base

struct Backoff: Sendable {
  private var retries: UInt64 = 0
  private var jitter: RandomSequence

  init(processID: UInt32) { jitter = RandomSequence(seed: UInt64(processID), purpose: .backoff) }

  /// The next pause: half of it fixed, half random.
  mutating func next() -> Instant.Span {
    let whole = min(Limits.reconnectFirst.nanoseconds << min(retries, 8), Limits.reconnectLongest.nanoseconds)
    retries += 1
    return Instant.Span(nanoseconds: whole / 2 + UInt64(jitter.uniform() * Double(whole / 2)))
  }

  /// The connection is established.
  mutating func reset() { retries = 0 }
}
