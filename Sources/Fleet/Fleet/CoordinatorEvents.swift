// What the coordinator's machine is told, what it answers, and what it may remember of an earlier life.
//
// Plain values: the shell (CoordinatorRole) and the simulator make the events and perform the effects. What follows
// from what is in Coordinator and its extensions.

package import Records

/// What happened, as the coordinator learns it.
package enum CoordinatorEvent: Sendable, Equatable {
  case connected(PeerID)
  case received(Message, from: PeerID)
  case disconnected(PeerID)
  /// Early stop: the durable trajectories of a prompt decide its vote, and these samples do not count. Said once for
  /// every prompt of such a round, and again after a restart.
  case decided(RoundID, prompt: UInt32, unneeded: [UInt32])
  /// The bytes of a published version arrived completely; `isIntact` says whether they have the promised digest. If so,
  /// the version and its step are durable, and `course` is what all steps so far make of the run.
  case sealed(PolicyManifest, isIntact: Bool, from: PeerID, course: RunCourse = RunCourse())
  /// What `bundle(.make)` asked for is there.
  case bundled(BundleManifest)
  case tick
}

/// What must be done, in this order.
package enum CoordinatorEffect: Sendable, Equatable {
  case send(Message, to: PeerID)
  /// Send a goodbye with this reason, then close the connection.
  case dismiss(PeerID, Dismissal)
  /// Close the connection without a goodbye.
  case cutOff(PeerID, CutOff)
  /// Make these durable, under the name of the worker and the lease it delivers them under, before performing what
  /// follows.
  case store([Trajectory], worker: String, lease: LeaseID)
  /// Make it durable that these slots do not count, whether they have trajectories or not.
  case storeUnneeded([Slot])
  /// Make it durable that the round is complete; score it if it is an evaluation.
  case closeRound(RoundID)
  /// Append bytes of a version that is being published.
  case writePolicy(PolicyVersion, offset: UInt64, bytes: [UInt8])
  /// All bytes of a version are there: verify, make durable together with the report, then say `.sealed`.
  case sealPolicy(PolicyManifest, report: StepReport, from: PeerID)
  /// About the bundles in which versions go to workers.
  case bundle(BundleEffect)
  /// Send the closed training round's trajectories, those that count, in slot order.
  case sendBatch(RoundID, to: PeerID)
  /// The run ends before these rounds are complete: they never will be, and what they have counts for nothing.
  case abandonRounds([RoundID])
  /// These rounds were added to the plan: the run's result is another version than the one it was planned to evaluate.
  case addRounds([RoundSpec])
  /// No open round needs this version any more.
  case dropPolicy(PolicyVersion)
  case note(CoordinatorNote)
  /// The accounting closes: every round of the plan is complete. Exit with status 0.
  case finish
  /// The run cannot go on. Exit with status 1.
  case fail(RunFault)
}

/// What must be done about bundles.
package enum BundleEffect: Sendable, Equatable {
  /// Pack a version on another thread, then say `.bundled`. The files of both versions exist now; the base's may be
  /// dropped while the packing goes on.
  case make(PolicyManifest, base: PolicyManifest?)
  case sendChunk(ChunkDigest, to: PeerID)
  /// No worker will ask for bundles of this version any more.
  case drop(PolicyVersion)
}

/// What an operator may want to know; never decides anything.
package enum CoordinatorNote: Sendable, Equatable {
  case joined(PeerID, Hello)
  case left(PeerID, name: String, outstanding: Int)
  case silent(PeerID, name: String)
  case expired(LeaseID, holder: PeerID, slots: Int)
  case refused(Slot, Refusal, from: PeerID)
  case published(PolicyVersion)
  /// A worker left another that passes weights on; no worker is sent there any more.
  case relayAvoided(String, RelayFault, by: PeerID)
  /// The run ends before its plan does.
  case cutShort(at: PolicyVersion)
}

/// Why a trajectory does not count. Part of normal life; never an error.
package enum Refusal: Sendable, Equatable {
  /// The slot was settled before; the trajectories are identical by construction.
  case duplicate
  /// The round is complete or not part of the plan.
  case roundNotOpen
  case noSuchSlot
  /// The prompt's vote was decided without it.
  case unneeded
  case otherPolicy(PolicyVersion)
  /// No tokens, too many, or not as many log-probabilities.
  case malformed
}

/// What was durable when the coordinator started.
package struct CoordinatorMemory: Sendable {
  package var closedRounds: [RoundID] = []
  package var settled: [Slot] = []
  /// Every version ever published, also those whose bytes were dropped: a learner that trains a step again is compared.
  package var policies: [PolicyManifest]
  /// What the recorded steps make of the run.
  package var course: RunCourse
  /// Of the first worker that ever joined; nil before.
  package var arithmetic: String?

  package init(
    closedRounds: [RoundID] = [], settled: [Slot] = [], policies: [PolicyManifest], course: RunCourse = RunCourse(),
    arithmetic: String? = nil
  ) {
    self.closedRounds = closedRounds
    self.settled = settled
    self.policies = policies
    self.course = course
    self.arithmetic = arithmetic
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
