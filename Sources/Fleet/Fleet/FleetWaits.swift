// FleetWaits: who waits for whom, for what, since when, and what ends it if nobody moves.
//
// A run that stands still has a reason, and the coordinator knows it: one entry per round, learner and worker that
// waits, made from the machine's own books when somebody asks. Like FleetReport it decides nothing; the deadlines that
// it tells of are enforced in Coordinator.watch.

package import Base
import Records

/// One who waits.
package struct FleetWait: Sendable, Equatable {
  /// "step 3", "learner", "worker ada", "coordinator".
  package let waiter: String
  /// Whom it waits for: "workers ada, grace", "a learner to connect".
  package let awaited: String
  /// "12 slots: 8 promised, 4 not yet".
  package let what: String
  package let since: Instant.Span
  /// Time left until something is done about it; nil where nothing is.
  package let deadline: Instant.Span?

  init(
    _ waiter: String, for awaited: String, _ what: String, since: Instant.Span, deadline: Instant.Span? = nil
  ) {
    self.waiter = waiter
    self.awaited = awaited
    self.what = what
    self.since = since
    self.deadline = deadline
  }
}

extension Coordinator {
  /// The learner, then rounds in their order, then workers in the order in which they connected; at most `limit`.
  package func waits(now: Instant, limit: Int) -> [FleetWait] {
    if isFinished { return farewells(now: now, limit: limit) }
    let promises = Promises(leases)
    var waits = learnerWaits(now: now) + openRounds.map { wait(of: $0.0, $0.1, promises, now: now) }
    for (id, peer) in peers where peer.isWorker && !promises.hasWork(id) && waits.count < limit {
      waits.append(
        FleetWait(
          "worker \(peer.name)", for: "coordinator", "\(wants[id] ?? 0) slots to sample", since: now.since(peer.since)))
    }
    return Array(waits.prefix(limit))
  }

  /// What is promised of each round, in one pass over all leases: there may be ten thousand.
  private struct Promises {
    private struct OfRound {
      var slots = 0
      var holders: [PeerID] = []
      var oldestProgress = Instant(nanoseconds: .max)
    }

    private var rounds = SortedMap<RoundID, OfRound>()
    /// The rounds that each worker has leases of. Looked up, never walked.
    private var holders: [PeerID: [RoundID]] = [:]

    init(_ leases: LeaseBook) {
      for (_, lease) in leases.open {
        guard let round = lease.outstanding.first?.round else { continue }
        var entry = rounds[round] ?? OfRound()
        entry.slots += lease.outstanding.count
        entry.oldestProgress = min(entry.oldestProgress, lease.lastProgress)
        if holders[lease.holder]?.contains(round) != true {
          entry.holders.append(lease.holder)
          holders[lease.holder, default: []].append(round)
        }
        rounds[round] = entry
      }
    }

    func hasWork(_ worker: PeerID) -> Bool { holders[worker] != nil }
    func slots(of round: RoundID) -> Int { rounds[round]?.slots ?? 0 }
    func holders(of round: RoundID) -> [PeerID] { rounds[round]?.holders ?? [] }

    /// Until the first of its leases expires.
    func deadline(of round: RoundID, now: Instant) -> Instant.Span? {
      rounds[round].map { Limits.leaseWithoutProgress - now.since($0.oldestProgress) }
    }
  }

  /// Steps are counted from 1 where people read them.
  private func name(_ round: RoundID) -> String {
    round.purpose == .train ? "step \(round.step + 1)" : "\(round)"
  }

  /// A complete run waits for its peers to leave.
  private func farewells(now: Instant, limit: Int) -> [FleetWait] {
    peers.prefix(limit).map { _, peer in
      FleetWait("coordinator", for: peer.name, "to leave: the run is finished", since: now.since(peer.since))
    }
  }

  private func wait(of round: RoundID, _ book: RoundBook, _ promises: Promises, now: Instant) -> FleetWait {
    let promised = promises.slots(of: round)
    return FleetWait(
      name(round), for: awaited(promises.holders(of: round)),
      "\(book.pendingCount + promised) slots: \(promised) promised, \(book.pendingCount) not yet",
      since: now.since(opened[round] ?? now), deadline: promises.deadline(of: round, now: now))
  }

  /// Who is to sample, by name as far as there is room for names.
  private func awaited(_ holders: [PeerID]) -> String {
    let shown = holders.prefix(3).map { peers[$0]?.name ?? "unknown" }.joined(separator: ", ")
    return switch holders.count {
    case 0: peers.values.contains(where: \.isWorker) ? "a worker with room" : "a worker to connect"
    case 1: "worker \(shown)"
    case 2, 3: "workers \(shown)"
    default: "workers \(shown) and \(holders.count - 3) more"
    }
  }

  private func learnerWaits(now: Instant) -> [FleetWait] {
    guard let id = learners.last, let peer = peers[id], let occupation = peer.occupation else {
      guard needsLearner else { return [] }
      return [
        FleetWait("coordinator", for: "a learner to connect", "to train", since: now.since(learnerLeftAt ?? now))
      ]
    }
    let since = now.since(peer.since)
    let left = peer.patience - now.since(peer.lastHeard)
    func waits(_ what: String) -> [FleetWait] {
      [FleetWait("coordinator", for: "learner", what, since: since, deadline: left)]
    }
    switch occupation {
    case .arriving: return waits("to say which policy it holds")
    case .training(let step): return waits("to train step \(step + 1)")
    case .sending(let version):
      return waits(
        "to send policy \(version): \(incoming?.received ?? 0) of \(incoming?.manifest.byteCount ?? 0) bytes")
    case .sealing(let version):
      return [FleetWait("learner", for: "coordinator", "to make policy \(version) durable", since: since)]
    case .waiting(let step):
      let round = RoundID.train(step: step)
      let awaited = openRounds.contains(round) ? name(round) : "coordinator"
      let what = step == finalPolicy.number ? "the end of the run" : "its batch"
      return [FleetWait("learner", for: awaited, what, since: since)]
    }
  }

  // MARK: Since when

  /// Notices what has changed. After every event.
  mutating func keepTime(now: Instant) {
    for round in openRounds.keys where !opened.contains(round) { opened[round] = now }
    for round in opened.keys where !openRounds.contains(round) { opened[round] = nil }
    for id in learners {
      guard let peer = peers[id] else { continue }
      let occupation = occupation(of: id, peer)
      guard occupation != peer.occupation else { continue }
      _ = peers.update(id) {
        $0.occupation = occupation
        $0.since = now
      }
    }
    learnerLeftAt = learners.isEmpty ? learnerLeftAt ?? now : nil
  }

  private func occupation(of id: PeerID, _ peer: Peer) -> LearnerOccupation {
    if let sealing, sealing.waiting == id { return .sealing(sealing.manifest.version) }
    if let incoming, incoming.from == id { return .sending(incoming.manifest.version) }
    if let step = peer.awaitedStep { return .waiting(step) }
    return peer.trainedStep.map { .training($0) } ?? .arriving
  }
}

/// What a learner is at, as far as the coordinator knows.
enum LearnerOccupation: Sendable, Equatable {
  /// Connected, and nothing more is known: it may be training a batch that an earlier connection brought.
  case arriving
  case waiting(UInt32)
  case training(UInt32)
  case sending(PolicyVersion)
  case sealing(PolicyVersion)
}
