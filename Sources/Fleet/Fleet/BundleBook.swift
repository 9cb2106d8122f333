// BundleBook: which bundles exist for the versions that are kept, and which worker fetches chunks from which worker.
//
// A delta from the previous version is made when a version is sealed, because its base still exists then. An anchor is
// made when a worker asks that does not hold the base: it joined late, came back late, or found that its base is
// damaged. Because of this, no old version is kept only as the base of a delta. Before any worker has asked, nothing is
// made: workers on the coordinator's machine read the version's file.
// Workers form a chain for each bundle, in the order in which they ask. Each worker fetches its chunks from the worker
// before it, so the coordinator sends them only once. A worker is only told to fetch from a worker before it in the
// chain, so workers never wait for each other in a circle.
// Not here: how bytes are packed (the shell, Bundles), how chunks are fetched (BundleFetcher).

import Base
package import Records

package struct BundleBook: Sendable {
  /// What the book's owner has to do.
  package enum Effect: Sendable, Equatable {
    case send(Message, to: PeerID)
    case bundle(BundleEffect)
    /// A worker reported a bad relay: no worker is told to use it any more.
    case avoid(relay: String, RelayFault, by: PeerID)
  }

  private struct Key: Comparable, Sendable {
    var version: PolicyVersion
    var base: PolicyVersion?

    static func < (left: Self, right: Self) -> Bool {
      if left.version != right.version { return left.version < right.version }
      // Anchors come first.
      guard let leftBase = left.base else { return right.base != nil }
      return right.base.map { leftBase < $0 } ?? false
    }
  }

  /// A worker from which other workers can fetch chunks.
  private struct Relay: Sendable {
    var address: String
    /// nil while the worker is disconnected.
    var peer: PeerID?
    var depth: Int
  }

  struct EarlyAsker: Sendable {
    let version: PolicyVersion
    let holding: [PolicyVersion]
    let peer: PeerID
  }

  private struct Entry: Sendable {
    /// nil while the bundle is being made.
    var manifest: BundleManifest?
    var askers: [(peer: PeerID, address: String)] = []
    var chain: [Relay] = []
  }

  private var entries = SortedMap<Key, Entry>()
  /// Only looked up by key: in how many finished bundles a chunk is. Blocks that did not change give the same chunk in
  /// every bundle.
  private var chunks: [ChunkDigest: Int] = [:]
  private var avoided: Set<String> = []
  /// Workers that asked for the version that is being published.
  private var early: [EarlyAsker] = []
  private var isAsked = false

  package init() {}

  /// A version and the version before it are both kept. A worker that holds the version before it needs only the
  /// difference.
  package mutating func sealed(_ policy: PolicyManifest, after base: PolicyManifest, _ effects: inout [Effect]) {
    let key = Key(version: policy.version, base: base.version)
    guard isAsked, policy.byteCount == base.byteCount, !entries.contains(key) else { return }
    entries[key] = Entry()
    effects.append(.bundle(.make(policy, base: base)))
  }

  /// A worker asks for a version that is kept.
  ///
  /// - Parameters:
  ///   - holding: versions that the worker holds.
  ///   - address: where other workers can fetch chunks from it; empty if they cannot.
  package mutating func asked(
    for policy: PolicyManifest, holding: [PolicyVersion], by peer: PeerID, at address: String,
    _ effects: inout [Effect]
  ) {
    isAsked = true
    let base = holding.last { entries.contains(Key(version: policy.version, base: $0)) }
    let key = Key(version: policy.version, base: base)
    if !entries.contains(key) {
      entries[key] = Entry()
      effects.append(.bundle(.make(policy, base: nil)))
    }
    guard let manifest = entries[key]?.manifest else {
      _ = entries.update(key) { entry in
        entry.askers.removeAll { $0.peer == peer }
        entry.askers.append((peer, address))
      }
      return
    }
    answer(peer, address, key, manifest, &effects)
  }

  /// A worker asks for a version that is not durable yet. It is answered when it is, or when its publication failed.
  mutating func asked(early asker: EarlyAsker) {
    isAsked = true
    early.removeAll { $0.peer == asker.peer }
    early.append(asker)
  }

  /// Workers that asked early for versions that are not being published any more.
  mutating func takeEarly(besides underway: PolicyVersion?) -> [EarlyAsker] {
    let over = early.filter { $0.version != underway }
    early.removeAll { $0.version != underway }
    return over
  }

  package mutating func bundled(_ manifest: BundleManifest, _ effects: inout [Effect]) {
    let key = Key(version: manifest.policy.version, base: manifest.base)
    // The version was dropped while the bundle was being made.
    guard let askers = entries[key]?.askers else {
      if !entries.keys.contains(where: { $0.version == key.version }) { effects.append(.bundle(.drop(key.version))) }
      return
    }
    _ = entries.update(key) { entry in
      entry.manifest = manifest
      entry.askers = []
    }
    for chunk in manifest.chunks { chunks[chunk.digest, default: 0] += 1 }
    for asker in askers { answer(asker.peer, asker.address, key, manifest, &effects) }
  }

  package func requested(
    _ digest: ChunkDigest, of version: PolicyVersion, by peer: PeerID, _ effects: inout [Effect]
  ) {
    effects.append(chunks[digest] == nil ? .send(.missing(version), to: peer) : .bundle(.sendChunk(digest, to: peer)))
  }

  package mutating func faulted(
    _ relay: String, _ version: PolicyVersion, _ fault: RelayFault, by peer: PeerID, _ effects: inout [Effect]
  ) {
    if fault == .gone {
      for key in entries.keys where key.version == version {
        _ = entries.update(key) { $0.chain.removeAll { $0.address == relay } }
      }
    } else if avoided.count < Limits.connections, avoided.insert(relay).inserted {
      effects.append(.avoid(relay: relay, fault, by: peer))
    }
  }

  package mutating func left(_ peer: PeerID) {
    early.removeAll { $0.peer == peer }
    for key in entries.keys {
      _ = entries.update(key) { entry in
        entry.askers.removeAll { $0.peer == peer }
        for index in entry.chain.indices where entry.chain[index].peer == peer { entry.chain[index].peer = nil }
      }
    }
  }

  package mutating func dropped(_ version: PolicyVersion, _ effects: inout [Effect]) {
    let keys = entries.keys.filter { $0.version == version }
    guard !keys.isEmpty else { return }
    for key in keys {
      for asker in entries[key]?.askers ?? [] { effects.append(.send(.missing(version), to: asker.peer)) }
      for chunk in entries[key]?.manifest?.chunks ?? [] {
        let count = chunks[chunk.digest] ?? 0
        chunks[chunk.digest] = count > 1 ? count - 1 : nil
      }
      entries[key] = nil
    }
    effects.append(.bundle(.drop(version)))
  }

  // MARK: The chain

  private mutating func answer(
    _ peer: PeerID, _ address: String, _ key: Key, _ manifest: BundleManifest, _ effects: inout [Effect]
  ) {
    var chain = entries[key]?.chain ?? []
    let relay = place(address, peer, in: &chain)
    _ = entries.update(key) { $0.chain = chain }
    effects.append(.send(.bundle(manifest, from: relay?.address ?? "", depth: relay?.depth ?? 0), to: peer))
  }

  /// - Returns: the relay before this worker in the chain from which it can fetch chunks; nil means the coordinator.
  private func place(_ address: String, _ peer: PeerID, in chain: inout [Relay]) -> Relay? {
    let known = chain.firstIndex { $0.address == address }
    let before = known.map { chain[..<$0] } ?? chain[...]
    let last = before.last { relay in
      relay.peer != nil && !avoided.contains(relay.address) && reaches(relay.address, from: address)
    }
    let relay = last.flatMap { $0.depth < Limits.relayDepth ? $0 : nil }
    // A worker that does not relay never joins the chain.
    guard !address.isEmpty else { return nil }
    let place = Relay(address: address, peer: peer, depth: (relay?.depth ?? 0) + 1)
    if let known {
      chain[known] = place
    } else if chain.count < Limits.connections {
      chain.append(place)
    }
    return relay
  }

  /// A worker that reached the coordinator over loopback can be reached only from the same machine.
  private func reaches(_ address: String, from other: String) -> Bool {
    func isLocal(_ address: String) -> Bool { address.hasPrefix("127.") || address.hasPrefix("[::1]") }
    return isLocal(address) == isLocal(other)
  }
}
