// Bundle: a whole policy version, packed block by block, and back.
//
// It is pure: bytes in, bytes out. The caller computes digests (SHA-256 in Platform; a faster function in the
// simulator), and the caller checks the result against the version's own digest.

import Base
package import Records

/// Calls `body` for ranges that together are 0..<count, if it likes on several threads at once.
package typealias Sharing = (_ count: Int, _ body: (Range<Int>) -> Void) -> Void

/// Packs a version.
///
/// - Parameters:
///   - policy: identifies the version.
///   - bytes: as many as `policy` says.
///   - base: an earlier version of the same length, for a delta; nil makes an anchor.
///   - wordBytes: bytes of one weight, 2 or 4.
///   - blockBytes: bytes of a block, at most `Limits.blockBytes`.
///   - share: divides the blocks among threads.
///   - digest: computes the digest of a chunk; called on these threads.
/// - Returns: the manifest for receivers, and the chunks in order.
package func bundleOf(
  _ policy: PolicyManifest, _ bytes: UnsafeRawBufferPointer,
  base: (version: PolicyVersion, bytes: UnsafeRawBufferPointer)?, wordBytes: Int, blockBytes: Int = Limits.blockBytes,
  share: @escaping Sharing = { $1(0..<$0) }, digest: ([UInt8]) -> ChunkDigest
) -> (manifest: BundleManifest, chunks: [[UInt8]]) {
  precondition(bytes.count == Int(policy.byteCount) && base.map { $0.bytes.count == bytes.count } ?? true)
  var chunks: [[UInt8]] = []
  let manifest = forEachChunk(
    policy, bytes, base: base, wordBytes: wordBytes, blockBytes: blockBytes, atOnce: bytes.count, share: share,
    digest: digest
  ) { chunks.append($1) }
  return (manifest, chunks)
}

/// Packs a version like `bundleOf`, and hands out the chunks in order, so that they are not all in memory.
///
/// - Parameters:
///   - atOnce: how many blocks are packed before their chunks are handed out.
///   - body: gets each chunk and its digest.
/// - Returns: the manifest for receivers.
/// - Throws: what `body` throws.
package func forEachChunk<Failure: Error>(
  _ policy: PolicyManifest, _ bytes: UnsafeRawBufferPointer,
  base: (version: PolicyVersion, bytes: UnsafeRawBufferPointer)? = nil, wordBytes: Int,
  blockBytes: Int = Limits.blockBytes, atOnce: Int, share: @escaping Sharing = { $1(0..<$0) },
  digest: ([UInt8]) -> ChunkDigest, _ body: (ChunkDigest, [UInt8]) throws(Failure) -> Void
) throws(Failure) -> BundleManifest {
  var manifest = BundleManifest(
    policy: policy, base: base?.version, wordBytes: wordBytes, blockBytes: blockBytes, chunks: [])
  let count = (bytes.count + blockBytes - 1) / blockBytes
  for start in stride(from: 0, to: count, by: max(1, atOnce)) {
    let group = start..<min(start + max(1, atOnce), count)
    var packed = [(bytes: [UInt8], digest: ChunkDigest)](repeating: ([], ChunkDigest([])), count: group.count)
    packed.withUnsafeMutableBufferPointer { packed in
      share(group.count) { blocks in
        let codec = BlockCodec()
        for index in blocks {
          let range = manifest.range(ofBlock: start + index)
          let chunk = codec.pack(
            UnsafeRawBufferPointer(rebasing: bytes[range]),
            base: base.map { UnsafeRawBufferPointer(rebasing: $0.bytes[range]) }, wordBytes: wordBytes)
          packed[index] = (chunk, digest(chunk))
        }
      }
    }
    for (chunk, digest) in packed {
      manifest.chunks.append(PackedChunk(digest: digest, byteCount: chunk.count))
      try body(digest, chunk)
    }
  }
  return manifest
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
///   - share: divides the blocks among threads.
///   - chunk: gives the bytes of a chunk. They can be any bytes. Called on these threads.
/// - Returns: as many bytes as the manifest says. The caller must check the version's digest.
/// - Throws: what is wrong. A manifest that is not sound, or lacks its base, is refused before memory is allocated.
package func unpacked(
  _ manifest: BundleManifest, onto base: (version: PolicyVersion, bytes: UnsafeRawBufferPointer)?,
  share: @escaping Sharing = { $1(0..<$0) }, chunk: (ChunkDigest) -> [UInt8]?
) throws(BundleError) -> [UInt8] {
  guard manifest.isSound else { throw .unsound }
  if let needed = manifest.base {
    guard let base, base.version == needed, base.bytes.count == Int(manifest.policy.byteCount) else {
      throw .noBase(needed)
    }
  }
  var failures = [BundleError?](repeating: nil, count: manifest.chunks.count)
  // The threads also share the first use of the memory, which costs as much as unpacking.
  let bytes = [UInt8](unsafeUninitializedCapacity: Int(manifest.policy.byteCount)) { target, count in
    let target = UnsafeMutableRawBufferPointer(
      rebasing: UnsafeMutableRawBufferPointer(target)[..<Int(manifest.policy.byteCount)])
    failures.withUnsafeMutableBufferPointer { failures in
      share(manifest.chunks.count) { blocks in
        unpack(
          blocks, of: manifest, base: manifest.base == nil ? nil : base?.bytes, chunk, into: target, failures)
      }
    }
    count = failures.contains { $0 != nil } ? 0 : target.count
  }
  if let failure = failures.lazy.compactMap({ $0 }).first { throw failure }
  return bytes
}

/// Unpacks an anchor block by block, so that it is not all in memory.
///
/// - Parameters:
///   - manifest: from a coordinator; refused if it is not sound, or a delta.
///   - chunk: gives the bytes of a chunk. They can be any bytes.
///   - body: gets the bytes of the blocks in order. They are valid only during the call.
/// - Throws: `BundleError`, or what the closures throw.
package func forEachBlock(
  of manifest: BundleManifest, chunk: (ChunkDigest) throws -> [UInt8]?, _ body: (UnsafeRawBufferPointer) throws -> Void
) throws {
  guard manifest.isSound, manifest.base == nil else { throw BundleError.unsound }
  let codec = BlockCodec()
  var block = [UInt8](repeating: 0, count: manifest.blockBytes)
  for index in manifest.chunks.indices {
    guard let bytes = try chunk(manifest.chunks[index].digest) else { throw BundleError.missing(block: index) }
    let count = manifest.range(ofBlock: index).count
    try block.withUnsafeMutableBytes { block in
      let target = UnsafeMutableRawBufferPointer(rebasing: block[..<count])
      guard codec.unpack(bytes, base: nil, wordBytes: manifest.wordBytes, into: target) else {
        throw BundleError.damaged(block: index)
      }
      try body(UnsafeRawBufferPointer(target))
    }
  }
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

/// - Parameter failures: gets what is wrong with a block. The blocks after it are not unpacked.
private func unpack(
  _ blocks: Range<Int>, of manifest: BundleManifest, base: UnsafeRawBufferPointer?,
  _ chunk: (ChunkDigest) -> [UInt8]?, into bytes: UnsafeMutableRawBufferPointer,
  _ failures: UnsafeMutableBufferPointer<BundleError?>
) {
  let codec = BlockCodec()
  for index in blocks {
    guard let chunk = chunk(manifest.chunks[index].digest) else {
      failures[index] = .missing(block: index)
      return
    }
    let range = manifest.range(ofBlock: index)
    let isWhole = codec.unpack(
      chunk, base: base.map { UnsafeRawBufferPointer(rebasing: $0[range]) }, wordBytes: manifest.wordBytes,
      into: UnsafeMutableRawBufferPointer(rebasing: bytes[range]))
    guard isWhole else {
      failures[index] = .damaged(block: index)
      return
    }
  }
}
