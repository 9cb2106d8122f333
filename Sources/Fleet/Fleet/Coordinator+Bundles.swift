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
    let kept = version == .base ? welcome.base?.manifest : versions.keptManifest(of: version)
    guard let manifest = kept else {
      if version == publication.underway {
        return bundles.asked(early: BundleBook.EarlyAsker(version: version, holding: holding, peer: id))
      }
      // No round needs this version any more. The worker was slow, or this coordinator process was restarted.
      return effects.append(.send(.missing(version), to: id))
    }
    // A standby gets chunks from the coordinator: its copy must not wait for workers.
    let address = peers[id]?.isStandby == true ? "" : peers[id]?.hello?.relay ?? ""
    onBundles(&effects) { $0.asked(for: manifest, holding: holding, by: id, at: address, &$1) }
  }

  /// Answers workers that asked for a version while it was being published.
  mutating func answerEarlyAskers(_ effects: inout [CoordinatorEffect]) {
    for asker in bundles.takeEarly(besides: publication.underway) {
      offerBundle(of: asker.version, asker.holding, to: asker.peer, &effects)
    }
  }

  /// A version is about to be published. Its delta is made now, while the version before it is still kept.
  mutating func makeDelta(of manifest: PolicyManifest, _ effects: inout [CoordinatorEffect]) {
    guard let base = versions.keptManifest(of: versions.latest) else { return }
    onBundles(&effects) { $0.sealed(manifest, after: base, &$1) }
  }

  /// Workers are told of a version before they need it, so that they fetch it while they sample the remaining slots of
  /// earlier rounds.
  func offer(_ manifest: PolicyManifest, _ effects: inout [CoordinatorEffect]) {
    guard plan.samples(manifest.version) else { return }
    for (id, peer) in peers.all where peer.isWorker { effects.append(.send(.offer(manifest), to: id)) }
  }
}
