// Coordinator+Bundles: connects the coordinator's state machine with BundleBook.

import Base
import Records

extension Coordinator {
  /// Passes on the effects that the book asks for.
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

  /// Tells a worker how to get a version. If the bundle is still being made, the worker is told later.
  mutating func offerBundle(
    of version: PolicyVersion, _ holding: [PolicyVersion], to id: PeerID, _ effects: inout [CoordinatorEffect]
  ) {
    guard let manifest = versions.keptManifest(of: version) else {
      // No round needs this version any more. The worker was slow, or this coordinator process was restarted.
      return effects.append(.send(.missing(version), to: id))
    }
    let address = peers[id]?.hello?.relay ?? ""
    onBundles(&effects) { $0.asked(for: manifest, holding: holding, by: id, at: address, &$1) }
  }

  /// A version is about to be published. Its delta is made now, while the version before it is still kept. Workers are
  /// told now, so that they fetch it while they sample the remaining slots of earlier rounds.
  mutating func offerAtOnce(_ manifest: PolicyManifest, _ effects: inout [CoordinatorEffect]) {
    if let base = versions.keptManifest(of: versions.latest) {
      onBundles(&effects) { $0.sealed(manifest, after: base, &$1) }
    }
    guard plan.samples(manifest.version) else { return }
    for (id, peer) in peers.all where peer.isWorker { effects.append(.send(.offer(manifest), to: id)) }
  }
}
