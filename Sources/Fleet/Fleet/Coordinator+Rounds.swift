// Coordinator+Rounds: slots from their lease until they are settled, and rounds from their first lease to their last
// slot.

import Base
import Records

extension Coordinator {
  // MARK: Trajectories

  /// Settles the trajectories that count, and acknowledges all trajectories that the worker does not have to keep.
  mutating func settle(
    _ trajectories: [Trajectory], under lease: LeaseID, from id: PeerID, now: Instant,
    _ effects: inout [CoordinatorEffect]
  ) {
    var accepted: [Trajectory] = []
    for trajectory in trajectories {
      if let refusal = plan.settle(trajectory) {
        effects.append(.note(.refused(trajectory.slot, refusal, from: id)))
      } else {
        accepted.append(trajectory)
      }
      leases.settle(trajectory.slot, under: lease, now: now)
    }
    peers.work(
      id, tokens: trajectories.reduce(0) { $0 + $1.tokens.count }, isDone: leases.slotCount(heldBy: id) == 0, now: now)
    if !accepted.isEmpty { effects.append(.store(accepted, worker: peers[id]?.name ?? "unknown", lease: lease)) }
    // Refused trajectories are acknowledged too: sending them again would not change the result.
    effects.append(.send(.settled(trajectories.map(\.slot)), to: id))
  }

  /// A prompt's vote is decided, so its other samples are not needed.
  mutating func decide(
    _ round: RoundID, _ prompt: UInt32, _ unneeded: [UInt32], _ effects: inout [CoordinatorEffect]
  ) {
    guard plan.decide(round, prompt, unneeded: unneeded) else { return }
    if !unneeded.isEmpty {
      effects.append(.storeUnneeded(unneeded.map { Slot(round: round, prompt: prompt, sample: $0) }))
    }
    revoke(leases.end(round: round, prompt: prompt), &effects)
  }

  /// The reward command has judged some responses. A slot that has a verdict keeps it.
  mutating func judge(_ verdicts: [SlotVerdict], _ effects: inout [CoordinatorEffect]) {
    let new = verdicts.filter { plan.judge($0.slot) }
    if !new.isEmpty { effects.append(.storeVerdicts(new)) }
  }

  mutating func close(_ round: RoundID, _ effects: inout [CoordinatorEffect]) {
    plan.close(round)
    revoke(leases.end(round: round), &effects)
    effects.append(.closeRound(round))
    startEarly(&effects)
    guard round.purpose == .train, let learner = peers.learner(waitingFor: round.step) else { return }
    sendBatch(ofStep: round.step, to: learner, &effects)
  }

  /// Revokes the leases of rounds that the run ends without.
  mutating func abandonRounds(_ effects: inout [CoordinatorEffect]) {
    let rounds = plan.takeAbandoned()
    guard !rounds.isEmpty else { return }
    for round in rounds { revoke(leases.end(round: round), &effects) }
    effects.append(.abandonRounds(rounds))
  }

  private func revoke(_ ended: [(id: LeaseID, holder: PeerID)], _ effects: inout [CoordinatorEffect]) {
    for (id, holder) in ended { effects.append(.send(.revoke(id), to: holder)) }
  }

  // MARK: Leases

  /// Grants at most one lease to every worker that wants one and has less to do than the others, by its pace. Returns
  /// whether it granted a lease.
  mutating func grantOnce(now: Instant, _ effects: inout [CoordinatorEffect]) -> Bool {
    var hasGranted = false
    // Granting does not change these sums.
    let (slots, paces) = (leases.slotCount + plan.pendingCount, peers.paces)
    for (id, want) in peers.wants {
      guard let round = plan.firstPending else { return false }
      let held = leases.slotCount(heldBy: id)
      guard
        LeaseShares.isBehind(held: held, ofAll: slots, pace: peers.pace(of: id), paces: paces),
        let taken = plan.take(
          from: round, want: want, isBusy: held >= Limits.slotsBesideSpare, threads: peers.workerThreads),
        let spec = plan.open[round]?.spec
      else { continue }
      // The offer is sent with every lease, because a worker can have dropped the policy since the last offer. A worker
      // that has the policy ignores the offer.
      if let manifest = versions.manifest(of: spec.policy) { effects.append(.send(.offer(manifest), to: id)) }
      let slots = taken.samples.map { Slot(round: round, prompt: taken.prompt, sample: $0) }
      let lease = Lease(
        id: leases.grant(slots, to: id, now: now), round: round, policy: spec.policy, sampling: spec.sampling,
        prompts: [
          LeasedPrompt(prompt: taken.prompt, tokens: prompts[round.set, taken.prompt], samples: taken.samples)
        ])
      peers.grant(id, slots: slots.count)
      if held == 0 { peers.beginWork(id, now: now) }
      effects.append(.send(.lease(lease), to: id))
      hasGranted = true
    }
    return hasGranted
  }
}
