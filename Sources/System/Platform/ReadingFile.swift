// ReadingFile: a file that is read from its beginning to its end, a little at a time.

import Glibc

package final class ReadingFile {
  private let file: Descriptor

  /// - Throws: `.file`.
  package init(_ path: String) throws(PlatformError) { file = try Descriptor(opening: path, O_RDONLY, to: "read") }

  /// Reads up to the array's size, from where the last read ended. Fewer bytes mean the end of the file.
  ///
  /// - Returns: the number of bytes.
  /// - Throws: `.file`.
  package func read(into chunk: inout [UInt8]) throws(PlatformError) -> Int { try file.read(into: &chunk) }

  /// Bytes in the file.
  package func size() throws(PlatformError) -> Int { try file.size() }
}
