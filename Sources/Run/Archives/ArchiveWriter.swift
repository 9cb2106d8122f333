// ArchiveWriter: lines into an archive: sealed, compressed, and complete under their name or not there at all.

import Base
import Platform

package final class ArchiveWriter {
  private let file: AtomicFile
  private let compressor = ZstdCompressor()
  private var chain = ArchiveChain()
  /// Lines that have no seal yet, with their newlines.
  private var block: [UInt8] = []
  private var blockLines = 0
  /// All lines so far.
  private var lines = 0
  package private(set) var counts = ArchiveCounts()

  /// - Parameter path: where the archive appears when it is finished; what has this name then is replaced.
  package init(_ path: String) throws { file = try AtomicFile(path) }

  /// Adds a line. The header comes first, then the questions, then each round with its groups, each with its responses.
  ///
  /// - Throws: `PlatformError`, for example on a full disk.
  package func write(_ line: ArchiveLine) throws {
    counts.count(line)
    append(line.kind, line.members)
    blockLines += 1
    guard blockLines == ArchiveFormat.linesPerSeal || block.count >= ArchiveFormat.bytesPerSeal else { return }
    let hash = chain.add(block)
    append(.seal, [JSON.Member("lines", .int(blockLines)), JSON.Member("sha256", .string(hash))])
    try pack(isLast: false)
  }

  /// Ends the archive. When this returns, it is complete, under its name, on the disk.
  ///
  /// - Returns: the hash of everything before the last line, in hexadecimal. It stands in the last line.
  package func finish() throws -> String {
    let hash = chain.add(block)
    append(
      .end,
      [JSON.Member("lines", .int(blockLines)), JSON.Member("all_lines", .int(lines + 1))]
        + counts.members.map { JSON.Member($0.name, .int($0.value)) } + [JSON.Member("sha256", .string(hash))])
    try pack(isLast: true)
    try file.commit()
    return hash
  }

  private func append(_ kind: ArchiveFormat.Kind, _ members: [JSON.Member]) {
    block += JSON.object([JSON.Member("kind", .string(kind.rawValue))] + members).bytes() + [UInt8(ascii: "\n")]
    lines += 1
  }

  private func pack(isLast: Bool) throws {
    try compressor.compress(block, isLast: isLast) { try file.write($0) }
    block.removeAll(keepingCapacity: true)
    blockLines = 0
  }
}
