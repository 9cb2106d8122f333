// FleetWatch: which peers are connected, what each holds, and which process waits for what and since when.
//
// If a run stands still, there is a reason, and the coordinator's books show it. FleetWatch reads the state machine
// from outside, whenever fleet.json is due. It remembers only since when each state has lasted, so a time is exact to
// the interval between two looks. It decides nothing: the deadlines that it reports are enforced in Coordinator.watch.
// Everything is data; the text is made where it is displayed.

package import Base
package import Records

/// One peer, as the coordinator sees it.
package struct FleetMember: Sendable, Equatable {
  package let name: String
  package let isWorker: Bool
  /// Time since it connected, and time since its last message.
  package let connected: Instant.Span
  package let silence: Instant.Span
  /// Its token count at its last heartbeat.
  package let tokens: UInt64
  package var leases = 0
  package var slots = 0
  /// The first slot that it holds.
  package var holding: Slot?
  /// Time since the last progress, of the lease whose last progress is the oldest.
  package var stillness = Instant.Span.zero
}

/// A process that waits, and for what.
package struct FleetWait: Sendable, Equatable {
  package enum Cause: Sendable, Equatable {
    /// A round waits for the slots that workers hold, and for the slots that are not leased yet.
    case slots(of: RoundID, leased: Int, pending: Int, by: Workers)
    /// A round waits for the reward command: all its responses are sampled.
    case verdicts(of: RoundID, count: Int)
    /// A worker waits for slots to sample.
    case lease(worker: String, slots: Int)
    /// The coordinator waits for a learner to connect.
    case noLearner
    /// The coordinator waits for the learner to say which version it holds.
    case learnerVersion
    case training(step: UInt32)
    /// The coordinator waits for a version's bytes.
    case bytes(of: PolicyVersion, received: UInt64, total: UInt64)
    /// The learner waits until a version is durable.
    case durability(of: PolicyVersion)
    /// The learner waits for a step's batch; isSampling: the batch is being sampled.
    case batch(step: UInt32, isSampling: Bool)
    /// The learner waits for the end of the run.
    case end
    /// The coordinator waits for a peer to leave, because the run is finished.
    case departure(of: String)
  }

  /// Which workers sample a round.
  package enum Workers: Sendable, Equatable {
    /// No worker is connected.
    case none
    /// No connected worker has room.
    case busy
    /// The names of some of these workers, and the number of the others.
    case holding([String], others: Int)
  }

  package let cause: Cause
  package let since: Instant.Span
  /// Time left until the coordinator acts on it; nil if there is no deadline.
  package let deadline: Instant.Span?
}

package struct FleetWatch: Sendable {
  /// The members, in the order in which they connected.
  package private(set) var members: [FleetMember] = []
  /// The learner, then rounds in their order, then workers in the order in which they connected.
  package private(set) var waits: [FleetWait] = []

  /// The cause of the learner's wait at the last look, and since when; the same for each open round and each idle
  /// worker.
  private var learner: (cause: FleetWait.Cause, since: Instant)?
  private var rounds = SortedMap<RoundID, Instant>()
  private var idle = SortedMap<PeerID, (tokens: UInt64, since: Instant)>()
  private var finishedAt: Instant?

  /// The most names that are reported for one round's workers.
  private static let namesMax = 3

  package init() {}

  /// Reads the state of the coordinator.
  ///
  /// - Parameter limit: the most members, and the most waits, that are reported.
  package mutating func look(at machine: Coordinator, now: Instant, limit: Int) {
    let leased = Leased(machine.leases)
    members = machine.peers.all.filter { $0.1.isWorker || $0.1.isLearner }.prefix(limit).map { id, peer in
      leased.member(id, peer, now: now)
    }
    guard !machine.isFinished else {
      let finished = finishedAt ?? now
      finishedAt = finished
      waits = machine.peers.all.prefix(limit).map { _, peer in
        FleetWait(cause: .departure(of: peer.name), since: now.since(finished), deadline: nil)
      }
      return
    }
    let all =
      learnerWait(machine, now: now) + roundWaits(machine, leased, now: now)
      + workerWaits(machine, leased, now: now)
    waits = Array(all.prefix(limit))
  }

  private mutating func learnerWait(_ machine: Coordinator, now: Instant) -> [FleetWait] {
    guard machine.needsLearner || machine.peers.learner != nil else { return [] }
    let peer = machine.peers.learner.flatMap { machine.peers[$0] }
    let cause = cause(of: peer, machine)
    // More bytes of a version do not begin a new wait.
    if learner.map({ !$0.cause.continues(as: cause) }) ?? true { learner = (cause, now) }
    learner?.cause = cause
    let deadline: Instant.Span? =
      switch cause {
      case .learnerVersion, .training, .bytes: peer.map { $0.patience - now.since($0.lastHeard) }
      default: nil
      }
    return [FleetWait(cause: cause, since: now.since(learner?.since ?? now), deadline: deadline)]
  }

  private func cause(of learner: Peer?, _ machine: Coordinator) -> FleetWait.Cause {
    guard let learner else { return .noLearner }
    if let sealing = machine.publication.sealing { return .durability(of: sealing.version) }
    if let (manifest, count) = machine.publication.receiving {
      return .bytes(of: manifest.version, received: count, total: manifest.byteCount)
    }
    switch learner.task {
    case .unknown: return .learnerVersion
    case .training(let step): return .training(step: step)
    case .waiting(let step) where step == machine.plan.last.number: return .end
    case .waiting(let step): return .batch(step: step, isSampling: machine.plan.open.contains(.train(step: step)))
    }
  }

  private mutating func roundWaits(_ machine: Coordinator, _ leased: Leased, now: Instant) -> [FleetWait] {
    var begun = SortedMap<RoundID, Instant>()
    for round in machine.plan.open.keys { begun[round] = rounds[round] ?? now }
    rounds = begun
    let hasWorkers = machine.peers.all.values.contains(where: \.isWorker)
    return machine.plan.open.map { round, book in
      let holders = leased.holders(of: round)
      let names = holders.prefix(Self.namesMax).map { machine.peers[$0]?.name ?? "unknown" }
      var workers: FleetWait.Workers = hasWorkers ? .busy : .none
      if !holders.isEmpty { workers = .holding(names, others: holders.count - names.count) }
      if let verdicts = book.verdicts, book.settledCount == book.spec.slotCount {
        let left = book.spec.slotCount - verdicts.judgedCount
        return FleetWait(
          cause: .verdicts(of: round, count: left), since: now.since(begun[round] ?? now), deadline: nil)
      }
      return FleetWait(
        cause: .slots(of: round, leased: leased.slots(of: round), pending: book.pendingCount, by: workers),
        since: now.since(begun[round] ?? now), deadline: leased.deadline(of: round, now: now))
    }
  }

  private mutating func workerWaits(_ machine: Coordinator, _ leased: Leased, now: Instant) -> [FleetWait] {
    var stillIdle = SortedMap<PeerID, (tokens: UInt64, since: Instant)>()
    for (id, peer) in machine.peers.all where peer.isWorker && !leased.hasWork(id) {
      // A worker that sampled between two looks has not been idle since the first look.
      let before = idle[id].flatMap { $0.tokens == peer.tokens ? $0.since : nil }
      stillIdle[id] = (peer.tokens, before ?? now)
    }
    idle = stillIdle
    return idle.map { id, entry in
      FleetWait(
        cause: .lease(worker: machine.peers[id]?.name ?? "unknown", slots: machine.peers.wants[id] ?? 0),
        since: now.since(entry.since), deadline: nil)
    }
  }
}

extension FleetWait.Cause {
  fileprivate func continues(as other: Self) -> Bool {
    switch (self, other) {
    case (.bytes(let one, _, _), .bytes(let two, _, _)): one == two
    case (.batch(let one, _), .batch(let two, _)): one == two
    default: self == other
    }
  }
}

/// What is leased of each round and to each worker, computed in one pass over all leases, because there can be ten
/// thousand.
private struct Leased {
  private struct Share {
    var leases = 0
    var slots = 0
    var first: Slot?
    var oldestProgress = Instant(nanoseconds: .max)
    var holders: [PeerID] = []
    /// The rounds of a worker's leases.
    var rounds: [RoundID] = []

    mutating func add(_ lease: LeaseBook.OpenLease) {
      leases += 1
      slots += lease.outstanding.count
      first = first ?? lease.outstanding.first
      oldestProgress = min(oldestProgress, lease.lastProgress)
    }
  }

  private var rounds = SortedMap<RoundID, Share>()
  /// Only looked up by key, never iterated.
  private var workers: [PeerID: Share] = [:]

  init(_ book: LeaseBook) {
    for (_, lease) in book.open {
      guard let round = lease.outstanding.first?.round else { continue }
      var worker = workers[lease.holder] ?? Share()
      var entry = rounds[round] ?? Share()
      if !worker.rounds.contains(round) {
        worker.rounds.append(round)
        entry.holders.append(lease.holder)
      }
      worker.add(lease)
      entry.add(lease)
      workers[lease.holder] = worker
      rounds[round] = entry
    }
  }

  func hasWork(_ worker: PeerID) -> Bool { workers[worker] != nil }
  func slots(of round: RoundID) -> Int { rounds[round]?.slots ?? 0 }
  func holders(of round: RoundID) -> [PeerID] { rounds[round]?.holders ?? [] }

  /// Time until the first of a round's leases expires.
  func deadline(of round: RoundID, now: Instant) -> Instant.Span? {
    rounds[round].map { Limits.leaseWithoutProgress - now.since($0.oldestProgress) }
  }

  func member(_ id: PeerID, _ peer: Peer, now: Instant) -> FleetMember {
    var member = FleetMember(
      name: peer.name, isWorker: peer.isWorker, connected: now.since(peer.connectedAt),
      silence: now.since(peer.lastHeard), tokens: peer.tokens)
    guard let share = workers[id] else { return member }
    member.leases = share.leases
    member.slots = share.slots
    member.holding = share.first
    member.stillness = now.since(share.oldestProgress)
    return member
  }
}
