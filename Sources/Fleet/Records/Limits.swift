// Limits of messages: what one message may hold, and how long the two sides of a connection may be silent.
//
// A decoder allocates nothing beyond these; a sender that needs more is in error. The machines' limits are in Fleet.

package import Base

extension Limits {
  /// The payload of a connection's first frame, a hello: some 100 bytes of names.
  package static let helloBytes = 4096
  /// Any text in a message: names, reasons, configurations, reports.
  package static let textBytes = 4 << 20
  /// An address in a message.
  package static let addressBytes = 256

  // MARK: Weights

  /// Weight bytes that the learner sends in one message: long enough that framing costs nothing, short enough that
  /// heartbeats pass between two.
  package static let chunkBytes = 1 << 20
  /// Bytes of weights that become one chunk of a bundle. A relay passes a chunk on when it has all of it, so a chain of
  /// workers is late by one block each; a block is long enough that zstd's tables and the digests cost little.
  package static let blockBytes = 256 << 10
  /// A packed block that cannot be compressed: zstd adds less than half a percent.
  package static let packedChunkBytes = (256 + 4) << 10
  /// Chunks of one bundle: weights of 64 GiB. Their manifest still fits a frame.
  package static let chunksPerBundle = 1 << 18
  /// Versions that a worker says it holds.
  package static let versionsHeld = 16

  // MARK: Trajectories

  /// Bytes of trajectories per batch part or trajectory message.
  package static let batchPartBytes = 4 << 20
  /// Trajectories in one message; bounds what a decoder allocates.
  package static let trajectoriesPerMessage = 4096
  /// Tokens in one prompt or response.
  package static let tokensPerSequence = 1 << 20

  // MARK: Leases

  /// Versions by which sampling may be behind. With one it goes on while the learner trains; each further one evens out
  /// longer steps, keeps another version on disk and another batch in the books, and makes importance ratios wilder.
  /// prime-rl's bound is 8 too.
  package static let staleness: UInt32 = 8
  /// Prompts in one lease.
  package static let promptsPerLease = 1024
  /// Samples of one prompt in one lease; also the most votes that a prompt can have.
  package static let samplesPerPrompt = 65536
  /// Stop tokens of one model.
  package static let stopTokens = 64
  /// Strings that end a response, and the bytes of one.
  package static let stopStrings = 16
  package static let stopStringBytes = 256
  /// Tokens whose texts a worker is told where a run has stop strings, and the bytes of all. The largest vocabularies
  /// have 260,000 tokens of 7 bytes.
  package static let tokenTexts = 1 << 20
  package static let tokenTextBytes = 8 << 20

  // MARK: Standbys

  /// Addresses of standbys that a process is told.
  package static let standbys = 16
  /// Files of a run that a standby copies: questions, the model's files, adapters.
  package static let replicaFiles = 4096
  /// Versions that one commit records, or that a snapshot has. Staleness keeps at most ten.
  package static let versionsPerCommit = 1024

  // MARK: Silence

  /// How often a worker or a learner says that it is alive.
  package static let heartbeat = Instant.Span.seconds(2)
  /// Silence after which a worker, or a learner with nothing to do, counts as gone: several lost heartbeats, so that a
  /// busy machine is not a dead one.
  package static let silence = Instant.Span.seconds(15)
}
