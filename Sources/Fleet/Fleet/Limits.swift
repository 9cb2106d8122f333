// Limits: the limits of the fleet's state machines, with their reasons. Limits of messages are in Records.

package import Base

extension Limits {
  /// Connections that the coordinator accepts.
  package static let connections = 16384
  /// A peer that has not sent a hello within this time is cut off.
  package static let helloDeadline = Instant.Span.seconds(10)
  /// The silence after which a learner that trains, or is possibly training, counts as gone. It sends a heartbeat after
  /// every micro-batch. Between two micro-batches there can be the optimizer, a checkpoint and, if the ranks differ in
  /// speed, the wait for the slowest rank. A rank that is stuck for this long ends itself.
  package static let training = Instant.Span.seconds(600)
  /// First and longest pause before a peer reconnects.
  package static let reconnectFirst = Instant.Span.milliseconds(100)
  package static let reconnectLongest = Instant.Span.seconds(5)

  // MARK: Standbys

  /// The longest time between two ticks of a process that is running and waits for a coordinator. After a longer time
  /// the process was paused, or was busy, and no coordinator is taken for silent because of it.
  package static let tickGap = Instant.Span.seconds(4)
  /// Bytes of commits that a standby has not confirmed, beyond which the next one waits.
  package static let commitBytesInFlight = 8 << 20
  /// Bytes of commits that are kept for standbys. One that is further behind gets a whole copy of the ledger, and these
  /// are the commits of the time that a copy takes: a ledger grows by some kilobytes per second in most runs, and by a
  /// few megabytes in the fastest.
  package static let commitBytesKept = 64 << 20
  /// Pieces of a file that a standby requests ahead.
  package static let filePiecesAhead = 4
  /// How long a run that acknowledges nothing without a standby waits for one.
  package static let standbyAbsence = Instant.Span.seconds(3600)
  /// How long an attempt to connect may take if there are other addresses: a machine that is gone, or a process that is
  /// paused, does not answer at all.
  package static let oneOfSeveral = Instant.Span.seconds(2)
  /// How often a coordinator that has taken over tells the former one.
  package static let heraldInterval = Instant.Span.seconds(3)

  // MARK: Leases

  /// Slots of one lease. This is the usual group of one prompt: the prefix is computed once, and leasing the slots
  /// again loses little.
  package static let slotsPerLease = 64
  /// Slots of a lease that the vote possibly does not need. They are few, so that little is sampled in vain.
  package static let slotsPerSpareLease = 16
  /// A worker that holds this many slots gets no spare slots, because votes can be decided before it samples them.
  package static let slotsBesideSpare = 64
  /// How long a lease can be without progress of its worker before it is granted again.
  package static let leaseWithoutProgress = Instant.Span.seconds(120)

  // MARK: Relays

  /// Pieces of a published version that the coordinator requests ahead: while one is on its way, the learner prepares
  /// the next, and the coordinator writes the one before.
  package static let piecesAhead: UInt64 = 4

  /// Chunks and bytes that a fetcher requests ahead. They are enough to cover the round trip of a fast network. They
  /// are few enough that a slow network does not need longer for them than `relayAge`.
  package static let chunksInFlight = 64
  package static let chunkBytesInFlight = 4 << 20
  /// The silence after which a relay that owes chunks is left. A relay that waits for its own relay gets more time for
  /// each relay before it, so that only the relay next to the fault is blamed.
  package static let relaySilence = Instant.Span.seconds(5)
  package static let relaySilencePerHop = Instant.Span.milliseconds(500)
  /// The age of the oldest request after which a relay is left. This detects a relay that sends a chunk only
  /// occasionally.
  package static let relayAge = Instant.Span.seconds(30)
  /// The longest time between two ticks of a process that is running. After a longer time the process was paused, and
  /// no relay is blamed for chunks that did not arrive in the meantime.
  package static let relayTickGap = Instant.Span.seconds(2)
  /// Workers in one chain of relays. The next worker begins another chain at the coordinator.
  package static let relayDepth = 64
  /// Workers that a relay serves at the same time.
  package static let relayChildren = 16
}
