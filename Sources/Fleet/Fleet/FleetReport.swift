// FleetReport: who is connected and what each holds, for people who watch.
//
// Made from the machine's own books when somebody asks, and decides nothing. Times are spans up to `now`, so that
// nobody has to know this process's clock.

package import Base
import Records

/// One peer, as the coordinator sees it.
package struct FleetMember: Sendable, Equatable {
  package let name: String
  package let isWorker: Bool
  /// Since it connected; since it was heard.
  package let connected: Instant.Span
  package let silence: Instant.Span
  /// Its tokens at its last heartbeat.
  package let tokens: UInt64
  package var leases = 0
  package var slots = 0
  /// What its first lease is of; empty if it holds none.
  package var holding = ""
  /// Since something came of the lease that has stood still longest.
  package var stillness = Instant.Span.zero
}

extension Coordinator {
  /// The members in the order in which they connected, at most `limit`.
  package func fleet(now: Instant, limit: Int) -> [FleetMember] {
    var places: [PeerID: Int] = [:]
    var members: [FleetMember] = []
    for (id, peer) in peers where peer.hello != nil && members.count < limit {
      places[id] = members.count
      members.append(
        FleetMember(
          name: peer.name, isWorker: peer.isWorker, connected: now.since(peer.connectedAt),
          silence: now.since(peer.lastHeard), tokens: peer.tokens))
    }
    for (_, lease) in leases.open {
      guard let place = places[lease.holder] else { continue }
      members[place].leases += 1
      members[place].slots += lease.outstanding.count
      members[place].stillness = max(members[place].stillness, now.since(lease.lastProgress))
      if members[place].holding.isEmpty, let slot = lease.outstanding.first {
        // Steps are counted from 1 where people read them.
        let round = slot.round.purpose == .train ? "step \(slot.round.step + 1)" : "\(slot.round)"
        members[place].holding = "\(round), prompt \(slot.prompt)"
      }
    }
    return members
  }
}
