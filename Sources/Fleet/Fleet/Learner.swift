// Learner: waits for a step's batch, trains on it, publishes the new version, and continues with the next step.
//
// It is a state machine like Coordinator. A version is published while its checkpoint is still being written. If the
// learner dies before the checkpoint is durable, it is behind after its restart. It is also behind if checkpoints are
// rarer than versions, or if the newest checkpoint was damaged. It then trains the same steps again from the same
// batches and must get the same bits; the coordinator compares them. If the checkpoint was durable before the version
// was published, the learner publishes that version after its restart. The last version's checkpoint is always durable
// before the version is published. Not here: training (TTRL, LanguageModel), checkpoints, MPI (LearnerRole).

package import Base
package import Records

package enum LearnerEvent: Sendable, Equatable {
  case connected
  case disconnected
  case received(Message)
  /// The step is trained and gave this version. If it is the last version, its checkpoint is durable. isAtHand: its
  /// bytes are in a file where the coordinator looks for them.
  case trained(PolicyManifest, report: StepReport, isAtHand: Bool = false)
  case tick
}

package enum LearnerEffect: Sendable, Equatable {
  /// To a coordinator; after a lost connection, or a failed attempt.
  case connect(Attempt)
  case send(Message)
  case disconnect
  /// Train this step on these trajectories, begin a checkpoint if one is due, then report `.trained`.
  case train(step: UInt32, [Trajectory])
  /// Read bytes of the version that is being published and send them as a chunk.
  case sendPolicy(PolicyVersion, offset: UInt64)
  case exit(Departure)
}

package struct Learner: Sendable {
  private var hello: Hello
  private var isWelcome = false
  private var search: CoordinatorSearch
  private var runID: String?
  /// The version whose state this process holds; its manifest and report, if a step made it.
  private var held: PolicyVersion
  private var heldPublication: (manifest: PolicyManifest, report: StepReport)?
  /// Whether the coordinator can find the held version's bytes in a file.
  private var isAtHand = false
  private var isTraining = false
  private var heartbeat = Limits.heartbeat
  private var lastHeartbeat = Instant.zero
  /// The parts of the batch that were received so far.
  private var batch: [Trajectory] = []
  private var nextPart: UInt32 = 0

  /// - Parameters:
  ///   - hello: without the term.
  ///   - coordinators: where to look for the coordinator; the first attempt goes to the first address.
  ///   - held: the version of the newest sound checkpoint; 0 is the model with which the run began.
  ///   - publication: what to publish for that version; nil for version 0.
  package init(
    hello: Hello, coordinators: [String] = [""], held: PolicyVersion,
    publication: (manifest: PolicyManifest, report: StepReport)?
  ) {
    self.hello = hello
    self.held = held
    heldPublication = publication
    search = CoordinatorSearch(coordinators, processID: hello.processID)
  }

  package mutating func receive(_ event: LearnerEvent, now: Instant) -> [LearnerEffect] {
    var effects: [LearnerEffect] = []
    switch event {
    case .connected:
      search.connected(now: now)
      hello.term = search.term
      effects.append(.send(.hello(hello)))
    case .disconnected: disconnected(&effects)
    case .received(let message):
      search.heard(now: now)
      receive(message, &effects)
    case .trained(let manifest, let report, let isAtHand):
      isTraining = false
      held = manifest.version
      heldPublication = (manifest, report)
      self.isAtHand = isAtHand
      if isWelcome { effects.append(.send(.publish(manifest, report: report, isAtHand: isAtHand))) }
    case .tick:
      if search.isSilent(now: now) { effects.append(.disconnect) }
      if isWelcome, now.since(lastHeartbeat) >= heartbeat {
        lastHeartbeat = now
        effects.append(.send(.heartbeat(tokens: 0)))
      }
    }
    return effects
  }

  private mutating func receive(_ message: Message, _ effects: inout [LearnerEffect]) {
    switch message {
    case .welcome(let welcome): greeted(welcome, &effects)
    case .batch(let step, let part, let partCount, let trajectories):
      receiveBatch(step, part, partCount, trajectories, &effects)
    case .requestBytes(let version, let offset):
      guard version == held, let publication = heldPublication, offset < publication.manifest.byteCount else {
        return effects.append(.disconnect)
      }
      effects.append(.sendPolicy(version, offset: offset))
    case .published(let version):
      guard version == held, !isTraining else { return }
      effects.append(.send(.ready(held)))
    case .goodbye(let reason): effects.append(.exit(.refused(reason)))
    case .finished: effects.append(.exit(.finished))
    case .standbys(let addresses, let silence): search.told(addresses, silence: silence)
    // It only shows that the coordinator is alive.
    case .heartbeat: break
    default: effects.append(.disconnect)
    }
  }

  private mutating func greeted(_ welcome: Welcome, _ effects: inout [LearnerEffect]) {
    if let runID, runID != welcome.runID {
      return effects.append(.exit(.otherRun(welcome.runID, joined: runID)))
    }
    // Another coordinator leads.
    guard search.welcomed(welcome.term) else { return effects.append(.disconnect) }
    runID = welcome.runID
    isWelcome = true
    heartbeat = welcome.heartbeat
    resetBatch()
    // A standby has taken over that did not have the last versions yet. What made them has to be trained again.
    guard held <= welcome.latestPolicy.next else {
      return effects.append(.exit(.ahead(held, latest: welcome.latestPolicy)))
    }
    // A learner that trains publishes what it held before, if a standby that has taken over lacks it.
    guard !isTraining || held > welcome.latestPolicy else { return }
    if held > welcome.latestPolicy, let publication = heldPublication {
      effects.append(.send(.publish(publication.manifest, report: publication.report, isAtHand: isAtHand)))
    } else {
      effects.append(.send(.ready(held)))
    }
  }

  private mutating func disconnected(_ effects: inout [LearnerEffect]) {
    isWelcome = false
    resetBatch()
    effects.append(.connect(search.next()))
  }

  private mutating func resetBatch() {
    batch = []
    nextPart = 0
  }

  private mutating func receiveBatch(
    _ step: UInt32, _ part: UInt32, _ partCount: UInt32, _ trajectories: [Trajectory],
    _ effects: inout [LearnerEffect]
  ) {
    guard step == held.number, part == nextPart, part < partCount, !isTraining else {
      return effects.append(.disconnect)
    }
    batch += trajectories
    nextPart += 1
    guard nextPart == partCount else { return }
    isTraining = true
    effects.append(.train(step: step, batch))
    resetBatch()
  }
}
