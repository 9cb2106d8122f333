// Coordinator+Bundles: where the coordinator's machine meets the book of bundles.

import Base
import Records

extension Coordinator {
  /// Hands on what the book wants done.
  mutating func onBundles(
    _ effects: inout [CoordinatorEffect], _ change: (inout BundleBook, inout [BundleBook.Effect]) -> Void
  ) {
    var wanted: [BundleBook.Effect] = []
    change(&bundles, &wanted)
    for effect in wanted {
      switch effect {
      case .send(let message, let peer): effects.append(.send(message, to: peer))
      case .avoid(let relay, let fault, let peer): effects.append(.note(.relayAvoided(relay, fault, by: peer)))
      case .bundle(let effect): effects.append(.bundle(effect))
      }
    }
  }

  /// Tells a worker how it can have a version, when that is known.
  mutating func offerBundle(
    of version: PolicyVersion, _ holding: [PolicyVersion], to id: PeerID, _ effects: inout [CoordinatorEffect]
  ) {
    guard let manifest = versions.keptManifest(of: version) else {
      // No round needs it any more; the worker was slow, or this process is a new one.
      return effects.append(.send(.missing(version), to: id))
    }
    let address = peers[id]?.hello?.relay ?? ""
    onBundles(&effects) { $0.asked(for: manifest, holding: holding, by: id, at: address, &$1) }
  }

  /// A version that is about to be published: its delta is made while the version before is still there, and workers
  /// hear of it now, so that they fetch while they sample what is left of earlier rounds.
  mutating func offerAtOnce(_ manifest: PolicyManifest, _ effects: inout [CoordinatorEffect]) {
    if let base = versions.keptManifest(of: versions.latest) {
      onBundles(&effects) { $0.sealed(manifest, after: base, &$1) }
    }
    guard plan.samples(manifest.version) else { return }
    for (id, peer) in peers.all where peer.isWorker { effects.append(.send(.offer(manifest), to: id)) }
  }
}
