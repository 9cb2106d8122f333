// BundleManifest: how the bytes of a policy version travel: cut into blocks, each packed into one chunk.
//
// An anchor needs no other version; a delta needs the version against which it was made, and is lossless. A chunk is
// identified by its digest, so a worker can take it from any relay, and does not ask again for a chunk that it holds.
// The coordinator writes manifests, workers read them. The bytes of a manifest are in docs/protocol.md. Not here: how a
// block is packed (Bundles).

import Base

/// SHA-256 of a chunk.
package struct ChunkDigest: Hashable, Comparable, Sendable, CustomStringConvertible {
  package static let byteCount = 32
  private let words: (UInt64, UInt64, UInt64, UInt64)

  /// - Parameter bytes: 32 bytes; fewer are filled up with zeros, further ones are ignored.
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
  /// The version that results; in the end a receiver checks its length and its digest.
  package var policy: PolicyManifest
  /// The version against which a delta was made; nil for an anchor.
  package var base: PolicyVersion?
  /// Bytes of one weight, 2 or 4. Blocks are split into planes by it.
  package var wordBytes: Int
  /// Unpacked bytes of every block; the last block has the rest.
  package var blockBytes: Int
  /// In the order of the blocks.
  package var chunks: [PackedChunk]

  package init(policy: PolicyManifest, base: PolicyVersion?, wordBytes: Int, blockBytes: Int, chunks: [PackedChunk]) {
    self.policy = policy
    self.base = base
    self.wordBytes = wordBytes
    self.blockBytes = blockBytes
    self.chunks = chunks
  }

  package var packedBytes: Int { chunks.reduce(0) { $0 + $1.byteCount } }

  /// The place of a block's bytes in the version.
  package func range(ofBlock index: Int) -> Range<Int> {
    let start = index * blockBytes
    return start..<min(start + blockBytes, Int(policy.byteCount))
  }

  /// Whether the numbers are consistent and within limits. Nothing is allocated for a manifest that is not sound.
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
  /// It cannot be reached, or closed the connection.
  case lost = 0
  /// It sent nothing, or too little, for too long.
  case slow = 1
  /// It sent other bytes than it was asked for.
  case wrong = 2
  /// It does not have the version any more. This is not an error of the relay.
  case gone = 3
}
