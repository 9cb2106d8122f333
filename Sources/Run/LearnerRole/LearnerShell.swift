// LearnerShell: one rank of the learner as a process.
//
// Rank 0 speaks to the coordinator through the machine (Fleet.Learner) and, when a batch has come, hands it to all
// ranks; then every rank, rank 0 included, runs `learn`, the same page of code that `improve` runs, on the same batch.
// The ranks meet in the sums of the gradient exchange and end with the same weights, which they check. Rank 0 alone
// reads and writes files: it gives the others the run (RunParcel) and the state to begin with, publishes, and writes
// checkpoints, on another thread, for which it collects the others' shards between its other work. A version is
// published without waiting for its checkpoint, unless it is the last. MPI is called from this thread only; while ranks
// wait for a batch they sleep.

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
  private let shared: SharedState
  private let saving: CheckpointInProgress
  private var policy: LanguageModelPolicy
  /// What the steps up to the held version came to, per prompt.
  private var history: History
  /// Of the step that made the held version; rank 0's.
  private var report: StepReport?
  private let watchdog: Watchdog
  /// Called after every micro-batch.
  fileprivate var onMicroBatch: () -> Void = {}

  /// Loads the newest sound checkpoint. All ranks call it; rank 0 reads, the others are given what it read.
  ///
  /// - Throws: if rank 0 cannot read the model or the checkpoints, or MPI fails.
  package init(_ run: Run, _ options: LearnerOptions, _ ranks: any Collectives) throws {
    self.run = run
    self.options = options
    self.ranks = ranks
    shared = SharedState(run, ranks)
    let saving = CheckpointInProgress(run, keep: options.keepCheckpoints)
    self.saving = saving
    let saved = try ranks.rank == 0 ? Checkpoints(run).newest() : nil
    let beginning = try shared.exchange(saved)
    report = saved?.report
    history = beginning.history
    policy = try LanguageModelPolicy(
      plan: TransformerPlan(run.model.configuration.model, type: run.settings.dtype),
      optimizer: beginning.optimizer, weights: beginning.weights, version: beginning.version,
      reference: beginning.reference,
      options: TrainerOptions(
        microBatchTokens: run.settings.microBatchTokens, isExact: run.settings.reduction == .exact,
        threads: options.threads, activationBytesMax: RunMemory.activationBytesMax(ranks: ranks.size)),
      seed: run.settings.method.seed, exchange: RankExchange(ranks), willChange: { try saving.awaitRead() },
      readAnswer: { [run] tokens, kind in run.answer(of: tokens, kind: kind) })
    watchdog = try Watchdog(patience: Int(Limits.training.seconds))
    policy.onMicroBatch = { [unowned self] in
      self.watchdog.wake()
      self.onMicroBatch()
    }
    if ranks.rank == 0, policy.version.number > 0 { published = publishedNow() }
    Log.info("learner.ready", ["policy": beginning.version, "rank": ranks.rank, "ranks": ranks.size])
  }

  /// Trains until the run is finished.
  ///
  /// - Returns: the exit status.
  /// - Throws: whatever makes going on impossible; the launcher then ends the other ranks.
  package func serve() throws -> Int32 {
    guard ranks.rank == 0 else { return try follow() }
    let status = try LeadingRank(self, options, run).serve()
    try collectAll()
    _ = try saving.awaitEnd()
    try ranks.sendToAll([])
    noteMemory()
    return status
  }

  /// Ranks other than 0: train what rank 0 hands out, until it hands out nothing.
  private func follow() throws -> Int32 {
    let room = Floats(count: min(Shards.bucketElements, run.model.layout.count))
    while true {
      let bytes = try ranks.receiveFromRoot()
      guard !bytes.isEmpty else {
        noteMemory()
        return 0
      }
      if let piece = RankCommand.piece(bytes) {
        _ = try shared.gather(piece: piece, of: policy.optimizer, into: room)
        continue
      }
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
    watchdog.wake()
    defer { watchdog.rest() }
    let groups = groups(of: trajectories)
    let lesson = try TTRL.learn(
      &policy, step: step, from: groups, prompts: run.training.prompts, truth: run.training.truth,
      history: history, method: run.method)
    history.record(lesson.judgements)
    try Agreement.require(policy.weights.fingerprint, step: step, ranks)
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
  fileprivate func train(step: UInt32, on trajectories: [Trajectory]) throws -> (PolicyManifest, report: StepReport) {
    // The others' shards as the checkpoint is to have them, while they are that.
    try collectAll()
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
    let report = try keep(StepReport(metrics, trainSeconds: seconds))
    Log.info(
      "learner.step",
      [
        "step": metrics.step, "policy": policy.version, "majority_ratio": metrics.majorityRatio,
        "updates": metrics.updates.count, "seconds": seconds, "checkpoint_stall": saving.takeStall().seconds,
      ])
    return (manifest, report)
  }

  /// Begins a checkpoint, if it is time for one.
  ///
  /// - Returns: the report, of the last step with digests.
  private func keep(_ measured: StepReport) throws -> StepReport {
    let isLast = policy.version.number == run.method.steps
    var report = measured
    published = publishedNow()
    if isLast || policy.version.number % options.checkpointEvery == 0 {
      let content = CheckpointContent(
        version: policy.version, step: policy.optimizer.step, published: published.bytes, history: history.json.text(),
        isLast: isLast, report: report)
      let optimizer = policy.optimizer
      let arrays = [optimizer.parameters, optimizer.firstMoment, optimizer.secondMoment]
      try saving.begin(content, arrays: ranks.size == 1 ? arrays : nil, pieces: ranks.size == 1 ? 0 : shared.pieceCount)
    }
    if isLast {
      // What the run came to has to be durable before anybody hears of it.
      try collectAll()
      report = try saving.awaitEnd() ?? report
    }
    self.report = report
    return report
  }

  // MARK: Shards on their way to a checkpoint

  /// Whether shards are still to be collected.
  fileprivate var isCollecting: Bool { saving.nextPiece != nil }

  /// Whether the next piece can be collected without waiting.
  fileprivate var canCollect: Bool { saving.hasRoom }

  /// Rank 0: collects the next piece, with all ranks.
  fileprivate func collect() throws {
    guard let piece = saving.nextPiece else { return }
    let room = try saving.room()
    try ranks.sendToAll(RankCommand.piece(piece))
    saving.hand(room, count: try shared.gather(piece: piece, of: policy.optimizer, into: room))
  }

  private func collectAll() throws {
    try saving.stalling { while isCollecting { try collect() } }
  }

  /// - Parameter onEnd: called on another thread when a checkpoint is complete, or cannot be.
  fileprivate func onCheckpoint(_ onEnd: @escaping @Sendable () -> Void) { saving.onEnd = onEnd }

  /// Throws what kept a checkpoint from being written.
  fileprivate func checkCheckpoint() throws { if saving.isEnded { _ = try saving.awaitEnd() } }

  /// What the rank has held at most, beside what was planned for it.
  private func noteMemory() {
    let plan = RunMemory.learner(
      run.settings, model: run.model.configuration.model, rank: ranks.rank, of: ranks.size)
    Log.info(
      "learner.memory",
      [
        "rank": ranks.rank, "ranks": ranks.size, "peak_bytes": Machine.peakResidentBytes, "planned_bytes": plan.bytes,
      ])
  }

  // MARK: Publishing

  fileprivate var version: PolicyVersion { policy.version }

  /// The published bytes of the held version, on rank 0; none of version 0, which nobody asks it for.
  fileprivate private(set) var published: (version: PolicyVersion, bytes: [UInt8], digest: [UInt8]) =
    (PolicyVersion(0), [], [])

  private func publishedNow() -> (PolicyVersion, [UInt8], digest: [UInt8]) {
    // The last version's first: two need not fit.
    published.bytes = []
    let bytes = publishedBytes(of: policy.weights, layout: run.model.layout, type: run.weightType)
    return (policy.version, bytes, SHA256.digest(of: bytes))
  }

  fileprivate var manifest: PolicyManifest {
    PolicyManifest(
      version: policy.version, byteCount: UInt64(published.bytes.count), digest: published.digest)
  }

  fileprivate var publication: (manifest: PolicyManifest, report: StepReport)? { report.map { (manifest, $0) } }
}

/// Rank 0's side towards the coordinator.
private final class LeadingRank {
  private let shell: LearnerShell
  private let loop: EventLoop
  private let uplink: Uplink
  private var machine: Learner
  private var status: Int32?
  private var failure: (any Error)?
  /// What to train next: on this thread, when the loop has returned.
  private var batch: (step: UInt32, trajectories: [Trajectory])?

  private static let tickInterval = Instant.Span.seconds(1)

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
    let ended = try loop.inbox { (_: Void) in self.guarding { try self.shell.checkCheckpoint() } }
    shell.onCheckpoint { ended.post(()) }
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
    // Between micro-batches it looks after its connection, so that the coordinator hears from it.
    shell.onMicroBatch = { _ = self.loop.run(until: MonotonicClock.now()) }
    tick()
    while status == nil, failure == nil {
      loop.run()
      if let (step, trajectories) = batch {
        batch = nil
        train(step, trajectories)
      }
    }
    uplink.finish()
    if let failure { throw failure }
    return status ?? 1
  }

  private func tick() {
    handle(.tick)
    loop.schedule(at: MonotonicClock.now() + Self.tickInterval) { self.tick() }
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
      uplink.send(.piece(of: shell.published.bytes, version, at: offset))
    case .train(let step, let trajectories):
      // Not from here: the effects that follow this one come first.
      batch = (step, trajectories)
      loop.stop()
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
    guarding {
      let (manifest, report) = try shell.train(step: step, on: trajectories)
      handle(.trained(manifest, report: report))
      loop.soon { self.collect() }
    }
  }

  /// A piece per turn, so that the coordinator's questions are answered in between.
  private func collect() {
    guard shell.isCollecting, failure == nil else { return }
    guarding { if shell.canCollect { try shell.collect() } }
    let pause: Instant.Span = shell.canCollect ? .zero : .milliseconds(2)
    loop.schedule(at: MonotonicClock.now() + pause) { self.collect() }
  }

  private func guarding(_ work: () throws -> Void) {
    do {
      try work()
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
