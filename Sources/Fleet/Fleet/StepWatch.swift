// StepWatch: where each step's wall time goes, as the coordinator sees it.
//
// A step's time begins when its version is stored, and ends when the next version is stored. So the steps of a run have
// no gaps and do not overlap. StepWatch observes the state machine's events and effects, with their times, and
// remembers the moments at which one part of the step ends and the next begins:
//
//   version stored ─evaluation─ workers are free ─workers─ first lease ─package─fetch─install─ a worker has the version
//     ─sampling─ first worker without slots ─last sample─ round closed ─batch─ vote … checkpoint ─publish─ stored
//
// Moments of one process are never compared with those of another: the learner and the workers report lengths of time
// only. With staleness, the parts that came before the step's time count nothing. After a restart of the coordinator,
// the time of the step begins with the new process.
// It decides nothing, and nothing may depend on it. Not here: the parts' names and meaning (Records' StepTimes).

package import Base
package import Records

package struct StepWatch: Sendable {
  /// One worker's work for one round.
  private struct Share: Sendable {
    let name: String
    /// When it got its first lease.
    let leased: Instant
    /// nil if it had the version before, or does not have it yet.
    var arrival: Arrival?
    var hasDelivered = false
    /// Since when it has had no slots of the round.
    var idle: Instant?

    /// When it could sample; nil if it is not known that it could.
    var ready: Instant? { arrival?.installed.map { max(leased, $0) } ?? (hasDelivered ? leased : nil) }
  }

  /// How a version came to one worker.
  private struct Arrival: Sendable {
    let version: PolicyVersion
    /// When the coordinator named the bundle; nil if the worker read the version's file.
    var bundled: Instant?
    var installed: Instant?
    var installing = Instant.Span.zero
  }

  private struct Round: Sendable {
    let policy: PolicyVersion
    var shares = SortedMap<PeerID, Share>()
    var closed: Instant?
  }

  /// When the time of the current step begins.
  private var begun: Instant
  /// When the last trajectory of an evaluation arrived.
  private var evaluated: Instant
  /// When the learner last announced a version.
  private var announced: Instant
  /// Training rounds, by step, from their first lease until the end of their step.
  private var rounds = SortedMap<UInt32, Round>()
  private var arrivals = SortedMap<PeerID, Arrival>()

  /// - Parameter now: when the coordinator's process began.
  package init(at now: Instant) { (begun, evaluated, announced) = (now, now, now) }

  // MARK: Observing

  /// - Parameters:
  ///   - effects: what the machine answered to the event.
  ///   - machine: after the event.
  package mutating func see(
    _ event: CoordinatorEvent, _ effects: [CoordinatorEffect], of machine: Coordinator, now: Instant
  ) {
    if case .received(let message, let id) = event { hear(message, from: id, now: now) }
    for effect in effects {
      switch effect {
      case .send(.lease(let lease), let id): begin(lease, of: machine.peers[id]?.name ?? "unknown", id, now: now)
      case .send(.bundle(let bundle, _, _), let id):
        arrivals[id] = Arrival(version: bundle.policy.version, bundled: now)
      case .send(.settled, let id), .send(.revoke, let id): rest(id, machine, now: now)
      case .closeRound(let round) where round.purpose == .train:
        _ = rounds.update(round.step) { $0.closed = now }
      // What it still had to sample is sampled by others, so it did not wait for the last sample.
      case .note(.left(let id, _, _)):
        arrivals[id] = nil
        for step in rounds.keys { _ = rounds.update(step) { $0.shares[id] = nil } }
      default: break
      }
    }
  }

  private mutating func hear(_ message: Message, from id: PeerID, now: Instant) {
    switch message {
    case .installed(let version, let span):
      var arrival = Arrival(version: version)
      if let known = arrivals[id], known.version == version { arrival = known }
      (arrival.installed, arrival.installing) = (now, span)
      arrivals[id] = nil
      for step in rounds.keys {
        _ = rounds.update(step) { round in
          guard round.policy == version, round.closed == nil else { return }
          _ = round.shares.update(id) { $0.arrival = arrival }
        }
      }
    case .trajectories(_, let trajectories):
      guard let round = trajectories.first?.slot.round else { return }
      guard round.purpose == .train else { return evaluated = now }
      _ = rounds.update(round.step) { _ = $0.shares.update(id) { $0.hasDelivered = true } }
    case .publish: announced = now
    default: break
    }
  }

  private mutating func begin(_ lease: Lease, of name: String, _ id: PeerID, now: Instant) {
    guard lease.round.purpose == .train else { return }
    let step = lease.round.step
    if rounds[step] == nil { rounds[step] = Round(policy: lease.policy) }
    _ = rounds.update(step) { round in
      let isKnown = round.shares.update(id) { $0.idle = nil } != nil
      if !isKnown { round.shares[id] = Share(name: name, leased: now) }
    }
  }

  /// A worker has delivered slots, or they were taken from it: perhaps it has no more of them.
  private mutating func rest(_ id: PeerID, _ machine: Coordinator, now: Instant) {
    // In place: there can be ten thousand shares.
    for step in rounds.keys {
      _ = rounds.update(step) { round in
        guard round.closed == nil, !machine.leases.holds(slotsOf: .train(step: step), id) else { return }
        _ = round.shares.update(id) { $0.idle = $0.idle ?? now }
      }
    }
  }

  // MARK: The end of a step

  /// Ends a step's time, and adds it to the step's report.
  ///
  /// - Parameters:
  ///   - report: of the step, from the learner. It has the parts that rank 0 measured, and the ranks' times.
  ///   - now: when the version that the step made is stored.
  package mutating func end(_ report: inout StepReport, now: Instant) {
    let round = rounds[report.step]
    let (begin, published) = (begun, clamp(announced, begun, now))
    for step in rounds.keys where step <= report.step { rounds[step] = nil }
    begun = now

    let closed = clamp(round?.closed ?? begin, begin, published)
    let shares = round?.shares.values ?? []
    let leased = clamp(shares.map(\.leased).min() ?? closed, begin, closed)
    let evaluated = clamp(self.evaluated, begin, leased)
    let first = shares.filter { $0.ready != nil }.min { ($0.ready ?? now) < ($1.ready ?? now) }
    let ready = clamp(first?.ready ?? leased, leased, closed)
    let idle = clamp(shares.compactMap(\.idle).min() ?? closed, ready, closed)

    var parts = FigureValues()
    parts[.evaluationSeconds] = evaluated.since(begin).seconds
    parts[.workersSeconds] = leased.since(evaluated).seconds
    add(arrival: first?.arrival, from: leased, to: ready, &parts)
    parts[.samplingSeconds] = idle.since(ready).seconds
    parts[.lastSampleSeconds] = closed.since(idle).seconds
    add(rankParts: report.figures, in: published.since(closed).seconds, &parts)
    parts[.publishSeconds] = (parts[.publishSeconds] ?? 0) + now.since(published).seconds
    for part in FigureName.parts { report.figures[part] = parts[part] }
    report.figures[.stepSeconds] = now.since(begin).seconds
    report.processes += shares.map { times(of: $0, from: begin, to: closed) }
      .sorted { $0.seconds[.samplingSeconds] ?? 0 > $1.seconds[.samplingSeconds] ?? 0 }
      .prefix(StepReport.processesMax)
  }

  /// How a version came to a worker, between two moments. The rest, for example the way of messages, is part of the
  /// fetch.
  private func add(arrival: Arrival?, from start: Instant, to ready: Instant, _ parts: inout FigureValues) {
    let all = ready.since(start)
    let install = arrival.map { min($0.installing, all) } ?? .zero
    let packing = min(arrival?.bundled?.since(start) ?? .zero, all - install)
    parts[.packageSeconds] = packing.seconds
    parts[.fetchSeconds] = (all - install - packing).seconds
    parts[.installSeconds] = install.seconds
  }

  /// Rank 0's parts. The rest is the batch's: the learner was not ready, or the batch was on its way.
  private func add(rankParts measured: FigureValues, in seconds: Double, _ parts: inout FigureValues) {
    let known = FigureName.rankParts.map { min(max(0, measured[$0] ?? 0), seconds) }
    let sum = known.reduce(0, +)
    // A coordinator that was started again has not seen the beginning.
    let scale = sum > seconds ? seconds / sum : 1
    for (part, value) in zip(FigureName.rankParts, known) { parts[part] = value * scale }
    parts[.batchSeconds] = max(0, seconds - sum)
  }

  private func times(of share: Share, from begin: Instant, to closed: Instant) -> ProcessTimes {
    var seconds = FigureValues()
    let leased = clamp(share.leased, begin, closed)
    let ready = clamp(share.ready ?? closed, leased, closed)
    add(arrival: share.arrival, from: leased, to: ready, &seconds)
    seconds[.samplingSeconds] = clamp(share.idle ?? closed, ready, closed).since(ready).seconds
    return ProcessTimes(process: share.name, seconds: seconds)
  }
}

private func clamp(_ instant: Instant, _ first: Instant, _ last: Instant) -> Instant { min(max(instant, first), last) }
