// PolicyStore: the bytes of published weights, one file per version.
//
// Bytes arrive in order and are written into a temporary file, while another thread computes their digest. Sealing
// renames the file if the digest is right. A file of the learner gets its name first and is verified then. So a version
// exists only if the ledger has it.
// Of the versions that no open round needs, the last one is kept as a spare: the next version is written over it.

import Base
package import Platform
package import Records
package import Runs

/// The reason why a run cannot continue from its weights.
package enum PolicyStoreError: Error, Sendable, CustomStringConvertible {
  case missing(PolicyVersion)

  package var description: String {
    switch self {
    case .missing(let version):
      "the ledger says that policy \(version) was published, but its file is gone from policies/. Restore it, or copy "
        + "the ledger and the directory back together"
    }
  }
}

package final class PolicyStore {
  private let directory: RunDirectory
  private var incoming: Incoming?

  private struct Incoming {
    let version: PolicyVersion
    let file: AtomicFile
    let digest: BackgroundDigest
    var byteCount = 0
  }

  /// How many bytes are received before they are sent to the disk.
  private static let syncedBytes = 32 << 20

  /// - Throws: if the directory cannot be created.
  package init(_ directory: RunDirectory) throws(PlatformError) {
    self.directory = directory
    try Files.createDirectory(directory.policies)
  }

  /// Writes a whole version when a run begins.
  ///
  /// - Parameters:
  ///   - version: its number.
  ///   - pieces: calls its argument with the version's bytes, in order.
  /// - Returns: the version's manifest.
  /// - Throws: on a full disk or missing rights, or what `pieces` throws.
  package func store(
    _ version: PolicyVersion, _ pieces: (_ body: ([UInt8]) throws -> Void) throws -> Void
  ) throws -> PolicyManifest {
    let file = try AtomicFile(directory.policy(version))
    let digest = try BackgroundDigest()
    var count = 0
    try pieces { bytes in
      digest.update(bytes)
      count += bytes.count
      try file.write(bytes)
    }
    try file.commit()
    return PolicyManifest(version: version, byteCount: UInt64(count), digest: digest.digest())
  }

  package func has(_ manifest: PolicyManifest) throws(PlatformError) -> Bool {
    try Files.exists(directory.policy(manifest.version))
  }

  /// Appends bytes to the version that is being received. Offset 0 begins a version.
  ///
  /// - Throws: on a full disk.
  package func append(_ bytes: [UInt8], at offset: UInt64, of version: PolicyVersion) throws(PlatformError) {
    if offset == 0 {
      let file = try AtomicFile(directory.policy(version), over: directory.sparePolicy)
      incoming = Incoming(version: version, file: file, digest: try BackgroundDigest())
    }
    guard var incoming, incoming.version == version else { return }
    incoming.digest.update(bytes)
    try incoming.file.write(bytes)
    let before = incoming.byteCount
    incoming.byteCount += bytes.count
    if before / Self.syncedBytes != incoming.byteCount / Self.syncedBytes { incoming.file.startSync() }
    self.incoming = incoming
  }

  /// Makes the received version durable.
  ///
  /// - Returns: false if no version is being received, or its bytes do not have the promised digest; the bytes are then
  ///   removed.
  /// - Throws: on a full disk.
  package func seal(_ manifest: PolicyManifest) throws(PlatformError) -> Bool {
    guard let incoming else { return false }
    self.incoming = nil
    guard incoming.digest.digest() == manifest.digest else { return false }
    try incoming.file.commit()
    return true
  }

  /// Gives the file that the learner has left the version's name. `verify` then says whether it has the right bytes.
  ///
  /// - Returns: false if there is no such file, for example because the learner is on another machine.
  /// - Throws: `.file`.
  package func take(_ manifest: PolicyManifest) throws(PlatformError) -> Bool {
    let (left, named) = (directory.handedOver, directory.policy(manifest.version))
    // The last start can have ended after it gave the file its name.
    guard try Files.exists(left) else { return try Files.exists(named) }
    try Files.renameForNow(left, to: named)
    return true
  }

  /// Makes the file of a version durable, if it has the version's bytes. This takes as long as reading the file, so it
  /// is called on a thread.
  ///
  /// - Returns: whether it has them.
  /// - Throws: on a full disk.
  package static func verify(_ manifest: PolicyManifest, at path: String) throws(PlatformError) -> Bool {
    let content = try MappedFile(path, isLocked: true)
    try Files.startSync(path)
    guard content.bytes.count == manifest.byteCount, SHA256.digest(of: content.bytes) == manifest.digest else {
      return false
    }
    try Files.sync(path)
    try Files.syncDirectory(Files.directory(of: path))
    return true
  }

  /// All bytes of a version that is in the store.
  ///
  /// - Throws: if the file is missing or cannot be read.
  package func bytes(of version: PolicyVersion) throws(PlatformError) -> [UInt8] {
    try Files.read(directory.policy(version))
  }

  package func drop(_ version: PolicyVersion) throws(PlatformError) {
    let path = directory.policy(version)
    // It is gone already if the last start ended while it dropped the version.
    if try Files.exists(path) { try Files.renameForNow(path, to: directory.sparePolicy) }
  }

  /// No more versions will come.
  package func removeSpare() throws(PlatformError) { try Files.removeTree(directory.sparePolicy) }
}
