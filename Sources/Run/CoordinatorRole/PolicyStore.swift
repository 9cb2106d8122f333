// PolicyStore: the bytes of published weights, one file per version.
//
// Bytes arrive in order and are written into a temporary file. Sealing renames the file, checks its digest, and removes
// the file if the digest is wrong. So a file with its final name has all its bytes. Versions that no open round needs
// are removed.

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
  private var incoming: (version: PolicyVersion, file: AtomicFile)?

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
    var hash = SHA256()
    var count = 0
    try pieces { bytes in
      hash.update(bytes)
      count += bytes.count
      try file.write(bytes)
    }
    try file.commit()
    return PolicyManifest(version: version, byteCount: UInt64(count), digest: hash.digest())
  }

  package func has(_ manifest: PolicyManifest) throws(PlatformError) -> Bool {
    try Files.exists(directory.policy(manifest.version))
  }

  /// Appends bytes to the version that is being received. Offset 0 begins a version.
  ///
  /// - Throws: on a full disk.
  package func append(_ bytes: [UInt8], at offset: UInt64, of version: PolicyVersion) throws(PlatformError) {
    if offset == 0 { incoming = (version, try AtomicFile(directory.policy(version))) }
    guard let incoming, incoming.version == version else { return }
    try incoming.file.write(bytes)
  }

  /// Makes the received version durable.
  ///
  /// - Returns: false if no version is being received, or its bytes do not have the promised digest; the bytes are then
  ///   removed.
  /// - Throws: on a full disk.
  package func seal(_ manifest: PolicyManifest) throws(PlatformError) -> Bool {
    guard let file = incoming?.file else { return false }
    incoming = nil
    try file.commit()
    let path = directory.policy(manifest.version)
    guard try SHA256.hex(ofFile: path) == Hexadecimal.text(manifest.digest) else {
      try Files.removeTree(path)
      return false
    }
    return true
  }

  /// Takes over the file that the learner has left, if it has the version's bytes, and makes it durable.
  ///
  /// - Returns: false if there is no such file, for example because the learner is on another machine.
  /// - Throws: on a full disk.
  package func adopt(_ manifest: PolicyManifest) throws(PlatformError) -> Bool {
    let path = directory.handedOver
    guard try Files.exists(path), try Files.size(of: path) == manifest.byteCount,
      try SHA256.hex(ofFile: path) == Hexadecimal.text(manifest.digest)
    else { return false }
    try Files.sync(path)
    try Files.rename(path, to: directory.policy(manifest.version))
    return true
  }

  /// All bytes of a version that is in the store.
  ///
  /// - Throws: if the file is missing or cannot be read.
  package func bytes(of version: PolicyVersion) throws(PlatformError) -> [UInt8] {
    try Files.read(directory.policy(version))
  }

  package func drop(_ version: PolicyVersion) throws(PlatformError) {
    try Files.removeTree(directory.policy(version))
  }
}
