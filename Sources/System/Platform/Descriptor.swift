// Descriptor: an open file that closes itself, with the loops around read and write that handle partial results and
// EINTR.

import CLinux
import Glibc

/// Owns an open file descriptor. `path` is for error texts.
struct Descriptor: ~Copyable {
  let number: Int32
  let path: String

  /// - Parameters:
  ///   - path: the file's path.
  ///   - flags: O_CLOEXEC is added. To open for writing, use `writing`.
  ///   - operation: the verb for the error text.
  /// - Throws: `.file`.
  init(opening path: String, _ flags: Int32, to operation: String) throws(PlatformError) {
    self.path = path
    number = open(path, flags | O_CLOEXEC)
    guard number >= 0 else { throw .file(operation: operation, path: path, code: errno) }
  }

  /// Opens a file for writing, or makes it. Another user could have put a link under its name, so a link is never
  /// followed.
  ///
  /// - Parameters:
  ///   - path: the file's path.
  ///   - flags: O_WRONLY or O_RDWR, with O_CREAT where the file is made.
  ///   - mode: the mode of a file that this call creates.
  ///   - operation: the verb for the error text.
  /// - Throws: `.file`.
  init(writing path: String, _ flags: Int32, mode: mode_t = 0o644, to operation: String) throws(PlatformError) {
    self.path = path
    number = open(path, flags | O_CLOEXEC | O_NOFOLLOW, mode)
    guard number >= 0 else { throw .file(operation: operation, path: path, code: errno) }
  }

  /// Opens a file of an open directory for writing, or makes it. A link is never followed.
  ///
  /// - Throws: `.file`.
  init(
    writing name: String, in directory: borrowing Descriptor, _ flags: Int32, mode: mode_t, to operation: String
  ) throws(PlatformError) {
    path = "\(directory.path)/\(name)"
    number = openat(directory.number, name, flags | O_CLOEXEC | O_NOFOLLOW, mode)
    guard number >= 0 else { throw .file(operation: operation, path: path, code: errno) }
  }

  deinit { close(number) }

  /// Owner, mode, size and kind, of the open file itself.
  borrowing func facts() throws(PlatformError) -> stat {
    var facts = stat()
    guard fstat(number, &facts) == 0 else { throw .file(operation: "look at", path: path, code: errno) }
    return facts
  }

  /// Size in bytes.
  borrowing func size() throws(PlatformError) -> Int { Int(try facts().st_size) }

  /// Reads up to the array's size, from where the last read ended. Fewer bytes mean the end of the file.
  borrowing func read(into chunk: inout [UInt8]) throws(PlatformError) -> Int {
    var filled = 0
    while filled < chunk.count {
      let count = chunk.withUnsafeMutableBytes { bytes in
        Glibc.read(number, bytes.baseAddress?.advanced(by: filled), bytes.count - filled)
      }
      if count == 0 { break }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw .file(operation: "read", path: path, code: errno) }
      filled += count
    }
    return filled
  }

  /// Writes all bytes. If it throws, some of them can have been written.
  borrowing func write(_ bytes: UnsafeRawBufferPointer) throws(PlatformError) {
    var written = 0
    while written < bytes.count {
      let count = Glibc.write(number, bytes.baseAddress?.advanced(by: written), bytes.count - written)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw .file(operation: "write", path: path, code: count == 0 ? EIO : errno) }
      written += count
    }
  }

  /// Starts to write the content to the disk, so that `sync` has to wait less.
  borrowing func startSync() { ttrl_start_sync(number) }

  /// Returns when the content is on the disk.
  borrowing func sync() throws(PlatformError) {
    guard fsync(number) == 0 else { throw .file(operation: "sync", path: path, code: errno) }
  }
}
