// WorkerShell: a worker's machine with a simulated engine, policy files and a connection around it.
//
// The engine samples a few slots at a time, from all leases in turn, and takes its time; it refuses to be told to
// sample from a policy that it was told to drop, or two leases of one number, because the real one would mix them up.

import Base
import Fleet
import Records
import Wire

final class WorkerShell: Shell {
  /// A lease that the engine works on.
  private struct Job {
    let number: Int
    var lease: Lease
    var slots: [Slot]
  }

  private let seat: SeatID
  private let incarnation: Int
  private let traits: WorkerTraits
  private var machine: Worker
  private var link: LinkID?
  private var decoder = FrameDecoder()
  private var hasBeenWelcomed = false

  private var incoming: (version: PolicyVersion, bytes: [UInt8], isInstalling: Bool)?
  private var policies = SortedMap<PolicyVersion, ToyPolicy>()
  private var jobs: [Job] = []
  private var nextJob = 0
  private var isSampling = false
  private var stalledUntil = Instant.zero
  private var tokens: UInt64 = 0

  init(seat: SeatID, traits: WorkerTraits, world: World) {
    self.seat = seat
    self.traits = traits
    incarnation = world.seats[seat].incarnation
    machine = Worker(
      hello: Hello(
        role: .worker, name: world.seats[seat].name, arithmetic: "toy",
        processID: UInt32(seat * 1000 + incarnation), threads: 1),
      capacity: traits.capacity)
  }

  func handle(_ occurrence: Occurrence, in world: World) {
    switch occurrence {
    case .started, .connect: link = world.connect(from: seat)
    case .tick: feed(.tick(tokens: tokens), in: world)
    case .opened:
      decoder = FrameDecoder()
      feed(.connected, in: world)
    case .closed(let id):
      if id == link { disconnected(in: world) }
    case .bytes(let id, let bytes): receive(bytes, on: id, in: world)
    case .drain:
      world.note(seat, 30, "is drained")
      feed(.drain, in: world)
    case .done(.sampled(let lease, let job, let count)): finishSampling(lease, job: job, count: count, in: world)
    case .done(.installed(let manifest)): install(manifest, in: world)
    case .done: world.violate("a worker was given \(occurrence)")
    }
    startSampling(in: world)
  }

  /// The engine stands still.
  func stall(until: Instant) { stalledUntil = max(stalledUntil, until) }

  private func receive(_ bytes: [UInt8], on id: LinkID, in world: World) {
    decoder.append(bytes)
    do {
      while link == id, let message = try decoder.next() {
        let isWelcome = if case .welcome = message { true } else { false }
        feed(.received(message), isReoffer: isWelcome && hasBeenWelcomed, in: world)
        hasBeenWelcomed = hasBeenWelcomed || isWelcome
        guard world.survives(seat, incarnation: incarnation) else { return }
      }
    } catch {
      world.violate("a worker cannot read a frame: \(error)")
    }
  }

  private func disconnected(in world: World) {
    link = nil
    feed(.disconnected, in: world)
  }

  // MARK: Effects

  private func feed(_ event: WorkerEvent, isReoffer: Bool = false, in world: World) {
    for effect in machine.receive(event, now: world.clock) {
      guard world.survives(seat, incarnation: incarnation) else { return }
      if isReoffer, world.bug == .forgetUnsettled, case .send(.trajectories) = effect { continue }
      perform(effect, in: world)
    }
  }

  private func perform(_ effect: WorkerEffect, in world: World) {
    switch effect {
    case .connect(let pause): world.schedule(.connect, on: seat, after: pause)
    case .send(let message):
      if let link { world.send(message, on: link, from: seat) }
    case .disconnect:
      if let link { world.close(link, at: seat) }
      disconnected(in: world)
    case .sample(let lease): begin(lease, in: world)
    case .cancel(let id):
      world.note(seat, 31, "cancels lease \(id)")
      jobs.removeAll { $0.lease.id == id }
    case .writePolicy(let version, let offset, let bytes): write(version, offset, bytes, in: world)
    case .installPolicy(let manifest):
      incoming?.isInstalling = true
      world.schedule(
        .done(.installed(manifest)), on: seat, after: world.workDice.span(.zero, world.scenario.verifyTime))
    case .dropPolicy(let version): drop(version, in: world)
    case .exit(let status, let reason): world.exit(seat, status: status, reason: reason)
    }
  }

  // MARK: Policies

  private func write(_ version: PolicyVersion, _ offset: UInt64, _ bytes: [UInt8], in world: World) {
    if incoming?.isInstalling == true {
      return world.violate("a worker writes policy \(version) while a policy is being verified")
    }
    if offset == 0 { incoming = (version, [], false) }
    guard var current = incoming, current.version == version, offset == UInt64(current.bytes.count) else {
      return world.violate("a worker writes policy \(version) at \(offset), which is not where it ends")
    }
    current.bytes += bytes
    if world.strikesNow(.damageInstall) { current.bytes[current.bytes.count - 1] ^= 1 }
    incoming = current
  }

  private func install(_ manifest: PolicyManifest, in world: World) {
    guard let complete = incoming, complete.version == manifest.version else {
      return world.violate("a worker is to install policy \(manifest.version) and does not have it")
    }
    incoming = nil
    let isIntact = digest(complete.bytes) == manifest.digest || world.bug == .installUnverified
    world.note(seat, 32, "installs policy \(manifest.version), intact: \(isIntact)")
    if isIntact { policies[manifest.version] = try? world.scenario.policy(published: complete.bytes) }
    feed(.installed(manifest, isIntact: isIntact), in: world)
  }

  private func drop(_ version: PolicyVersion, in world: World) {
    world.note(seat, 33, "drops policy \(version)")
    if jobs.contains(where: { $0.lease.policy == version }) {
      world.violate("a worker drops policy \(version) while it samples from it")
    }
    policies[version] = nil
  }

  // MARK: Sampling

  private func begin(_ lease: Lease, in world: World) {
    world.note(seat, 34, "samples lease \(lease.id)")
    if jobs.contains(where: { $0.lease.id == lease.id }) {
      return world.violate("a worker's engine is given lease \(lease.id) while it samples another of that number")
    }
    guard policies.contains(lease.policy) else {
      return world.violate("a worker is to sample from policy \(lease.policy), which is not installed")
    }
    let slots = lease.prompts.flatMap { prompt in
      prompt.samples.map { Slot(round: lease.round, prompt: prompt.prompt, sample: $0) }
    }
    jobs.append(Job(number: nextJob, lease: lease, slots: slots))
    let held = jobs.reduce(0) { $0 + $1.slots.count }
    if held > traits.capacity { world.violate("a worker holds \(held) slots and has room for \(traits.capacity)") }
    nextJob += 1
  }

  /// Gives the engine its next few slots, if it is idle.
  private func startSampling(in world: World) {
    guard !isSampling, let job = jobs.first, world.seats[seat].incarnation == incarnation else { return }
    isSampling = true
    let count = min(job.slots.count, world.workDice.count(1...8))
    let busy = Instant.Span(nanoseconds: traits.slotTime.nanoseconds * UInt64(count))
    let stall = stalledUntil.since(world.clock)
    world.schedule(.done(.sampled(job.lease.id, job: job.number, count: count)), on: seat, after: busy + stall)
  }

  private func finishSampling(_ id: LeaseID, job number: Int, count: Int, in world: World) {
    isSampling = false
    // Cancelled in the meantime?
    guard let index = jobs.firstIndex(where: { $0.number == number }) else { return }
    var job = jobs.remove(at: index)
    let slots = Array(job.slots.prefix(count))
    job.slots.removeFirst(count)
    let isExhausted = job.slots.isEmpty
    // Leases take turns.
    if !isExhausted { jobs.append(job) }
    let trajectories = sample(job.lease, slots, in: world)
    tokens += UInt64(trajectories.reduce(0) { $0 + $1.tokens.count })
    feed(.sampled(id, trajectories), in: world)
    guard isExhausted, world.survives(seat, incarnation: incarnation) else { return }
    feed(.exhausted(id), in: world)
  }

  private func sample(_ lease: Lease, _ slots: [Slot], in world: World) -> [Trajectory] {
    let newest = policies.values.last
    guard let policy = world.bug == .sampleWithNewest ? newest : policies[lease.policy] else {
      world.violate("a worker samples from policy \(lease.policy), which it does not have")
      return []
    }
    // Slots of one lease may be of several prompts.
    return slots.flatMap { slot in
      let tokens = lease.prompts.first { $0.prompt == slot.prompt }?.tokens ?? []
      var drawn = slot
      if world.bug == .ownRandomNumbers { drawn.sample = UInt32(world.workDice.index(below: 1000)) }
      return policy.sample(tokens, slots: [drawn], sampling: lease.sampling).map { trajectory in
        var trajectory = trajectory
        trajectory.slot = slot
        trajectory.policy = lease.policy
        return trajectory
      }
    }
  }
}
