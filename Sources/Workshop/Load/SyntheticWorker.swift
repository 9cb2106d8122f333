// SyntheticWorker: a rollout worker whose sampling takes time but no processor time.
//
// The state machine (Fleet.Worker), the connection and every message are those of a real worker. The trajectories are
// made up from the slot's numbers, so the same slot gives the same trajectory from every worker. A thousand workers run
// on one loop.

import Base
import Fleet
package import Platform
import Records
import Transport

/// The functions to which all synthetic workers report.
struct WorkerReports {
  var joined: () -> Void
  /// Trajectories that the coordinator has acknowledged.
  var settled: (Int) -> Void
  /// The time from the request for work to a lease.
  var waited: (Instant.Span) -> Void
  /// The worker ended by itself.
  var ended: (SyntheticWorker.End) -> Void
  /// Its connection ended.
  var lost: () -> Void = {}
}

/// Synthetic workers on one loop.
final class SyntheticFleet {
  private let loop: EventLoop
  private let workers: [SyntheticWorker]

  /// Workers that connect in one second. They are fewer than a listening socket queues.
  private static let joinsPerSecond = 250

  init(
    _ load: CoordinatorLoad, named name: String = "synthetic", to coordinator: HostPort, _ context: TLSContext?,
    loop: EventLoop, _ reports: WorkerReports
  ) {
    self.loop = loop
    workers = (0..<load.workers).map {
      SyntheticWorker("\(name)-\($0)", load, to: coordinator, context, loop: loop, reports)
    }
  }

  func start() {
    for (number, worker) in workers.enumerated() {
      worker.connect(after: .milliseconds(UInt64(1000 * number / Self.joinsPerSecond)))
    }
    tick(from: 0)
  }

  func leave() {
    for worker in workers { worker.leave() }
  }

  /// The workers are in ten parts, which tick one after the other. Each part ticks twice a second.
  private func tick(from part: Int) {
    for index in stride(from: part, to: workers.count, by: 10) { workers[index].tick() }
    loop.schedule(at: MonotonicClock.now() + .milliseconds(50)) { self.tick(from: (part + 1) % 10) }
  }
}

/// Runs `load.workers` synthetic workers for a coordinator under load in another process, until that process has
/// measured.
///
/// - Parameters:
///   - load: as the coordinator's; how many workers, and how fast they are.
///   - name: the workers' name, followed by a number; differs from process to process.
///   - coordinator: the address at which it listens.
/// - Throws: if the loop or the context cannot be made, or a worker is refused.
package func joinLoad(_ load: CoordinatorLoad, named name: String, at coordinator: HostPort) throws {
  Machine.raiseDescriptorLimit()
  let loop = try EventLoop()
  var failure: LoadError?
  var joined = 0
  let stop = { loop.stop() }
  try loop.onSignals([Signal.interrupt, Signal.terminate]) { _ in stop() }
  let context = if let key = load.key { try TLSContext(key.ring) } else { nil as TLSContext? }
  let reports = WorkerReports(
    joined: { joined += 1 }, settled: { _ in }, waited: { _ in },
    ended: { end in
      if case .failed(let reason) = end { failure = .workerEnded(reason) }
      stop()
    },
    // Before all workers have joined, a worker tries again. After that a lost connection ends the load.
    lost: { if joined == load.workers { stop() } })
  let fleet = SyntheticFleet(load, named: name, to: coordinator, context, loop: loop, reports)
  fleet.start()
  loop.run()
  fleet.leave()
  if let failure { throw failure }
}

final class SyntheticWorker {
  enum End {
    /// The run has no more steps.
    case finished
    case failed(String)
  }

  private let loop: EventLoop
  private let uplink: Uplink
  private var machine: Worker
  private let load: CoordinatorLoad
  private let reports: WorkerReports
  private var hasJoined = false
  private var isOver = false
  /// When all queued slots will have been sampled.
  private var busyUntil = Instant.zero
  private var tokens: UInt64 = 0
  private var leases: Set<LeaseID> = []
  /// Since when the worker has waited for work. The end of a round, when there is no work, does not count.
  private var askedAt: Instant?
  private var lastRound: RoundID?

  /// Slots that one worker holds at a time: those of two leases.
  private static let capacity = 2 * Limits.slotsPerLease
  /// Trajectories that are delivered together: about as many as a real worker collects.
  private static let delivery = 16

  init(
    _ name: String, _ load: CoordinatorLoad, to coordinator: HostPort, _ context: TLSContext?, loop: EventLoop,
    _ reports: WorkerReports
  ) {
    self.loop = loop
    self.load = load
    self.reports = reports
    uplink = Uplink(to: coordinator, context: context, loop: loop)
    let hello = Hello(
      role: .worker, name: name, arithmetic: CoordinatorLoad.arithmetic, processID: ThisProcess.id, threads: 1)
    machine = Worker(hello: hello, capacity: Self.capacity) { ChunkDigest(SHA256.digest(of: $0)) }
  }

  func connect(after pause: Instant.Span) {
    uplink.onConnect = { self.handle(.connected) }
    uplink.onMessage = { self.receive($0) }
    uplink.onDisconnect = { _ in
      self.handle(.disconnected)
      self.reports.lost()
    }
    uplink.onRefused = { self.end(.failed("\($0)")) }
    uplink.connect(after: pause)
  }

  func tick() { handle(.tick(tokens: tokens)) }

  func leave() {
    isOver = true
    uplink.finish()
  }

  private func receive(_ message: Message) {
    switch message {
    case .welcome where !hasJoined:
      hasJoined = true
      reports.joined()
    case .settled(let slots): reports.settled(slots.count)
    case .lease(let lease):
      if let askedAt, lease.round == lastRound { reports.waited(MonotonicClock.now().since(askedAt)) }
      askedAt = nil
      lastRound = lease.round
    default: break
    }
    handle(.received(message))
  }

  private func handle(_ event: WorkerEvent) {
    guard !isOver else { return }
    for effect in machine.receive(event, now: MonotonicClock.now()) { perform(effect) }
  }

  private func perform(_ effect: WorkerEffect) {
    switch effect {
    case .connect(let next): uplink.connect(after: next.pause)
    case .send(let message):
      if case .want = message, askedAt == nil { askedAt = MonotonicClock.now() }
      uplink.send(message)
    case .disconnect: uplink.disconnect("the coordinator broke the protocol")
    case .sample(let lease): sample(lease)
    case .cancel(let lease): leases.remove(lease)
    // The load is that of workers on other machines.
    case .transfer(.look(let policy)): loop.soon { self.handle(.transfer(.looked(policy, isInstalled: false))) }
    case .transfer(.install(let bundle)): loop.soon { self.handle(.transfer(.installed(bundle, isIntact: true))) }
    case .transfer, .dropPolicy: break
    case .exit(let departure): end(departure == .finished ? .finished : .failed("\(departure)"))
    }
  }

  private func end(_ end: End) {
    guard !isOver else { return }
    isOver = true
    reports.ended(end)
  }

  // MARK: Sampling

  private func sample(_ lease: Lease) {
    leases.insert(lease.id)
    var slots: [Slot] = []
    for leased in lease.prompts {
      slots += leased.samples.map { Slot(round: lease.round, prompt: leased.prompt, sample: $0) }
    }
    for first in stride(from: 0, to: slots.count, by: Self.delivery) {
      let part = slots[first..<min(first + Self.delivery, slots.count)]
      let made = part.map { trajectory($0, policy: lease.policy) }
      let isLast = first + Self.delivery >= slots.count
      let count = UInt64(part.count * load.responseTokens)
      guard load.tokensPerSecond > 0 else {
        loop.soon { self.deliver(made, of: lease.id, isLast: isLast, tokens: count) }
        continue
      }
      let span = Instant.Span(nanoseconds: count * 1_000_000_000 / UInt64(load.tokensPerSecond))
      busyUntil = max(busyUntil, MonotonicClock.now()) + span
      loop.schedule(at: busyUntil) { self.deliver(made, of: lease.id, isLast: isLast, tokens: count) }
    }
  }

  private func deliver(_ trajectories: [Trajectory], of lease: LeaseID, isLast: Bool, tokens count: UInt64) {
    guard leases.contains(lease) else { return }
    tokens += count
    if isLast { leases.remove(lease) }
    handle(.sampled(trajectories.map { SampledTrajectory($0, of: lease) }))
  }

  private func trajectory(_ slot: Slot, policy: PolicyVersion) -> Trajectory {
    let base = slot.prompt &* 31 &+ slot.sample
    let tokens = (0..<load.responseTokens).map { Int32((base &+ UInt32($0)) % 50) }
    return Trajectory(
      slot: slot, policy: policy, tokens: tokens, logprobs: [Float](repeating: -1, count: tokens.count), entropySum: 1,
      finish: .length)
  }
}
