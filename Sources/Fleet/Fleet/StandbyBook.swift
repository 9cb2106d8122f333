// StandbyBook: which standbys there are, as all processes of the run are told, and when the coordinator shows that
// it is alive.
//
// Without standbys no process needs to know whether the coordinator is silent, and nothing is sent. A standby that is
// gone stays in the book: it can come back, and an address too many costs an attempt.
// Not here: how far a standby's copy is (Replication).

import Base
import Records

struct StandbyBook: Sendable {
  /// In the order in which they came; the first one takes over first.
  private(set) var addresses: [String] = []
  /// The shortest silence after which a standby takes over.
  private var patience: Instant.Span?
  private var lastBeat = Instant.zero

  /// - Returns: whether there is something new.
  @discardableResult
  mutating func add(_ address: String, patience: Instant.Span) -> Bool {
    guard !address.isEmpty else { return false }
    let isPatient = self.patience.map { $0 <= patience } ?? false
    guard !isPatient || !addresses.contains(address) else { return false }
    if !isPatient { self.patience = patience }
    if !addresses.contains(address), addresses.count < Limits.standbys { addresses.append(address) }
    return true
  }

  var message: Message { .standbys(addresses, silence: patience ?? Limits.silence) }

  /// Whether the coordinator has to show now that it is alive: a few times within the shortest patience.
  mutating func isBeatDue(now: Instant) -> Bool {
    guard let patience, !addresses.isEmpty else { return false }
    guard now.since(lastBeat) >= min(Limits.heartbeat, Instant.Span(nanoseconds: patience.nanoseconds / 4)) else {
      return false
    }
    lastBeat = now
    return true
  }
}
