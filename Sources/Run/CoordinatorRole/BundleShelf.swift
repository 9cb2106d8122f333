// BundleShelf: the chunks of the bundles that are offered, in memory.
//
// A thread makes each bundle from the files of the versions. The files are opened before the thread starts, and they
// can be removed while it works. Nothing here has to be durable: a coordinator that is started again makes the bundles
// that are requested again, and gets the same bytes. The memory is the packed size of the bundles that open rounds
// need. Most of these bundles are deltas.

import Base
import Bundles
import Fleet
package import Platform
package import Records
import Tensors

package final class BundleShelf {
  /// A bundle that a thread has made.
  private typealias Packed = (manifest: BundleManifest, chunks: [[UInt8]])

  /// While a version is packed, workers wait for it. More threads do not help: memory is read twice and written.
  private static let threads = 4

  private let wordBytes: Int
  private let file: (PolicyVersion) -> String
  private let inbox: Inbox<Packed>
  /// Each chunk, and the number of places where bundles use it. The dictionary is never iterated.
  private var chunks: [ChunkDigest: (bytes: [UInt8], count: Int)] = [:]
  private var manifests: [BundleManifest] = []

  /// - Parameters:
  ///   - wordBytes: bytes of one weight.
  ///   - loop: the loop on which `onBundled` is called.
  ///   - file: the path of a version's bytes.
  ///   - onBundled: called with each bundle that is complete.
  /// - Throws: if the process has no descriptor left.
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

  /// Starts to make a bundle. `onBundled` is called when it is complete.
  ///
  /// - Throws: if a version's file is missing, or no thread can be started.
  package func make(_ policy: PolicyManifest, base: PolicyManifest?) throws(PlatformError) {
    let begun = MonotonicClock.now()
    let new = try MappedFile(file(policy.version), isLocked: true)
    var old: MappedFile?
    if let base { old = try MappedFile(file(base.version), isLocked: true) }
    let base = base.flatMap { base in old.map { (base.version, $0) } }
    let (inbox, wordBytes) = (inbox, wordBytes)
    try startThread(named: "bundle") {
      let team = Team(min(Machine.coreCount, Self.threads))
      let packed = bundleOf(
        policy, new.bytes, base: base.map { ($0.0, $0.1.bytes) }, wordBytes: wordBytes,
        share: { count, body in team.share(count) { blocks, _ in body(blocks) } }
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

  /// nil if no bundle that is kept has the chunk.
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
