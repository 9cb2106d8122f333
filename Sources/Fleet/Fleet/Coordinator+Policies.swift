// Coordinator+Policies: versions of the weights on their way from the learner to the coordinator. The way to workers is
// in Coordinator+Bundles.
//
// The learner's pace is set here: it gets the batch of its next step when that batch is complete.

import Base
import Records

extension Coordinator {
  /// A learner holds this version. It gets the batch of the next step, now or when that batch is complete. After the
  /// last step there is no batch.
  mutating func prepareBatch(
    for id: PeerID, at version: PolicyVersion, _ effects: inout [CoordinatorEffect]
  ) {
    guard version <= versions.latest else {
      return dismiss(id, .unpublished(version, latest: versions.latest), &effects)
    }
    if isFinished, version == versions.latest { return effects.append(.send(.finished, to: id)) }
    let step = version.number
    guard plan.hasBatch(ofStep: step) else { return peers.assign(.waiting(step: step), to: id) }
    sendBatch(ofStep: step, to: id, &effects)
  }

  mutating func sendBatch(ofStep step: UInt32, to id: PeerID, _ effects: inout [CoordinatorEffect]) {
    peers.assign(.training(step: step), to: id)
    effects.append(.sendBatch(.train(step: step), to: id))
  }

  mutating func startPublishing(
    _ manifest: PolicyManifest, _ report: StepReport, isAtHand: Bool, from id: PeerID,
    _ effects: inout [CoordinatorEffect]
  ) {
    peers.assign(.unknown, to: id)
    if let sealing = publication.sealing, sealing.version == manifest.version {
      guard sealing == manifest else { return effects.append(.fail(.trainedDifferently(manifest.version))) }
      // The bytes are here and are being verified, or are looked for; the learner lost its connection in the meantime.
      // The bytes are not requested again, because they would overwrite the bytes that are being read.
      return publication.wait(id)
    }
    if let known = versions.manifest(of: manifest.version) {
      guard known == manifest else { return effects.append(.fail(.trainedDifferently(manifest.version))) }
      return effects.append(.send(.published(manifest.version), to: id))
    }
    guard manifest.version == versions.latest.next else {
      return dismiss(id, .notNext(manifest.version, latest: versions.latest), &effects)
    }
    // A standby that has taken over can lack the last responses of the round. They are sampled again first: a version
    // comes only from a round that is complete.
    guard welcome.term == .first || plan.isComplete(step: manifest.version.number - 1) else {
      early = (manifest, report, isAtHand, id)
      return
    }
    if isAtHand {
      publication.look(for: manifest, report: report, from: id)
      return effects.append(.adoptPolicy(manifest, report: report, from: id))
    }
    publication.begin(manifest, report: report, from: id)
    effects.append(.send(.requestBytes(manifest.version, offset: 0), to: id))
  }

  /// A round is complete. If the version that its step made was announced before, it is published now.
  mutating func startEarly(_ effects: inout [CoordinatorEffect]) {
    guard let (manifest, report, isAtHand, id) = early, plan.isComplete(step: manifest.version.number - 1) else {
      return
    }
    early = nil
    if peers[id] != nil { startPublishing(manifest, report, isAtHand: isAtHand, from: id, &effects) }
  }

  /// The version's file is there and is being verified. Workers of this machine read and verify it at the same time,
  /// and for others the delta is made. They get no lease of the version before it is durable.
  mutating func offerEarly(_ manifest: PolicyManifest, _ effects: inout [CoordinatorEffect]) {
    guard publication.sealing == manifest else { return }
    makeDelta(of: manifest, &effects)
    offer(manifest, &effects)
  }

  /// The version's bytes are not in a file of this machine: the learner has to send them.
  mutating func requestBytes(of manifest: PolicyManifest, _ effects: inout [CoordinatorEffect]) {
    guard let learner = publication.notFound(manifest) else { return }
    // A delta may have been made from other bytes.
    onBundles(&effects) { $0.dropped(manifest.version, &$1) }
    guard peers[learner] != nil else { return publication.left(learner) }
    effects.append(.send(.requestBytes(manifest.version, offset: 0), to: learner))
  }

  mutating func receiveBytes(
    _ version: PolicyVersion, _ offset: UInt64, _ bytes: [UInt8], from id: PeerID,
    _ effects: inout [CoordinatorEffect]
  ) {
    guard let progress = publication.receive(version, at: offset, byteCount: bytes.count, from: id) else {
      return dismiss(id, .unrequestedBytes(of: version), &effects)
    }
    effects.append(.writePolicy(version, offset: offset, bytes: bytes))
    switch progress {
    case .next(let offsets):
      for offset in offsets { effects.append(.send(.requestBytes(version, offset: offset), to: id)) }
    case .complete(let manifest, let report): effects.append(.sealPolicy(manifest, report: report, from: id))
    }
  }

  mutating func finishPublishing(
    _ manifest: PolicyManifest, isIntact: Bool, _ course: RunCourse, _ effects: inout [CoordinatorEffect]
  ) {
    guard let learner = publication.end(manifest) else { return }
    let isConnected = peers[learner] != nil
    guard isIntact else {
      if isConnected { cutOff(learner, .damaged(manifest.version), &effects) }
      return
    }
    makeDelta(of: manifest, &effects)
    offer(manifest, &effects)
    versions.add(manifest)
    effects.append(.note(.published(manifest.version)))
    if isConnected { effects.append(.send(.published(manifest.version), to: learner)) }
    if let end = plan.follow(course, at: versions.latest) { effects.append(.note(.cutShort(at: end))) }
  }
}
