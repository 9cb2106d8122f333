// LeaseBook: which worker works on which slots, and since when it has made no progress.
//
// A lease is a promise with a deadline, and the deadline moves as long as its worker makes progress, so that a slow
// model on a slow machine is not mistaken for a dead one. Slots name their randomness, so a lease that is granted again
// elsewhere produces the same trajectories; the first worker that delivers settles them. The book reads no clock.
// Not here: whether a slot is settled (RoundBook), whether a worker is alive (Coordinator).

package import Base
package import Records

/// One connection of the coordinator, numbered as they are accepted. Numbers are never reused within a process.
package struct PeerID: Comparable, Hashable, Sendable, CustomStringConvertible {
  package var number: UInt64
  package init(_ number: UInt64) { self.number = number }
  package static func < (left: Self, right: Self) -> Bool { left.number < right.number }
  package var description: String { "\(number)" }
}

package struct LeaseBook: Sendable {
  package struct OpenLease: Sendable {
    package var holder: PeerID
    /// What has not been settled yet, ascending.
    package var outstanding: [Slot]
    package var lastProgress: Instant
  }

  package private(set) var open = SortedMap<LeaseID, OpenLease>()
  /// The leases of each holder, ascending; a worker without any is not in it.
  private var held = SortedMap<PeerID, [LeaseID]>()
  private var nextNumber: UInt64 = 1

  package init() {}

  /// Records a promise and names it.
  package mutating func grant(_ slots: [Slot], to holder: PeerID, now: Instant) -> LeaseID {
    defer { nextNumber += 1 }
    let id = LeaseID(nextNumber)
    open[id] = OpenLease(holder: holder, outstanding: slots, lastProgress: now)
    held[holder] = (held[holder] ?? []) + [id]
    return id
  }

  /// A slot was settled under this lease: one promise less, and the rest has made progress.
  package mutating func settle(_ slot: Slot, under id: LeaseID, now: Instant) {
    let isDone = open.update(id) { lease in
      lease.outstanding.removeAll { $0 == slot }
      lease.lastProgress = now
      return lease.outstanding.isEmpty
    }
    if isDone == true { close(id) }
  }

  /// A worker's leases have made progress.
  package mutating func renew(heldBy holder: PeerID, now: Instant) {
    for id in held[holder] ?? [] { _ = open.update(id) { $0.lastProgress = now } }
  }

  /// Ends all leases of a worker that is gone. Returns the slots to sample elsewhere.
  package mutating func revokeAll(heldBy holder: PeerID) -> [Slot] {
    var slots: [Slot] = []
    for id in held[holder] ?? [] {
      slots += open[id]?.outstanding ?? []
      close(id)
    }
    return slots
  }

  /// Ends the leases that have stood still for too long. Returns them with their holders.
  package mutating func expire(now: Instant, after patience: Instant.Span) -> [(id: LeaseID, lease: OpenLease)] {
    var expired: [(LeaseID, OpenLease)] = []
    for (id, lease) in open where now.since(lease.lastProgress) > patience {
      expired.append((id, lease))
      close(id)
    }
    return expired
  }

  /// Forgets the promises of a round that is complete, or of one prompt of it that is decided. Returns them, so that
  /// their holders can be told.
  package mutating func end(round: RoundID, prompt: UInt32? = nil) -> [(id: LeaseID, holder: PeerID)] {
    var ended: [(LeaseID, PeerID)] = []
    for (id, lease) in open {
      // A lease has slots of one prompt.
      guard let slot = lease.outstanding.first, slot.round == round, prompt == nil || slot.prompt == prompt else {
        continue
      }
      ended.append((id, lease.holder))
      close(id)
    }
    return ended
  }

  private mutating func close(_ id: LeaseID) {
    guard let lease = open.remove(id) else { return }
    let rest = (held[lease.holder] ?? []).filter { $0 != id }
    held[lease.holder] = rest.isEmpty ? nil : rest
  }

  package func slotCount(heldBy holder: PeerID) -> Int {
    (held[holder] ?? []).reduce(0) { $0 + (open[$1]?.outstanding.count ?? 0) }
  }
}
