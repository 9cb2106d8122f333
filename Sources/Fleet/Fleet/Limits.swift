// Limits of the fleet's machines, with their reasons. Limits of messages are in Records.

package import Base

extension Limits {
  /// Connections that the coordinator accepts.
  package static let connections = 16384
  /// A peer that has not introduced itself by then is cut off.
  package static let helloDeadline = Instant.Span.seconds(10)
  /// The silence after which a learner that trains, or may be training, counts as gone. It speaks after every
  /// micro-batch; between two come the optimizer, a checkpoint and, where ranks are unlike, waiting for the slowest. A
  /// rank that is stuck for as long ends itself.
  package static let training = Instant.Span.seconds(600)
  /// First and longest pause before a peer reconnects.
  package static let reconnectFirst = Instant.Span.milliseconds(100)
  package static let reconnectLongest = Instant.Span.seconds(5)

  // MARK: Leases

  /// Slots of one lease. One prompt's usual group: the prefix is computed once and leasing again loses little.
  package static let slotsPerLease = 64
  /// Slots of a lease that a vote may turn out not to need: few, so that little is sampled in vain.
  package static let slotsPerSpareLease = 16
  /// A worker that holds as many slots gets none of those: votes may be decided before it comes to them.
  package static let slotsBesideSpare = 64
  /// How long a lease may stand without any progress of its worker before it is granted again.
  package static let leaseWithoutProgress = Instant.Span.seconds(120)

  // MARK: Relays

  /// Chunks and bytes that a fetcher asks for ahead: covers the round trip of a fast network, and not so much that a
  /// slow one needs longer for them than `relayAge`.
  package static let chunksInFlight = 64
  package static let chunkBytesInFlight = 4 << 20
  /// Silence after which a relay that owes chunks is left. One that waits for its own relay gets longer for each relay
  /// before it, so that only the one next to the trouble is blamed.
  package static let relaySilence = Instant.Span.seconds(5)
  package static let relaySilencePerHop = Instant.Span.milliseconds(500)
  /// The age of the oldest request after which a relay is left: this catches one that sends a chunk now and then.
  package static let relayAge = Instant.Span.seconds(30)
  /// The longest time between two ticks of a process that runs. After a longer one the process was paused, and no relay
  /// is to blame for what did not come meanwhile.
  package static let relayTickGap = Instant.Span.seconds(2)
  /// Workers in one chain of relays; the next begins another at the coordinator.
  package static let relayDepth = 64
  /// Workers that a relay serves at once.
  package static let relayChildren = 16
}
