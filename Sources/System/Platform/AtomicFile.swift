// AtomicFile: a file that appears under its name, complete, when it is committed.
//
// A large file can be written over a spare one, that is a file that was needed earlier. Its pages are in memory; with
// fresh pages, which the system has to find and clear first, writing takes three times as long, and far longer on some
// virtual machines. Readers of such files lock them (MappedFile), and a file with a reader is not written over.

import Glibc

/// It is written under a temporary name in the target's directory. The file with that name is new or was the spare
/// file: what had the name before is removed. If it is not committed, it is removed with this object. A crash can leave
/// NAME.tmp-PID, which nothing reads.
package final class AtomicFile {
  private let path: String
  private let temporary: String
  private let file: Descriptor
  private var byteCount = 0
  private var isCommitted = false

  /// - Parameters:
  ///   - path: the name that the file takes.
  ///   - mode: the permissions of a new file.
  ///   - spare: the path of a file that is written over, if it exists and no process reads it.
  package init(_ path: String, mode: UInt32 = 0o644, over spare: String? = nil) throws(PlatformError) {
    self.path = path
    temporary = "\(path).tmp-\(getpid())"
    // It can be left from a crash of an earlier process with the same number.
    unlink(temporary)
    if let spare, rename(spare, temporary) == 0 {
      if let old = try Self.locked(temporary) {
        // After a power failure, the new content must not stand under the spare file's old names.
        try Files.syncDirectory(Files.directory(of: path))
        file = old
        return
      }
      unlink(temporary)
    }
    file = try Descriptor(writing: temporary, O_WRONLY | O_CREAT | O_EXCL, mode: mode, to: "create")
  }

  deinit { if !isCommitted { unlink(temporary) } }

  /// Opens a file and keeps readers out until it is unlocked; nil if a process reads it, or it has another name too.
  private static func locked(_ path: String) throws(PlatformError) -> Descriptor? {
    var facts = stat()
    guard lstat(path, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG, facts.st_nlink == 1 else { return nil }
    let file = try Descriptor(writing: path, O_WRONLY, to: "write over")
    guard flock(file.number, LOCK_EX | LOCK_NB) == 0 else { return nil }
    return consume file
  }

  package func write(_ bytes: UnsafeRawBufferPointer) throws(PlatformError) {
    try file.write(bytes)
    byteCount += bytes.count
  }

  package func write(_ bytes: [UInt8]) throws(PlatformError) {
    try bytes.span.withUnsafeBytes { buffer throws(PlatformError) in try write(buffer) }
  }

  /// Starts to write the content so far to the disk, so that `commit` has to wait less.
  package func startSync() { file.startSync() }

  /// Syncs the content, takes the name, syncs the name. Call this once.
  package func commit() throws(PlatformError) {
    try shorten()
    try file.sync()
    try takeName()
    try Files.syncDirectory(Files.directory(of: path))
  }

  /// Takes the name without syncing: after a power failure the file can be incomplete. Call this once.
  package func takeName() throws(PlatformError) {
    precondition(!isCommitted, "\(path) was committed already")
    try shorten()
    guard rename(temporary, path) == 0 else { throw .file(operation: "replace", path: path, code: errno) }
    isCommitted = true
    flock(file.number, LOCK_UN)
  }

  /// A spare file can be longer than what was written.
  private func shorten() throws(PlatformError) {
    guard try file.size() > byteCount else { return }
    guard ftruncate(file.number, byteCount) == 0 else { throw .file(operation: "shorten", path: path, code: errno) }
  }
}
