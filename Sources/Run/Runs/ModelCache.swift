// ModelCache: the directory of the user for files that can be made again: unpacked and imported models, and the packed
// weights that the processes of a host share.
//
// The kind of an entry is the beginning of its name, and the rest has a digest of what the entry follows from. Entries
// that no run refers to by name (`packed-…`) are bounded: before one is made, those that were used longest ago are
// removed. An entry is never removed while a process uses it, which the process shows by a lock (FileLock). A directory
// of a model stays until the user removes it, because a run that began with it needs it.
// Not here: how entries are made (BuiltIn, ModelImport, SharedBase).

package import Base
import Platform

package struct ModelCache: Sendable {
  package let path: String

  /// Bytes of packed weights that are kept: four models of 7B in bfloat16, or one of 30B. A larger model is kept alone.
  package static let bytesMax = 64 << 30

  /// - Parameter path: of the directory; it need not exist.
  package init(_ path: String) { self.path = path }

  /// The cache of this user.
  ///
  /// - Throws: `CacheError.noHome`.
  package static func ofUser() throws(CacheError) -> ModelCache { ModelCache(try BuiltIn.cache()) }

  package enum Kind: String, Sendable, CaseIterable {
    /// The built-in model, unpacked.
    case base
    /// A GGUF file, imported.
    case gguf
    case packed

    /// Whether an entry is removed to make room. It is one file, which is locked while it is used.
    package var isBounded: Bool { self == .packed }

    package var name: String {
      switch self {
      case .base: "the built-in model"
      case .gguf: "an imported GGUF file"
      case .packed: "packed weights"
      }
    }
  }

  package struct Entry: Sendable {
    package var kind: Kind
    package var name: String
    package var bytes: Int
    /// When it was used last, or made: seconds since 1970.
    package var used: Double
    /// nil where it is not known.
    package var isInUse: Bool?
  }

  static func name(_ kind: Kind, _ rest: String) -> String { "\(kind.rawValue)-\(rest)" }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  /// What is locked while an entry is made or removed.
  func lock(of name: String) -> String { file(name + ".lock") }

  // MARK: Looking

  /// All entries, by name. Other files in the directory are left out.
  ///
  /// - Throws: `PlatformError` if the directory cannot be read.
  package func entries() throws -> [Entry] {
    guard try Files.exists(path) else { return [] }
    return try Files.list(path).compactMap(entry)
  }

  private func entry(_ name: String) throws -> Entry? {
    guard let kind = Kind.allCases.first(where: { name.hasPrefix($0.rawValue + "-") }), !name.hasSuffix(".lock"),
      !name.contains(".tmp-"), let facts = try Files.facts(of: file(name))
    else { return nil }
    return Entry(
      kind: kind, name: name, bytes: try bytes(of: file(name)), used: facts.changed,
      isInUse: kind.isBounded ? try FileLock.isInUse(file(name)) : nil)
  }

  private func bytes(of path: String) throws -> Int {
    guard Files.isDirectory(path) else { return try Files.facts(of: path)?.bytes ?? 0 }
    return try Files.list(path).reduce(0) { try $0 + bytes(of: "\(path)/\($1)") }
  }

  // MARK: Removing

  /// Removes all bounded entries that no process uses, and what processes that died left of others.
  ///
  /// - Returns: the entries that were removed.
  /// - Throws: `PlatformError`.
  package func clean() throws -> [Entry] {
    guard try Files.exists(path) else { return [] }
    try OwnedDirectory.require(path)
    let removed = try entries().filter(remove)
    // What is left of entries that were never completed.
    for name in try Files.list(path) where name.hasSuffix(".lock") { try removeRemains(of: String(name.dropLast(5))) }
    return removed
  }

  /// Removes what a process that died left while it made an entry.
  private func removeRemains(of name: String) throws {
    guard let lock = try FileLock.take(lock(of: name)) else { return }
    try removeTemporaries(of: name)
    if try !Files.exists(file(name)) { lock.removeFile() }
  }

  /// Removes temporary files of an entry whose lock this process has.
  func removeTemporaries(of name: String) throws {
    for other in try Files.list(path) where other.hasPrefix(name + ".tmp-") { try Files.removeTree(file(other)) }
  }

  /// Removes a bounded entry that is not in use.
  ///
  /// - Returns: whether it was removed.
  private func remove(_ entry: Entry) throws -> Bool {
    // A process that makes or opens the entry has one of the two locks.
    guard entry.kind.isBounded, entry.isInUse == false, let lock = try FileLock.take(lock(of: entry.name)),
      try FileLock.removeUnused(file(entry.name))
    else { return false }
    try removeTemporaries(of: entry.name)
    lock.removeFile()
    return true
  }

  /// Removes bounded entries, those used longest ago first, until an entry of this size can be added.
  ///
  /// - Parameters:
  ///   - bytes: of the entry that is about to be made.
  ///   - bytesMax: of all bounded entries together.
  ///   - room: how many bytes are free in the directory.
  /// - Throws: `CacheError.noRoom`, or `PlatformError`.
  package func makeRoom(
    for bytes: Int, max bytesMax: Int = bytesMax, room: (String) throws -> Int = { try Files.room(in: $0) }
  ) throws {
    var kept = try entries().filter(\.kind.isBounded).sorted { ($0.used, $0.name) < ($1.used, $1.name) }
    var free = try room(path)
    while free < bytes || kept.reduce(bytes, { $0 + $1.bytes }) > bytesMax {
      guard let index = kept.firstIndex(where: { $0.isInUse == false }) else { break }
      let oldest = kept.remove(at: index)
      guard try remove(oldest) else { continue }
      Log.info("cache.removed", ["name": oldest.name, "bytes": oldest.bytes])
      free = try room(path)
    }
    guard free >= bytes else { throw CacheError.noRoom(directory: path, needed: bytes, free: free) }
  }
}

/// Why there is no place for the built-in model, or for a model that is imported.
package enum CacheError: LastingError, Sendable, CustomStringConvertible {
  case noHome
  /// The reason, as text.
  case unusable(String)
  /// The packed weights of a model do not fit on the disk.
  case noRoom(directory: String, needed: Int, free: Int)
  /// A process has been making the packed weights for too long.
  case busy(path: String, pid: Int32?, waited: Instant.Span)
  /// The packed weights were made, and were gone or damaged again at once.
  case lost(path: String, problem: String)

  package var isLasting: Bool {
    switch self {
    case .noHome, .unusable, .noRoom: true
    case .busy, .lost: false
    }
  }

  package var description: String {
    let remedy = "Set XDG_CACHE_HOME to a directory of your own"
    return switch self {
    case .noHome:
      "there is no directory for unpacked models: HOME is not set, and \(User.name()) has no home directory. \(remedy)"
    case .unusable(let reason): "there is no directory for unpacked models: \(reason). Or: \(remedy)"
    case .noRoom(let directory, let needed, let free):
      "cannot make the packed weights that all processes of a machine share: they have \(needed) bytes, and "
        + "\(free) bytes are free in \(directory.visible). Free space there, or set XDG_CACHE_HOME to a directory of "
        + "your own that has room. Packed weights that no process uses were removed already"
    case .busy(let path, let pid, let waited):
      "gave up waiting for \(path.visible): process \(pid.map(String.init) ?? "unknown") has been making it for "
        + "\(waited.nanoseconds / 1_000_000_000) s. Stop that process, and start again"
    case .lost(let path, let problem):
      "cannot use \(path.visible), which was made just now: \(problem). Does another program change files there? "
        + "Start again, or set XDG_CACHE_HOME to a directory of your own"
    }
  }
}
