// Worker: fetches a policy, samples its leases, delivers the trajectories, and forgets them when they are settled.
//
// It is a state machine like Coordinator. The run does not depend on what a worker holds: any other worker can sample
// again what was not delivered. While the coordinator is disconnected, the worker continues to sample its leases and
// delivers the results when the connection is back. It leaves when the run is finished, or when it is drained.
// Not here: how a version is fetched (BundleFetcher), sampling itself, and the weights' bytes (WorkerRole).

package import Base
package import Records

package enum WorkerEvent: Sendable, Equatable {
  case connected
  /// Also sent if a connection attempt failed.
  case disconnected
  case received(Message)
  /// Trajectories have been sampled. They can belong to several leases.
  case sampled([SampledTrajectory])
  /// About versions on their way to this worker, or through it to other workers.
  case transfer(FetcherEvent)
  /// How long the installation of a version took. Only the display of a step's time depends on it.
  case installed(PolicyVersion, in: Instant.Span)
  /// Finish the leases that the engine works on, take no more leases, then leave.
  case drain
  case tick(tokens: UInt64)
}

package enum WorkerEffect: Sendable, Equatable {
  /// To a coordinator; after a lost connection, or a failed attempt.
  case connect(Attempt)
  case send(Message)
  case disconnect
  /// Give this lease to the engine. Its policy is installed.
  case sample(Lease)
  /// Stop sampling this lease.
  case cancel(LeaseID)
  case transfer(FetcherEffect)
  case dropPolicy(PolicyVersion)
  case exit(Departure)
}

/// A trajectory, and the lease for which it was sampled.
package struct SampledTrajectory: Sendable, Equatable {
  package var lease: LeaseID
  package var trajectory: Trajectory

  package init(_ trajectory: Trajectory, of lease: LeaseID) {
    self.lease = lease
    self.trajectory = trajectory
  }
}

package struct Worker: Sendable {
  private var hello: Hello
  /// Slots that the worker holds at a time.
  private let capacity: Int
  private var isWelcome = false
  private var isDraining = false
  private var heartbeat = Limits.heartbeat
  private var lastHeartbeat = Instant.zero
  private var search: CoordinatorSearch

  private var runID: String?
  private var fetcher: BundleFetcher
  /// Leases that wait for their policy.
  private var waiting: [Lease] = []
  /// For each lease that the engine works on: its policy, and the number of slots that are not sampled yet.
  private var sampling = SortedMap<LeaseID, (policy: PolicyVersion, owed: Int)>()
  /// Trajectories that the coordinator has not confirmed.
  private var unsettled = SortedMap<Slot, SampledTrajectory>()
  /// Slots for which the worker announced room and that the coordinator has not sent yet.
  private var announcedWant = 0

  /// - Parameters:
  ///   - hello: without the term.
  ///   - coordinators: where to look for the coordinator; the first attempt goes to the first address.
  ///   - capacity: slots to hold at a time; enough that the engine's batch stays full while results are on their way.
  ///   - digest: computes the digest that identifies a chunk of weights.
  package init(
    hello: Hello, coordinators: [String] = [""], capacity: Int, digest: @escaping @Sendable ([UInt8]) -> ChunkDigest
  ) {
    self.hello = hello
    self.capacity = capacity
    fetcher = BundleFetcher(digest: digest)
    search = CoordinatorSearch(coordinators, processID: hello.processID)
  }

  private var heldSlots: Int {
    sampling.values.reduce(0) { $0 + $1.owed } + waiting.reduce(0) { $0 + $1.slotCount }
  }

  package mutating func receive(_ event: WorkerEvent, now: Instant) -> [WorkerEffect] {
    var effects: [WorkerEffect] = []
    switch event {
    case .connected:
      search.connected(now: now)
      hello.term = search.term
      effects.append(.send(.hello(hello)))
    case .disconnected: disconnected(&effects)
    case .received(let message):
      search.heard(now: now)
      receive(message, now: now, &effects)
    case .sampled(let sampled): deliver(sampled, &effects)
    case .transfer(let event):
      if case .listening(let address) = event { hello.relay = address }
      onFetcher(&effects) { $0.receive(event, now: now, &$1) }
    case .installed(let version, let span):
      if isWelcome { effects.append(.send(.installed(version, span))) }
    case .drain:
      isDraining = true
      waiting = []
    case .tick(let tokens):
      onFetcher(&effects) { $0.tick(now: now, &$1) }
      if search.isSilent(now: now) { effects.append(.disconnect) }
      if isWelcome, now.since(lastHeartbeat) >= heartbeat {
        lastHeartbeat = now
        effects.append(.send(.heartbeat(tokens: tokens)))
      }
    }
    startWaiting(&effects)
    dropOld(&effects)
    announce(&effects)
    if isDraining, sampling.isEmpty, unsettled.isEmpty || !isWelcome {
      effects.append(.send(.goodbye(reason: "\(Departure.drained)")))
      effects.append(.exit(.drained))
    }
    return effects
  }

  private mutating func receive(_ message: Message, now: Instant, _ effects: inout [WorkerEffect]) {
    switch message {
    case .welcome(let welcome): greeted(welcome, &effects)
    case .offer(let manifest): onFetcher(&effects) { $0.offered(manifest, &$1) }
    case .bundle, .chunk, .missing: onFetcher(&effects) { $0.told(message, now: now, &$1) }
    case .lease(let lease):
      announcedWant -= lease.slotCount
      // A lease that arrives while draining is granted to another worker when this one leaves.
      if !isDraining { waiting.append(lease) }
    case .settled(let slots): for slot in slots { unsettled[slot] = nil }
    case .revoke(let id):
      waiting.removeAll { $0.id == id }
      if sampling.remove(id) != nil { effects.append(.cancel(id)) }
    case .goodbye(let reason): effects.append(.exit(.refused(reason)))
    case .finished: effects.append(.exit(.finished))
    case .standbys(let addresses, let silence): search.told(addresses, silence: silence)
    // It only shows that the coordinator is alive.
    case .heartbeat: break
    default: effects.append(.disconnect)
    }
  }

  // MARK: Connection

  private mutating func greeted(_ welcome: Welcome, _ effects: inout [WorkerEffect]) {
    if let runID, runID != welcome.runID {
      return effects.append(.exit(.otherRun(welcome.runID, joined: runID)))
    }
    // Another coordinator leads.
    guard search.welcomed(welcome.term) else { return effects.append(.disconnect) }
    runID = welcome.runID
    isWelcome = true
    heartbeat = welcome.heartbeat
    // The old connection's leases were granted to others; finished trajectories are sent again.
    send(unsettled.values, &effects)
    onFetcher(&effects) { $0.joined(policies: welcome.policies, base: welcome.base?.manifest, &$1) }
  }

  private mutating func disconnected(_ effects: inout [WorkerEffect]) {
    isWelcome = false
    announcedWant = 0
    fetcher.lost()
    // Leases that have not begun will be granted to others. Leases that have begun are worth finishing.
    waiting = []
    effects.append(.connect(search.next()))
  }

  /// Tells the coordinator about room that it does not know of, once the room is enough for a lease or the worker holds
  /// no slots.
  ///
  /// The announced numbers add up: slots that are held, on their way and still wanted never exceed the capacity, in
  /// whatever order messages cross.
  private mutating func announce(_ effects: inout [WorkerEffect]) {
    guard isWelcome, !isDraining else { return }
    let room = capacity - heldSlots - announcedWant
    guard room >= min(Limits.slotsPerLease, capacity) || (heldSlots == 0 && room > 0) else { return }
    announcedWant += room
    effects.append(.send(.want(slots: UInt32(room))))
  }

  // MARK: Policies

  package var installed: [PolicyVersion] { fetcher.installed }

  /// Passes on the effects that the fetcher asks for.
  private mutating func onFetcher(
    _ effects: inout [WorkerEffect], _ change: (inout BundleFetcher, inout [BundleFetcher.Effect]) -> Void
  ) {
    var wanted: [BundleFetcher.Effect] = []
    change(&fetcher, &wanted)
    for effect in wanted {
      switch effect {
      case .send(let message): effects.append(.send(message))
      case .disconnect: effects.append(.disconnect)
      case .transfer(let effect): effects.append(.transfer(effect))
      }
    }
  }

  /// The newest version stays. The one before it stays as long as a round needs it, because it can be needed again (an
  /// evaluation at the same time as the next step). Others are dropped as soon as no held lease is sampled from them.
  private mutating func dropOld(_ effects: inout [WorkerEffect]) {
    let old = installed.dropLast()
    for version in old where !isInUse(version) && (version != old.last || fetcher.unneeded.contains(version)) {
      onFetcher(&effects) { $0.drop(version, &$1) }
      effects.append(.dropPolicy(version))
    }
  }

  private func isInUse(_ version: PolicyVersion) -> Bool {
    sampling.values.contains { $0.policy == version } || waiting.contains { $0.policy == version }
  }

  /// Starts the leases whose policy is installed. If the engine already works on a lease with the same number, the new
  /// lease waits until the old one is done: a restarted coordinator numbers its leases from 1 again.
  private mutating func startWaiting(_ effects: inout [WorkerEffect]) {
    var later: [Lease] = []
    for lease in waiting {
      if installed.contains(lease.policy), !sampling.contains(lease.id) {
        sampling[lease.id] = (lease.policy, owed: lease.slotCount)
        effects.append(.sample(lease))
      } else {
        later.append(lease)
      }
    }
    waiting = later
  }

  // MARK: Trajectories

  private mutating func deliver(_ sampled: [SampledTrajectory], _ effects: inout [WorkerEffect]) {
    for entry in sampled {
      unsettled[entry.trajectory.slot] = entry
      let isDone = sampling.update(entry.lease) { work in
        work.owed -= 1
        return work.owed <= 0
      }
      if isDone == true { sampling[entry.lease] = nil }
    }
    if isWelcome { send(sampled, &effects) }
  }

  /// Sends trajectories to the coordinator, grouped by lease.
  private func send(_ sampled: [SampledTrajectory], _ effects: inout [WorkerEffect]) {
    var byLease = SortedMap<LeaseID, [Trajectory]>()
    for entry in sampled {
      if byLease.update(entry.lease, { $0.append(entry.trajectory) }) == nil {
        byLease[entry.lease] = [entry.trajectory]
      }
    }
    for (lease, trajectories) in byLease {
      for part in parts(of: trajectories) { effects.append(.send(.trajectories(lease, part))) }
    }
  }
}
