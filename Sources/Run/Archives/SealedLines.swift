// SealedLines: the lines of an archive as JSON, each checked before it is returned.
//
// A block of lines is read up to its seal, and only if the hash is right are its lines returned. One block is in
// memory, and what one piece of the file unpacks to.

import Base
import Platform

final class SealedLines {
  let path: String
  private let file: ReadingFile
  private let decompressor = ZstdDecompressor()
  private var chain = ArchiveChain()
  /// Unpacked bytes, from the beginning of the block, and how many of them have no newline.
  private var bytes: [UInt8] = []
  private var searched = 0
  /// The lines of the checked block, without their newlines; the next of them; and where its seal ends.
  private var block: [Range<Int>] = []
  private var nextInBlock = 0
  private var blockEnd = 0
  /// Lines before the block, and lines up to its seal.
  private var linesBefore = 0
  private var linesSealed = 0
  /// How many bytes of the file are read.
  private(set) var bytesRead = 0
  /// The last line, and the number of lines up to it; nil until it is checked.
  private(set) var end: (json: JSON, lines: Int)?

  /// Bytes of the file that are unpacked at once. The worst bytes unpack to 30,000 times as many.
  private var piece = [UInt8](repeating: 0, count: 1 << 15)
  private static let bytesMax = ArchiveFormat.lineBytes + 2 * ArchiveFormat.bytesPerSeal

  /// - Throws: `PlatformError` if the file cannot be read.
  init(_ path: String) throws {
    self.path = path
    file = try ReadingFile(path)
  }

  /// - Returns: the next line that is not a seal, with its number from 1; nil after the last line.
  /// - Throws: `ArchiveError`, or `PlatformError`.
  func next() throws -> (number: Int, json: JSON)? {
    while nextInBlock == block.count {
      guard end == nil else { return nil }
      try readBlock()
    }
    defer { nextInBlock += 1 }
    let number = linesBefore + nextInBlock + 1
    return (number, try parsed(block[nextInBlock], number))
  }

  /// Reads lines up to the next seal, and checks it.
  private func readBlock() throws {
    bytes.removeSubrange(..<blockEnd)
    (searched, blockEnd, linesBefore) = (0, 0, linesSealed)
    (block, nextInBlock) = ([], 0)
    while true {
      let line = try readLine()
      let number = linesBefore + block.count + 1
      if number == 1 { try checkHeader(line) }
      guard isSeal(line) else {
        guard block.count < ArchiveFormat.linesPerSeal else {
          throw bad(number, "expected a seal after at most \(ArchiveFormat.linesPerSeal) lines")
        }
        block.append(line)
        continue
      }
      blockEnd = line.upperBound + 1
      try check(seal: try parsed(line, number), line.lowerBound)
      linesSealed = number
      return
    }
  }

  /// - Parameter start: where the seal begins.
  private func check(seal: JSON, _ start: Int) throws {
    let number = linesBefore + block.count + 1
    guard let said = seal["sha256"]?.string, let lines = seal["lines"]?.int else {
      throw bad(number, "the seal has no \"lines\" or no \"sha256\"")
    }
    let found = chain.add(bytes[..<start])
    guard found == said, lines == block.count else {
      throw ArchiveError.otherHash(
        path: path, first: linesBefore + 1, last: number - 1, said: "\(said) of \(counted(lines, "line"))",
        found: "\(found) of \(counted(block.count, "line"))")
    }
    guard seal["kind"]?.string == ArchiveFormat.Kind.end.rawValue else { return }
    guard try blockEnd == bytes.count && !unpackMore() else {
      throw ArchiveError.trailing(path: path, line: number)
    }
    // The last bytes are zstd's own checksum.
    guard decompressor.isAtEnd else { throw ArchiveError.cutShort(path: path, lines: linesSealed) }
    end = (seal, number)
  }

  /// Before the first seal: a file of another kind or version has perhaps none.
  private func checkHeader(_ line: Range<Int>) throws {
    let header = try? JSON.parse(bytes, in: line)
    guard let header, header["format"]?.string == ArchiveFormat.name else {
      throw ArchiveError.notAnArchive(path: path, found: "its first line is not a header")
    }
    guard header["format_version"]?.int == ArchiveFormat.version else {
      throw ArchiveError.otherVersion(path: path, found: header["format_version"].map { $0.text() } ?? "unknown")
    }
  }

  private func isSeal(_ line: Range<Int>) -> Bool {
    [ArchiveFormat.Kind.seal, .end].contains { bytes[line].starts(with: "{\"kind\":\"\($0.rawValue)\"".utf8) }
  }

  // MARK: Bytes

  /// Where the next line is in `bytes`, without its newline.
  private func readLine() throws -> Range<Int> {
    let start = block.last.map { $0.upperBound + 1 } ?? 0
    searched = max(searched, start)
    while true {
      if let newline = bytes[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        searched = newline + 1
        return start..<newline
      }
      searched = bytes.count
      guard try unpackMore() else { throw ArchiveError.cutShort(path: path, lines: linesSealed) }
    }
  }

  /// - Returns: false at the end of the file.
  private func unpackMore() throws -> Bool {
    let count = try file.read(into: &piece)
    guard count > 0 else { return false }
    var isTooMuch = false
    let isFirst = bytesRead == 0
    let problem = decompressor.decompress(piece[..<count]) { unpacked in
      isTooMuch = isTooMuch || bytes.count + unpacked.count > Self.bytesMax
      if !isTooMuch { bytes += unpacked }
    }
    bytesRead += count
    if let problem {
      throw isFirst && linesSealed == 0 && bytes.isEmpty
        ? ArchiveError.notAnArchive(path: path, found: "it is not compressed with zstd (\(problem))")
        : ArchiveError.damaged(path: path, line: linesSealed, reason: problem)
    }
    if isTooMuch { throw bad(linesSealed + 1, "more than \(Self.bytesMax >> 20) MiB follow without a seal") }
    return true
  }

  private func parsed(_ range: Range<Int>, _ number: Int) throws -> JSON {
    do {
      return try JSON.parse(Array(bytes[range]))
    } catch {
      throw bad(number, "it is not JSON: \(error.problem) (column \(error.column))")
    }
  }

  private func bad(_ line: Int, _ problem: String) -> ArchiveError {
    .badLine(path: path, line: line, problem: problem)
  }
}
