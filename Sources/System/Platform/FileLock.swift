// FileLock: an exclusive lock that processes of one user wait for, and files that are in use.
//
// The lock is an exclusive flock on a file of its own, beside what it protects. The kernel releases it when its holder
// ends. The file has the holder's pid, for messages. It can be removed only by its holder; a process that has opened a
// file that is then removed notices it, and opens the new one.
//
// A file is in use while a process has a shared flock on it (MappedFile). Where a file system has no locks, no process
// waits, and every file counts as in use. Not here: the lock of a run directory (RunLock).

import Glibc

/// The lock is held as long as this object exists.
package final class FileLock: Sendable {
  private let file: Descriptor

  private init(_ file: consuming Descriptor) { self.file = file }

  private static let notSupported = [EOPNOTSUPP, ENOSYS, EINVAL, ENOLCK]
  /// How often a file that was removed meanwhile is opened again. Each time another process has finished its work.
  private static let attempts = 1000

  /// Takes the lock if it is free. The directory must be this user's own.
  ///
  /// - Returns: nil if another process has it.
  /// - Throws: `.file`.
  package static func take(_ path: String) throws(PlatformError) -> FileLock? {
    for _ in 0..<attempts {
      let file = try Descriptor(writing: path, O_RDWR | O_CREAT, mode: 0o600, to: "open")
      if flock(file.number, LOCK_EX | LOCK_NB) != 0, !notSupported.contains(errno) {
        guard errno == EWOULDBLOCK || errno == EINTR else { throw .file(operation: "lock", path: path, code: errno) }
        return nil
      }
      guard try Files.facts(of: path)?.number == UInt64(file.facts().st_ino) else { continue }
      guard ftruncate(file.number, 0) == 0 else { throw .file(operation: "write", path: path, code: errno) }
      try Array("\(getpid())\n".utf8).span.withUnsafeBytes { bytes throws(PlatformError) in try file.write(bytes) }
      return FileLock(file)
    }
    return nil
  }

  /// The process that last took a lock; nil if it did not say.
  package static func holder(_ path: String) -> Int32? {
    (try? Files.readText(path, limit: 64)).flatMap { Int32($0.prefix { $0.isNumber }) }
  }

  /// Removes the lock's file. The lock is still held.
  package func removeFile() { unlink(file.path) }

  // MARK: Files in use

  /// Whether a process has locked the file for reading; nil if there is no such file.
  ///
  /// - Throws: `.file`.
  package static func isInUse(_ path: String) throws(PlatformError) -> Bool? {
    guard try Files.exists(path) else { return nil }
    let file = try Descriptor(opening: path, O_RDONLY, to: "look at")
    // It is released at once. A reader that starts in this moment tries again.
    return flock(file.number, LOCK_EX | LOCK_NB) != 0
  }

  /// Removes a file that no process has locked for reading.
  ///
  /// - Returns: whether it was removed.
  /// - Throws: `.file`.
  package static func removeUnused(_ path: String) throws(PlatformError) -> Bool {
    guard try Files.exists(path) else { return false }
    let file = try Descriptor(opening: path, O_RDONLY, to: "remove")
    guard flock(file.number, LOCK_EX | LOCK_NB) == 0 else { return false }
    guard unlink(path) == 0 || errno == ENOENT else { throw .file(operation: "remove", path: path, code: errno) }
    return true
  }
}
