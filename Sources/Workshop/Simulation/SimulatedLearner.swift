// SimulatedLearner: the learner's state machine with training, a checkpoint folder and a connection around it.
//
// Training is TTRL's `learn` with the toy policy; `learn` is the function of the algorithm page. A checkpoint becomes
// durable some time after its version was published, if the learner lives that long. The next checkpoint waits for it,
// and so does the learner's exit. The last checkpoint is durable before the state machine is told that the step is
// trained. In some scenarios a checkpoint is written only every few versions. So a learner that dies often has to train
// steps again.

import Base
import Fleet
import Records
import TTRL
import Wire

final class SimulatedLearner: Shell {
  private let seat: SeatID
  private let incarnation: Int
  private var machine: Learner
  private var link: LinkID?
  private let spoken: ProtocolVersions
  private var decoder: FrameDecoder
  /// The state that this process holds in memory: the newest checkpoint, when it is durable.
  private var held: Checkpoint
  /// The checkpoint that is being written.
  private var pending: Checkpoint?
  var isWriting: Bool { pending != nil }
  /// Training hangs and gives no result. The learner does not serve its connection either.
  private var isHanging = false

  init(seat: SeatID, world: World) {
    self.seat = seat
    incarnation = world.seats[seat].incarnation
    spoken = world.spokenVersions()
    decoder = FrameDecoder(speaking: spoken)
    // Not while another learner is alive: that learner has no reason to write its checkpoint again.
    let isAlone = !World.learnerSeats.contains { $0 != seat && world.seats[$0].isAlive }
    if isAlone, world.checkpoints.newest.publication != nil, world.strikesNow(.damageCheckpoint) {
      world.note(seat, 40, "finds its newest checkpoint damaged")
      world.checkpoints.loseNewest()
    }
    held = world.bug == .believeTornCheckpoint ? world.checkpoints.newestUnverified : world.checkpoints.newest
    machine = Learner(
      hello: Hello(
        role: .learner, name: world.seats[seat].name, arithmetic: "toy",
        processID: UInt32(seat * 1000 + incarnation), threads: 1, speaks: spoken),
      coordinators: world.leaderSeats.map { "\($0)" }, held: held.version,
      publication: held.publication.map { ($0.manifest, $0.report) })
  }

  func handle(_ occurrence: Occurrence, in world: World) {
    if isHanging {
      if case .done(.stuck) = occurrence { world.kill(seat) }
      return
    }
    switch occurrence {
    case .started: link = world.connect(from: seat)
    case .connect(let address): link = world.connect(from: seat, to: address)
    case .tick: feed(.tick, in: world)
    case .opened:
      decoder = FrameDecoder(speaking: spoken)
      feed(.connected, in: world)
    case .closed(let id):
      if id == link { disconnected(in: world) }
    case .bytes(let id, let bytes): receive(bytes, on: id, in: world)
    case .done(.trained(let step, let batch)): finishTraining(step, batch, in: world)
    case .done(.saved(let version)):
      if pending?.version == version { finishCheckpoint(in: world) }
    case .drain, .done: world.violate("the learner was given \(occurrence)")
    }
  }

  private func receive(_ bytes: [UInt8], on id: LinkID, in world: World) {
    decoder.append(bytes)
    do {
      while link == id, let message = try decoder.next() {
        feed(.received(message), in: world)
        guard world.survives(seat, incarnation: incarnation) else { return }
      }
    } catch {
      world.violate("the learner cannot read a frame: \(error)")
    }
  }

  private func disconnected(in world: World) {
    link = nil
    feed(.disconnected, in: world)
  }

  // MARK: Effects

  private func feed(_ event: LearnerEvent, in world: World) {
    for effect in machine.receive(event, now: world.clock) {
      guard world.survives(seat, incarnation: incarnation) else { return }
      perform(effect, in: world)
    }
  }

  private func perform(_ effect: LearnerEffect, in world: World) {
    switch effect {
    case .connect(let next): world.schedule(.connect(next.address), on: seat, after: next.pause)
    case .send(let message):
      if let link { world.send(message, on: link, from: seat, version: decoder.version) }
    case .disconnect:
      if let link { world.close(link, at: seat) }
      disconnected(in: world)
    case .train(let step, let batch):
      world.note(seat, 41, "trains step \(step)")
      if world.strikesNow(.hangLearner) {
        world.note(seat, 43, "hangs")
        isHanging = true
        return world.schedule(.done(.stuck), on: seat, after: Limits.training)
      }
      world.schedule(
        .done(.trained(step: step, batch)), on: seat, after: world.workDice.span(.zero, world.scenario.trainTime))
    case .sendPolicy(let version, let offset): sendPolicy(version, offset, in: world)
    case .exit(let departure):
      if departure.isSuccess { finishCheckpoint(in: world) }
      if case .ahead(_, let latest) = departure {
        pending = nil
        world.checkpoints.setBack(to: latest.next)
      }
      world.exit(seat, departure)
    }
  }

  private func sendPolicy(_ version: PolicyVersion, _ offset: UInt64, in world: World) {
    guard let bytes = held.publication?.bytes, held.version == version, offset < UInt64(bytes.count), let link else {
      return world.violate("the learner is asked for policy \(version) from \(offset) and holds \(held.version)")
    }
    let end = min(Int(offset) + world.scenario.chunkBytes, bytes.count)
    world.send(
      .policyBytes(version, offset: offset, bytes: Array(bytes[Int(offset)..<end])), on: link, from: seat,
      version: decoder.version)
  }

  // MARK: Training

  private func finishTraining(_ step: UInt32, _ batch: [Trajectory], in world: World) {
    guard let trained = train(step, batch, in: world), let publication = trained.publication else {
      return world.violate("step \(step) could not be trained")
    }
    held = trained
    guard world.survives(seat, incarnation: incarnation) else { return }
    let version = held.version.number
    let isLast = version == world.scenario.method.steps
    if version % world.scenario.checkpointEvery == 0 || isLast {
      finishCheckpoint(in: world)
      guard world.survives(seat, incarnation: incarnation) else { return }
      pending = held
      if isLast {
        finishCheckpoint(in: world)
      } else {
        world.schedule(
          .done(.saved(held.version)), on: seat, after: world.workDice.span(.zero, world.scenario.trainTime))
      }
    }
    guard world.survives(seat, incarnation: incarnation) else { return }
    let isAtHand = world.scenario.learnerSharesDisk
    if isAtHand { world.directory.handedOver = publication.bytes }
    feed(.trained(publication.manifest, report: publication.report, isAtHand: isAtHand), in: world)
  }

  /// The checkpoint that is being written, if there is one, is durable from now on.
  private func finishCheckpoint(in world: World) {
    guard let pending else { return }
    self.pending = nil
    if world.strikesNow(.tornCheckpoint) {
      world.note(seat, 44, "dies while it writes checkpoint \(pending.version)")
      world.checkpoints.tear(pending)
      return world.kill(seat)
    }
    world.note(seat, 42, "has written checkpoint \(pending.version)")
    world.checkpoints.write(pending)
  }

  private func train(_ step: UInt32, _ batch: [Trajectory], in world: World) -> Checkpoint? {
    let scenario = world.scenario
    guard var policy = try? scenario.policy(state: held.state, version: held.version) else { return nil }
    let groups = Group.groups(of: batch)
    var method = scenario.method
    if world.bug == .ignoreStaleness { method.staleness = 0 }
    guard
      let lesson = try? learn(
        &policy, step: step, from: groups, prompts: scenario.prompts, truth: scenario.truth, history: held.history,
        method: method)
    else { return nil }
    var history = held.history
    history.record(lesson.judgements)
    if world.bug == .checkpointWithoutHistory { history = History() }
    if let first = lesson.updates.first, first.logprobGap != 0 {
      world.violate("step \(step): recomputed log-probabilities are up to \(first.logprobGap) off")
    }
    let version = PolicyVersion(step).next
    let bytes = policy.published
    var state = policy.state
    if world.bug == .checkpointWithoutOptimizer {
      state.replaceSubrange((state.count / 2)..., with: repeatElement(0, count: state.count / 2))
    }
    return Checkpoint(
      version: version, state: state, history: history,
      publication: Checkpoint.Publication(
        manifest: manifest(of: bytes, version: version), bytes: bytes,
        report: report(ofStep: step, lesson.judgements)))
  }
}
