// MappedFile: a large file as memory, which the kernel reads page by page.
//
// For weights and checkpoints. The file must not be shortened while it is mapped: the kernel would end the process.
// ttrl never shortens a file that is read: every writer replaces it (AtomicFile), and processes that have mapped the
// old content keep it. Files that are written over when they are not needed any more have to be locked by their
// readers.

import Glibc

/// Read-only. `bytes` is valid as long as this object exists.
///
/// Unchecked: the memory is never written, and it is unmapped only when the last reference is gone.
package final class MappedFile: @unchecked Sendable {
  package let path: String
  package let bytes: UnsafeRawBufferPointer
  /// Holds the lock.
  private let file: Descriptor?

  /// - Parameters:
  ///   - path: of an existing file.
  ///   - isLocked: whether writers must not write over the file as long as this object exists.
  /// - Throws: `.file`, also if a writer writes over the file now.
  package init(_ path: String, isLocked: Bool = false) throws(PlatformError) {
    self.path = path
    let file = try Descriptor(opening: path, O_RDONLY, to: "map")
    // Where a file system has no locks, writers get none either, and do not write over files.
    if isLocked, flock(file.number, LOCK_SH | LOCK_NB) != 0, ![EOPNOTSUPP, ENOSYS, EINVAL].contains(errno) {
      throw .file(operation: "lock", path: path, code: errno)
    }
    let size = try file.size()
    guard size > 0 else {
      // mmap refuses an empty range.
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      self.file = nil
      return
    }
    guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, file.number, 0), start != MAP_FAILED else {
      throw .file(operation: "map", path: path, code: errno)
    }
    bytes = UnsafeRawBufferPointer(start: start, count: size)
    if isLocked { self.file = consume file } else { self.file = nil }
  }

  deinit {
    if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) }
  }
}

/// Bytes in memory: those of an array, or of a file that other processes have mapped too.
package enum HeldBytes: Sendable {
  case array([UInt8])
  case file(MappedFile)

  package var count: Int {
    switch self {
    case .array(let bytes): bytes.count
    case .file(let file): file.bytes.count
    }
  }

  /// The bytes are valid only during the call.
  package func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    switch self {
    case .array(let bytes): try bytes.span.withUnsafeBytes { buffer throws(E) in try body(buffer) }
    case .file(let file): try withExtendedLifetime(file) { () throws(E) in try body(file.bytes) }
    }
  }
}
