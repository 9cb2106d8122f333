// The coordinator's events and effects, and what it remembers of an earlier process.
//
// These are plain values: the shell (CoordinatorRole) and the simulator make the events and perform the effects.
// Coordinator and its extensions say which effects follow from which event.

package import Records

/// What happened, from the coordinator's point of view.
package enum CoordinatorEvent: Sendable, Equatable {
  case connected(PeerID)
  case received(Message, from: PeerID)
  case disconnected(PeerID)
  /// Early stop: the durable trajectories of a prompt decide its vote, and these samples do not count. Reported once
  /// for every prompt of such a round, and again after a restart.
  case decided(RoundID, prompt: UInt32, unneeded: [UInt32])
  /// The reward command judged these responses, or failed to.
  case judged([SlotVerdict])
  /// All bytes of a published version arrived; `isIntact` says whether they have the expected digest. If so, the
  /// version and its step are durable, and `course` is the run's course after all steps so far.
  case sealed(PolicyManifest, isIntact: Bool, from: PeerID, course: RunCourse = RunCourse())
  /// The file that `adoptPolicy` asked for has the version's name and length, and is being verified.
  case named(PolicyManifest)
  /// The file that `adoptPolicy` asked for is not there, or has other bytes.
  case notAtHand(PolicyManifest)
  /// The bundle that `bundle(.make)` asked for is ready.
  case bundled(BundleManifest)
  /// `finish` was performed: the run's end is durable.
  case ended
  /// The coordinator that `tell` reached leads under this term.
  case answered(Term, by: String)
  case tick
}

/// What must be done, in this order.
package enum CoordinatorEffect: Sendable, Equatable {
  case send(Message, to: PeerID)
  /// A standby has sent this; what to do is up to `Replication`.
  case follower(PeerID, Message)
  /// A standby is gone.
  case followerLeft(PeerID)
  /// Another coordinator leads, under this term. Stop, and follow it; it is at one of these addresses.
  case abdicate(Term, to: [String])
  /// Send a hello with this coordinator's term to the coordinator at this address, if there is one. If it answers with
  /// a welcome, report `.answered`.
  case tell(String)
  /// Send a goodbye with this reason, then close the connection.
  case dismiss(PeerID, Dismissal)
  /// Close the connection without a goodbye.
  case cutOff(PeerID, CutOff)
  /// Make these durable before the next effects are performed. They are stored with the worker's name and the lease
  /// under which it delivers them.
  case store([Trajectory], worker: String, lease: LeaseID)
  /// Make it durable that these slots do not count. Some of them can have trajectories.
  case storeUnneeded([Slot])
  /// Ask the reward command about these responses, which are durable, then report `.judged`. They are all of a prompt
  /// that have no verdict yet, for one prompt or several.
  case judge([Slot])
  /// Make these durable before the next effects are performed.
  case storeVerdicts([SlotVerdict])
  /// Make it durable that the round is complete; score it if it is an evaluation.
  case closeRound(RoundID)
  /// Append bytes of a version that is being published.
  case writePolicy(PolicyVersion, offset: UInt64, bytes: [UInt8])
  /// All bytes of a version are here: verify them, make them durable together with the report, then report `.sealed`.
  case sealPolicy(PolicyManifest, report: StepReport, from: PeerID)
  /// The learner says that the version's bytes are in a file of this machine. Give the file the version's name, report
  /// `.named`, then do the same with it as `sealPolicy` does. If the bytes are not there, report `.notAtHand`.
  case adoptPolicy(PolicyManifest, report: StepReport, from: PeerID)
  /// About the bundles in which versions are sent to workers.
  case bundle(BundleEffect)
  /// Send the closed training round's trajectories that count, in slot order.
  case sendBatch(RoundID, to: PeerID)
  /// The run ends before these rounds are complete. They will never be complete, and what they have is not used.
  case abandonRounds([RoundID])
  /// These rounds were added to the plan, because the run's result is not the version that was planned to be evaluated.
  case addRounds([RoundSpec])
  /// No open round needs this version any more.
  case dropPolicy(PolicyVersion)
  case note(CoordinatorNote)
  /// Every round of the plan is complete. Exit with status 0.
  case finish
  /// The run cannot continue. Exit with status 1.
  case fail(RunFault)
}

/// What must be done about bundles.
package enum BundleEffect: Sendable, Equatable {
  /// Pack a version on another thread, then report `.bundled`. The files of both versions exist now. The base's file
  /// can be dropped while the version is being packed.
  case make(PolicyManifest, base: PolicyManifest?)
  case sendChunk(ChunkDigest, to: PeerID)
  /// No worker will ask for bundles of this version any more.
  case drop(PolicyVersion)
}

/// Information for an operator; it never influences a decision.
package enum CoordinatorNote: Sendable, Equatable {
  case joined(PeerID, Hello)
  case left(PeerID, name: String, outstanding: Int)
  case silent(PeerID, name: String)
  case expired(LeaseID, holder: PeerID, slots: Int)
  case refused(Slot, Refusal, from: PeerID)
  case published(PolicyVersion)
  /// A worker left a relay. No worker is told to use that relay any more.
  case relayAvoided(String, RelayFault, by: PeerID)
  /// The run ends earlier than planned.
  case cutShort(at: PolicyVersion)
}

/// Why a trajectory does not count. This is part of normal operation, not an error.
package enum Refusal: Sendable, Equatable {
  /// The slot was settled before. The two trajectories are identical by construction.
  case duplicate
  /// The round is complete or not part of the plan.
  case roundNotOpen
  case noSuchSlot
  /// The prompt's vote was decided without it.
  case unneeded
  case otherPolicy(PolicyVersion)
  /// No tokens, too many tokens, a different number of log-probabilities, or a verdict that the worker made up.
  case malformed
}

/// What was durable when the coordinator started.
package struct CoordinatorMemory: Sendable {
  package var closedRounds: [RoundID] = []
  package var settled: [Slot] = []
  /// The slots of `settled` that have a verdict of the reward command.
  package var judged: [Slot] = []
  /// Every version that was ever published, including those whose bytes were dropped: if a learner trains a step again,
  /// its result is compared.
  package var policies: [PolicyManifest]
  /// The run's course after the recorded steps.
  package var course: RunCourse

  package init(
    closedRounds: [RoundID] = [], settled: [Slot] = [], judged: [Slot] = [], policies: [PolicyManifest],
    course: RunCourse = RunCourse()
  ) {
    self.closedRounds = closedRounds
    self.settled = settled
    self.judged = judged
    self.policies = policies
    self.course = course
  }
}

/// The tokens of all prompts, by question set and index.
package struct PromptTokens: Sendable {
  package var training: [[Int32]]
  package var heldOut: [[Int32]]
  package var transfer: [[Int32]]

  package init(training: [[Int32]], heldOut: [[Int32]] = [], transfer: [[Int32]] = []) {
    self.training = training
    self.heldOut = heldOut
    self.transfer = transfer
  }

  package subscript(set: QuestionSet, index: UInt32) -> [Int32] {
    switch set {
    case .training: training[Int(index)]
    case .heldOut: heldOut[Int(index)]
    case .transfer: transfer[Int(index)]
    }
  }
}
