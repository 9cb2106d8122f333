// Message: everything that one process says to another.
//
// Three roles talk over TCP: workers and the learner each to the coordinator, and workers to one another about chunks
// of weights and nothing else. The bytes of each message are in Wire and, byte by byte, in docs/protocol.md. Who may
// send what is said here and enforced by the machines.

package import Base

/// What a process is to the coordinator.
package enum Role: UInt8, Sendable, CaseIterable {
  case worker = 0
  case learner = 1
}

/// A promise to sample, given by the coordinator to one worker.
package struct LeaseID: Comparable, Hashable, Sendable, CustomStringConvertible {
  package var number: UInt64
  package init(_ number: UInt64) { self.number = number }
  package static func < (left: Self, right: Self) -> Bool { left.number < right.number }
  package var description: String { "\(number)" }
}

/// The slots of one prompt within one lease. Written by the coordinator, read by the worker's sampler.
package struct LeasedPrompt: Sendable, Equatable {
  package var prompt: UInt32
  /// The prompt's tokens, template applied.
  package var tokens: [Int32]
  /// Ascending sample indices.
  package var samples: [UInt32]

  package init(prompt: UInt32, tokens: [Int32], samples: [UInt32]) {
    self.prompt = prompt
    self.tokens = tokens
    self.samples = samples
  }
}

package struct Lease: Sendable, Equatable {
  package var id: LeaseID
  package var round: RoundID
  package var policy: PolicyVersion
  package var sampling: Sampling
  package var prompts: [LeasedPrompt]

  package init(id: LeaseID, round: RoundID, policy: PolicyVersion, sampling: Sampling, prompts: [LeasedPrompt]) {
    self.id = id
    self.round = round
    self.policy = policy
    self.sampling = sampling
    self.prompts = prompts
  }

  package var slotCount: Int { prompts.reduce(0) { $0 + $1.samples.count } }
}

/// What identifies one published set of weights. Written by whoever made them; checked by whoever received them.
package struct PolicyManifest: Sendable, Equatable {
  package var version: PolicyVersion
  /// Length of the published bytes: all parameters in layout order, bfloat16 or float32, little-endian.
  package var byteCount: UInt64
  /// SHA-256 of those bytes, 32 bytes.
  package var digest: [UInt8]

  package init(version: PolicyVersion, byteCount: UInt64, digest: [UInt8]) {
    self.version = version
    self.byteCount = byteCount
    self.digest = digest
  }
}

/// How a process introduces itself; the first message of a connection.
package struct Hello: Sendable, Equatable {
  package var role: Role
  /// A name for people: "worker-2", "gpu-box/worker".
  package var name: String
  /// What decides the bits of its arithmetic: instruction set and kernel library, e.g. "avx512_amx oneDNN 2.6.3".
  package var arithmetic: String
  package var processID: UInt32
  package var threads: UInt16
  /// Where other workers can have chunks of weights from it; empty if nowhere.
  package var relay: String

  package init(
    role: Role, name: String, arithmetic: String, processID: UInt32, threads: UInt16, relay: String = ""
  ) {
    self.role = role
    self.name = name
    self.arithmetic = arithmetic
    self.processID = processID
    self.threads = threads
    self.relay = relay
  }
}

/// The coordinator's answer to a hello: all that a process with only an address needs to know.
package struct Welcome: Sendable, Equatable {
  package var runID: String
  package var seed: UInt64
  /// "bfloat16" or "float32".
  package var dtype: String
  /// The model's config.json, as text.
  package var modelConfiguration: String
  package var latestPolicy: PolicyVersion
  package var heartbeat: Instant.Span
  /// Empty unless the run has stop strings.
  package var tokenTexts: TokenTexts

  package init(
    runID: String, seed: UInt64, dtype: String, modelConfiguration: String, latestPolicy: PolicyVersion,
    heartbeat: Instant.Span, tokenTexts: TokenTexts = .none
  ) {
    self.runID = runID
    self.seed = seed
    self.dtype = dtype
    self.modelConfiguration = modelConfiguration
    self.latestPolicy = latestPolicy
    self.heartbeat = heartbeat
    self.tokenTexts = tokenTexts
  }
}

package enum Message: Sendable, Equatable {
  // Both directions.
  /// First message of a connection, peer → coordinator.
  case hello(Hello)
  case welcome(Welcome)
  /// The connection ends, and why. A refusal is final unless it says otherwise.
  case goodbye(reason: String)
  /// Coordinator → all: the run is complete, exit with status 0.
  case finished

  // Worker ↔ coordinator.
  /// Worker: I have room for this many slots more. Adds to what was wanted before and not granted yet.
  case want(slots: UInt32)
  case lease(Lease)
  /// Worker: these are done. The worker keeps them until they are settled.
  case trajectories(LeaseID, [Trajectory])
  /// Coordinator: these slots are durable (by this worker or another); forget them.
  case settled([Slot])
  /// Coordinator: stop sampling this lease, its slots were settled elsewhere or its promise ran out.
  case revoke(LeaseID)
  /// Worker: alive. `tokens` sampled since start; growing means progress. A learner says 0 of them, while it waits and
  /// after every micro-batch.
  case heartbeat(tokens: UInt64)

  // Weights.
  /// Coordinator → worker: this version exists.
  case offer(PolicyManifest)
  /// Coordinator → learner: send me the published version's bytes from there.
  case requestBytes(PolicyVersion, offset: UInt64)
  /// Learner: bytes of the published version, in order of offset.
  case policyBytes(PolicyVersion, offset: UInt64, bytes: [UInt8])
  /// Worker → coordinator: how can I have this version? I hold these.
  case requestBundle(PolicyVersion, holding: [PolicyVersion])
  /// Coordinator → worker: as this bundle, its chunks from that relay, or from me if it is empty. `depth` is how many
  /// relays there are up to that one.
  case bundle(BundleManifest, from: String, depth: Int)
  /// Worker → coordinator, worker → relay: this chunk of that version, please.
  case requestChunk(PolicyVersion, ChunkDigest)
  /// The other way round: here it is.
  case chunk(ChunkDigest, [UInt8])
  /// The other way round: I do not have that version any more.
  case missing(PolicyVersion)
  /// Worker → coordinator: I have left this relay.
  case fault(String, PolicyVersion, RelayFault)

  // Learner ↔ coordinator.
  /// Learner: I hold this version's state and wait for the batch of the step that it samples.
  case ready(PolicyVersion)
  /// Coordinator: one part of a closed training round, in slot order.
  case batch(step: UInt32, part: UInt32, partCount: UInt32, [Trajectory])
  /// Learner: this version exists, and this is the report of the step that made it. The bytes follow unless the
  /// coordinator has them already.
  case publish(PolicyManifest, report: StepReport)
  /// Coordinator: that version and its report are durable.
  case published(PolicyVersion)
}

extension Message {
  /// A learner's answer to `fetch`: as many bytes from `offset` on as one message carries, none where there are none.
  package static func piece(of bytes: [UInt8], _ version: PolicyVersion, at offset: UInt64) -> Message {
    let start = min(Int(clamping: offset), bytes.count)
    return .policyBytes(
      version, offset: offset, bytes: Array(bytes[start..<min(start + Limits.chunkBytes, bytes.count)]))
  }
}
