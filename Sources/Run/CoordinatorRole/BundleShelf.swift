// BundleShelf: the chunks of the bundles that are offered, in memory.
//
// A bundle is made on a thread of its own, from the files of the versions, which are opened before the thread starts
// and may be removed while it works. Nothing here has to last: a coordinator that starts anew makes again what is asked
// for, and the same bytes come out. It costs the packed size of what open rounds need: most of it deltas.

import Base
import Bundles
import Fleet
package import Platform
package import Records

package final class BundleShelf {
  /// A bundle as it comes from its thread.
  private typealias Packed = (manifest: BundleManifest, chunks: [[UInt8]])

  private let wordBytes: Int
  private let file: (PolicyVersion) -> String
  private let inbox: Inbox<Packed>
  /// Looked up only: a chunk, and in how many places of bundles it is.
  private var chunks: [ChunkDigest: (bytes: [UInt8], count: Int)] = [:]
  private var manifests: [BundleManifest] = []

  /// - Parameters:
  ///   - wordBytes: bytes of one weight.
  ///   - loop: where `onBundled` is called.
  ///   - file: the path of a version's bytes.
  ///   - onBundled: hears of each bundle that is made.
  /// - Throws: if the process lacks descriptors.
  package init(
    wordBytes: Int, loop: EventLoop, file: @escaping (PolicyVersion) -> String,
    onBundled: @escaping (BundleManifest) -> Void
  ) throws(PlatformError) {
    self.wordBytes = wordBytes
    self.file = file
    var put: (Packed) -> Void = { _ in }
    inbox = try loop.inbox { put($0) }
    put = { [unowned self] packed in
      self.put(packed)
      onBundled(packed.manifest)
    }
  }

  /// Begins to make a bundle; `onBundled` follows.
  ///
  /// - Throws: if a version's file is gone, or no thread can be started.
  package func make(_ policy: PolicyManifest, base: PolicyManifest?) throws(PlatformError) {
    let begun = MonotonicClock.now()
    let new = try MappedFile(file(policy.version))
    var old: MappedFile?
    if let base { old = try MappedFile(file(base.version)) }
    let base = base.flatMap { base in old.map { (base.version, $0) } }
    let (inbox, wordBytes) = (inbox, wordBytes)
    try startThread(named: "bundle") {
      let packed = bundleOf(
        policy, new.bytes, base: base.map { ($0.0, $0.1.bytes) }, wordBytes: wordBytes
      ) { ChunkDigest(SHA256.digest(of: $0)) }
      Log.info(
        "coordinator.bundle",
        [
          "policy": policy.version, "base": base.map { "\($0.0)" } ?? "none", "bytes": policy.byteCount,
          "packed_bytes": packed.manifest.packedBytes, "chunks": packed.manifest.chunks.count,
          "seconds": MonotonicClock.now().since(begun).seconds,
        ])
      inbox.post(packed)
    }
  }

  private func put(_ packed: Packed) {
    for (chunk, bytes) in zip(packed.manifest.chunks, packed.chunks) {
      chunks[chunk.digest] = (bytes, (chunks[chunk.digest]?.count ?? 0) + 1)
    }
    manifests.append(packed.manifest)
  }

  /// nil if it is in no bundle that is kept.
  package func chunk(_ digest: ChunkDigest) -> [UInt8]? { chunks[digest]?.bytes }

  package func drop(_ version: PolicyVersion) {
    for manifest in manifests where manifest.policy.version == version {
      for chunk in manifest.chunks {
        guard let (bytes, count) = chunks[chunk.digest] else { continue }
        chunks[chunk.digest] = count > 1 ? (bytes, count - 1) : nil
      }
    }
    manifests.removeAll { $0.policy.version == version }
  }
}
