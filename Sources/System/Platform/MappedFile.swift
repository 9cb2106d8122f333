// MappedFile: a large file as memory, which the kernel reads page by page.
//
// For weights and checkpoints. ttrl never shortens a file that is read: every writer replaces it (AtomicFile), and
// processes that have mapped the old content keep it. Files that are written over when they are not needed any more
// have to be locked by their readers. If another program shortens a mapped file, or its disk fails, the kernel raises
// SIGBUS in the process that reads it; the process then says which file it was, and ends.

import Base
import CLinux
import Glibc

/// Read-only. `bytes` is valid as long as this object exists.
///
/// Unchecked: the memory is never written, and it is unmapped only when the last reference is gone.
package final class MappedFile: @unchecked Sendable {
  package let path: String
  package let bytes: UnsafeRawBufferPointer
  /// Holds the lock.
  private let file: Descriptor?
  /// Where the range is watched for SIGBUS; below 0 if it is not.
  private let watch: Int32

  /// The exit status of a process whose file was cut short. Not a lasting failure: a role is started again, and checks
  /// its files.
  package static let cutShortStatus: Int32 = 1

  /// - Parameters:
  ///   - path: of an existing file.
  ///   - isLocked: whether writers must not write over the file as long as this object exists.
  ///   - wantsLargePages: the whole file is read again and again, so that large pages save time.
  ///   - remedy: what to do if the file is cut short while it is mapped.
  /// - Throws: `.file`, also if a writer writes over the file now.
  package init(
    _ path: String, isLocked: Bool = false, wantsLargePages: Bool = false,
    remedy: String = "Put the whole file back (the kernel's log, dmesg, tells if the disk failed) and start again"
  ) throws(PlatformError) {
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
      watch = -1
      return
    }
    guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, file.number, 0), start != MAP_FAILED else {
      throw .file(operation: "map", path: path, code: errno)
    }
    bytes = UnsafeRawBufferPointer(start: start, count: size)
    // Only a request, which not every file system can fulfil.
    if wantsLargePages { madvise(start, size, MADV_HUGEPAGE) }
    let text = "cannot go on: \(path.visible) was cut short while it was in use, or cannot be read any more. \(remedy)"
    // If it cannot be watched, SIGBUS has its usual effect.
    watch = ttrl_watch_mapping(start, size, text + "\n", Self.cutShortStatus)
    if isLocked { self.file = consume file } else { self.file = nil }
  }

  deinit {
    if watch >= 0 { ttrl_forget_mapping(watch) }
    if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) }
  }
}

extension MappedFile {
  /// Bytes that are written to a disk and mapped. The file has no name afterwards.
  ///
  /// - Parameters:
  ///   - directory: an existing one.
  ///   - write: writes them.
  /// - Throws: on a full disk, or what `write` throws.
  package static func withoutName(in directory: String, _ write: (AtomicFile) throws -> Void) throws -> MappedFile {
    let path = "\(directory)/unnamed-\(getpid())"
    let file = try AtomicFile(path)
    try write(file)
    try file.takeName()
    defer { unlink(path) }
    return try MappedFile(path)
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

  /// Calls `body` with the bytes, piece by piece. The pages of a file do not stay in this process's memory.
  package func forEachPiece<E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> Void) throws(E) {
    for start in stride(from: 0, to: count, by: Self.pieceBytes) {
      try withPiece(start..<min(start + Self.pieceBytes, count), body)
    }
  }

  /// Calls `body` with a part of the bytes. The pages of a file do not stay in this process's memory.
  package func withPiece<R, E: Error>(
    _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    try withBytes { bytes throws(E) in
      let piece = UnsafeRawBufferPointer(rebasing: bytes[range])
      defer {
        // Only a request, which a range that does not begin with a page cannot make. The next read takes the page from
        // the file again.
        if case .file = self, let start = piece.baseAddress {
          madvise(UnsafeMutableRawPointer(mutating: start), piece.count, MADV_DONTNEED)
        }
      }
      return try body(piece)
    }
  }

  /// A multiple of all page sizes.
  private static let pieceBytes = 4 << 20
}
