// BlockCodec: one block of weights as a chunk, and back.
//
// With a base version, the words (16 or 32 bits) are XORed with its words. Then the first bytes of all words are
// written next to each other, then the second bytes, and so on, and zstd packs the result. Most weights of consecutive
// versions are equal bit for bit, so most of it is zeros; the others differ in the low bits. The choice was measured
// (docs/speed.md#weights-on-the-wire). The code is lossless for any bytes; it does not use that they are weights.
//
// A chunk is not trusted: it must state its unpacked length, and this must be the length of the expected block. Only
// then is it given to zstd, with a buffer of exactly that size.

import Base
import CZstd
package import Records

/// Why a chunk or a bundle cannot be unpacked.
package enum BundleError: Error, Equatable, Sendable {
  /// The manifest is not sound.
  case unsound
  /// The base is missing, or has another length.
  case noBase(PolicyVersion)
  case missing(block: Int)
  /// The bytes are not a chunk that unpacks to this block's length.
  case damaged(block: Int)
}

/// One codec must not be used by several threads at once.
package final class BlockCodec {
  /// Measured: higher levels take several times as long and save little.
  private static let level: Int32 = 1

  private let packer: OpaquePointer
  private let unpacker: OpaquePointer
  private var planes: [UInt8] = []
  private var differences: [UInt8] = []
  private var packed: [UInt8] = []

  package init() {
    guard let packer = ZSTD_createCCtx(), let unpacker = ZSTD_createDCtx() else {
      preconditionFailure("zstd has no memory for its tables (some 2 MB)")
    }
    self.packer = packer
    self.unpacker = unpacker
  }

  deinit {
    ZSTD_freeCCtx(packer)
    ZSTD_freeDCtx(unpacker)
  }

  /// - Parameters:
  ///   - block: at most `Limits.blockBytes`.
  ///   - base: as long as the block, or nil.
  ///   - wordBytes: 2 or 4.
  /// - Returns: at most `Limits.packedChunkBytes`.
  package func pack(_ block: UnsafeRawBufferPointer, base: UnsafeRawBufferPointer?, wordBytes: Int) -> [UInt8] {
    precondition(block.count <= Limits.blockBytes && base.map { $0.count == block.count } ?? true)
    makeRoom(block.count)
    let room = ZSTD_compressBound(block.count)
    if packed.count < room { packed = [UInt8](repeating: 0, count: room) }
    let count = planes.withUnsafeMutableBytes { planes in
      let planes = UnsafeMutableRawBufferPointer(rebasing: planes[..<block.count])
      if let base {
        differences.withUnsafeMutableBytes { differences in
          let differences = UnsafeMutableRawBufferPointer(rebasing: differences[..<block.count])
          xor(block, base, into: differences)
          split(UnsafeRawBufferPointer(differences), into: planes, wordBytes)
        }
      } else {
        split(block, into: planes, wordBytes)
      }
      return packed.withUnsafeMutableBytes {
        ZSTD_compressCCtx(packer, $0.baseAddress, $0.count, planes.baseAddress, planes.count, Self.level)
      }
    }
    precondition(ZSTD_isError(count) == 0, "zstd cannot pack \(block.count) bytes")
    return Array(packed[..<count])
  }

  /// - Parameters:
  ///   - chunk: any bytes.
  ///   - base: as long as the block, or nil.
  ///   - wordBytes: 2 or 4, as when it was packed.
  ///   - block: gets the unpacked bytes; they must fill it exactly.
  /// - Returns: false if the chunk does not unpack to the block's length; then the block is unchanged.
  package func unpack(
    _ chunk: [UInt8], base: UnsafeRawBufferPointer?, wordBytes: Int, into block: UnsafeMutableRawBufferPointer
  ) -> Bool {
    precondition(block.count <= Limits.blockBytes && base.map { $0.count == block.count } ?? true)
    // A chunk that states another length, or none, is refused before it is unpacked.
    let claimed = chunk.withUnsafeBytes { ZSTD_getFrameContentSize($0.baseAddress, $0.count) }
    guard claimed == UInt64(block.count) else { return false }
    makeRoom(block.count)
    return planes.withUnsafeMutableBytes { planes in
      let planes = UnsafeMutableRawBufferPointer(rebasing: planes[..<block.count])
      let count = chunk.withUnsafeBytes {
        ZSTD_decompressDCtx(unpacker, planes.baseAddress, planes.count, $0.baseAddress, $0.count)
      }
      guard count == block.count else { return false }
      join(UnsafeRawBufferPointer(planes), into: block, wordBytes)
      if let base { xor(UnsafeRawBufferPointer(block), base, into: block) }
      return true
    }
  }

  private func makeRoom(_ count: Int) {
    guard planes.count < count else { return }
    planes = [UInt8](repeating: 0, count: count)
    differences = planes
  }

  // MARK: Planes

  /// Byte k of word i goes to place k · words + i. The bytes of an incomplete last word follow unchanged.
  private func split(
    _ block: UnsafeRawBufferPointer, into planes: UnsafeMutableRawBufferPointer, _ wordBytes: Int
  ) {
    let words = block.count / wordBytes
    for place in 0..<wordBytes {
      copy(words, from: block, at: place, by: wordBytes, to: planes, at: place * words, by: 1)
    }
    let left = words * wordBytes
    copy(block.count - left, from: block, at: left, by: 1, to: planes, at: left, by: 1)
  }

  private func join(
    _ planes: UnsafeRawBufferPointer, into block: UnsafeMutableRawBufferPointer, _ wordBytes: Int
  ) {
    let words = block.count / wordBytes
    for place in 0..<wordBytes {
      copy(words, from: planes, at: place * words, by: 1, to: block, at: place, by: wordBytes)
    }
    let left = words * wordBytes
    copy(block.count - left, from: planes, at: left, by: 1, to: block, at: left, by: 1)
  }

  /// Inlined, because then the strides are constants and the compiler vectorizes the loop.
  @inline(__always)
  private func copy(
    _ count: Int, from source: UnsafeRawBufferPointer, at first: Int, by step: Int,
    to target: UnsafeMutableRawBufferPointer, at place: Int, by stride: Int
  ) {
    for index in 0..<count { target[place &+ index &* stride] = source[first &+ index &* step] }
  }

  private func xor(
    _ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer
  ) {
    for index in 0..<target.count { target[index] = one[index] ^ other[index] }
  }
}
