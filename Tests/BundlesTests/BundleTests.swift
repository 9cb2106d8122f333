// Bundles: lossless for any bytes, small if little changed, and safe for any chunk.

import Base
import Bundles
import Platform
import Records
import Testing

private func digest(_ bytes: [UInt8]) -> ChunkDigest { ChunkDigest(SHA256.digest(of: bytes)) }

private func manifest(_ version: UInt32, _ bytes: [UInt8]) -> PolicyManifest {
  PolicyManifest(
    version: PolicyVersion(version), byteCount: UInt64(bytes.count), digest: SHA256.digest(of: bytes))
}

/// Bytes like bfloat16 weights with a standard deviation of 0.02.
private func weights(_ count: Int, seed: UInt64) -> [UInt8] {
  var noise = RandomSequence(seed: seed, purpose: .initialWeights)
  return (0..<count).flatMap { _ in
    let bits = Float((noise.uniform() - 0.5) * 0.07).bitPattern >> 16
    return [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)]
  }
}

/// Packs a bundle and unpacks it again.
private func passOn(
  _ bytes: [UInt8], base: [UInt8]? = nil, wordBytes: Int = 2, blockBytes: Int
) throws -> (bytes: [UInt8], manifest: BundleManifest) {
  let base = base.map { (version: PolicyVersion(1), bytes: $0) }
  let (bundle, chunks) = bundleOf(
    manifest(2, bytes), bytes, base: base, wordBytes: wordBytes, blockBytes: blockBytes, digest: digest)
  var shelf: [ChunkDigest: [UInt8]] = [:]
  for chunk in chunks { shelf[digest(chunk)] = chunk }
  #expect(bundle.isSound && bundle.chunks.map(\.byteCount) == chunks.map(\.count))
  return (try unpacked(bundle, base: base) { shelf[$0] }, bundle)
}

private let noBase: (version: PolicyVersion, bytes: [UInt8])? = nil

@Suite struct BundleTests {
  @Test(arguments: [0, 1, 2, 3, 7, 64, 1000, 1001], [2, 4])
  func `an anchor and a delta of any length give the same bytes back`(_ count: Int, _ wordBytes: Int) throws {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37) }
    let base = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 11) }
    for blockBytes in [1, 5, 64, Limits.blockBytes] {
      #expect(try passOn(bytes, wordBytes: wordBytes, blockBytes: blockBytes).bytes == bytes)
      #expect(try passOn(bytes, base: base, wordBytes: wordBytes, blockBytes: blockBytes).bytes == bytes)
    }
  }

  @Test func `if one weight in fifty changed, the delta is less than a twentieth of the anchor`() throws {
    let base = weights(200_000, seed: 1)
    var bytes = base
    for index in stride(from: 0, to: bytes.count, by: 100) { bytes[index] ^= 1 }
    let anchor = try passOn(bytes, blockBytes: Limits.blockBytes).manifest.packedBytes
    let delta = try passOn(bytes, base: base, blockBytes: Limits.blockBytes).manifest.packedBytes
    #expect(delta * 20 < anchor && anchor < bytes.count)
  }

  @Test func `how blocks are divided among threads changes nothing, and the first failure is reported`() throws {
    let (bytes, base) = (weights(1000, seed: 1), weights(1000, seed: 2))
    let policy = manifest(2, bytes)
    let share: Sharing = { count, body in
      for part in (0..<3).reversed() { body(count * part / 3..<count * (part + 1) / 3) }
    }
    try bytes.withUnsafeBytes { bytes in
      try base.withUnsafeBytes { base in
        let old = (version: PolicyVersion(1), bytes: base)
        let alone = bundleOf(policy, bytes, base: old, wordBytes: 2, blockBytes: 64, digest: digest)
        let shared = bundleOf(policy, bytes, base: old, wordBytes: 2, blockBytes: 64, share: share, digest: digest)
        #expect(shared.manifest == alone.manifest && shared.chunks == alone.chunks)
        var shelf: [ChunkDigest: [UInt8]] = [:]
        for chunk in shared.chunks { shelf[digest(chunk)] = chunk }
        let back = try unpacked(shared.manifest, onto: old, share: share) { shelf[$0] }
        #expect(back == Array(bytes))
        for block in [30, 5] {
          shelf[shared.manifest.chunks[block].digest] = nil
          #expect(throws: BundleError.missing(block: block)) {
            try unpacked(shared.manifest, onto: old, share: share) { shelf[$0] }
          }
        }
      }
    }
  }

  @Test func `all blocks that did not change are the same chunk`() throws {
    let base = weights(4096, seed: 2)
    let bundle = try passOn(base, base: base, blockBytes: 1024).manifest
    #expect(bundle.chunks.count == 8 && Set(bundle.chunks.map(\.digest)).count == 1)
  }

  @Test func `a delta without its base, or with another base, is refused`() throws {
    let bytes = weights(100, seed: 3)
    let (bundle, chunks) = bundleOf(
      manifest(2, bytes), bytes, base: (PolicyVersion(1), bytes), wordBytes: 2, digest: digest)
    let chunk: (ChunkDigest) -> [UInt8]? = { _ in chunks[0] }
    #expect(throws: BundleError.noBase(PolicyVersion(1))) { try unpacked(bundle, base: noBase, chunk: chunk) }
    #expect(throws: BundleError.noBase(PolicyVersion(1))) {
      try unpacked(bundle, base: (PolicyVersion(0), bytes), chunk: chunk)
    }
    #expect(throws: BundleError.noBase(PolicyVersion(1))) {
      try unpacked(bundle, base: (PolicyVersion(1), bytes + [0]), chunk: chunk)
    }
    #expect(throws: BundleError.missing(block: 0)) {
      try unpacked(bundle, base: (PolicyVersion(1), bytes), chunk: { _ in nil })
    }
  }

  @Test func `a manifest that is not sound is refused`() {
    let bytes = weights(100, seed: 4)
    let sound = bundleOf(manifest(2, bytes), bytes, base: nil, wordBytes: 2, blockBytes: 64, digest: digest).manifest
    let changes: [(inout BundleManifest) -> Void] = [
      { $0.policy.byteCount = 1 << 62 }, { $0.chunks.removeLast() }, { $0.chunks.append($0.chunks[0]) },
      { $0.blockBytes = 0 }, { $0.blockBytes = Limits.blockBytes + 1 }, { $0.wordBytes = 3 },
      { $0.base = $0.policy.version }, { $0.chunks[0].byteCount = Limits.packedChunkBytes + 1 },
      { $0.chunks[1].byteCount = 0 },
    ]
    #expect(sound.isSound)
    for (index, change) in changes.enumerated() {
      var bundle = sound
      change(&bundle)
      #expect(!bundle.isSound, "change \(index)")
      #expect(throws: BundleError.unsound) { try unpacked(bundle, base: noBase) { _ in nil } }
    }
  }

  @Test func `a chunk that would unpack to more than its block is refused`() {
    // 64 KiB of zeros pack into about twenty bytes. If a block of 16 bytes is expected, this chunk is a bomb.
    let codec = BlockCodec()
    let bomb = [UInt8](repeating: 0, count: 1 << 16).withUnsafeBytes { codec.pack($0, base: nil, wordBytes: 2) }
    #expect(bomb.count < 100)
    for room in [0, 16, (1 << 16) - 1] {
      var block = [UInt8](repeating: 7, count: room)
      let isUnpacked = block.withUnsafeMutableBytes { codec.unpack(bomb, base: nil, wordBytes: 2, into: $0) }
      #expect(!isUnpacked && block.allSatisfy { $0 == 7 })
    }
  }

  @Test func `a chunk that is damaged or cut short is refused, or gives the right number of bytes`() {
    let codec = BlockCodec()
    let bytes = weights(300, seed: 5)
    let chunk = bytes.withUnsafeBytes { codec.pack($0, base: nil, wordBytes: 2) }
    var refused = 0
    for index in chunk.indices {
      var damaged = chunk
      damaged[index] ^= 0x55
      for input in [damaged, Array(chunk[..<index])] {
        var block = [UInt8](repeating: 0, count: bytes.count)
        let isUnpacked = block.withUnsafeMutableBytes { codec.unpack(input, base: nil, wordBytes: 2, into: $0) }
        refused += isUnpacked ? 0 : 1
      }
    }
    #expect(refused >= chunk.count, "every chunk that was cut short must be refused")
  }
}
