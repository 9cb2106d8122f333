// PackedFile: the arrays of a prepared model in one file, which processes map instead of making the arrays themselves.
//
//   bytes       content
//   16          "TTRLPACK", version of the format (32 bits), bytes of the description (32 bits)
//   …           the description: JSON, of everything that the arrays follow from
//   …           the arrays, each at a multiple of 4096
//   48 each     the table: for each array its place (64 bits), its bytes (64 bits), SHA-256
//   56          the end: number of arrays (64 bits), place of the table (64 bits), SHA-256 of the first two parts, the
//               table and the 16 bytes before, "TTRLDONE"
//
// Numbers are little-endian. The end is written last, so a file that was not completed has none. Digests are of the
// bytes as they were made, before they were written. A reader checks all of them once, which takes about a second per
// gigabyte and thread. So what a disk, a crash or another program has changed is found before a sample is drawn from
// it; otherwise the sampler and the trainer of one host would share the damage, and no other check would see it. The
// reader has then touched every page, which it needs in any case.
// Not here: where the file is and who makes it (SharedBase), the order of the arrays (WeightSource).

import Base
import LanguageModel
import Platform
import Tensors

/// A file whose end and table are intact.
struct PackedFile: Sendable {
  private struct Entry {
    var range: Range<Int>
    var digest: [UInt8]
  }

  let file: MappedFile
  private let entries: [Entry]

  /// Why a file is not used.
  enum Problem: Error, Equatable, CustomStringConvertible {
    case incomplete(bytes: Int)
    case ofAnotherProgram
    case otherVersion(UInt32)
    case otherContent
    case damagedTable
    case damagedArray(Int)
    /// Its arrays are not those of the model.
    case misfit

    var description: String {
      switch self {
      case .incomplete(let bytes): "it has \(bytes) bytes and no end"
      case .ofAnotherProgram: "it does not begin as a file of packed weights"
      case .otherVersion(let version): "its format has version \(version), expected \(PackedFile.version)"
      case .otherContent: "its description is that of other weights"
      case .damagedTable: "the digest of its table is wrong"
      case .damagedArray(let index): "the digest of array \(index) is wrong"
      case .misfit: "its arrays do not have the shapes of the model"
      }
    }
  }

  static let version: UInt32 = 1
  fileprivate static let (magic, end) = (Array("TTRLPACK".utf8), Array("TTRLDONE".utf8))
  fileprivate static let alignment = 4096
  private static let (entryBytes, endBytes) = (48, 56)

  /// - Parameter description: of the expected arrays.
  init(_ file: MappedFile, description: String) throws(Problem) {
    let bytes = file.bytes
    let head = Self.head(description)
    guard bytes.count >= 16 + Self.endBytes, bytes[(bytes.count - 8)...].elementsEqual(Self.end) else {
      throw .incomplete(bytes: bytes.count)
    }
    guard bytes[..<8].elementsEqual(Self.magic) else { throw .ofAnotherProgram }
    let version = bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
    guard version == Self.version else { throw .otherVersion(version) }
    guard bytes.count >= head.count + Self.endBytes, bytes[..<head.count].elementsEqual(head) else {
      throw .otherContent
    }
    let end = bytes.count - Self.endBytes
    func number(_ at: Int) -> Int { Int(clamping: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)) }
    let (count, table) = (number(end), number(end + 8))
    guard count <= end / Self.entryBytes, table >= head.count, table == end - count * Self.entryBytes else {
      throw .damagedTable
    }
    var hash = SHA256()
    hash.update(head)
    hash.update(UnsafeRawBufferPointer(rebasing: bytes[table..<end + 16]))
    guard bytes[(end + 16)..<(end + 48)].elementsEqual(hash.digest()) else { throw .damagedTable }
    var entries: [Entry] = []
    for index in 0..<count {
      let at = table + index * Self.entryBytes
      let (start, length) = (number(at), number(at + 8))
      guard length <= table, start <= table - length, start % Self.alignment == 0 else { throw .damagedTable }
      entries.append(Entry(range: start..<start + length, digest: Array(bytes[at + 16..<at + 48])))
    }
    self.file = file
    self.entries = entries
  }

  /// Compares every array with its digest.
  func verify(threads: Int) throws {
    try inParallel(entries.count, threads: threads) { [self] index, _ in
      let array = UnsafeRawBufferPointer(rebasing: file.bytes[entries[index].range])
      guard SHA256.digest(of: array) == entries[index].digest else { throw Problem.damagedArray(index) }
    }
  }

  /// The model, whose arrays are views of the mapped file.
  func model(_ plan: TransformerPlan) throws(Problem) -> PreparedModel {
    let arrays = entries.map { UnsafeRawBufferPointer(rebasing: file.bytes[$0.range]) }
    guard let model = PreparedModel(plan: plan, arrays: arrays, keptBy: file) else { throw .misfit }
    return model
  }

  fileprivate static func head(_ description: String) -> [UInt8] {
    var head = ByteWriter()
    head.append(magic)
    head.write(version)
    head.write(description)
    return head.bytes
  }
}

/// Writes a packed file, array by array. It has its name when `finish` has returned.
final class PackedFileWriter {
  private let file: AtomicFile
  private let head: [UInt8]
  private var table = ByteWriter()
  private var count: UInt64 = 0
  private var pending: [UInt8] = []
  private var place = 0

  /// Bytes that are written at a time, at multiples of this. File systems that have large pages in the page cache use
  /// them for large writes, and reading the mapped file is then as fast as reading other memory.
  private static let bytesAtATime = 16 << 20

  init(_ path: String, description: String) throws {
    file = try AtomicFile(path, mode: 0o600)
    head = PackedFile.head(description)
    pending.reserveCapacity(Self.bytesAtATime)
    try head.withUnsafeBytes { try put($0) }
  }

  func append(_ array: UnsafeRawBufferPointer) throws {
    let padding = (PackedFile.alignment - place % PackedFile.alignment) % PackedFile.alignment
    try [UInt8](repeating: 0, count: padding).withUnsafeBytes { try put($0) }
    table.write(UInt64(place))
    table.write(UInt64(array.count))
    table.append(SHA256.digest(of: array))
    count += 1
    try put(array)
  }

  /// The file is not synced. What is missing after a power failure is found by its digest, and made again.
  func finish() throws {
    var end = table
    end.write(count)
    end.write(UInt64(place))
    var hash = SHA256()
    hash.update(head)
    hash.update(end.bytes)
    end.append(hash.digest())
    end.append(PackedFile.end)
    try end.bytes.withUnsafeBytes { try put($0) }
    try file.write(pending)
    try file.takeName()
  }

  private func put(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let part = rest.prefix(Self.bytesAtATime - pending.count)
      pending.append(contentsOf: UnsafeRawBufferPointer(rebasing: part))
      rest = rest.dropFirst(part.count)
      guard pending.count == Self.bytesAtATime else { continue }
      try file.write(pending)
      pending.removeAll(keepingCapacity: true)
    }
    place += bytes.count
  }
}
