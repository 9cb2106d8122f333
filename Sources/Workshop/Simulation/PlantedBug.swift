// PlantedBug: mistakes that the simulator can make on purpose. A test needs each of them to be found.

/// A mistake made on purpose in the simulated shells, to show that the checkers find it.
package enum PlantedBug: String, CaseIterable, Sendable {
  /// The coordinator's shell acknowledges trajectories first and stores them afterwards.
  case acknowledgeBeforeStore
  /// The coordinator's shell does not make it durable that a round is complete.
  case dropCloseRound
  /// The coordinator's shell stores other responses than those that a round was given.
  case giveOtherResponses
  /// A restarted coordinator is not told what was settled.
  case forgetSettledOnRestart
  /// A restarted coordinator is not told the run's course after its steps.
  case forgetCourseOnRestart
  /// The coordinator's shell accepts published bytes without comparing their digest.
  case sealUnverified
  /// A worker's shell accepts fetched bytes without comparing their digest.
  case installUnverified
  /// A worker accepts a chunk without checking its digest.
  case trustRelays
  /// A worker's shell loses its kept chunks when the connection ends.
  case forgetChunks
  /// The coordinator's shell drops a bundle as soon as there is another one.
  case dropBundleEarly
  /// The batch is sent in the order in which its trajectories were stored.
  case batchInArrivalOrder
  /// A worker's engine samples with the newest policy, instead of the lease's policy.
  case sampleWithNewest
  /// A worker's engine draws from its own random numbers instead of the slot's.
  case ownRandomNumbers
  /// A restarted coordinator is not told which responses the reward command has judged, and asks again.
  case forgetVerdictsOnRestart
  /// The reward command is asked again whenever a batch is sent, instead of reading what it said from the ledger.
  case askAgainForBatch
  /// The coordinator's shell does not make it durable which slots a vote did not need.
  case forgetUnneeded
  /// A vote is counted in the order in which samples arrive, instead of the canonical order.
  case countInArrivalOrder
  /// A coordinator that finds a policy's file takes it for complete, whatever its ledger says.
  case believeTornPolicy
  /// The learner's checkpoint is not compared with its checksum when it is read.
  case believeTornCheckpoint
  /// The coordinator's shell acknowledges trajectories although there was no space to store them.
  case overlookFullDisk
  /// The learner treats trajectories of an older version as its own.
  case ignoreStaleness
  /// The learner's checkpoints leave out the results of earlier steps.
  case checkpointWithoutHistory
  /// The learner's checkpoints leave out the optimizer's state.
  case checkpointWithoutOptimizer
  /// The coordinator's shell drops a policy as soon as there is a newer one.
  case dropPolicyEarly
  /// The coordinator's shell acknowledges before a standby has what is acknowledged.
  case acknowledgeBeforeReplication
  /// A standby's shell counts commits and does not make their changes.
  case loseCommits
  /// A standby's shell says that it has versions that are not on its disk.
  case forgetVersions
  /// The coordinator's shell sends in its newest version of the protocol, whatever the other side speaks.
  case ignoreAgreedVersion
  /// A worker's shell does not send again what was unacknowledged when a connection broke. This is harmless by design:
  /// slots determine their random numbers, so other workers sample the same trajectories again. This bug is here to
  /// show that it costs work but does not change results.
  case forgetUnsettled
}
