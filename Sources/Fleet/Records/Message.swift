// Message: everything that one process sends to another.
//
// Workers, the learner and standbys talk to the coordinator over TCP; workers talk to each other only about chunks of
// weights. The bytes of each message are in Wire and in docs/protocol.md. The comments here say which process
// sends a message; the state machines enforce it.

package import Base

/// The role of a process that talks to the coordinator.
package enum Role: UInt8, Sendable, CaseIterable {
  case worker = 0
  case learner = 1
  /// It has a copy of the run, and takes over when the coordinator is silent.
  case standby = 2
  /// Another coordinator of the same run, which says its term.
  case coordinator = 3
}

/// The number of a lease: slots that the coordinator has assigned to one worker.
package struct LeaseID: Comparable, Hashable, Sendable, CustomStringConvertible {
  package var number: UInt64
  package init(_ number: UInt64) { self.number = number }
  package static func < (left: Self, right: Self) -> Bool { left.number < right.number }
  package var description: String { "\(number)" }
}

/// The slots of one prompt in one lease. The coordinator writes it; the worker's sampler reads it.
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

/// What identifies one published set of weights. The process that made the weights writes it; each process that
/// receives them checks it.
package struct PolicyManifest: Sendable, Equatable {
  package var version: PolicyVersion
  /// Length of the published bytes: all parameters in the order of the layout, bfloat16 or float32, little-endian.
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
  /// For people: what computes, for example "amx tile by AMX, pair by float32". All processes compute the same bits.
  package var arithmetic: String
  package var processID: UInt32
  package var threads: UInt16
  /// The address at which other workers can ask it for chunks; empty if it does not relay. Of a standby or a
  /// coordinator: where the others find it when it leads.
  package var relay: String
  /// The versions of the protocol that it speaks.
  package var speaks: ProtocolVersions
  /// Programs of another edition compute other bits, and are refused.
  package var edition: UInt32
  /// The highest term that it has seen.
  package var term: Term

  package init(
    role: Role, name: String, arithmetic: String, processID: UInt32, threads: UInt16, relay: String = "",
    speaks: ProtocolVersions = .own, edition: UInt32 = Edition.own, term: Term = .none
  ) {
    self.role = role
    self.name = name
    self.arithmetic = arithmetic
    self.processID = processID
    self.threads = threads
    self.relay = relay
    self.speaks = speaks
    self.edition = edition
    self.term = term
  }
}

/// The frozen model of a run that trains an adapter.
package struct AdaptedBase: Sendable, Equatable {
  /// The adapter's adapter_config.json, as text.
  package var adapter: String
  /// Of the version `.base`: all of the model's parameters.
  package var manifest: PolicyManifest
  /// The model's directory, for processes on the coordinator's machine.
  package var directory: String

  package init(adapter: String, manifest: PolicyManifest, directory: String) {
    self.adapter = adapter
    self.manifest = manifest
    self.directory = directory
  }
}

/// The coordinator's answer to a hello: everything that a process needs that was started with only an address.
package struct Welcome: Sendable, Equatable {
  package var runID: String
  package var seed: UInt64
  /// "float32", "bfloat16 tile" or "bfloat16 pair": the type, and the order of bfloat16 products.
  package var dtype: String
  /// The model's config.json, as text.
  package var modelConfiguration: String
  package var latestPolicy: PolicyVersion
  package var heartbeat: Instant.Span
  /// Empty if the run has no stop strings.
  package var tokenTexts: TokenTexts
  /// The coordinator's directory of published versions, for workers on the same machine. Empty if there is none.
  package var policies: String
  /// nil if all weights are trained: a version is then a whole model, else an adapter.
  package var base: AdaptedBase?
  /// Under which the coordinator leads.
  package var term: Term

  package init(
    runID: String, seed: UInt64, dtype: String, modelConfiguration: String, latestPolicy: PolicyVersion,
    heartbeat: Instant.Span, tokenTexts: TokenTexts = .none, policies: String = "", base: AdaptedBase? = nil,
    term: Term = .first
  ) {
    self.runID = runID
    self.seed = seed
    self.dtype = dtype
    self.modelConfiguration = modelConfiguration
    self.latestPolicy = latestPolicy
    self.heartbeat = heartbeat
    self.tokenTexts = tokenTexts
    self.policies = policies
    self.base = base
    self.term = term
  }
}

package enum Message: Sendable, Equatable {
  // Both directions.
  /// Worker or learner → coordinator: the first message of a connection.
  case hello(Hello)
  case welcome(Welcome)
  /// The connection ends, and why. A refusal is final unless the reason says something else.
  case goodbye(reason: String)
  /// Coordinator → all: the run is complete; exit with status 0.
  case finished

  // Worker ↔ coordinator.
  /// Worker: I have room for this many more slots. They are added to the slots that I asked for before and that are not
  /// granted yet.
  case want(slots: UInt32)
  case lease(Lease)
  /// Worker: these are sampled. The worker keeps them until they are settled.
  case trajectories(LeaseID, [Trajectory])
  /// Coordinator: these slots are durable, from this worker or another; forget them.
  case settled([Slot])
  /// Coordinator: stop sampling this lease, because its slots are settled or it has expired.
  case revoke(LeaseID)
  /// Worker: I am alive. `tokens` is the number of tokens sampled since the start; if it grows, the worker makes
  /// progress. A learner sends 0, while it waits and after every micro-batch; so does a standby. If there are standbys,
  /// the coordinator sends 0 to all.
  case heartbeat(tokens: UInt64)

  // Weights.
  /// Coordinator → worker: this version exists.
  case offer(PolicyManifest)
  /// Coordinator → learner: send me bytes of the published version, from this offset.
  case requestBytes(PolicyVersion, offset: UInt64)
  /// Learner: bytes of the published version, in the order of the offsets.
  case policyBytes(PolicyVersion, offset: UInt64, bytes: [UInt8])
  /// Worker → coordinator: how can I get this version? I hold these versions.
  case requestBundle(PolicyVersion, holding: [PolicyVersion])
  /// Coordinator → worker: as this bundle. Ask that relay for its chunks, or me if the relay is empty. `depth` is the
  /// number of relays in the chain up to that one.
  case bundle(BundleManifest, from: String, depth: Int)
  /// Worker → coordinator or relay: send me this chunk of that version.
  case requestChunk(PolicyVersion, ChunkDigest)
  /// Coordinator or relay → worker: the chunk.
  case chunk(ChunkDigest, [UInt8])
  /// Coordinator or relay → worker: I do not have that version any more.
  case missing(PolicyVersion)
  /// Worker → coordinator: I have left this relay, because of this fault.
  case fault(String, PolicyVersion, RelayFault)
  /// Worker → coordinator: I can sample from this version now; to install it took this long. Only the
  /// display of a step's time depends on it.
  case installed(PolicyVersion, Instant.Span)

  // Learner ↔ coordinator.
  /// Learner: I hold this version's state and wait for the batch of the step that trains it.
  case ready(PolicyVersion)
  /// Coordinator: one part of a closed training round, in slot order.
  case batch(step: UInt32, part: UInt32, partCount: UInt32, [Trajectory])
  /// Learner: this version exists, and this is the report of the step that made it. `isAtHand`: its bytes are in a file
  /// of the coordinator's directory, if both are on one machine. Else they follow, unless the coordinator has them
  /// already.
  case publish(PolicyManifest, report: StepReport, isAtHand: Bool = false)
  /// Coordinator: that version and its report are durable.
  case published(PolicyVersion)

  // Standbys.
  /// Coordinator → all: who leads, or takes over, if I am silent for this long: the process at one of these addresses.
  case standbys([String], silence: Instant.Span)
  /// Standby: send me every commit after this position.
  case follow(FollowRequest)
  /// Coordinator: take these files and versions, then follow again.
  case snapshot(ReplicaSnapshot)
  /// Standby: send me bytes of this file of the snapshot, from this offset.
  case requestFile(index: UInt32, offset: UInt64)
  /// Coordinator: bytes of a file of the snapshot; none after its end.
  case fileBytes(index: UInt32, offset: UInt64, bytes: [UInt8])
  /// Coordinator: one part of a commit's changes. Every part has the commit's number and versions.
  case commit(LedgerCommit, part: UInt32, partCount: UInt32)
  /// Standby: all commits up to this number are on my disk.
  case committed(UInt64)
}

extension Message {
  /// A learner's answer to `requestBytes`: the bytes from `offset` on, as many as one message carries; none after the
  /// end.
  package static func piece(of bytes: [UInt8], _ version: PolicyVersion, at offset: UInt64) -> Message {
    let start = min(Int(clamping: offset), bytes.count)
    return .policyBytes(
      version, offset: offset, bytes: Array(bytes[start..<min(start + Limits.chunkBytes, bytes.count)]))
  }
}
