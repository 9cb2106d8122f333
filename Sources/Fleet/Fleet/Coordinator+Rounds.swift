// Coordinator+Rounds: slots from promise to settlement, and rounds from the first lease to the last slot.
//
// A slot is settled once, by whoever is first, and only by the policy that its round is sampled with.

import Base
import Records

extension Coordinator {
  // MARK: Trajectories

  /// Settles what counts, and acknowledges everything that the worker need not keep.
  mutating func settle(
    _ trajectories: [Trajectory], under lease: LeaseID, from id: PeerID, now: Instant,
    _ effects: inout [CoordinatorEffect]
  ) {
    var accepted: [Trajectory] = []
    for trajectory in trajectories {
      if let refusal = settle(trajectory) {
        effects.append(.note(.refused(trajectory.slot, refusal, from: id)))
      } else {
        accepted.append(trajectory)
      }
      leases.settle(trajectory.slot, under: lease, now: now)
    }
    if !accepted.isEmpty { effects.append(.store(accepted, worker: peers[id]?.name ?? "unknown", lease: lease)) }
    // Refused ones too: whatever the reason, sending them again would not change it.
    effects.append(.send(.settled(trajectories.map(\.slot)), to: id))
  }

  /// - Returns: nil if the trajectory counts.
  mutating func settle(_ trajectory: Trajectory) -> Refusal? {
    let slot = trajectory.slot
    // In place: a copy of the book, if it lived until its slot is settled, would be a copy of all its slots.
    let refusal = openRounds.update(slot.round) { book -> Refusal? in
      guard book.state(of: slot) != .unneeded else { return .unneeded }
      guard trajectory.policy == book.spec.policy else { return .otherPolicy(trajectory.policy) }
      let length = 1...Int(book.spec.sampling.maxNewTokens)
      guard length.contains(trajectory.tokens.count), trajectory.logprobs.count == trajectory.tokens.count else {
        return .malformed
      }
      return switch book.settle(slot) {
      case true: nil
      case false: .duplicate
      case nil: .noSuchSlot
      }
    }
    return refusal ?? .roundNotOpen
  }

  /// A prompt's vote is decided: nobody need sample it any more.
  mutating func decide(
    _ round: RoundID, _ prompt: UInt32, _ unneeded: [UInt32], _ effects: inout [CoordinatorEffect]
  ) {
    guard openRounds.update(round, { $0.decide(prompt, unneeded: unneeded) }) == true else { return }
    if !unneeded.isEmpty {
      effects.append(.storeUnneeded(unneeded.map { Slot(round: round, prompt: prompt, sample: $0) }))
    }
    for (id, holder) in leases.end(round: round, prompt: prompt) { effects.append(.send(.revoke(id), to: holder)) }
  }

  mutating func close(_ round: RoundID, _ effects: inout [CoordinatorEffect]) {
    openRounds[round] = nil
    if round.purpose == .train { closedTrainingSteps[round.step] = true }
    for (id, holder) in leases.end(round: round) { effects.append(.send(.revoke(id), to: holder)) }
    effects.append(.closeRound(round))
    guard round.purpose == .train else { return }
    for (id, peer) in peers where peer.awaitedStep == round.step {
      _ = peers.update(id) {
        $0.awaitedStep = nil
        $0.trainedStep = round.step
      }
      effects.append(.sendBatch(round, to: id))
    }
  }

  /// Takes back what was promised of rounds that the run ends without.
  mutating func abandon(_ effects: inout [CoordinatorEffect]) {
    guard !abandoned.isEmpty else { return }
    for round in abandoned {
      for (id, holder) in leases.end(round: round) { effects.append(.send(.revoke(id), to: holder)) }
    }
    effects.append(.abandonRounds(abandoned))
    abandoned = []
  }

  // MARK: Leases

  /// Grants at most one lease to every worker that wants one. Returns whether it granted any.
  mutating func grantOnce(now: Instant, _ effects: inout [CoordinatorEffect]) -> Bool {
    var hasGranted = false
    for (id, want) in wants {
      guard let round = openRounds.first(where: { $0.1.pendingCount > 0 })?.0 else { return false }
      guard let taken = take(from: round, for: id, want: want), let spec = openRounds[round]?.spec else {
        continue
      }
      // With every lease: a worker may have dropped the policy since it was last offered; one that has it does nothing.
      if let manifest = published[spec.policy] { effects.append(.send(.offer(manifest), to: id)) }
      let slots = taken.samples.map { Slot(round: round, prompt: taken.prompt, sample: $0) }
      let lease = Lease(
        id: leases.grant(slots, to: id, now: now), round: round, policy: spec.policy, sampling: spec.sampling,
        prompts: [
          LeasedPrompt(prompt: taken.prompt, tokens: prompts[round.set, taken.prompt], samples: taken.samples)
        ])
      wants[id] = want > slots.count ? want - slots.count : nil
      effects.append(.send(.lease(lease), to: id))
      hasGranted = true
    }
    return hasGranted
  }

  /// The slots of a lease: required ones as long as there are any. Spare ones only for who has little else to do, and
  /// few at a time; busy workers wait for what votes still need rather than go on to the next round.
  mutating func take(
    from round: RoundID, for id: PeerID, want: Int
  ) -> (prompt: UInt32, samples: [UInt32])? {
    guard openRounds[round]?.requiredCount == 0 else {
      return openRounds.update(round) { $0.take(.required, limit: min(want, Limits.slotsPerLease)) } ?? nil
    }
    guard leases.slotCount(heldBy: id) < Limits.slotsBesideSpare else { return nil }
    return openRounds.update(round) { $0.take(.spare, limit: min(want, Limits.slotsPerSpareLease)) } ?? nil
  }
}
