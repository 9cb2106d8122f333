// Endings: why a connection, a process or the run ends. The state machines give the reason as data; its text is made
// here.

package import Base
package import Records

/// Why the coordinator refuses a peer permanently: the peer breaks the rules, or it has no place in this run.
package enum Dismissal: Sendable, Equatable, CustomStringConvertible {
  /// Another learner connected later.
  case replaced
  /// Its program computes other bits.
  case otherEdition(UInt32)
  /// A peer with this role does not send this message at this point. The role is nil before a hello.
  case unexpectedMessage(from: Role?)
  /// A learner is ahead of the run and has not published the version that it holds.
  case unpublished(PolicyVersion, latest: PolicyVersion)
  /// The version does not follow the latest one.
  case notNext(PolicyVersion, latest: PolicyVersion)
  case unrequestedBytes(of: PolicyVersion)
  /// A standby has a copy of another run.
  case otherRun(String)
  /// A reward command's verdicts count once they are on the standby's disk too.
  case needsReplication

  package var description: String {
    switch self {
    case .replaced: "another learner has taken over"
    case .otherEdition(let edition):
      "its program computes other bits than this one (edition \(edition), here \(Edition.own)): use a release of the "
        + "edition with which the run began"
    case .unexpectedMessage(let role): "a \(role.map { "\($0)" } ?? "stranger") may not say this now"
    case .unpublished(let version, let latest):
      "the learner is at policy \(version), this run at \(latest); publish it first"
    case .notNext(let version, let latest): "policy \(version) cannot follow \(latest)"
    case .unrequestedBytes(let version): "bytes of policy \(version) that were not asked for"
    case .otherRun(let run): "the standby has a copy of run \(run), which is another one; give it another directory"
    case .needsReplication:
      "the run has a reward command, whose verdicts are not made again, so a standby needs --durability replicated at "
        + "the coordinator"
    }
  }
}

/// Why the coordinator ends a connection without refusing the peer. The peer was paused or late, or its bytes arrived
/// damaged; it can connect again at once.
package enum CutOff: Sendable, Equatable, CustomStringConvertible {
  case noHello
  case silent(for: Instant.Span)
  case damaged(PolicyVersion)

  package var description: String {
    switch self {
    case .noHello: "no hello within \(Int(Limits.helloDeadline.seconds)) s"
    case .silent(let span): "no word for \(Int(span.seconds)) s"
    case .damaged(let version): "policy \(version) arrived damaged"
    }
  }
}

/// Why the run cannot continue.
package enum RunFault: Sendable, Equatable, CustomStringConvertible {
  /// A learner that restarted has trained a step again and got other bits. The same batch and state must give the same
  /// bits.
  case trainedDifferently(PolicyVersion)

  package var description: String {
    switch self {
    case .trainedDifferently(let version):
      "policy \(version) was trained again and came out different; the learner's arithmetic is not the one that made "
        + "it (other processor, other library?)"
    }
  }
}

/// Why a worker or the learner exits.
package enum Departure: Sendable, Equatable, CustomStringConvertible {
  case finished
  /// A worker was asked to finish its leases and leave.
  case drained
  /// The coordinator's reason.
  case refused(String)
  /// Another run now uses the coordinator's address. What this process holds has no meaning for that run.
  case otherRun(String, joined: String)
  /// A learner has a version that the coordinator cannot use, because it lacks those before. It starts again from an
  /// older state, and trains the steps between again.
  case ahead(PolicyVersion, latest: PolicyVersion)

  package var isSuccess: Bool {
    switch self {
    case .finished, .drained: true
    case .refused, .otherRun, .ahead: false
    }
  }

  package var description: String {
    switch self {
    case .finished: "the run is finished"
    case .drained: "drained"
    case .refused(let reason): "the coordinator refused: \(reason)"
    case .otherRun(let run, let joined): "the coordinator now serves run \(run), this process joined \(joined)"
    case .ahead(let version, let latest):
      "this process holds policy \(version), the coordinator that has taken over is at \(latest); the steps between "
        + "are trained again"
    }
  }
}
