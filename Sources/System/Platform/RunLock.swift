// RunLock: one coordinator per run directory.
//
// The lock is an exclusive flock on DIRECTORY/lock. The kernel releases it when its holder ends, for any reason, so a
// crash never leaves a run locked. The file holds the pid, for the error text that a second coordinator prints. The
// directory must be this user's own (OwnedDirectory): others could write any pid there, and `ttrl stop` ends that
// process.

import Glibc

/// The lock is held as long as this object exists.
package final class RunLock {
  private let file: Descriptor

  /// - Parameters:
  ///   - directory: must exist.
  ///   - name: the file's name.
  ///   - owner: what kind of process this is, for the error text: "coordinator".
  /// - Throws: `.locked` if another process has it, `.directoryRefused` if other users can write to the directory,
  ///   `.file` otherwise.
  package init(directory: String, name: String = "lock", owner: String) throws(PlatformError) {
    let opened = try OwnedDirectory.open(directory)
    file = try Descriptor(writing: name, in: opened, O_RDWR | O_CREAT, mode: 0o600, to: "open")
    guard flock(file.number, LOCK_EX | LOCK_NB) == 0 else {
      guard errno == EWOULDBLOCK else { throw .file(operation: "lock", path: file.path, code: errno) }
      throw .locked(directory: directory, owner: owner, pid: Self.holder(file))
    }
    guard ftruncate(file.number, 0) == 0 else { throw .file(operation: "write", path: file.path, code: errno) }
    try Array("\(getpid())\n".utf8).span.withUnsafeBytes { bytes throws(PlatformError) in try file.write(bytes) }
  }

  /// The process that holds a lock. Does not take the lock.
  ///
  /// - Returns: its pid, or nil if no process holds the lock.
  /// - Throws: `.directoryRefused` or `.file`.
  package static func holder(directory: String, name: String) throws(PlatformError) -> Int32? {
    let opened = try OwnedDirectory.open(directory)
    guard try Files.exists("\(directory)/\(name)") else { return nil }
    let file = try Descriptor(writing: name, in: opened, O_RDWR, mode: 0, to: "open")
    // A shared lock, released at once. A process that starts in this moment can be refused; it reports that.
    guard flock(file.number, LOCK_SH | LOCK_NB) == 0 else { return holder(file) }
    return nil
  }

  private static func holder(_ file: borrowing Descriptor) -> Int32? {
    var text = [CChar](repeating: 0, count: 16)
    guard pread(file.number, &text, text.count - 1, 0) > 0 else { return nil }
    return Int32(String(nulTerminated: text).prefix { $0.isNumber })
  }
}
