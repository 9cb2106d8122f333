// Coordinator+Policies: versions of the weights on their way from the learner. To workers: Coordinator+Bundles.
//
// One version is received at a time, in order; it exists when its bytes are verified and durable. The learner is paced
// here: it gets the batch of the step that its version trains next, when that is complete.

import Base
import Records

extension Coordinator {
  /// A learner holds this version: give it the batch of the step that comes next, now or when it is complete; after the
  /// last there is none.
  mutating func prepareBatch(
    for id: PeerID, at version: PolicyVersion, _ effects: inout [CoordinatorEffect]
  ) {
    guard version <= latestPolicy else {
      return refuse(id, "the learner is at policy \(version), this run at \(latestPolicy); publish it first", &effects)
    }
    if isFinished, version == latestPolicy { return effects.append(.send(.finished, to: id)) }
    let step = version.number
    // With staleness the batch of a step that the run ends without may be complete; nobody trains on it.
    if version < finalPolicy, closedTrainingSteps.contains(step) {
      _ = peers.update(id) { $0.trainedStep = step }
      effects.append(.sendBatch(.train(step: step), to: id))
    } else {
      _ = peers.update(id) { $0.awaitedStep = step }
    }
  }

  mutating func startPublishing(
    _ manifest: PolicyManifest, _ report: StepReport, from id: PeerID, _ effects: inout [CoordinatorEffect]
  ) {
    _ = peers.update(id) { $0.trainedStep = nil }
    if let known = published[manifest.version] ?? sealing?.manifest, known.version == manifest.version {
      // A learner that restarted has trained this step again. Same batch, same state: the same bits, or a bug.
      guard known == manifest else {
        effects.append(
          .fail(
            reason: "policy \(manifest.version) was trained again and came out different; "
              + "the learner's arithmetic is not the one that made it (other processor, other library?)"))
        return
      }
      if sealing?.manifest == manifest {
        // The bytes are here; the learner lost its connection while they are being verified. Do not ask for them again:
        // they would be written over those that are being read.
        sealing = (manifest, waiting: id)
      } else {
        effects.append(.send(.published(manifest.version), to: id))
      }
      return
    }
    guard manifest.version == latestPolicy.next else {
      return refuse(id, "policy \(manifest.version) cannot follow \(latestPolicy)", &effects)
    }
    incoming = (manifest, report, 0, id)
    effects.append(.send(.requestBytes(manifest.version, offset: 0), to: id))
  }

  mutating func receiveChunk(
    _ version: PolicyVersion, _ offset: UInt64, _ bytes: [UInt8], from id: PeerID,
    _ effects: inout [CoordinatorEffect]
  ) {
    guard var current = incoming, current.from == id, current.manifest.version == version,
      offset == current.received, !bytes.isEmpty, offset + UInt64(bytes.count) <= current.manifest.byteCount
    else { return refuse(id, "a chunk of policy \(version) that nobody asked for", &effects) }
    effects.append(.writePolicy(version, offset: offset, bytes: bytes))
    current.received += UInt64(bytes.count)
    incoming = current
    if current.received == current.manifest.byteCount {
      incoming = nil
      sealing = (current.manifest, waiting: id)
      effects.append(.sealPolicy(current.manifest, report: current.report, from: id))
    } else {
      effects.append(.send(.requestBytes(version, offset: current.received), to: id))
    }
  }

  mutating func finishPublishing(
    _ manifest: PolicyManifest, isIntact: Bool, _ course: RunCourse, _ effects: inout [CoordinatorEffect]
  ) {
    guard let current = sealing, current.manifest == manifest else { return }
    sealing = nil
    let isWaiting = peers.contains(current.waiting)
    guard isIntact else {
      if isWaiting { cutOff(current.waiting, "policy \(manifest.version) arrived damaged", &effects) }
      return
    }
    offerAtOnce(manifest, &effects)
    published[manifest.version] = manifest
    kept.append(manifest.version)
    effects.append(.note(.published(manifest.version)))
    if isWaiting { effects.append(.send(.published(manifest.version), to: current.waiting)) }
    self.course = course
    if let end = course.end, end < finalPolicy { effects.append(.note(.cutShort(at: end))) }
    cutPlan()
    completePlan()
  }
}
