// Replica: a standby's copy of a run on the disk.
//
// New files are received into `incoming/` and take their places when all of them are complete and have their digests.
// The old ledger goes first and the new one comes last, so that a copy that is interrupted has no ledger, and is made
// again. What the directory has besides (checkpoints of a learner, logs) stays. Not here: when anything is done
// (Fleet.Standby).

import Base
import CoordinatorRole
import Fleet
import Ledger
import Platform
import Records
import Runs

final class Replica {
  private let directory: RunDirectory
  private let incoming: String
  private var ledger: Ledger?

  /// - Throws: `ReplicaError.notACopy` if the directory has files that are not a run's, or `PlatformError`.
  init(_ directory: RunDirectory) throws {
    self.directory = directory
    incoming = "\(directory.path)/\(RunReplica.incomingName)"
    // With settings it is a run; with incoming/ it is a copy that was interrupted.
    let isOwn = try Files.exists(directory.settings) || Files.exists(incoming)
    let others = try Files.list(directory.path).filter {
      !["logs", "lost+found", "policies", "cluster.key", "following"].contains($0) && !$0.hasPrefix("lock")
    }
    guard isOwn || others.isEmpty else { throw ReplicaError.notACopy(path: directory.path, entries: others) }
    try Files.createDirectory(directory.policies)
  }

  /// What is there; nil if there is no complete copy of the files.
  func copy() throws -> Standby.Copy? {
    guard try Files.exists(directory.settings), try Files.exists(directory.ledger) else { return nil }
    let ledger = try Ledger(path: directory.ledger, mode: .readWrite)
    self.ledger = ledger
    let kept = try ledger.policies().filter { $0.removedAt == nil }.map(\.manifest)
    let held = try kept.filter { manifest in
      let path = directory.policy(manifest.version)
      return try Files.exists(path) && PolicyStore.verify(manifest, at: path)
    }
    return Standby.Copy(
      runID: try RunManifest(reading: directory).id, position: try ledger.position, kept: kept,
      held: held.map(\.version))
  }

  /// The ledger is not used any more.
  func close() { ledger = nil }

  // MARK: Snapshots

  /// The files that are not there, or have another content.
  ///
  /// - Throws: `ReplicaError` if the snapshot cannot be used here.
  func lacking(of snapshot: ReplicaSnapshot) throws -> [Int] {
    guard snapshot.schema == Ledger.newestSchemaVersion else {
      throw ReplicaError.otherSchema(found: Int(snapshot.schema), known: Ledger.newestSchemaVersion)
    }
    for file in snapshot.files where !RunReplica.isSafe(file.name) { throw ReplicaError.badName(file.name) }
    try Files.removeTree(incoming)
    try Files.createDirectory(incoming)
    return try snapshot.files.indices.filter { index in
      let file = snapshot.files[index]
      guard file.name != RunReplica.ledgerName else { return true }
      return try !has(file, at: "\(directory.path)/\(file.name)")
    }
  }

  private func has(_ file: ReplicaFile, at path: String) throws -> Bool {
    guard let facts = try Files.facts(of: path), UInt64(facts.bytes) == file.byteCount else { return false }
    return ChunkDigest(Hexadecimal.bytes(try SHA256.hex(ofFile: path))) == file.digest
  }

  /// Appends to a file that is being received.
  func write(index: Int, at offset: UInt64, _ bytes: [UInt8]) throws {
    try Files.append(bytes, to: "\(incoming)/\(index)")
  }

  /// Makes the copy that of the snapshot, except for its versions.
  ///
  /// - Returns: false if a file arrived damaged. Then nothing has changed.
  func install(_ snapshot: ReplicaSnapshot) throws -> Bool {
    let received = try Files.list(incoming).compactMap { Int($0) }.sorted()
    for index in received {
      guard try has(snapshot.files[index], at: "\(incoming)/\(index)") else { return false }
      try Files.sync("\(incoming)/\(index)")
    }
    ledger = nil
    for suffix in ["", "-wal", "-shm"] { try Files.removeTree(directory.ledger + suffix) }
    try Files.syncDirectory(directory.path)
    // The ledger is the first file of a snapshot, and comes last.
    for index in received.reversed() {
      let target = "\(directory.path)/\(snapshot.files[index].name)"
      try Files.createDirectory(Files.directory(of: target))
      try Files.rename("\(incoming)/\(index)", to: target)
    }
    try Files.removeTree(incoming)
    let kept = snapshot.kept.map { directory.policy($0.version) }
    for name in try Files.list(directory.policies) where name.hasPrefix("policy-") && name.hasSuffix(".bin") {
      let path = "\(directory.policies)/\(name)"
      if !kept.contains(path) { try Files.removeTree(path) }
    }
    ledger = try Ledger(path: directory.ledger, mode: .readWrite)
    return true
  }

  // MARK: Commits

  /// Makes commits in the copy's ledger.
  ///
  /// - Returns: false if one does not fit. Then nothing has changed.
  func apply(_ commits: [LedgerCommit]) throws -> Bool {
    do throws(LedgerError) {
      try ledger?.apply(commits)
      return ledger != nil
    } catch .refused {
      return false
    }
  }

  // MARK: Versions

  /// Writes a version's bytes on the disk, on a thread. It gets its name when its digest is known to be right.
  ///
  /// - Returns: the path of the file.
  static func write(
    _ version: PolicyVersion, _ bytes: UnsafeRawBufferPointer, in directory: RunDirectory
  ) throws -> String {
    let path = "\(directory.policy(version)).received"
    let file = try AtomicFile(path)
    try file.write(bytes)
    try file.commit()
    return path
  }

  func name(_ version: PolicyVersion, _ path: String) throws { try Files.rename(path, to: directory.policy(version)) }

  func drop(_ versions: [PolicyVersion]) throws {
    for version in versions { try Files.removeTree(directory.policy(version)) }
  }
}

/// Why a directory cannot be a standby's copy, or a coordinator's files cannot be used.
enum ReplicaError: LastingError, CustomStringConvertible {
  case notACopy(path: String, entries: [String])
  case otherSchema(found: Int, known: Int)
  case badName(String)

  var description: String {
    switch self {
    case .notACopy(let path, let entries):
      "\(path.visible) is neither empty nor a run: it has "
        + "\(entries.prefix(5).map(\.visible).joined(separator: ", ")). A standby needs a directory of its own"
    case .otherSchema(let found, let known):
      "the coordinator's ledger has schema \(found), this program has \(known); run the same release everywhere"
    case .badName(let name): "the coordinator has a file with the name \(name.visible), which no file of a run has"
    }
  }
}
