// SimulatedWorker: a worker's state machine with a simulated engine, policy files and a connection around it.
//
// The engine samples a few slots at a time, takes turns between all leases, and needs time. It reports a violation if
// it has to sample from a policy that it was told to drop, or if two leases have the same number, because the real
// engine would mix them up. Chunks of weights are packed and unpacked by the real code. Some chunks are falsified on
// their way to other workers.

import Base
import Bundles
import Fleet
import Records
import Synchronization
import Wire

final class SimulatedWorker: Shell {
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
  private let spoken: ProtocolVersions
  private var decoder: FrameDecoder
  private var hasBeenWelcomed = false

  private var chunks = SortedMap<ChunkDigest, [UInt8]>()
  /// The version that was installed last, and its bytes. It is the base of the next delta.
  private var newest: (version: PolicyVersion, bytes: [UInt8])?
  private var relay: (link: LinkID, decoder: FrameDecoder)?
  private var children = SortedMap<LinkID, FrameDecoder>()
  /// The digest that the last chunk to arrive claims to have; for the planted bug that accepts it.
  private let claimed: Claim
  private var hasBase = false
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
    spoken = world.spokenVersions()
    decoder = FrameDecoder(speaking: spoken)
    let claimed = Claim()
    self.claimed = claimed
    let isTrusting = world.bug == .trustRelays
    machine = Worker(
      hello: Hello(
        role: .worker, name: world.seats[seat].name, arithmetic: "toy",
        processID: UInt32(seat * 1000 + incarnation), threads: 1, speaks: spoken),
      coordinators: world.leaderSeats.map { "\($0)" }, capacity: traits.capacity,
      digest: { bytes in isTrusting ? claimed.digest.withLock { $0 } : chunkDigest(bytes) })
  }

  func handle(_ occurrence: Occurrence, in world: World) {
    switch occurrence {
    case .started:
      if traits.relays { feed(.transfer(.listening(at: world.relayAddress(of: seat))), in: world) }
      link = world.connect(from: seat)
    case .connect(let address): link = world.connect(from: seat, to: address)
    case .tick: feed(.tick(tokens: tokens), in: world)
    case .opened(let id): opened(id, in: world)
    case .closed(let id): closed(id, in: world)
    case .bytes(let id, let bytes): receive(bytes, on: id, in: world)
    case .drain:
      world.note(seat, 30, "is drained")
      feed(.drain, in: world)
    case .done(.sampled(let lease, let job, let count)): finishSampling(lease, job: job, count: count, in: world)
    case .done(.installed(let bundle)): install(bundle, in: world)
    case .done(.looked(let policy)): look(for: policy, in: world)
    case .done: world.violate("a worker was given \(occurrence)")
    }
    startSampling(in: world)
  }

  /// The engine stands still.
  func stall(until: Instant) { stalledUntil = max(stalledUntil, until) }

  private func opened(_ id: LinkID, in world: World) {
    if id == link {
      decoder = FrameDecoder(speaking: spoken)
      feed(.connected, in: world)
    } else if world.links[id].server == seat {
      children[id] = FrameDecoder()
    }
  }

  private func closed(_ id: LinkID, in world: World) {
    if id == link {
      disconnected(in: world)
    } else if id == relay?.link {
      relay = nil
      feed(.transfer(.relayLost), in: world)
    } else if children.remove(id) != nil {
      feed(.transfer(.childLeft(ChildID(UInt64(id)))), in: world)
    }
  }

  private func receive(_ bytes: [UInt8], on id: LinkID, in world: World) {
    if id == relay?.link { return receiveOfRelay(bytes, on: id, in: world) }
    if children.contains(id) { return receiveOfChild(bytes, on: id, in: world) }
    guard id == link else { return }
    decoder.append(bytes)
    do {
      while link == id, let message = try decoder.next() {
        if case .chunk(let digest, _) = message { claimed.digest.withLock { $0 = digest } }
        let isWelcome = if case .welcome = message { true } else { false }
        feed(.received(message), isReoffer: isWelcome && hasBeenWelcomed, in: world)
        hasBeenWelcomed = hasBeenWelcomed || isWelcome
        guard world.survives(seat, incarnation: incarnation) else { return }
      }
    } catch {
      world.violate("a worker cannot read a frame: \(error)")
    }
  }

  private func receiveOfRelay(_ bytes: [UInt8], on id: LinkID, in world: World) {
    relay?.decoder.append(bytes)
    do {
      while id == relay?.link, let message = try relay?.decoder.next() {
        if case .chunk(let digest, _) = message { claimed.digest.withLock { $0 = digest } }
        feed(.transfer(.relaySaid(message)), in: world)
        guard world.survives(seat, incarnation: incarnation) else { return }
      }
    } catch {
      world.violate("a worker cannot read a relay's frame: \(error)")
    }
  }

  private func receiveOfChild(_ bytes: [UInt8], on id: LinkID, in world: World) {
    guard var decoder = children[id] else { return }
    decoder.append(bytes)
    do {
      while children.contains(id), let message = try decoder.next() {
        feed(.transfer(.childSaid(ChildID(UInt64(id)), message)), in: world)
        guard world.survives(seat, incarnation: incarnation) else { return }
      }
      if children.contains(id) { children[id] = decoder }
    } catch {
      world.violate("a relay cannot read a worker's frame: \(error)")
    }
  }

  private func disconnected(in world: World) {
    link = nil
    if world.bug == .forgetChunks { chunks = SortedMap() }
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
    case .connect(let next): world.schedule(.connect(next.address), on: seat, after: next.pause)
    case .send(let message):
      if let link { world.send(message, on: link, from: seat, version: decoder.version) }
    case .disconnect:
      if let link { world.close(link, at: seat) }
      disconnected(in: world)
    case .sample(let lease): begin(lease, in: world)
    case .cancel(let id):
      world.note(seat, 31, "cancels lease \(id)")
      jobs.removeAll { $0.lease.id == id }
    case .transfer(let effect): perform(effect, in: world)
    case .dropPolicy(let version): drop(version, in: world)
    case .exit(let departure): world.exit(seat, departure)
    }
  }

  // MARK: Policies

  private func perform(_ effect: FetcherEffect, in world: World) {
    switch effect {
    case .dial(let address): relay = (world.connect(from: seat, toRelayAt: address), FrameDecoder())
    case .askRelay(let message):
      if let relay { world.sendSoon(message, on: relay.link, from: seat) }
    case .hangUp:
      if let relay { world.close(relay.link, at: seat) }
      relay = nil
    case .keep(let digest, let bytes): keep(digest, bytes, in: world)
    case .forget(let digests):
      for digest in digests where chunks.remove(digest) == nil && world.bug != .forgetChunks {
        world.violate("a worker is to forget chunk \(digest), which it does not have")
      }
    case .look(let policy):
      world.schedule(.done(.looked(policy)), on: seat, after: world.workDice.span(.zero, world.scenario.verifyTime))
    case .install(let bundle):
      world.schedule(
        .done(.installed(bundle)), on: seat, after: world.workDice.span(.zero, world.scenario.verifyTime))
    case .sendChunk(let digest, let child): sendChunk(digest, to: child, in: world)
    case .tell(let child, let message): world.send(message, on: LinkID(child.number), from: seat)
    case .dismiss(let child):
      children[LinkID(child.number)] = nil
      world.close(LinkID(child.number), at: seat)
    case .left(let relay, let fault): world.note(seat, 35, "leaves relay \(relay): \(fault)")
    }
  }

  private func keep(_ digest: ChunkDigest, _ bytes: [UInt8], in world: World) {
    guard chunkDigest(bytes) == digest else {
      return world.violate("a worker keeps \(bytes.count) bytes as chunk \(digest), which they are not")
    }
    if chunks.contains(digest) { return world.violate("a worker keeps chunk \(digest) twice") }
    chunks[digest] = bytes
  }

  private func sendChunk(_ digest: ChunkDigest, to child: ChildID, in world: World) {
    guard var bytes = chunks[digest] else {
      return world.violate("a worker is to pass on chunk \(digest), which it does not have")
    }
    if world.strikesNow(.swallowAsRelay) { return }
    if world.strikesNow(.lieAsRelay) {
      bytes[bytes.count - 1] ^= 1
      world.liars.insert(world.relayAddress(of: seat))
    }
    world.send(.chunk(digest, bytes), on: LinkID(child.number), from: seat)
  }

  private func look(for policy: PolicyManifest, in world: World) {
    guard traits.sharesDisk, let bytes = world.directory.file(of: policy.version) else {
      return feed(.transfer(.looked(policy, isInstalled: false)), in: world)
    }
    feed(.transfer(.looked(policy, isInstalled: take(bytes, of: policy, in: world))), in: world)
  }

  private func install(_ bundle: BundleManifest, in world: World) {
    var bytes: [UInt8]?
    do {
      bytes = try unpacked(bundle, base: newest) { chunks[$0] }
    } catch .missing(let block) {
      return world.violate("a worker is to install a bundle and lacks block \(block)")
    } catch {
      return world.violate("a worker cannot unpack a bundle: \(error)")
    }
    let isIntact = bytes.map { take($0, of: bundle.policy, in: world) } ?? false
    feed(.transfer(.installed(bundle, isIntact: isIntact)), in: world)
  }

  /// - Returns: whether the bytes are the version's.
  private func take(_ bytes: [UInt8], of policy: PolicyManifest, in world: World) -> Bool {
    var bytes = bytes
    if world.strikesNow(.damageInstall), let last = bytes.indices.last { bytes[last] ^= 1 }
    let isIntact = digest(bytes) == policy.digest || world.bug == .installUnverified
    world.note(seat, 32, "installs policy \(policy.version), intact: \(isIntact)")
    guard policy.version != .base else {
      hasBase = hasBase || isIntact
      return isIntact
    }
    if world.scenario.base != nil, !hasBase {
      world.violate("a worker installs the adapter \(policy.version) before its base")
    }
    if isIntact {
      policies[policy.version] = try? world.scenario.policy(published: bytes, version: policy.version)
      newest = (policy.version, bytes)
    }
    return isIntact
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
    // The lease can have been cancelled in the meantime.
    guard let index = jobs.firstIndex(where: { $0.number == number }) else { return }
    var job = jobs.remove(at: index)
    let slots = Array(job.slots.prefix(count))
    job.slots.removeFirst(count)
    // Leases take turns.
    if !job.slots.isEmpty { jobs.append(job) }
    let trajectories = sample(job.lease, slots, in: world)
    tokens += UInt64(trajectories.reduce(0) { $0 + $1.tokens.count })
    feed(.sampled(trajectories.map { SampledTrajectory($0, of: id) }), in: world)
  }

  private func sample(_ lease: Lease, _ slots: [Slot], in world: World) -> [Trajectory] {
    let newest = policies.values.last
    guard let policy = world.bug == .sampleWithNewest ? newest : policies[lease.policy] else {
      world.violate("a worker samples from policy \(lease.policy), which it does not have")
      return []
    }
    // Slots of one lease can belong to several prompts.
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

/// The digest that a chunk claims to have.
private final class Claim: Sendable {
  let digest = Mutex(ChunkDigest([]))
}
