// BundleShelf: the chunks of the bundles that are offered, in memory.
//
// A thread makes each bundle from the files of the versions. The files are opened before the thread starts, and they
// can be removed while it works. Nothing here has to be durable: a coordinator that is started again makes the bundles
// that are requested again, and gets the same bytes. The memory is the packed size of the bundles that open rounds
// need. Most of these bundles are deltas. The base of adapters is kept on the disk.

import Base
import Bundles
import Fleet
package import Platform
package import Records
import Tensors

package final class BundleShelf {
  /// A bundle that a thread has made.
  private typealias Packed = (manifest: BundleManifest, chunks: [KeptBytes])

  /// While a version is packed, workers wait for it. More threads do not help: memory is read twice and written.
  private static let threads = 4

  /// Blocks of the base that are in memory at a time: enough for all threads.
  private static let blocksAtOnce = 256

  private let wordBytes: Int
  private let file: (PolicyVersion) -> String
  private let writeBase: @Sendable () throws -> Void
  private let inbox: Inbox<Result<Packed, any Error>>
  /// Each chunk, and the number of places where bundles use it. The dictionary is never iterated.
  private var chunks: [ChunkDigest: (place: KeptBytes, count: Int)] = [:]
  private var manifests: [BundleManifest] = []

  /// - Parameters:
  ///   - wordBytes: bytes of one weight.
  ///   - loop: the loop on which `onBundled` is called.
  ///   - file: the path of a version's bytes.
  ///   - writeBase: makes the file of the base of adapters, if it is not there; called on a thread.
  ///   - onBundled: called with each bundle that is complete.
  ///   - onFailure: called if a bundle cannot be made.
  /// - Throws: if the process has no descriptor left.
  package init(
    wordBytes: Int, loop: EventLoop, file: @escaping (PolicyVersion) -> String,
    writeBase: @escaping @Sendable () throws -> Void,
    onBundled: @escaping (BundleManifest) -> Void, onFailure: @escaping (any Error) -> Void
  ) throws(PlatformError) {
    self.wordBytes = wordBytes
    self.file = file
    self.writeBase = writeBase
    var take: (Result<Packed, any Error>) -> Void = { _ in }
    inbox = try loop.inbox { take($0) }
    take = { [unowned self] result in
      switch result {
      case .success(let packed):
        self.put(packed)
        onBundled(packed.manifest)
      case .failure(let error): onFailure(error)
      }
    }
  }

  /// Starts to make a bundle. `onBundled` is called when it is complete.
  ///
  /// - Throws: if a version's file is missing, or no thread can be started.
  package func make(_ policy: PolicyManifest, base: PolicyManifest?) throws(PlatformError) {
    let (inbox, wordBytes) = (inbox, wordBytes)
    if policy.version == .base {
      let (path, writeBase) = (file(.base), writeBase)
      return try startThread(named: "bundle") {
        inbox.post(
          Result {
            try writeBase()
            let spool = try SpoolFile(in: Files.directory(of: path))
            let packed = try Self.packed(policy, try MappedFile(path, isLocked: true), base: nil, wordBytes) {
              .disk(spool, try spool.append($0))
            }
            try Files.removeTree(path)
            return packed
          })
      }
    }
    let new = try MappedFile(file(policy.version), isLocked: true)
    var old: MappedFile?
    if let base { old = try MappedFile(file(base.version), isLocked: true) }
    let base = base.flatMap { base in old.map { (base.version, $0) } }
    try startThread(named: "bundle") {
      inbox.post(Result { try Self.packed(policy, new, base: base, wordBytes) { .memory($0) } })
    }
  }

  /// - Parameter keep: keeps a chunk's bytes.
  private static func packed(
    _ policy: PolicyManifest, _ new: MappedFile, base: (PolicyVersion, MappedFile)?, _ wordBytes: Int,
    keep: ([UInt8]) throws -> KeptBytes
  ) throws -> Packed {
    let begun = MonotonicClock.now()
    let team = Team(min(Machine.coreCount, threads))
    var places: [KeptBytes] = []
    let manifest = try forEachChunk(
      policy, new.bytes, base: base.map { ($0.0, $0.1.bytes) }, wordBytes: wordBytes,
      atOnce: policy.version == .base ? blocksAtOnce : new.bytes.count,
      share: { count, body in team.share(count) { blocks, _ in body(blocks) } },
      digest: { ChunkDigest(SHA256.digest(of: $0)) }
    ) { places.append(try keep($1)) }
    Log.info(
      "coordinator.bundle",
      [
        "policy": policy.version, "base": base.map { "\($0.0)" } ?? "none", "bytes": policy.byteCount,
        "packed_bytes": manifest.packedBytes, "chunks": manifest.chunks.count,
        "seconds": MonotonicClock.now().since(begun).seconds,
      ])
    return (manifest, places)
  }

  private func put(_ packed: Packed) {
    for (chunk, place) in zip(packed.manifest.chunks, packed.chunks) {
      chunks[chunk.digest] = (place, (chunks[chunk.digest]?.count ?? 0) + 1)
    }
    manifests.append(packed.manifest)
  }

  /// nil if no bundle that is kept has the chunk.
  ///
  /// - Throws: if it cannot be read from the disk.
  package func chunk(_ digest: ChunkDigest) throws(PlatformError) -> [UInt8]? {
    try chunks[digest]?.place.read()
  }

  package func drop(_ version: PolicyVersion) {
    for manifest in manifests where manifest.policy.version == version {
      for chunk in manifest.chunks {
        guard let (place, count) = chunks[chunk.digest] else { continue }
        chunks[chunk.digest] = count > 1 ? (place, count - 1) : nil
      }
    }
    manifests.removeAll { $0.policy.version == version }
  }
}
