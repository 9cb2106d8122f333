// BundleManifest: how the bytes of a policy version travel: cut into blocks, each packed into a chunk of its own.
//
// An anchor stands alone; a delta is lossless and needs the version that it was made against. A chunk is known by its
// digest, so it does not matter who passes it on, and what is held is not asked for again. Written by the coordinator,
// read by workers. How a block is packed is the business of Bundles; the bytes of this are on docs/protocol.md.

import Base

/// SHA-256 of a chunk.
package struct ChunkDigest: Hashable, Comparable, Sendable, CustomStringConvertible {
  package static let byteCount = 32
  private let words: (UInt64, UInt64, UInt64, UInt64)

  /// - Parameter bytes: 32; fewer are followed by zeros, more are not looked at.
  package init(_ bytes: [UInt8]) {
    func word(_ index: Int) -> UInt64 {
      (0..<8).reduce(UInt64(0)) { value, place in
        let position = 8 * index + place
        return value << 8 | (position < bytes.count ? UInt64(bytes[position]) : 0)
      }
    }
    words = (word(0), word(1), word(2), word(3))
  }

  package var bytes: [UInt8] {
    [words.0, words.1, words.2, words.3].flatMap { word in
      (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) }
    }
  }

  package static func == (left: Self, right: Self) -> Bool { left.words == right.words }
  package static func < (left: Self, right: Self) -> Bool { left.words < right.words }
  package func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
  package var description: String { String(Hexadecimal.text(Array(bytes.prefix(8)))) }
}

/// One block, packed.
package struct PackedChunk: Sendable, Equatable {
  package var digest: ChunkDigest
  package var byteCount: Int

  package init(digest: ChunkDigest, byteCount: Int) {
    self.digest = digest
    self.byteCount = byteCount
  }
}

package struct BundleManifest: Sendable, Equatable {
  /// What comes out: its length and its digest are what a receiver believes in the end.
  package var policy: PolicyManifest
  /// nil is an anchor.
  package var base: PolicyVersion?
  /// Bytes of one weight, 2 or 4: how a block is taken apart.
  package var wordBytes: Int
  /// Unpacked bytes of every block but the last, which has the rest.
  package var blockBytes: Int
  /// In order of blocks.
  package var chunks: [PackedChunk]

  package init(policy: PolicyManifest, base: PolicyVersion?, wordBytes: Int, blockBytes: Int, chunks: [PackedChunk]) {
    self.policy = policy
    self.base = base
    self.wordBytes = wordBytes
    self.blockBytes = blockBytes
    self.chunks = chunks
  }

  package var packedBytes: Int { chunks.reduce(0) { $0 + $1.byteCount } }

  /// Where a block's bytes are in the version.
  package func range(ofBlock index: Int) -> Range<Int> {
    let start = index * blockBytes
    return start..<min(start + blockBytes, Int(policy.byteCount))
  }

  /// Whether the numbers fit together and stay within limits: only then is anything allocated for them.
  package var isSound: Bool {
    let limit = UInt64(Limits.chunksPerBundle) * UInt64(Limits.blockBytes)
    guard policy.byteCount <= limit, (1...Limits.blockBytes).contains(blockBytes), [2, 4].contains(wordBytes),
      base != policy.version
    else { return false }
    let blocks = (policy.byteCount + UInt64(blockBytes) - 1) / UInt64(blockBytes)
    return UInt64(chunks.count) == blocks && chunks.count <= Limits.chunksPerBundle
      && chunks.allSatisfy { (1...Limits.packedChunkBytes).contains($0.byteCount) }
  }
}

/// What was wrong with a relay.
package enum RelayFault: UInt8, Sendable, CaseIterable {
  /// It cannot be reached, or hung up.
  case lost = 0
  /// It sent nothing, or too little, for too long.
  case slow = 1
  /// It sent other bytes than were asked for.
  case wrong = 2
  /// It does not have the version any more; no fault of its own.
  case gone = 3
}
