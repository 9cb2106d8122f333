// LearnerShell: the learner as a process: rank 0's loop, around the machine (Fleet.Learner).
//
// Rank 0 communicates with the coordinator through the machine. When a batch has arrived, rank 0 sends it to all ranks
// (RankCommand) and trains on it as they do (LearnerRank). It publishes each version. Another thread writes the
// checkpoints. For a checkpoint, rank 0 collects the other ranks' shards between its other work. A version is published
// without waiting for its checkpoint, except the last version.

import Base
import Fleet
import LanguageModel
import Platform
import Records
import Runs
import TTRL
import Tensors
import Transport

package final class LearnerShell {
  private let rank: LearnerRank
  private let run: Run
  private let checkpoint: CheckpointInProgress
  private let loop: EventLoop
  private let uplink: Uplink
  private var keys: ClusterKeys?
  /// nil is plain TCP.
  private let context: TLSContext?
  private var machine: Learner
  /// The published bytes of the held version, in a file. They are empty for version 0, which the coordinator has.
  private var published: (bytes: HeldBytes, digest: [UInt8]) = (.array([]), [])
  /// The batch to train next. Training runs on this thread, after the loop has returned.
  private var batch: (step: UInt32, trajectories: [Trajectory])?
  private var status: Int32?
  private var failure: (any Error)?

  private static let tickInterval = Instant.Span.seconds(1)

  /// - Throws: if the process has no descriptor left for the loop, or the key cannot be used.
  package init(_ rank: LearnerRank, _ options: LearnerOptions) throws {
    self.rank = rank
    run = rank.run
    checkpoint = CheckpointInProgress(run, every: options.checkpointEvery, keep: options.keepCheckpoints)
    loop = try EventLoop()
    keys = options.keys
    context = if let keys { try TLSContext(keys.ring) } else { nil }
    uplink = Uplink(to: options.coordinators[0], context: context, loop: loop)
    let hello = Hello(
      role: .learner, name: "learner", arithmetic: Arithmetic.description, processID: ThisProcess.id,
      threads: UInt16(options.threads))
    let version = rank.policy.version
    if version.number > 0 { published = try Self.inUnnamedFile(rank) }
    let manifest = Self.manifest(version, published)
    machine = Learner(
      hello: hello, coordinators: options.coordinators.map { "\($0)" }, held: version,
      publication: rank.reportOfCheckpoint.map { (manifest, $0) })
  }

  /// Trains until the run is finished.
  ///
  /// - Returns: the exit status.
  /// - Throws: any error after which the run cannot continue; the launcher then ends the other ranks.
  package func serve() throws -> Int32 {
    let status = try runLoop()
    try collectAll()
    _ = try checkpoint.awaitEnd()
    try rank.ranks.sendToAll(RankCommand.end.bytes)
    rank.noteMemory()
    return status
  }

  // MARK: The coordinator

  private func runLoop() throws -> Int32 {
    let ended = try loop.inbox { (_: Void) in
      self.guarding { if self.checkpoint.isEnded { _ = try self.checkpoint.awaitEnd() } }
    }
    checkpoint.onEnd = { ended.post(()) }
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
    // The loop handles the connection between micro-batches, so that the coordinator gets heartbeats.
    rank.onMicroBatch = { _ = self.loop.run(until: MonotonicClock.now()) }
    rank.willChange = { try self.checkpoint.awaitRead() }
    tick()
    while status == nil, failure == nil {
      loop.run()
      if let (step, trajectories) = batch {
        batch = nil
        guarding { try self.train(step, trajectories) }
      }
    }
    uplink.finish()
    if let failure { throw failure }
    return status ?? 1
  }

  private func tick() {
    if keys?.renew(context, role: "learner") == true { uplink.renewKey() }
    handle(.tick)
    loop.schedule(at: MonotonicClock.now() + Self.tickInterval) { self.tick() }
  }

  private func handle(_ event: LearnerEvent) {
    guard status == nil, failure == nil else { return }
    for effect in machine.receive(event, now: MonotonicClock.now()) { perform(effect) }
  }

  private func perform(_ effect: LearnerEffect) {
    switch effect {
    case .connect(let next): uplink.connect(to: next.address, after: next.pause, within: next.deadline)
    case .send(let message): uplink.send(message)
    case .disconnect: uplink.disconnect("the coordinator is silent, has a lower term, or broke the protocol")
    case .sendPolicy(let version, let offset):
      let range = Int(offset)..<min(Int(offset) + Limits.chunkBytes, published.bytes.count)
      uplink.send(.policyBytes(version, offset: offset, bytes: published.bytes.withPiece(range) { Array($0) }))
    case .train(let step, let trajectories):
      // Training starts later: the effects that follow this one come first.
      batch = (step, trajectories)
      loop.stop()
    case .exit(let departure):
      if departure.isSuccess {
        Log.info("learner.done", ["reason": departure])
        status = 0
      } else {
        if case .ahead(_, let latest) = departure { guarding { try self.setBack(to: latest) } }
        failure = failure ?? LearnerError.cannotGoOn(departure)
      }
      loop.stop()
    }
  }

  private func guarding(_ work: () throws -> Void) {
    do {
      try work()
    } catch {
      failure = error
      loop.stop()
    }
  }

  // MARK: A step

  private func train(_ step: UInt32, _ trajectories: [Trajectory]) throws {
    rank.beginStep()
    // Collect the shards before training changes them.
    rank.begin(.checkpointSeconds)
    try collectAll()
    let begun = MonotonicClock.now()
    rank.begin(.voteSeconds)
    try rank.ranks.sendToAll(RankCommand.train(step: step, trajectories).bytes)
    let (lesson, groups) = try rank.learn(step: step, from: trajectories)
    let metrics = StepMetrics(
      step: step, lesson: lesson, groups: groups, truth: run.training.truth, method: run.method)
    let seconds = MonotonicClock.now().since(begun).seconds
    rank.begin(.publishSeconds)
    // Free the last version's bytes first: the disk may not have room for more.
    published = (.array([]), [])
    // The coordinator takes over a file of its own machine, so that nothing is sent and one copy serves all processes.
    let isAtHand = uplink.isLocal && Files.isDirectory(run.directory.policies)
    published = isAtHand ? try inFile() : try Self.inUnnamedFile(rank)
    rank.begin(.checkpointSeconds)
    var report = try beginCheckpoint(for: StepReport(metrics, trainSeconds: seconds))
    rank.begin(.publishSeconds)
    rank.addTimes(to: &report)
    Log.info(
      "learner.step",
      [
        "step": step, "policy": rank.policy.version,
        metrics.isGiven ? "loss" : "majority_ratio": metrics.isGiven ? metrics.loss : metrics.majorityRatio,
        "updates": metrics.updates.count, "seconds": seconds, "checkpoint_stall": checkpoint.takeStall().seconds,
      ])
    noteCritic(step, metrics)
    handle(.trained(Self.manifest(rank.policy.version, published), report: report, isAtHand: isAtHand))
    loop.soon { self.collectNext() }
  }

  /// Logs how the critic's updates went.
  private func noteCritic(_ step: UInt32, _ metrics: StepMetrics) {
    let reports = metrics.criticUpdates
    guard !reports.isEmpty else { return }
    Log.info(
      "learner.critic",
      [
        "step": step, "loss": metrics.criticLoss ?? 0, "clip_ratio": metrics.criticClippedShare ?? 0,
        "gradient_norm": metrics.criticGradientNorm ?? 0, "skipped_updates": reports.count { $0.isSkipped },
      ])
  }

  /// For chunks that are sent. A file, because the kernel can take its pages out of memory.
  private static func inUnnamedFile(_ rank: LearnerRank) throws -> (bytes: HeldBytes, digest: [UInt8]) {
    var digest: [UInt8] = []
    let file = try MappedFile.withoutName(in: rank.run.directory.path) { file in
      digest = try publish(rank) { try file.write($0) }
    }
    return (.file(file), digest)
  }

  private func inFile() throws -> (bytes: HeldBytes, digest: [UInt8]) {
    let file = try AtomicFile(run.directory.handedOver, over: run.directory.sparePolicy)
    let digest = try Self.publish(rank) { try file.write($0) }
    // The coordinator makes the file durable.
    file.startSync()
    try file.takeName()
    return (.file(try MappedFile(run.directory.handedOver, isLocked: true)), digest)
  }

  /// Calls `body` with the bytes of the held version, piece by piece, while another thread computes their digest.
  private static func publish(_ rank: LearnerRank, _ body: ([UInt8]) throws -> Void) throws -> [UInt8] {
    let digest = try BackgroundDigest()
    try forEachPublishedPiece(of: rank.policy.weights, layout: rank.run.trained, type: rank.run.weightType) { bytes in
      digest.update(bytes)
      try body(bytes)
    }
    return digest.digest()
  }

  private static func manifest(
    _ version: PolicyVersion, _ published: (bytes: HeldBytes, digest: [UInt8])
  ) -> PolicyManifest {
    PolicyManifest(version: version, byteCount: UInt64(published.bytes.count), digest: published.digest)
  }

  // MARK: Checkpoints

  /// Begins a checkpoint if one is due.
  ///
  /// - Returns: the report; the last step's report has digests.
  private func beginCheckpoint(for report: StepReport) throws -> StepReport {
    let policy = rank.policy
    let isLast = policy.version.number == run.method.steps
    guard try isLast || checkpoint.isDue(policy.version) else { return report }
    let models = zip([StateFile.policyName, StateFile.criticName], policy.optimizers).enumerated().map { index, model in
      CheckpointContent.Model(
        file: model.0, parameters: index == 0 ? run.trained.count : run.critic?.trained.count ?? 0, step: model.1.step)
    }
    let content = CheckpointContent(
      version: policy.version, models: models, published: published.bytes,
      history: rank.history.json.text(), isLast: isLast, report: report)
    let arrays = policy.optimizers.flatMap { [$0.parameters, $0.firstMoment, $0.secondMoment] }
    let isAlone = rank.ranks.size == 1
    try checkpoint.begin(content, arrays: isAlone ? arrays : nil, pieces: isAlone ? 0 : rank.shared.pieceCount)
    guard isLast else { return report }
    // The result has to be durable before the coordinator is told about it.
    try collectAll()
    return try checkpoint.awaitEnd() ?? report
  }

  /// Removes the checkpoints that the coordinator cannot use, so that the next start begins with an older one.
  private func setBack(to latest: PolicyVersion) throws {
    try collectAll()
    _ = try checkpoint.awaitEnd()
    try Checkpoints(run).removeNewer(than: latest.next)
  }

  /// Collects the checkpoint's next piece. All ranks take part.
  private func collect() throws {
    guard let piece = checkpoint.nextPiece else { return }
    let room = try checkpoint.room()
    try rank.ranks.sendToAll(RankCommand.gather(piece: UInt64(piece)).bytes)
    checkpoint.hand(room, count: try rank.gather(piece: piece, into: room))
  }

  private func collectAll() throws {
    try checkpoint.stalling { while checkpoint.nextPiece != nil { try collect() } }
  }

  /// Collects one piece per turn of the loop, so that the coordinator's requests are answered in between.
  private func collectNext() {
    guard checkpoint.nextPiece != nil, failure == nil else { return }
    guarding { if checkpoint.hasRoom { try collect() } }
    let pause: Instant.Span = checkpoint.hasRoom ? .zero : .milliseconds(2)
    loop.schedule(at: MonotonicClock.now() + pause) { self.collectNext() }
  }
}
