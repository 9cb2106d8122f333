// KeyRing: the keys of a key file, and how a process notices that they have changed.
//
// A file has one key, or two while a key is replaced: the first is offered to others, both are accepted. Every process
// reads its own file, and reads it again when it changes. So the keys of a cluster are replaced file by file, while its
// processes run (docs/operating.md#replacing-a-key). Not here: what a key is (ClusterKey).

import Base
import Glibc

package struct KeyRing: Sendable, Equatable {
  /// 1 or 2, the newest first.
  package let keys: [ClusterKey]

  private static let keysMax = 2
  private static let firstLine = "ttrl-key 1"

  package init(_ key: ClusterKey) { keys = [key] }

  private init(_ keys: [ClusterKey]) { self.keys = keys }

  /// The key that is offered.
  package var first: ClusterKey { keys[0] }

  package subscript(id: String) -> ClusterKey? { keys.first { $0.id == id } }

  // MARK: Replacing a key

  /// A new key in front of this one. Of a ring with two keys, the older one is lost.
  package var rotated: KeyRing { KeyRing([ClusterKey(), first]) }

  /// Without the older key.
  package var retired: KeyRing { KeyRing(first) }

  // MARK: File

  /// Reads a key file.
  ///
  /// - Throws: `.file`, or `.keyRefused` if other users can read it, if it is not a key, or if it is damaged.
  package init(reading path: String) throws(PlatformError) {
    let limit = PlatformLimits.keyFileBytes
    switch try SecretFile.read(path, limit: limit + 1, "the key") {
    case .failure(let problem): throw .keyRefused(path: path, .file(problem))
    case .success(let bytes):
      guard bytes.count <= limit else { throw .keyRefused(path: path, .noKey) }
      switch Self.parse(bytes[...]) {
      case .success(let ring): self = ring
      case .failure(let problem): throw .keyRefused(path: path, problem)
      }
    }
  }

  /// Any bytes give keys or a reason.
  static func parse(_ bytes: ArraySlice<UInt8>) -> Result<KeyRing, KeyProblem> {
    let text = String(decoding: bytes, as: UTF8.self).withPlainLines
    let lines = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
    guard lines.first == firstLine[...] else { return .failure(.noKey) }
    let pairs = stride(from: 1, to: lines.count, by: 2).map { lines[$0..<min($0 + 2, lines.count)] }
    let keys = pairs.compactMap { ClusterKey(lines: $0) }
    guard (1...keysMax).contains(keys.count), keys.count == pairs.count, Set(keys.map(\.id)).count == keys.count else {
      return .failure(.damaged)
    }
    return .success(KeyRing(keys))
  }

  private var text: String {
    "# The key of a ttrl cluster. A process that has it can join the cluster and change its runs. Keep it secret.\n"
      + (keys.count == 1
        ? "" : "# The first key is offered, both are accepted. ttrl key retire removes the second one.\n")
      + "\(Self.firstLine)\n" + keys.map(\.lines).joined()
  }

  /// Makes a key file, mode 0600. The file appears with its whole content, and never replaces another file.
  ///
  /// - Throws: `.keyExists`, or `.file`.
  package func write(to path: String) throws(PlatformError) {
    guard try SecretFile.make(Array(text.utf8), at: path, "the key") else { throw .keyExists(path: path) }
  }

  /// Reads the keys of a file; makes the file first, with a new key, if it does not exist.
  package static func readOrMake(_ path: String) throws(PlatformError) -> KeyRing {
    if try Files.exists(path) { return try KeyRing(reading: path) }
    do throws(PlatformError) {
      let ring = KeyRing(ClusterKey())
      try ring.write(to: path)
      return ring
    } catch .keyExists {
      // Another process was faster.
      return try KeyRing(reading: path)
    }
  }

  /// Replaces a key file. A process that reads it at this moment gets the old content or the new one.
  ///
  /// - Throws: `.file`.
  package func replace(at path: String) throws(PlatformError) {
    try SecretFile.replace(Array(text.utf8), at: path, "the key")
  }
}

/// The keys of a process, and their file, which is read again when it changes.
package struct ClusterKeys: Sendable {
  package private(set) var ring: KeyRing
  /// nil if the keys are in no file.
  private let path: String?
  /// Of the file that was looked at last.
  private var stamp: FileStamp?

  package enum Change: Sendable, Equatable {
    case none
    case renewed
    /// The file has changed and cannot be used; the keys stay as they were.
    case unusable(PlatformError)
  }

  /// - Throws: as `KeyRing(reading:)`.
  package init(reading path: String) throws(PlatformError) {
    self.path = path
    stamp = FileStamp(path)
    ring = try KeyRing(reading: path)
  }

  /// Makes the file first, with a new key, if it does not exist.
  ///
  /// - Throws: as `KeyRing.readOrMake`.
  package init(readingOrMaking path: String) throws(PlatformError) {
    _ = try KeyRing.readOrMake(path)
    try self.init(reading: path)
  }

  /// One key that never changes.
  package init(_ key: ClusterKey) {
    path = nil
    ring = KeyRing(key)
  }

  /// Reads the file again if it has changed since the last look.
  package mutating func refresh() -> Change {
    guard let path else { return .none }
    let now = FileStamp(path)
    guard now != stamp else { return .none }
    stamp = now
    do throws(PlatformError) {
      let found = try KeyRing(reading: path)
      defer { ring = found }
      return found == ring ? .none : .renewed
    } catch {
      return .unusable(error)
    }
  }
}

extension ClusterKeys {
  /// Looks at the file, and gives its keys to the connections that are made from now on.
  ///
  /// - Parameters:
  ///   - context: of the process's connections.
  ///   - role: the process's, for its log.
  /// - Returns: whether the keys are others than before.
  package mutating func renew(_ context: TLSContext?, role: String) -> Bool {
    switch refresh() {
    case .none: return false
    case .renewed:
      context?.use(ring)
      Log.info("\(role).keys", ["offered": ring.first.id, "accepted": ring.keys.map(\.id).joined(separator: ",")])
      return true
    case .unusable(let error):
      Log.warning("\(role).keys_unusable", ["reason": "\(error)", "kept": ring.first.id])
      return false
    }
  }
}

/// What changes when a file is written or replaced.
private struct FileStamp: Sendable, Equatable {
  private let inode: UInt64
  private let bytes: Int
  private let seconds: Int
  private let nanoseconds: Int

  /// nil without a file.
  init?(_ path: String) {
    var facts = stat()
    guard stat(path, &facts) == 0 else { return nil }
    (inode, bytes) = (UInt64(facts.st_ino), Int(facts.st_size))
    (seconds, nanoseconds) = (facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec)
  }
}
