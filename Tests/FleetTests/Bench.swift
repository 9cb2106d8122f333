// Bench: a coordinator, worker or learner on its own, with a test that says what happens.
//
// The tests of this target state one claim each about one machine. How machines behave together, under every fault, is
// the simulator's business (SimulationTests).

import Base
import Fleet
import Records
import Testing

/// Two prompts of four samples each, one training step, then an evaluation of what came of it.
enum Small {
  static let sampling = Sampling(temperature: 1, maxNewTokens: 3, stopTokens: [9])

  static func plan(steps: UInt32 = 1, samples: UInt32 = 4, staleness: UInt32 = 0) -> [RoundSpec] {
    (0..<steps).map { step in
      RoundSpec(
        id: .train(step: step), policy: PolicyVersion(step - min(step, staleness)), prompts: [0, 1], samples: samples,
        sampling: sampling)
    }
      + [
        RoundSpec(
          id: .evaluate(.training, at: PolicyVersion(steps)), prompts: [0], samples: 2, sampling: sampling)
      ]
  }

  static func hello(_ role: Role, _ name: String = "ada") -> Hello {
    Hello(role: role, name: name, arithmetic: "test", processID: 7, threads: 1)
  }

  static func welcome(run: String = "run", latest: UInt32 = 0) -> Welcome {
    Welcome(
      runID: run, seed: 1, dtype: "float32", modelConfiguration: "{}", latestPolicy: PolicyVersion(latest),
      heartbeat: .seconds(2))
  }

  static func manifest(_ version: UInt32, bytes: UInt64 = 4, digest: UInt8 = 0) -> PolicyManifest {
    PolicyManifest(version: PolicyVersion(version), byteCount: bytes, digest: [digest, UInt8(version)])
  }

  /// Of the step that made a version.
  static func report(_ version: UInt32) -> StepReport {
    StepReport(step: version - 1, prompts: [PromptReport(prompt: version)])
  }

  /// A chunk is its own digest.
  @Sendable static func digest(_ bytes: [UInt8]) -> ChunkDigest { ChunkDigest(bytes) }

  /// Two chunks of a version, as an anchor or a delta, that no other bundle has.
  static func chunks(_ version: UInt32, base: UInt32? = nil) -> [[UInt8]] {
    [[UInt8(version), base == nil ? 1 : 3], [UInt8(version), base == nil ? 2 : 4]]
  }

  static func bundle(_ version: UInt32, base: UInt32? = nil) -> BundleManifest {
    BundleManifest(
      policy: manifest(version), base: base.map { PolicyVersion($0) }, wordBytes: 2, blockBytes: 2,
      chunks: chunks(version, base: base).map { PackedChunk(digest: digest($0), byteCount: $0.count) })
  }

  static func trajectory(
    step: UInt32 = 0, prompt: UInt32 = 0, sample: UInt32, tokens: [Int32] = [1, 9], policy: UInt32? = nil
  ) -> Trajectory {
    Trajectory(
      slot: Slot(round: .train(step: step), prompt: prompt, sample: sample), policy: PolicyVersion(policy ?? step),
      tokens: tokens, logprobs: tokens.map { _ in -1 }, entropySum: 1, finish: .stop)
  }

  static func lease(_ id: UInt64, step: UInt32 = 0, samples: Range<UInt32> = 0..<4) -> Lease {
    Lease(
      id: LeaseID(id), round: .train(step: step), policy: PolicyVersion(step), sampling: sampling,
      prompts: [LeasedPrompt(prompt: 0, tokens: [5], samples: Array(samples))])
  }
}

/// A coordinator, its clock and what it has been told to do last.
struct CoordinatorBench {
  var coordinator: Coordinator
  var now = Instant.zero

  init(plan: [RoundSpec] = Small.plan(), memory: CoordinatorMemory? = nil) {
    coordinator = Coordinator(
      plan: plan, prompts: PromptTokens(training: [[5], [6]]), welcome: Small.welcome(),
      memory: memory ?? CoordinatorMemory(policies: [Small.manifest(0)]))
  }

  mutating func on(_ event: CoordinatorEvent) -> [CoordinatorEffect] { coordinator.receive(event, now: now) }

  mutating func say(_ message: Message, from id: UInt64) -> [CoordinatorEffect] {
    on(.received(message, from: PeerID(id)))
  }

  /// A peer connects and introduces itself.
  mutating func join(_ id: UInt64, _ role: Role = .worker, name: String = "ada") -> [CoordinatorEffect] {
    _ = on(.connected(PeerID(id)))
    return say(.hello(Small.hello(role, name)), from: id)
  }

  /// A worker joins and takes all it can get.
  mutating func lease(to id: UInt64, slots: UInt32 = 64) -> [Lease] {
    _ = join(id)
    return leases(in: say(.want(slots: slots), from: id))
  }

  /// A worker delivers a lease in full.
  mutating func deliver(_ lease: Lease, from id: UInt64) -> [CoordinatorEffect] {
    say(.trajectories(lease.id, lease.slots.map { Self.trajectory($0, of: lease.policy) }), from: id)
  }

  static func trajectory(_ slot: Slot) -> Trajectory { trajectory(slot, of: PolicyVersion(slot.round.step)) }

  static func trajectory(_ slot: Slot, of policy: PolicyVersion) -> Trajectory {
    Trajectory(
      slot: slot, policy: policy, tokens: [1, 9], logprobs: [-1, -1], entropySum: 1, finish: .stop)
  }

  /// A learner sends all four bytes of a version that was announced, and the shell finds them intact or not.
  mutating func transfer(_ manifest: PolicyManifest, from id: UInt64, isIntact: Bool = true) -> [CoordinatorEffect] {
    _ = say(.policyBytes(manifest.version, offset: 0, bytes: [0, 0, 0, 0]), from: id)
    return on(.sealed(manifest, isIntact: isIntact, from: PeerID(id)))
  }
}

func leases(in effects: [CoordinatorEffect]) -> [Lease] {
  effects.compactMap { if case .send(.lease(let lease), _) = $0 { lease } else { nil } }
}

/// The messages sent to one peer, in order.
func messages(to id: UInt64, in effects: [CoordinatorEffect]) -> [Message] {
  effects.compactMap { effect in
    if case .send(let message, let peer) = effect, peer == PeerID(id) { message } else { nil }
  }
}

func refusals(in effects: [CoordinatorEffect]) -> [Refusal] {
  effects.compactMap { if case .note(.refused(_, let refusal, _)) = $0 { refusal } else { nil } }
}

/// Why peers were refused, in order.
func dismissals(of id: UInt64, in effects: [CoordinatorEffect]) -> [Dismissal] {
  effects.compactMap { effect in
    if case .dismiss(PeerID(id), let reason) = effect { reason } else { nil }
  }
}

extension Lease {
  var slots: [Slot] {
    prompts.flatMap { prompt in prompt.samples.map { Slot(round: round, prompt: prompt.prompt, sample: $0) } }
  }
}
