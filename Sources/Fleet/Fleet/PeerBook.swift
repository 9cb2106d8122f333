// PeerBook: which peers are connected, when each was last heard, and what each waits for.
//
// At most one peer is the learner: a second learner is the successor of the first (Coordinator.greet). Each worker has
// a pace, which is measured from its first lease until it has no slots left. The book reads no clock.
// Not here: leases (LeaseBook), what is done about a silent peer (Coordinator), what follows from paces (LeaseShares).

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
  /// While a worker holds slots: since when, and the tokens that it has delivered since.
  var work: (since: Instant, tokens: Int)?
  /// A worker's tokens per 1,000 seconds; nil if they were not measured yet.
  var pace: Int?

  var threads: Int { max(1, Int(hello?.threads ?? 1)) }
  var isWorker: Bool { hello?.role == .worker }
  var isLearner: Bool { hello?.role == .learner }
  var isStandby: Bool { hello?.role == .standby }
  /// Whether it can be told of standbys, and that the coordinator is alive.
  var knowsStandbys: Bool { hello?.speaks.knowsStandbys ?? false }
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
  /// Sums over all workers, or over those whose pace was measured. Whole numbers: their sums do not drift.
  private var sums = (threads: 0, measuredThreads: 0, pace: 0)

  subscript(id: PeerID) -> Peer? { all[id] }

  mutating func connect(_ id: PeerID, now: Instant) { all[id] = Peer(connectedAt: now, lastHeard: now) }

  /// - Returns: false if the peer does not exist any more.
  mutating func hear(_ id: PeerID, now: Instant) -> Bool { all.update(id) { $0.lastHeard = now } != nil }

  mutating func introduce(_ id: PeerID, _ hello: Hello) {
    _ = all.update(id) { $0.hello = hello }
    if let peer = all[id], peer.isWorker { sums.threads += peer.threads }
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

  // MARK: Paces

  /// The threads of all workers.
  var workerThreads: Int { sums.threads }

  /// The sum of all workers' paces.
  var paces: Double { pace(ofUnmeasured: sums.threads - sums.measuredThreads) + Double(sums.pace) }

  func pace(of id: PeerID) -> Double {
    guard let peer = all[id] else { return 0 }
    return peer.pace.map(Double.init) ?? pace(ofUnmeasured: peer.threads)
  }

  /// Like that of as many threads that were measured.
  private func pace(ofUnmeasured threads: Int) -> Double {
    sums.measuredThreads == 0 ? Double(threads) : Double(threads) * Double(sums.pace) / Double(sums.measuredThreads)
  }

  /// A worker that held no slots got a lease.
  mutating func beginWork(_ id: PeerID, now: Instant) { _ = all.update(id) { $0.work = (now, 0) } }

  /// A worker delivered tokens, and holds slots no longer if `isDone`. Then its pace is the mean of what it was and
  /// what it was this time, because one time can be slow by chance.
  mutating func work(_ id: PeerID, tokens: Int, isDone: Bool, now: Instant) {
    guard var peer = all[id], let work = peer.work else { return }
    let milliseconds = Int(clamping: now.since(work.since).milliseconds)
    let tokens = work.tokens + tokens
    // A time of 0 gives no pace.
    guard milliseconds > 0 else { return }
    peer.work = isDone ? nil : (work.since, tokens)
    if isDone {
      let measured = max(1, tokens * 1_000_000 / milliseconds)
      add(peer, times: -1)
      peer.pace = peer.pace.map { ($0 + measured) / 2 } ?? measured
      add(peer, times: 1)
    }
    all[id] = peer
  }

  /// Adds a worker's measured pace to the sums, or takes it away.
  private mutating func add(_ peer: Peer, times sign: Int) {
    guard let pace = peer.pace else { return }
    sums.measuredThreads += sign * peer.threads
    sums.pace += sign * pace
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
    guard let peer = all.remove(id) else { return nil }
    if peer.isWorker { sums.threads -= peer.threads }
    add(peer, times: -1)
    return peer
  }
}
