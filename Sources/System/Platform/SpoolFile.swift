// SpoolFile: bytes that wait on a disk and not in memory.
//
// The file has no name, so it is gone when the process is. Other processes cannot read it, and it is never synced.

import Glibc
import Synchronization

package final class SpoolFile: Sendable {
  private let file: Descriptor
  private let end = Mutex(0)

  /// - Parameter directory: an existing one, on the disk to use.
  package init(in directory: String) throws(PlatformError) {
    let path = "\(directory)/spool.tmp-\(getpid())"
    // It can be left from a crash of an earlier process with the same number.
    unlink(path)
    file = try Descriptor(writing: path, O_RDWR | O_CREAT | O_EXCL, mode: 0o600, to: "create")
    unlink(path)
  }

  /// - Returns: where the bytes are.
  /// - Throws: on a full disk.
  package func append(_ bytes: [UInt8]) throws(PlatformError) -> Range<Int> {
    try end.withLock { end throws(PlatformError) in
      try bytes.span.withUnsafeBytes { buffer throws(PlatformError) in try file.write(buffer) }
      defer { end += bytes.count }
      return end..<end + bytes.count
    }
  }

  /// - Parameter range: as `append` returned it.
  package func read(_ range: Range<Int>) throws(PlatformError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: range.count)
    var filled = 0
    while filled < range.count {
      let count = bytes.withUnsafeMutableBytes {
        pread(file.number, $0.baseAddress?.advanced(by: filled), range.count - filled, range.lowerBound + filled)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw .file(operation: "read", path: file.path, code: count < 0 ? errno : EIO) }
      filled += count
    }
    return bytes
  }
}

/// Bytes that are kept in memory or on a disk.
package enum KeptBytes: Sendable {
  case memory([UInt8])
  case disk(SpoolFile, Range<Int>)

  package func read() throws(PlatformError) -> [UInt8] {
    switch self {
    case .memory(let bytes): bytes
    case .disk(let file, let range): try file.read(range)
    }
  }
}
