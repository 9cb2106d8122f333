// LearnerShell: one rank of the learner as a process.
//
// Rank 0 speaks to the coordinator through the machine (Fleet.Learner) and, when a batch has come, hands it to all
// ranks; then every rank, rank 0 included, runs `learn`, the same page of code that `improve` runs, on the same batch.
// The ranks meet in the sums of the gradient exchange and end with the same weights, which they check. Rank 0 alone
// reads and writes files: it gives the others the run (RunParcel) and the state to begin with, and writes checkpoints
// and publishes. MPI is called from this thread only; while ranks wait for a batch they sleep.

import Base
package import Collectives
import Fleet
import LanguageModel
package import Platform
import Records
package import Runs
import Settings
import TTRL
import Tensors
import Transport
import Wire

/// How to start a learner.
package struct LearnerOptions: Sendable {
  package var coordinator: HostPort
  /// nil is plain TCP. Rank 0's: the others do not speak to the coordinator.
  package var key: ClusterKey?
  package var threads: Int
  package var checkpointEvery: UInt32
  package var keepCheckpoints: Int

  package init(
    coordinator: HostPort, key: ClusterKey?, threads: Int, checkpointEvery: UInt32, keepCheckpoints: Int
  ) {
    self.coordinator = coordinator
    self.key = key
    self.threads = threads
    self.checkpointEvery = checkpointEvery
    self.keepCheckpoints = keepCheckpoints
  }
}

package final class LearnerShell {
  private let run: Run
  private let options: LearnerOptions
  private let ranks: any Collectives
  private let checkpoints: Checkpoints
  private var policy: LanguageModelPolicy
  /// What the steps up to the held version came to, per prompt.
  private var history: History
  private var report: String

  /// Loads the newest sound checkpoint. All ranks call it; rank 0 reads, the others are given what it read.
  ///
  /// - Throws: if rank 0 cannot read the model or the checkpoints, or MPI fails.
  package init(_ run: Run, _ options: LearnerOptions, _ ranks: any Collectives) throws {
    self.run = run
    self.options = options
    self.ranks = ranks
    checkpoints = Checkpoints(run)
    let state = try ranks.rank == 0 ? checkpoints.newest() : nil
    let shared = SharedState(run, ranks)
    let (beginning, reference) = try shared.exchange(state)
    report = beginning.report
    history = beginning.history
    policy = try LanguageModelPolicy(
      plan: TransformerPlan(run.model.configuration.model, type: run.settings.dtype),
      optimizer: beginning.optimizer, version: beginning.version, reference: reference,
      options: TrainerOptions(
        microBatchTokens: run.settings.microBatchTokens, isExact: run.settings.reduction == .exact,
        threads: options.threads, activationBytesMax: RunMemory.activationBytesMax(ranks: ranks.size)),
      seed: run.settings.method.seed, exchange: RankExchange(ranks),
      readAnswer: { [run] tokens, kind in run.answer(of: tokens, kind: kind) })
    Log.info("learner.ready", ["policy": beginning.version, "rank": ranks.rank, "ranks": ranks.size])
  }

  /// Trains until the run is finished.
  ///
  /// - Returns: the exit status.
  /// - Throws: whatever makes going on impossible; the launcher then ends the other ranks.
  package func serve() throws -> Int32 {
    guard ranks.rank == 0 else { return try follow() }
    let status = try LeadingRank(self, options, run).serve()
    try ranks.sendToAll([])
    return status
  }

  /// Ranks other than 0: train what rank 0 hands out, until it hands out nothing.
  private func follow() throws -> Int32 {
    while true {
      let bytes = try ranks.receiveFromRoot()
      guard !bytes.isEmpty else { return 0 }
      var decoder = FrameDecoder()
      decoder.append(bytes)
      var trajectories: [Trajectory] = []
      var trainedStep: UInt32 = 0
      while case .batch(let step, _, _, let part) = try decoder.next() {
        trainedStep = step
        trajectories += part
      }
      _ = try learn(step: trainedStep, from: trajectories)
    }
  }

  // MARK: A step

  private func learn(step: UInt32, from trajectories: [Trajectory]) throws -> (Lesson, [Group]) {
    let groups = groups(of: trajectories)
    let lesson = try TTRL.learn(
      &policy, step: step, from: groups, prompts: run.training.prompts, truth: run.training.truth,
      history: history, method: run.method)
    history.record(lesson.judgements)
    try Agreement.require(policy.optimizer.parameters.fingerprint, step: step, ranks)
    return (lesson, groups)
  }

  /// Trajectories in slot order, cut where the prompt changes.
  private func groups(of trajectories: [Trajectory]) -> [Group] {
    var groups: [Group] = []
    for trajectory in trajectories {
      if groups.last?.prompt == trajectory.slot.prompt {
        groups[groups.count - 1].trajectories.append(trajectory)
      } else {
        groups.append(Group(prompt: trajectory.slot.prompt, trajectories: [trajectory]))
      }
    }
    return groups
  }

  /// Rank 0's step: share the batch, learn, checkpoint.
  fileprivate func train(step: UInt32, on trajectories: [Trajectory]) throws -> (PolicyManifest, report: String) {
    let begun = MonotonicClock.now()
    var frames: [UInt8] = []
    for part in parts(of: trajectories) {
      frames += Frame.encode(.batch(step: step, part: 0, partCount: 1, part))
    }
    try ranks.sendToAll(frames)
    let (lesson, groups) = try learn(step: step, from: trajectories)
    let metrics = StepMetrics(
      step: step, lesson: lesson, groups: groups, truth: run.training.truth, method: run.method)
    let seconds = MonotonicClock.now().since(begun).seconds
    try keep(metrics, seconds: seconds)
    return (manifest, report)
  }

  private func keep(_ metrics: StepMetrics, seconds: Double) throws {
    let isLast = policy.version.number == run.method.steps
    let text = { (weights: String?) in
      StepRow.json(
        metrics, trainSeconds: seconds, weightsDigest: weights,
        stateDigest: weights.map { _ in Checkpoints.stateDigest(self.policy.optimizer) }
      ).text()
    }
    if isLast || policy.version.number % options.checkpointEvery == 0 {
      report = try checkpoints.write(
        policy.version, policy.optimizer, history, keep: options.keepCheckpoints, report: text)
    } else {
      report = text(nil)
    }
    Log.info(
      "learner.step",
      [
        "step": metrics.step, "policy": policy.version, "majority_ratio": metrics.majorityRatio,
        "updates": metrics.updates.count, "seconds": seconds,
      ])
  }

  // MARK: Publishing

  fileprivate var version: PolicyVersion { policy.version }

  /// The published bytes of the held version.
  fileprivate lazy var published: (version: PolicyVersion, bytes: [UInt8]) = publishedNow()

  private func publishedNow() -> (PolicyVersion, [UInt8]) {
    (policy.version, publishedBytes(of: policy.optimizer.parameters, layout: run.model.layout, type: run.weightType))
  }

  fileprivate var manifest: PolicyManifest {
    if published.version != policy.version { published = publishedNow() }
    return PolicyManifest(
      version: policy.version, byteCount: UInt64(published.bytes.count), digest: SHA256.digest(of: published.bytes))
  }

  fileprivate var publication: (manifest: PolicyManifest, report: String)? {
    policy.version.number == 0 ? nil : (manifest, report)
  }
}

/// Rank 0's side towards the coordinator.
private final class LeadingRank {
  private let shell: LearnerShell
  private let loop: EventLoop
  private let uplink: Uplink
  private var machine: Learner
  private var status: Int32?
  private var failure: (any Error)?

  init(_ shell: LearnerShell, _ options: LearnerOptions, _ run: Run) throws {
    self.shell = shell
    loop = try EventLoop()
    uplink = try Uplink(to: options.coordinator, key: options.key, loop: loop)
    let hello = Hello(
      role: .learner, name: "learner", arithmetic: Arithmetic.description, processID: ThisProcess.id,
      threads: UInt16(options.threads))
    machine = Learner(hello: hello, held: shell.version, publication: shell.publication)
  }

  func serve() throws -> Int32 {
    uplink.onConnect = { self.handle(.connected) }
    uplink.onMessage = { self.handle(.received($0)) }
    uplink.onDisconnect = { reason in
      Log.info("learner.disconnected", ["reason": reason])
      self.handle(.disconnected)
    }
    uplink.onRefused = { refused in
      self.failure = refused
      self.loop.stop()
    }
    uplink.connect(after: .zero)
    while status == nil, failure == nil { loop.run() }
    uplink.finish()
    if let failure { throw failure }
    return status ?? 1
  }

  private func handle(_ event: LearnerEvent) {
    guard status == nil, failure == nil else { return }
    for effect in machine.receive(event, now: MonotonicClock.now()) { perform(effect) }
  }

  private func perform(_ effect: LearnerEffect) {
    switch effect {
    case .connect(let pause): uplink.connect(after: pause)
    case .send(let message): uplink.send(message)
    case .disconnect: uplink.disconnect("the coordinator broke the protocol")
    case .sendPolicy(let version, let offset):
      let bytes = shell.published.bytes
      let start = min(Int(offset), bytes.count)
      let end = min(start + Limits.chunkBytes, bytes.count)
      uplink.send(.chunk(version, offset: offset, bytes: Array(bytes[start..<end])))
    case .train(let step, let trajectories):
      // On a later turn: the effects that follow this one come first.
      loop.soon { self.train(step, trajectories) }
    case .exit(0, let reason):
      Log.info("learner.done", ["reason": reason])
      status = 0
      loop.stop()
    case .exit(_, let reason):
      failure = LearnerError.cannotGoOn(reason)
      loop.stop()
    }
  }

  private func train(_ step: UInt32, _ trajectories: [Trajectory]) {
    do {
      let (manifest, report) = try shell.train(step: step, on: trajectories)
      handle(.trained(manifest, report: report))
    } catch {
      failure = error
      loop.stop()
    }
  }
}

/// Why a learner cannot go on, where it is not the model's, a file's or MPI's fault.
private enum LearnerError: Error, CustomStringConvertible {
  /// The machine's reason.
  case cannotGoOn(String)

  var description: String {
    switch self {
    case .cannotGoOn(let reason): reason
    }
  }
}

/// The trainer's exchange over the ranks' collectives.
private struct RankExchange: GradientExchange {
  private let ranks: any Collectives

  init(_ ranks: any Collectives) { self.ranks = ranks }

  var rank: Int { ranks.rank }
  var size: Int { ranks.size }
  func sum(_ values: UnsafeMutableBufferPointer<Int64>) throws { try ranks.sum(values) }
  func sum(_ values: UnsafeMutableBufferPointer<Float>) throws { try ranks.sum(values) }
  func maximum(_ value: Float) throws -> Float { Float(try ranks.max([Double(value)])[0]) }
}
