// QuietFleet: the system on one page. READ THIS SECOND, after Improve.swift.
//
// Three state machines run a training run: the coordinator splits the questions into leases and collects trajectories,
// a worker samples them, the learner trains on a step's batch. They are the very structs of the program. Each takes
// events and returns effects, in the order in which the effects must happen; it reads no clock and holds no weights.
// Whatever runs a machine is its shell. This file is a shell for all three at once, in a world where nothing fails and
// every effect is done immediately. So it shows what there is to do, and one round's life:
//
//   1. The coordinator opens a round when the version that samples it exists, and grants leases.   .send(.lease)
//   2. The worker fetches the version as a bundle of chunks, samples the lease, delivers.          .sample
//   3. Durable, then acknowledged: `store` comes before `send(.settled)`.                          .store
//      If there is a reward command, it is asked about a prompt's responses; its verdicts are stored.  .judge
//   4. A slot settles once. When the last one is settled, the round closes.                        .closeRound
//      A round of given responses is settled when it opens, and closes without any worker.
//   5. The learner gets the batch, trains, and publishes the next version.                         .train
//   6. The version is verified and made durable with the step's report, and the next round opens.  .sealPolicy
//
// The real shells do the same with sockets, SQLite, files, threads and MPI (CoordinatorRole, WorkerRole, LearnerRole).
// The simulator does it while processes die, packets are lost and disks lie (SimulatedCoordinator, SimulatedWorker and
// SimulatedLearner in this folder). All of them must end with the bits of `improve`: that is what fault tolerance means
// here.
// Not here: several workers, which also relay chunks to each other (BundleBook, BundleFetcher), failures, and a standby
// that has a copy of everything and takes over (Replication, Standby).

package import Base
import Bundles
import Fleet
package import Records
import TTRL

package struct QuietFleet {
  /// An event for one of the machines.
  private enum Mail {
    case coordinator(CoordinatorEvent)
    case worker(WorkerEvent)
    case learner(LearnerEvent)
  }

  private static let workerID = PeerID(1)
  private static let learnerID = PeerID(2)

  private let scenario: Scenario
  private var coordinator: Coordinator
  private var worker: Worker
  private var learner: Learner
  private var mail: [Mail]

  /// The coordinator's disk: trajectories by slot, slots that a vote did not need, the bytes of the kept versions.
  package private(set) var trajectories = SortedMap<Slot, Trajectory>()
  private var unneeded = SortedMap<Slot, Bool>()
  private var versions = SortedMap<PolicyVersion, [UInt8]>()
  /// The version that the learner is sending.
  private var incoming: [UInt8] = []
  /// Counts the answers of durable trajectories, where a vote can be decided early.
  private var votes: VoteBook
  /// The coordinator's chunks, and the worker's; the versions that the worker can sample with.
  private var offered = SortedMap<ChunkDigest, [UInt8]>()
  private var received = SortedMap<ChunkDigest, [UInt8]>()
  private var installed = SortedMap<PolicyVersion, [UInt8]>()
  /// What the next delta refers to.
  private var newest: (version: PolicyVersion, bytes: [UInt8])?
  /// The learner's policy, with its optimizer, and the labels of earlier steps.
  package private(set) var policy: ToyPolicy
  private var history = History()
  package private(set) var isFinished = false

  package init(_ scenario: Scenario) {
    self.scenario = scenario
    policy = scenario.initialPolicy
    let first = manifest(of: policy.published, version: PolicyVersion(0))
    votes = VoteBook(method: scenario.method)
    coordinator = Coordinator(
      plan: scenario.plan,
      prompts: PromptTokens(training: scenario.prompts.map(\.tokens), heldOut: scenario.heldOut.map(\.tokens)),
      welcome: Welcome(
        runID: "quiet", seed: scenario.seed, dtype: "float32", modelConfiguration: "{}", latestPolicy: first.version,
        heartbeat: Limits.heartbeat),
      memory: CoordinatorMemory(policies: [first], course: scenario.course(at: first.version)))
    func hello(_ role: Role) -> Hello {
      Hello(role: role, name: "\(role)", arithmetic: "toy", processID: 1, threads: 1)
    }
    worker = Worker(hello: hello(.worker), capacity: 8, digest: chunkDigest)
    learner = Learner(hello: hello(.learner), held: first.version, publication: nil)
    mail = [
      .coordinator(.connected(Self.workerID)), .worker(.connected),
      .coordinator(.connected(Self.learnerID)), .learner(.connected),
    ]
    versions[first.version] = policy.published
  }

  /// Runs the whole run.
  ///
  /// - Throws: `QuietFleetError` if a machine asks for what cannot happen in this world.
  package mutating func run() throws {
    // A queue keeps the order; nothing ever waits, so no time passes.
    var next = 0
    while next < mail.count {
      switch mail[next] {
      case .coordinator(let event): for effect in coordinator.receive(event, now: .zero) { try perform(effect) }
      case .worker(let event): for effect in worker.receive(event, now: .zero) { try perform(effect) }
      case .learner(let event): for effect in learner.receive(event, now: .zero) { try perform(effect) }
      }
      next += 1
    }
  }

  // MARK: The coordinator's shell

  private mutating func perform(_ effect: CoordinatorEffect) throws {
    switch effect {
    case .send(let message, let peer): deliver(message, to: peer)
    case .store(let trajectories, worker: _, lease: _):
      for trajectory in trajectories { self.trajectories[trajectory.slot] = trajectory }
      for trajectory in trajectories { count(trajectory) }
    case .judge(let slots):
      let verdicts = slots.map { SlotVerdict($0, scenario.verdict(of: $0, isDurable: false)) }
      mail.append(.coordinator(.judged(verdicts)))
    case .storeVerdicts(let verdicts):
      for said in verdicts { _ = trajectories.update(said.slot) { $0.verdict = said.verdict } }
    case .storeUnneeded(let slots): for slot in slots { unneeded[slot] = true }
    case .sendBatch(let round, let peer):
      let counted = trajectories.values.filter { $0.slot.round == round && !unneeded.contains($0.slot) }
      deliver(.batch(step: round.step, part: 0, partCount: 1, counted), to: peer)
    case .writePolicy(_, let offset, let bytes): incoming = (offset == 0 ? [] : incoming) + bytes
    case .sealPolicy(let manifest, report: _, let peer):
      let isIntact = digest(incoming) == manifest.digest
      if isIntact { versions[manifest.version] = incoming }
      let course = scenario.course(at: manifest.version)
      mail.append(.coordinator(.sealed(manifest, isIntact: isIntact, from: peer, course: course)))
    case .adoptPolicy(let manifest, report: _, from: _): mail.append(.coordinator(.notAtHand(manifest)))
    case .bundle(.make(let policy, let base)):
      let base = base.flatMap { base in versions[base.version].map { (base.version, $0) } }
      let bundle = bundleOf(
        policy, versions[policy.version] ?? [], base: base, wordBytes: 4, blockBytes: scenario.chunkBytes,
        digest: chunkDigest)
      for (chunk, bytes) in zip(bundle.manifest.chunks, bundle.chunks) { offered[chunk.digest] = bytes }
      mail.append(.coordinator(.bundled(bundle.manifest)))
    case .bundle(.sendChunk(let digest, let peer)): deliver(.chunk(digest, offered[digest] ?? []), to: peer)
    case .dropPolicy(let version): versions[version] = nil
    case .finish: isFinished = true
    case .closeRound(let round):
      // The responses that a round was given are durable when it is.
      guard let spec = scenario.round(round) else { break }
      for trajectory in scenario.given(spec) { trajectories[trajectory.slot] = trajectory }
    // The ledger remembers these rounds; here the machine's own books are enough, since it never restarts.
    case .addRounds, .abandonRounds: break
    // For people, and to free memory.
    case .note, .bundle(.drop): break
    case .dismiss, .cutOff, .fail, .follower, .followerLeft, .tell, .abdicate:
      throw QuietFleetError.cannotHappen("\(effect)")
    }
  }

  private mutating func deliver(_ message: Message, to peer: PeerID) {
    mail.append(peer == Self.workerID ? .worker(.received(message)) : .learner(.received(message)))
  }

  /// Early stop: the machine knows no answers, so the shell counts them.
  private mutating func count(_ trajectory: Trajectory) {
    guard let decision = votes.add(trajectory.slot, answer: { scenario.answer(of: trajectory) }) else { return }
    mail.append(.coordinator(.decided(decision.round, prompt: decision.prompt, unneeded: decision.unneeded)))
  }

  // MARK: The worker's shell

  private mutating func perform(_ effect: WorkerEffect) throws {
    switch effect {
    case .send(let message): mail.append(.coordinator(.received(message, from: Self.workerID)))
    case .sample(let lease): mail.append(.worker(.sampled(try sample(lease))))
    case .transfer(.keep(let digest, let bytes)): received[digest] = bytes
    case .transfer(.install(let bundle)):
      let bytes = try unpacked(bundle, base: newest) { received[$0] }
      newest = (bundle.policy.version, bytes)
      installed[bundle.policy.version] = bytes
      mail.append(.worker(.transfer(.installed(bundle, isIntact: digest(bytes) == bundle.policy.digest))))
    case .transfer(.forget(let digests)): for digest in digests { received[digest] = nil }
    case .dropPolicy(let version): installed[version] = nil
    // A lease is sampled at once, so there is nothing left to cancel; the run is over when the coordinator says so.
    case .cancel, .exit: break
    case .connect, .disconnect, .transfer: throw QuietFleetError.cannotHappen("\(effect)")
    }
  }

  private func sample(_ lease: Lease) throws -> [SampledTrajectory] {
    let sampler = try scenario.policy(published: installed[lease.policy] ?? [], version: lease.policy)
    return lease.prompts.flatMap { prompt in
      let slots = prompt.samples.map { Slot(round: lease.round, prompt: prompt.prompt, sample: $0) }
      return sampler.sample(prompt.tokens, slots: slots, sampling: lease.sampling).map {
        SampledTrajectory($0, of: lease.id)
      }
    }
  }

  // MARK: The learner's shell

  private mutating func perform(_ effect: LearnerEffect) throws {
    switch effect {
    case .send(let message): mail.append(.coordinator(.received(message, from: Self.learnerID)))
    case .train(let step, let batch):
      let lesson = try learn(
        &policy, step: step, from: Group.groups(of: batch), prompts: scenario.prompts, truth: scenario.truth,
        history: history, method: scenario.method)
      history.record(lesson.judgements)
      let made = manifest(of: policy.published, version: PolicyVersion(step).next)
      mail.append(.learner(.trained(made, report: report(ofStep: step, lesson.judgements))))
    case .sendPolicy(let version, let offset):
      let bytes = Message.piece(of: policy.published, version, at: offset)
      mail.append(.coordinator(.received(bytes, from: Self.learnerID)))
    case .exit: break
    case .connect, .disconnect: throw QuietFleetError.cannotHappen("\(effect)")
    }
  }
}

/// A machine asked for what does not occur where nothing fails.
package enum QuietFleetError: Error, Equatable {
  case cannotHappen(String)
}
