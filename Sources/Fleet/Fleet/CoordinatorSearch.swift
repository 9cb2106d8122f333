// CoordinatorSearch: where a worker, the learner or a standby looks for the coordinator, and which one it joins.
//
// It knows the addresses that it was given, and those of standbys that a coordinator told it. After a lost
// connection it tries all of them in turn, beginning with the last one that had a coordinator, then waits (Backoff)
// and begins again. It does not join a coordinator of a lower term than it has seen. A coordinator that is silent is
// left: it can have lost its machine, or be paused, without the end of a connection.

package import Base
import Records

/// One attempt to connect to a coordinator.
package struct Attempt: Sendable, Equatable {
  package var address: String
  /// Before it begins.
  package var pause: Instant.Span
  /// How long it may take; nil for the usual time.
  package var deadline: Instant.Span?

  package init(address: String, pause: Instant.Span, deadline: Instant.Span?) {
    self.address = address
    self.pause = pause
    self.deadline = deadline
  }
}

struct CoordinatorSearch: Sendable {
  private var addresses: [String]
  /// The address of the last welcome, and how many attempts there were since.
  private var first = 0
  private var attempts = 0
  private var backoff: Backoff
  /// The highest term that was seen.
  private(set) var term = Term.none
  private var silence: Instant.Span?
  private var isConnected = false
  private var isWelcome = false
  private var lastHeard = Instant.zero
  private var lastTick = Instant.zero

  /// - Parameters:
  ///   - addresses: at least one.
  ///   - processID: decides the random part of pauses.
  init(_ addresses: [String], processID: UInt32) {
    self.addresses = addresses
    backoff = Backoff(processID: processID)
  }

  /// Where the first attempt goes.
  var beginning: String { addresses[0] }

  /// All addresses that are known.
  var all: [String] { addresses }

  /// The next attempt.
  mutating func next() -> Attempt {
    (isConnected, isWelcome) = (false, false)
    let pause = attempts % addresses.count == 0 ? backoff.next() : .zero
    let address = addresses[(first + attempts) % addresses.count]
    attempts += 1
    return Attempt(address: address, pause: pause, deadline: addresses.count > 1 ? Limits.oneOfSeveral : nil)
  }

  mutating func connected(now: Instant) {
    isConnected = true
    lastHeard = now
  }

  /// - Returns: false if the coordinator's term is lower than one that was seen.
  mutating func welcomed(_ term: Term) -> Bool {
    guard term >= self.term else { return false }
    self.term = term
    isWelcome = true
    // Only a coordinator with standbys shows that it is alive, and says so.
    silence = nil
    first = (first + max(attempts, 1) - 1) % addresses.count
    attempts = 0
    backoff.reset()
    return true
  }

  /// A coordinator names its standbys.
  mutating func told(_ standbys: [String], silence: Instant.Span) {
    self.silence = silence
    for address in standbys where !addresses.contains(address) && addresses.count < 2 * Limits.standbys {
      addresses.append(address)
    }
  }

  /// A term was seen before, for example in a ledger.
  mutating func note(_ term: Term) { self.term = max(self.term, term) }

  mutating func heard(now: Instant) { lastHeard = now }

  /// Called regularly. Whether the coordinator has to be left.
  mutating func isSilent(now: Instant) -> Bool {
    // This process, or its machine, was paused: what arrived in the meantime is read after this tick.
    if now.since(lastTick) > Limits.tickGap { lastHeard = now }
    lastTick = now
    // Without standbys there is no other coordinator, and nothing says that this one is alive.
    let limit = isWelcome ? silence : addresses.count > 1 ? Limits.silence : nil
    guard isConnected, let limit, now.since(lastHeard) > limit else { return false }
    // The next address comes first: the one that is silent would take the whole deadline.
    attempts = max(attempts, 1)
    return true
  }
}
