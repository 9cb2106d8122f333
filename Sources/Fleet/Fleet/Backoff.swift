// Backoff: how long to wait before trying a connection again. Doubling, bounded, and jittered, so that a fleet that
// lost its coordinator does not come back in step.

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

  /// The connection stands.
  mutating func reset() { retries = 0 }
}
