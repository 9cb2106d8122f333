// Learner: waits for a step's batch, trains on it, publishes what came of it, and goes on to the next.
//
// A state machine like Coordinator. A version is published while its checkpoint is still being written. If the learner
// dies before that is durable, it is behind when it is back (as where checkpoints are rarer than versions, or the
// newest was damaged): it trains the same steps again from the same batches and must arrive at the same bits; the
// coordinator compares. If the checkpoint was durable first, it publishes that version when it is back. The last
// version's is always durable before it is published. Not here: training (TTRL, LanguageModel), checkpoints, MPI
// (LearnerRole).

package import Base
package import Records

package enum LearnerEvent: Sendable, Equatable {
  case connected
  case disconnected
  case received(Message)
  /// The step is trained: the version that came of it. If it is the last, its checkpoint is durable.
  case trained(PolicyManifest, report: StepReport)
  case tick
}

package enum LearnerEffect: Sendable, Equatable {
  case connect(after: Instant.Span)
  case send(Message)
  case disconnect
  /// Train this step on these trajectories, begin a checkpoint if one is due, then say `.trained`.
  case train(step: UInt32, [Trajectory])
  /// Read bytes of the version being published and send them as a chunk.
  case sendPolicy(PolicyVersion, offset: UInt64)
  case exit(status: Int32, reason: String)
}

package struct Learner: Sendable {
  private let hello: Hello
  private var isWelcome = false
  private var backoff: Backoff
  private var runID: String?
  /// The version whose state is held; its manifest and report if it was made by a step.
  private var held: PolicyVersion
  private var heldPublication: (manifest: PolicyManifest, report: StepReport)?
  private var isTraining = false
  private var heartbeat = Limits.heartbeat
  private var lastHeartbeat = Instant.zero
  /// Parts of the batch received so far.
  private var batch: [Trajectory] = []
  private var nextPart: UInt32 = 0

  /// - Parameters:
  ///   - held: the version of the newest sound checkpoint, 0 for the model the run began with.
  ///   - publication: what to publish for it, unless it is version 0.
  package init(hello: Hello, held: PolicyVersion, publication: (manifest: PolicyManifest, report: StepReport)?) {
    self.hello = hello
    self.held = held
    heldPublication = publication
    backoff = Backoff(processID: hello.processID)
  }

  package mutating func receive(_ event: LearnerEvent, now: Instant) -> [LearnerEffect] {
    var effects: [LearnerEffect] = []
    switch event {
    case .connected: effects.append(.send(.hello(hello)))
    case .disconnected: disconnected(&effects)
    case .received(let message): receive(message, &effects)
    case .trained(let manifest, let report):
      isTraining = false
      held = manifest.version
      heldPublication = (manifest, report)
      if isWelcome { effects.append(.send(.publish(manifest, report: report))) }
    case .tick:
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
    case .goodbye(let reason): effects.append(.exit(status: 1, reason: "the coordinator refused: \(reason)"))
    case .finished: effects.append(.exit(status: 0, reason: "the run is finished"))
    default: effects.append(.disconnect)
    }
  }

  private mutating func greeted(_ welcome: Welcome, _ effects: inout [LearnerEffect]) {
    if let runID, runID != welcome.runID {
      let reason = "the coordinator now serves run \(welcome.runID), this learner trained \(runID)"
      effects.append(.exit(status: 1, reason: reason))
      return
    }
    runID = welcome.runID
    isWelcome = true
    heartbeat = welcome.heartbeat
    backoff.reset()
    resetBatch()
    guard !isTraining else { return }
    if held > welcome.latestPolicy, let publication = heldPublication {
      effects.append(.send(.publish(publication.manifest, report: publication.report)))
    } else {
      effects.append(.send(.ready(held)))
    }
  }

  private mutating func disconnected(_ effects: inout [LearnerEffect]) {
    isWelcome = false
    resetBatch()
    effects.append(.connect(after: backoff.next()))
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
