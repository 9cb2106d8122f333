// PeerBook: which peers are connected, when each was last heard, and what each waits for.
//
// At most one peer is the learner: a second learner is the successor of the first (Coordinator.greet). The book reads
// no clock. Not here: leases (LeaseBook), what is done about a silent peer (Coordinator).

import Base
import Records

/// What the learner does, as far as the coordinator knows.
enum LearnerTask: Sendable, Equatable {
  /// It has connected or published. It is possibly training a batch that came over an earlier connection.
  case unknown
  /// It waits for this step's batch or, after the last step, for the end of the run.
  case waiting(step: UInt32)
  case training(step: UInt32)
}

struct Peer: Sendable {
  var hello: Hello?
  let connectedAt: Instant
  var lastHeard: Instant
  /// Tokens that a worker had sampled at its last heartbeat. A greater number is progress.
  var tokens: UInt64 = 0
  var task = LearnerTask.unknown

  var isWorker: Bool { hello?.role == .worker }
  var isLearner: Bool { hello?.role == .learner }
  var name: String { hello?.name ?? "unknown" }

  /// The silence after which the peer is cut off. A learner that does not wait for a batch is possibly training.
  var patience: Instant.Span {
    if case .waiting = task { return Limits.silence }
    return isLearner ? Limits.training : Limits.silence
  }

  /// Why the peer has to be cut off; nil if it does not have to be.
  func fault(now: Instant) -> CutOff? {
    guard hello != nil else { return now.since(connectedAt) > Limits.helloDeadline ? .noHello : nil }
    return now.since(lastHeard) > patience ? .silent(for: patience) : nil
  }
}

struct PeerBook: Sendable {
  private(set) var all = SortedMap<PeerID, Peer>()
  private(set) var learner: PeerID?
  /// Slots that workers have room for, in addition to the slots that were granted; never 0. They are kept apart from
  /// the peers, so that one event among ten thousand workers does not have to look at all of them.
  private(set) var wants = SortedMap<PeerID, Int>()

  subscript(id: PeerID) -> Peer? { all[id] }

  mutating func connect(_ id: PeerID, now: Instant) { all[id] = Peer(connectedAt: now, lastHeard: now) }

  /// - Returns: false if the peer does not exist any more.
  mutating func hear(_ id: PeerID, now: Instant) -> Bool { all.update(id) { $0.lastHeard = now } != nil }

  mutating func introduce(_ id: PeerID, _ hello: Hello) {
    _ = all.update(id) { $0.hello = hello }
    if hello.role == .learner { learner = id }
  }

  mutating func want(_ id: PeerID, slots: Int) { wants[id] = (wants[id] ?? 0) + slots }

  mutating func grant(_ id: PeerID, slots: Int) {
    let rest = (wants[id] ?? 0) - slots
    wants[id] = rest > 0 ? rest : nil
  }

  /// A worker reports how many tokens it has sampled. Returns whether that is progress.
  mutating func progress(_ id: PeerID, tokens: UInt64) -> Bool {
    all.update(id) { peer in
      defer { peer.tokens = tokens }
      return tokens > peer.tokens
    } ?? false
  }

  mutating func assign(_ task: LearnerTask, to id: PeerID) { _ = all.update(id) { $0.task = task } }

  /// The learner, if it waits for this step's batch.
  func learner(waitingFor step: UInt32) -> PeerID? {
    guard let learner, all[learner]?.task == .waiting(step: step) else { return nil }
    return learner
  }

  mutating func remove(_ id: PeerID) -> Peer? {
    wants[id] = nil
    if learner == id { learner = nil }
    return all.remove(id)
  }
}
