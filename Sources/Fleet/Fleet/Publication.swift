// Publication: the version that is on its way from the learner. It is announced, received in order, then verified.
//
// A learner on the coordinator's machine leaves the bytes in a file, and the coordinator takes it over; then nothing is
// received. There is one publication at a time. The version exists once its bytes are verified and durable. Until then
// a learner that reconnects can announce it again.

import Base
import Records

struct Publication: Sendable {
  private enum State: Sendable {
    case none
    /// `asked`: the largest offset that was requested.
    case receiving(PolicyManifest, report: StepReport, count: UInt64, asked: UInt64, from: PeerID)
    /// The bytes are looked for in a file of the learner, and verified if they are there.
    case looking(PolicyManifest, report: StepReport, waiting: PeerID)
    /// All bytes are here and are being verified. A learner waits for the result.
    case sealing(PolicyManifest, waiting: PeerID)
  }

  /// What follows from bytes that arrived.
  enum Progress: Sendable {
    case next(offsets: [UInt64])
    case complete(PolicyManifest, report: StepReport)
  }

  private var state = State.none

  /// The version that is being verified, or looked for.
  var sealing: PolicyManifest? {
    switch state {
    case .looking(let manifest, _, _), .sealing(let manifest, _): manifest
    case .none, .receiving: nil
    }
  }

  /// The version that is on its way.
  var underway: PolicyVersion? { sealing?.version ?? receiving?.manifest.version }

  /// The version that is being received, and how many of its bytes are here.
  var receiving: (manifest: PolicyManifest, count: UInt64)? {
    if case .receiving(let manifest, _, let count, _, _) = state { (manifest, count) } else { nil }
  }

  mutating func begin(_ manifest: PolicyManifest, report: StepReport, from id: PeerID) {
    state = .receiving(manifest, report: report, count: 0, asked: 0, from: id)
  }

  mutating func look(for manifest: PolicyManifest, report: StepReport, from id: PeerID) {
    state = .looking(manifest, report: report, waiting: id)
  }

  /// The version is in no file: it has to be received.
  ///
  /// - Returns: the learner that has it; nil if this version was not looked for.
  mutating func notFound(_ manifest: PolicyManifest) -> PeerID? {
    guard case .looking(manifest, let report, let id) = state else { return nil }
    begin(manifest, report: report, from: id)
    return id
  }

  /// Another connection waits for the version that is being verified.
  mutating func wait(_ id: PeerID) {
    switch state {
    case .looking(let manifest, let report, _): state = .looking(manifest, report: report, waiting: id)
    case .sealing(let manifest, _): state = .sealing(manifest, waiting: id)
    case .none, .receiving: break
    }
  }

  /// - Returns: nil if these bytes were not requested.
  mutating func receive(
    _ version: PolicyVersion, at offset: UInt64, byteCount: Int, from id: PeerID
  ) -> Progress? {
    guard case .receiving(let manifest, let report, let count, var asked, id) = state, manifest.version == version,
      offset == count, byteCount > 0, count + UInt64(byteCount) <= manifest.byteCount
    else { return nil }
    let length = UInt64(byteCount)
    let total = count + length
    guard total == manifest.byteCount else {
      // All pieces but the last are equally long, so the offsets of the next ones are known.
      var offsets: [UInt64] = []
      while asked + length < min(manifest.byteCount, total + length * Limits.piecesAhead) {
        asked += length
        offsets.append(asked)
      }
      state = .receiving(manifest, report: report, count: total, asked: asked, from: id)
      return .next(offsets: offsets)
    }
    state = .sealing(manifest, waiting: id)
    return .complete(manifest, report: report)
  }

  /// The version is verified. Returns the learner that waits for the result; nil if another version is being published.
  mutating func end(_ manifest: PolicyManifest) -> PeerID? {
    switch state {
    case .looking(manifest, _, let waiting), .sealing(manifest, let waiting):
      state = .none
      return waiting
    default: return nil
    }
  }

  /// A peer is gone. If its bytes are complete, the publication continues without it.
  mutating func left(_ id: PeerID) { if case .receiving(_, _, _, _, id) = state { state = .none } }
}
