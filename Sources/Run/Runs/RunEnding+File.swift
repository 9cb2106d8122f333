// RUN/ending.json: written by the process that ends a run before it is finished, removed by the process that goes on.

import Base
package import Platform
package import Records

extension RunEnding {
  /// Bytes that are read; a file has a few kilobytes.
  private static let bytesMax = 1 << 16

  /// - Returns: nil if there is none, or it cannot be read.
  package init?(of directory: RunDirectory) {
    guard let bytes = try? Files.read(directory.ending, limit: Self.bytesMax), let json = try? JSON.parse(bytes) else {
      return nil
    }
    self.init(json)
  }

  /// - Throws: `PlatformError`, for example if the disk is full.
  package func write(to directory: RunDirectory) throws(PlatformError) {
    try Files.write(json.text(.pretty) + "\n", to: directory.ending)
  }

  /// The run goes on: what ended it before is over.
  package static func clear(_ directory: RunDirectory) { try? Files.removeTree(directory.ending) }
}
