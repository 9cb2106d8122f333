// Limits: every bound of the system, with its reason. Reaching one is an error or an effect, never growth.

package enum Limits {
  /// A frame's payload. The largest messages are weight chunks and batch parts, both far below.
  package static let frameBytes = 16 << 20
  /// The payload of a connection's first frame, a hello: some 100 bytes of names.
  package static let helloBytes = 4096
  /// Weight bytes per chunk: long enough that framing costs nothing, short enough that heartbeats pass between chunks.
  package static let chunkBytes = 1 << 20
  /// Bytes of weights that become one chunk of a package: a relay passes a chunk on when it has all of it, so a chain
  /// of workers is late by one block each; and long enough that zstd's tables and the digests cost little.
  package static let blockBytes = 256 << 10
  /// A packed block, where it cannot be packed: zstd adds less than half a percent.
  package static let packedChunkBytes = (256 + 4) << 10
  /// Chunks of one package: weights of 64 GiB. Their manifest still fits a frame.
  package static let chunksPerBundle = 1 << 18
  /// Chunks and bytes that a fetcher asks for ahead: covers the round trip of a fast network, and not so much that a
  /// slow one needs longer for them than `relayAge`.
  package static let chunksInFlight = 64
  package static let chunkBytesInFlight = 4 << 20
  /// Silence after which a relay that owes chunks is left. One that waits for its own relay gets longer for each that
  /// is before it, so that only the one next to the trouble is blamed.
  package static let relaySilence = Instant.Span.seconds(5)
  package static let relaySilencePerHop = Instant.Span.milliseconds(500)
  /// And the age of the oldest request, which catches one that sends a chunk now and then.
  package static let relayAge = Instant.Span.seconds(30)
  /// Between two ticks: whoever slept longer was paused, and nobody else is to blame for what did not come meanwhile.
  package static let relayTickGap = Instant.Span.seconds(2)
  /// Workers in one chain of relays; the next begins another at the coordinator.
  package static let relayDepth = 64
  /// Workers that a relay serves at once.
  package static let relayChildren = 16
  /// Versions that a worker says it holds.
  package static let versionsHeld = 16
  /// An address in a message.
  package static let addressBytes = 256
  /// Bytes of trajectories per batch part or trajectory message.
  package static let batchPartBytes = 4 << 20
  /// Trajectories in one message; bounds what a decoder allocates.
  package static let trajectoriesPerMessage = 4096
  /// Versions by which sampling may be behind. With one it goes on while the learner trains; each further one evens out
  /// longer steps, keeps another version on disk and another batch in the books, and makes importance ratios wilder.
  /// prime-rl's bound is 8 too.
  package static let staleness: UInt32 = 8
  /// Tokens in one prompt or response.
  package static let tokensPerSequence = 1 << 20
  /// Prompts in one lease.
  package static let promptsPerLease = 1024
  /// Samples of one prompt in one lease; also the most votes a prompt can have.
  package static let samplesPerPrompt = 65536
  /// Slots of one lease. One prompt's usual group: the prefix is computed once and re-leasing loses little.
  package static let slotsPerLease = 64
  /// Slots of a lease that a vote may turn out not to need: few, so that little is sampled in vain.
  package static let slotsPerSpareLease = 16
  /// A worker that holds as many slots gets none of those: votes may be decided before it comes to them.
  package static let slotsBesideSpare = 64
  /// Stop tokens of one model.
  package static let stopTokens = 64
  /// Strings that end a response, and the bytes of one.
  package static let stopStrings = 16
  package static let stopStringBytes = 256
  /// Tokens whose texts a worker is told where a run has stop strings, and the bytes of all. The largest vocabularies
  /// have 260,000 tokens of 7 bytes.
  package static let tokenTexts = 1 << 20
  package static let tokenTextBytes = 8 << 20
  /// Buckets of gradients under way between learner ranks: enough that adding one overlaps with the transfer of the
  /// next, few enough that what arrives stays small beside the gradient.
  package static let bucketsInFlight = 4
  /// Any text in a message: names, reasons, configurations, labels.
  package static let textBytes = 4 << 20
  /// Bytes queued towards one peer before the connection is given up as stuck.
  package static let outgoingBytes = 256 << 20
  /// Connections the coordinator accepts.
  package static let connections = 16384
  /// A peer that has not introduced itself by then is cut off.
  package static let helloDeadline = Instant.Span.seconds(10)
  /// How often a worker or a learner says that it is alive.
  package static let heartbeat = Instant.Span.seconds(2)
  /// Silence after which a worker, or a learner with nothing to do, counts as gone: several lost heartbeats, so that a
  /// busy machine is not a dead one.
  package static let silence = Instant.Span.seconds(15)
  /// The same for a learner that trains, or may be: it speaks after every micro-batch, and between them come the
  /// optimizer, a checkpoint and, where ranks are unlike, waiting for the slowest. A rank that is stuck for as long
  /// ends itself.
  package static let training = Instant.Span.seconds(600)
  /// How long a lease may stand without any progress of its worker before it is granted again.
  package static let leaseWithoutProgress = Instant.Span.seconds(120)
  /// How long an attempt to connect may take.
  package static let connectDeadline = Instant.Span.seconds(10)
  /// Times in a row that a process that was never in lets its key be refused before it gives up: enough that somebody
  /// else on the port for a moment does not end it.
  package static let keyRefusals = 3
  /// First and longest pause before a peer reconnects.
  package static let reconnectFirst = Instant.Span.milliseconds(100)
  package static let reconnectLongest = Instant.Span.seconds(5)
  /// Restarts of one process within `restartWindow` before the supervisor gives up.
  package static let restarts = 5
  package static let restartWindow = Instant.Span.seconds(60)
  /// From one disturbance of `ttrl chaos` to the next, in the mean: in a long run, and at least.
  package static let chaosPause = Instant.Span.milliseconds(2500)
  package static let chaosPauseLeast = Instant.Span.milliseconds(100)
  /// How long it waits for a victim: longer than anybody takes to be started again.
  package static let chaosVictim = Instant.Span.seconds(20)
  /// How often a process on another machine is told that it is still wanted, and the silence after which it ends: as
  /// for workers, several lost beats. One that is to end gets the grace before it is killed.
  package static let attendBeat = Instant.Span.seconds(2)
  package static let attendSilence = Instant.Span.seconds(15)
  package static let attendGrace = Instant.Span.seconds(3)
  /// First and longest pause before a process on a machine that cannot be reached is tried again.
  package static let reachAgainFirst = Instant.Span.milliseconds(500)
  package static let reachAgainLongest = Instant.Span.seconds(15)
  /// A start that outlived this was a good one: the pauses begin anew.
  package static let goodStart = Instant.Span.seconds(20)
  /// How long a machine may take to answer before the learner's ranks are started without it.
  package static let probe = Instant.Span.seconds(12)
}
