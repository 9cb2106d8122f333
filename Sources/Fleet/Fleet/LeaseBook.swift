// LeaseBook: which worker samples which slots, and since when it has made no progress.
//
// A lease has a deadline. The deadline moves as long as the worker makes progress, so a slow model on a slow machine is
// not taken for a dead one. A slot determines its random numbers, so a lease that is granted again to another worker
// gives the same trajectories. The first worker that delivers a slot settles it. The book reads no clock.
// Not here: whether a slot is settled (RoundBook), whether a worker is alive (Coordinator).

package import Base
package import Records

/// One connection of the coordinator. Connections are numbered in the order in which they are accepted. Numbers are
/// never reused within a process.
package struct PeerID: Comparable, Hashable, Sendable, CustomStringConvertible {
  package var number: UInt64
  package init(_ number: UInt64) { self.number = number }
  package static func < (left: Self, right: Self) -> Bool { left.number < right.number }
  package var description: String { "\(number)" }
}

package struct LeaseBook: Sendable {
  package struct OpenLease: Sendable {
    package var holder: PeerID
    /// The slots that are not settled yet, ascending.
    package var outstanding: [Slot]
    package var lastProgress: Instant
  }

  package private(set) var open = SortedMap<LeaseID, OpenLease>()
  /// The leases of each holder, ascending. A worker without leases is not in it.
  private var held = SortedMap<PeerID, [LeaseID]>()
  private var nextNumber: UInt64 = 1
  /// The slots of all leases that are not settled yet.
  package private(set) var slotCount = 0

  package init() {}

  /// Records a lease. Returns its number.
  package mutating func grant(_ slots: [Slot], to holder: PeerID, now: Instant) -> LeaseID {
    defer { nextNumber += 1 }
    let id = LeaseID(nextNumber)
    open[id] = OpenLease(holder: holder, outstanding: slots, lastProgress: now)
    slotCount += slots.count
    held[holder] = (held[holder] ?? []) + [id]
    return id
  }

  /// A slot was settled under this lease: it is not outstanding any more, and the lease has made progress.
  package mutating func settle(_ slot: Slot, under id: LeaseID, now: Instant) {
    let rest = open.update(id) { lease in
      let before = lease.outstanding.count
      lease.outstanding.removeAll { $0 == slot }
      lease.lastProgress = now
      return (settled: before - lease.outstanding.count, isDone: lease.outstanding.isEmpty)
    }
    guard let rest else { return }
    slotCount -= rest.settled
    if rest.isDone { close(id) }
  }

  /// A worker made progress, so the deadlines of its leases move.
  package mutating func renew(heldBy holder: PeerID, now: Instant) {
    for id in held[holder] ?? [] { _ = open.update(id) { $0.lastProgress = now } }
  }

  /// Ends all leases of a worker that is gone. Returns the slots that other workers have to sample.
  package mutating func revokeAll(heldBy holder: PeerID) -> [Slot] {
    var slots: [Slot] = []
    for id in held[holder] ?? [] {
      slots += open[id]?.outstanding ?? []
      close(id)
    }
    return slots
  }

  /// Ends the leases that have had no progress for too long. Returns them with their holders.
  package mutating func expire(now: Instant, after patience: Instant.Span) -> [(id: LeaseID, lease: OpenLease)] {
    var expired: [(LeaseID, OpenLease)] = []
    for (id, lease) in open where now.since(lease.lastProgress) > patience {
      expired.append((id, lease))
      close(id)
    }
    return expired
  }

  /// Ends the leases of a round that is complete, or of one of its prompts that is decided. Returns them, so that their
  /// holders can be told.
  package mutating func end(round: RoundID, prompt: UInt32? = nil) -> [(id: LeaseID, holder: PeerID)] {
    var ended: [(LeaseID, PeerID)] = []
    for (id, lease) in open {
      // All slots of a lease belong to one prompt.
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
    slotCount -= lease.outstanding.count
    let rest = (held[lease.holder] ?? []).filter { $0 != id }
    held[lease.holder] = rest.isEmpty ? nil : rest
  }

  /// Whether a worker has slots of a round to sample.
  package func holds(slotsOf round: RoundID, _ holder: PeerID) -> Bool {
    // All slots of a lease belong to one round.
    (held[holder] ?? []).contains { open[$0]?.outstanding.first?.round == round }
  }

  package func slotCount(heldBy holder: PeerID) -> Int {
    (held[holder] ?? []).reduce(0) { $0 + (open[$1]?.outstanding.count ?? 0) }
  }
}
