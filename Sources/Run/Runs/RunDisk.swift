// RunDisk: how much disk a run needs on the machine that has its run directory, compared with how much is free.
//
// Checkpoints and published weights have a known size, so a run for which they leave no room is refused before a
// process starts. The ledger grows with the responses; its size is only told.

package import Base
package import LanguageModel
import Platform
import Records
package import Settings

package struct RunDisk: Sendable, Equatable {
  /// Of one checkpoint.
  package let checkpointBytes: Int
  /// The checkpoints that are kept, and the one that is being written; 0 if rank 0 is on another machine.
  package let checkpoints: Int
  /// Of the published versions.
  package let versionBytes: Int
  /// Of the ledger, if all responses have the largest length.
  package let ledgerBytes: Int
  /// What is free now.
  package let available: Int

  /// Published versions that are on the coordinator's disk at a time: the newest, the one before, and a spare file; and
  /// on the disk of a rank 0 elsewhere: the newest, and the one of which a checkpoint is written.
  private static let (versions, versionsOfRank) = (3, 2)
  /// Float32 values of a parameter's state: master, first and second moment.
  private static let stateBytes = 12
  /// What a trajectory and each of its tokens take in the ledger; measured, see docs/operating.md.
  private static let ledgerBytes = (trajectory: 100, token: 8)

  package var bytes: Int { checkpointBytes * checkpoints + versionBytes }

  /// - Parameters:
  ///   - settings: of the run.
  ///   - operation: of this start.
  ///   - shape: the model's, with the adapter if one is trained.
  ///   - share: the processes of this machine.
  ///   - path: the run directory. It need not exist.
  /// - Throws: if the disk cannot be asked.
  package init(
    _ settings: RunSettings, _ operation: OperationSettings, _ shape: TransformerPlan, _ share: MachineShare,
    at path: String
  ) throws {
    let count = shape.trained.count
    let method = settings.method
    let hasSteps = method.steps > 0
    let critic = method.objective.critic(of: shape)?.trained.count ?? 0
    checkpointBytes = count * (Self.stateBytes + shape.type.bytes) + critic * Self.stateBytes
    let written = min(operation.keepCheckpoints + 1, Int(method.steps))
    checkpoints = hasSteps && share.ranks.contains(0) ? written : 0
    let versions = share.hasCoordinator ? Self.versions : share.ranks.contains(0) ? Self.versionsOfRank : 0
    versionBytes = hasSteps ? versions * count * shape.type.bytes : 0
    let responses = Int(method.steps) * method.promptsPerStep * settings.responsesPerPrompt
    ledgerBytes =
      share.hasCoordinator
      ? responses * (Self.ledgerBytes.trajectory + Self.ledgerBytes.token * Int(settings.maxNewTokens)) : 0
    var existing = path
    while try !Files.exists(existing), existing != Files.directory(of: existing) {
      existing = Files.directory(of: existing)
    }
    available = try Files.room(in: existing)
  }

  /// One line for the user.
  package var text: String {
    var parts: [String] = []
    if checkpoints > 0 {
      parts.append("checkpoints \(checkpoints) × \(MemoryPlan.mebibytes(checkpointBytes)), one of them in writing")
    }
    if versionBytes > 0 { parts.append("published weights \(MemoryPlan.mebibytes(versionBytes))") }
    if ledgerBytes > 0 { parts.append("the ledger up to \(MemoryPlan.mebibytes(ledgerBytes))") }
    return "disk: \(parts.joined(separator: ", ")); \(MemoryPlan.mebibytes(available)) are free"
  }

  package var json: JSON {
    [
      "bytes": .int(bytes), "available_bytes": .int(available), "checkpoint_bytes": .int(checkpointBytes),
      "ledger_bytes": .int(ledgerBytes),
    ]
  }

  /// - Throws: if the disk has too little room.
  func require(at path: String) throws(RunDiskError) {
    if bytes > available { throw RunDiskError(path: path, disk: self) }
  }
}

/// A disk without room for a run.
package struct RunDiskError: LastingError, Sendable, CustomStringConvertible {
  let path: String
  let disk: RunDisk

  package var description: String {
    "the run in \(path) needs at least \(MemoryPlan.mebibytes(disk.bytes)) of disk, "
      + "\(MemoryPlan.mebibytes(disk.bytes - disk.available)) more than are free.\n" + disk.text
      + "\nMake room, choose a --run directory on another disk"
      + (disk.checkpoints > 2 ? ", or keep fewer checkpoints (--keep-checkpoints 1)" : "")
      + (disk.checkpointBytes > Self.large ? ". With --adapter lora, checkpoints and weights take megabytes" : "")
  }

  /// The size of a checkpoint from which an adapter is proposed.
  private static let large = 1 << 30
}
