// ArchiveBytes: archives that `ttrl export` did not write. Seals protect a reader from accidents, not from a program
// that computes them, so what is fuzzed is also the reading of lines with right seals.

import Archives
import Base
import Platform

final class ArchiveBytes: Sendable {
  static let shared = ArchiveBytes()

  private let path: String
  private let again: String
  private let hasPlace: Bool

  /// The reader takes files; two are used for all inputs.
  private init() {
    let directory = try? OwnedDirectory.temporary(prefix: "ttrl-fuzz")
    path = (directory ?? "") + "/a.jsonl.zst"
    again = (directory ?? "") + "/b.jsonl.zst"
    hasPlace = directory != nil
  }

  /// If the first byte is 0, the rest is the file. Otherwise the rest are lines, which are sealed and packed here: as
  /// many as one seal can have.
  func feed(_ bytes: [UInt8]) {
    guard hasPlace, let first = bytes.first else { return }
    let rest = bytes.dropFirst()
    guard (try? Files.write(first == 0 ? Array(rest) : sealed(rest), to: path)) != nil else { return }
    let lines = lines(of: path)
    guard let header = lines.first, case .header = header else { return }
    // What was read is written, and read again as the same.
    guard let writer = try? ArchiveWriter(again) else { return }
    for line in lines {
      guard (try? writer.write(line)) != nil else { return }
    }
    guard (try? writer.finish()) != nil else { return }
    precondition(self.lines(of: again) == lines, "an archive's lines change when they are written and read")
  }

  /// The header and the lines up to the first that is refused.
  private func lines(of path: String) -> [ArchiveLine] {
    guard let reader = try? ArchiveReader(path) else { return [] }
    var lines = [ArchiveLine.header(reader.header)]
    while let line = try? reader.next() { lines.append(line) }
    return lines
  }

  private func sealed(_ lines: ArraySlice<UInt8>) -> [UInt8] {
    var block = lines.split(separator: UInt8(ascii: "\n")).prefix(ArchiveFormat.linesPerSeal)
      .flatMap { $0 + [UInt8(ascii: "\n")] }
    let count = block.count { $0 == UInt8(ascii: "\n") }
    var chain = ArchiveChain()
    let hash = chain.add(block)
    block += Array("{\"kind\":\"end\",\"lines\":\(count),\"sha256\":\"\(hash)\"}\n".utf8)
    var packed: [UInt8] = []
    try? ZstdCompressor().compress(block, isLast: true) { packed += $0 }
    return packed
  }
}
