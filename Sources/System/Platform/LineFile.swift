// LineFile: a text file that grows by whole lines (metrics.jsonl).

import Glibc

/// Appends lines. A line is one write, so that readers see the whole line. It is on the disk when `sync` returns.
package final class LineFile {
  private let file: Descriptor

  /// Opens or makes the file. If the last line has no newline, a crash tore it, and it is removed.
  package init(_ path: String, mode: UInt32 = 0o644) throws(PlatformError) {
    file = try Descriptor(writing: path, O_RDWR | O_CREAT | O_APPEND, mode: mode, to: "open")
    try cutTornLine()
  }

  /// - Parameter line: without its newline.
  /// - Throws: `.file`. Then the part of the line that was written has been removed.
  package func append(_ line: String) throws(PlatformError) {
    precondition(!line.utf8.contains(0x0A), "a line must not contain a newline")
    let before = try file.size()
    do throws(PlatformError) {
      try Array((line + "\n").utf8).span.withUnsafeBytes { bytes throws(PlatformError) in try file.write(bytes) }
    } catch {
      ftruncate(file.number, before)
      throw error
    }
  }

  package func sync() throws(PlatformError) { try file.sync() }

  private func cutTornLine() throws(PlatformError) {
    var end = try file.size()
    var byte: UInt8 = 0
    while end > 0, pread(file.number, &byte, 1, end - 1) == 1, byte != 0x0A { end -= 1 }
    guard try end < file.size() else { return }
    guard ftruncate(file.number, end) == 0 else {
      throw .file(operation: "cut the torn last line of", path: file.path, code: errno)
    }
  }
}
