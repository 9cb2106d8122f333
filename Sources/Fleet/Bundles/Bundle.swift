// Bundle: a whole policy version, packed block by block, and back.
//
// It is pure: bytes in, bytes out. The caller computes digests (SHA-256 in Platform; a faster function in the
// simulator), and the caller checks the result against the version's own digest.

import Base
package import Records

/// Packs a version.
///
/// - Parameters:
///   - policy: identifies the version.
///   - bytes: as many as `policy` says.
///   - base: an earlier version of the same length, for a delta; nil makes an anchor.
///   - wordBytes: bytes of one weight, 2 or 4.
///   - blockBytes: bytes of a block, at most `Limits.blockBytes`.
///   - digest: computes the digest of a chunk.
/// - Returns: the manifest for receivers, and the chunks in order.
package func bundleOf(
  _ policy: PolicyManifest, _ bytes: UnsafeRawBufferPointer,
  base: (version: PolicyVersion, bytes: UnsafeRawBufferPointer)?, wordBytes: Int, blockBytes: Int = Limits.blockBytes,
  digest: ([UInt8]) -> ChunkDigest
) -> (manifest: BundleManifest, chunks: [[UInt8]]) {
  precondition(bytes.count == Int(policy.byteCount) && base.map { $0.bytes.count == bytes.count } ?? true)
  let codec = BlockCodec()
  var manifest = BundleManifest(
    policy: policy, base: base?.version, wordBytes: wordBytes, blockBytes: blockBytes, chunks: [])
  var chunks: [[UInt8]] = []
  for index in 0..<(bytes.count + blockBytes - 1) / blockBytes {
    let range = manifest.range(ofBlock: index)
    let chunk = codec.pack(
      UnsafeRawBufferPointer(rebasing: bytes[range]),
      base: base.map { UnsafeRawBufferPointer(rebasing: $0.bytes[range]) }, wordBytes: wordBytes)
    manifest.chunks.append(PackedChunk(digest: digest(chunk), byteCount: chunk.count))
    chunks.append(chunk)
  }
  return (manifest, chunks)
}

/// The same for bytes in arrays.
package func bundleOf(
  _ policy: PolicyManifest, _ bytes: [UInt8], base: (version: PolicyVersion, bytes: [UInt8])?, wordBytes: Int,
  blockBytes: Int = Limits.blockBytes, digest: ([UInt8]) -> ChunkDigest
) -> (manifest: BundleManifest, chunks: [[UInt8]]) {
  bytes.withUnsafeBytes { bytes in
    guard let base else {
      return bundleOf(
        policy, bytes, base: nil as (version: PolicyVersion, bytes: UnsafeRawBufferPointer)?, wordBytes: wordBytes,
        blockBytes: blockBytes, digest: digest)
    }
    return base.bytes.withUnsafeBytes { old in
      bundleOf(
        policy, bytes, base: (base.version, old), wordBytes: wordBytes, blockBytes: blockBytes, digest: digest)
    }
  }
}

/// Unpacks a version.
///
/// - Parameters:
///   - manifest: from a coordinator; refused if it is not sound.
///   - base: the version against which a delta was made.
///   - chunk: gives the bytes of a chunk. They can be any bytes.
/// - Returns: as many bytes as the manifest says. The caller must check the version's digest.
/// - Throws: what is wrong. A manifest that is not sound, or lacks its base, is refused before memory is allocated.
package func unpacked(
  _ manifest: BundleManifest, onto base: (version: PolicyVersion, bytes: UnsafeRawBufferPointer)?,
  chunk: (ChunkDigest) -> [UInt8]?
) throws(BundleError) -> [UInt8] {
  guard manifest.isSound else { throw .unsound }
  if let needed = manifest.base {
    guard let base, base.version == needed, base.bytes.count == Int(manifest.policy.byteCount) else {
      throw .noBase(needed)
    }
  }
  var bytes = [UInt8](repeating: 0, count: Int(manifest.policy.byteCount))
  let failure = bytes.withUnsafeMutableBytes { target in
    unpack(manifest, base: manifest.base == nil ? nil : base?.bytes, chunk, into: target)
  }
  if let failure { throw failure }
  return bytes
}

/// The same for a base in an array.
package func unpacked(
  _ manifest: BundleManifest, base: (version: PolicyVersion, bytes: [UInt8])?, chunk: (ChunkDigest) -> [UInt8]?
) throws(BundleError) -> [UInt8] {
  guard let base else { return try unpacked(manifest, onto: nil, chunk: chunk) }
  return try base.bytes.span.withUnsafeBytes { bytes throws(BundleError) in
    try unpacked(manifest, onto: (base.version, bytes), chunk: chunk)
  }
}

/// - Returns: what is wrong, or nil.
private func unpack(
  _ manifest: BundleManifest, base: UnsafeRawBufferPointer?, _ chunk: (ChunkDigest) -> [UInt8]?,
  into bytes: UnsafeMutableRawBufferPointer
) -> BundleError? {
  let codec = BlockCodec()
  for (index, packed) in manifest.chunks.enumerated() {
    guard let chunk = chunk(packed.digest) else { return .missing(block: index) }
    let range = manifest.range(ofBlock: index)
    let isWhole = codec.unpack(
      chunk, base: base.map { UnsafeRawBufferPointer(rebasing: $0[range]) }, wordBytes: manifest.wordBytes,
      into: UnsafeMutableRawBufferPointer(rebasing: bytes[range]))
    guard isWhole else { return .damaged(block: index) }
  }
  return nil
}
