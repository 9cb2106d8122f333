// Replication: how far the standbys' copies of the ledger are, and what may be said before they are further.
//
// The coordinator's shell tells it of every commit. It sends each standby the commits that follow its position, a few
// megabytes ahead, and keeps the newest commits for standbys that are behind. A standby that is too far behind, or has
// a copy of another term, gets a copy of everything (a snapshot) and then the commits after it.
//
// With `replicated`, what acknowledges work waits until every standby that follows has the commits made so far: then
// any of them can take over without the loss of anything that was acknowledged. Without a standby it waits for one.
// Only a coordinator that has itself taken over goes on without: the other copy is the one that was lost.
//
// Like the state machines it reads no clock and opens no file. The simulator runs it too.

import Base
package import Records

package struct Replication: Sendable {
  package enum Effect: Sendable, Equatable {
    case send(Message, to: PeerID)
    /// Make a copy of the ledger on a thread, list the files, then call `copied`.
    case copy(to: PeerID)
    /// Perform this effect now: it had to wait.
    case release(CoordinatorEffect)
    case dismiss(PeerID, Dismissal)
  }

  /// How a standby is doing, for people.
  package struct Progress: Sendable, Equatable {
    package var peer: PeerID
    /// Commits and bytes that it has not confirmed; nil while it copies.
    package var behind: (commits: UInt64, bytes: Int)?

    package static func == (left: Self, right: Self) -> Bool {
      left.peer == right.peer && left.behind?.commits == right.behind?.commits
        && left.behind?.bytes == right.behind?.bytes
    }
  }

  private struct Follower: Sendable {
    /// The last commit that was sent, and the last that is on its disk.
    var sent: UInt64
    var confirmed: UInt64
    var bytesInFlight = 0
    /// It gets a snapshot, and follows again when it has it.
    var isCopying = false
  }

  private let term: Term
  private let durability: Durability
  private let isJudged: Bool
  /// Whether acknowledgements wait also while there is no standby.
  private var needsStandby: Bool
  /// The run is complete, and its end is confirmed: nothing waits any more.
  private var isOver = false
  /// Whether every commit is reported: from the first standby on, or always if acknowledgements wait.
  private var isRecording: Bool
  /// The number of the last commit.
  package private(set) var number: UInt64
  /// The newest commits, without a gap.
  private var kept: [LedgerCommit] = []
  private var keptBytes = 0
  private var followers = SortedMap<PeerID, Follower>()
  /// Effects that acknowledge, and the commit that has to be confirmed before.
  private var waiting: [(number: UInt64, effect: CoordinatorEffect)] = []

  /// - Parameters:
  ///   - position: of the coordinator's ledger when it starts.
  ///   - hasTakenOver: it was a standby before.
  ///   - isJudged: a reward command judges responses.
  package init(position: LedgerPosition, durability: Durability, hasTakenOver: Bool, isJudged: Bool) {
    term = position.term
    number = position.number
    self.durability = durability
    self.isJudged = isJudged
    needsStandby = !hasTakenOver
    isRecording = durability == .replicated
  }

  /// Whether `committed` has to be called from the beginning; otherwise it is enough from the first `follow` on.
  package var recordsAlways: Bool { durability == .replicated }

  /// Nothing is acknowledged, because there is no standby.
  package var lacksStandby: Bool { recordsAlways && needsStandby && confirmed == nil }

  /// The effects that wait for a standby.
  package var waitingCount: Int { waiting.count }

  /// The standbys that are connected, in the order in which they came.
  package var progress: [Progress] {
    followers.map { peer, follower in
      let bytes = kept[index(after: follower.confirmed)...].reduce(0) { $0 + $1.changes.count }
      return Progress(peer: peer, behind: follower.isCopying ? nil : (number - follower.confirmed, bytes))
    }
  }

  /// Whether a standby gets a snapshot.
  package func isCopying(_ id: PeerID) -> Bool { followers[id]?.isCopying == true }

  // MARK: Acknowledgements

  /// Whether an effect can be performed now. If not, it is kept, and released later, in order.
  package mutating func admits(_ effect: CoordinatorEffect) -> Bool {
    guard durability == .replicated, effect.acknowledges, !isOver, number > confirmed ?? (needsStandby ? 0 : .max)
    else {
      if effect == .finish { isOver = true }
      return true
    }
    waiting.append((number, effect))
    return false
  }

  /// The last commit that all standbys that follow have; nil if none follows.
  private var confirmed: UInt64? { followers.values.filter { !$0.isCopying }.map(\.confirmed).min() }

  private mutating func release(_ effects: inout [Effect]) {
    let limit = confirmed ?? (needsStandby ? 0 : .max)
    let count = waiting.prefix { $0.number <= limit }.count
    for (_, effect) in waiting.prefix(count) {
      effects.append(.release(effect))
      if effect == .finish { isOver = true }
    }
    waiting.removeFirst(count)
  }

  // MARK: Commits

  /// A commit is on the coordinator's disk. If standbys are there, it is recorded.
  package mutating func committed(_ commit: LedgerCommit) -> [Effect] {
    number = commit.number
    kept.append(commit)
    keptBytes += commit.changes.count
    while keptBytes > Limits.commitBytesKept, let oldest = kept.first {
      keptBytes -= oldest.changes.count
      kept.removeFirst()
    }
    var effects: [Effect] = []
    for id in followers.keys { send(to: id, &effects) }
    return effects
  }

  /// Sends a standby the commits that follow what it has, as many as may be on their way.
  private mutating func send(to id: PeerID, _ effects: inout [Effect]) {
    guard var follower = followers[id], !follower.isCopying else { return }
    if follower.sent < number, kept.first.map({ $0.number > follower.sent + 1 }) ?? true {
      return copy(to: id, &effects)
    }
    while follower.sent < number, follower.bytesInFlight < Limits.commitBytesInFlight {
      let commit = kept[index(after: follower.sent)]
      for message in commit.messages { effects.append(.send(message, to: id)) }
      follower.sent = commit.number
      follower.bytesInFlight += commit.changes.count
    }
    followers[id] = follower
  }

  /// The place among the kept commits of the first one after this number.
  private func index(after number: UInt64) -> Int {
    guard let first = kept.first, number >= first.number else { return 0 }
    return min(Int(number + 1 - first.number), kept.count)
  }

  private mutating func copy(to id: PeerID, _ effects: inout [Effect]) {
    followers[id] = Follower(sent: 0, confirmed: 0, isCopying: true)
    effects.append(.copy(to: id))
    // It does not count any more.
    release(&effects)
  }

  // MARK: Standbys

  /// - Parameters:
  ///   - id: the standby's connection.
  ///   - position: of the ledger now.
  package mutating func follow(_ request: FollowRequest, by id: PeerID, at position: LedgerPosition) -> [Effect] {
    guard !isJudged || durability == .replicated else { return [.dismiss(id, .needsReplication)] }
    if !isRecording { (number, isRecording) = (position.number, true) }
    var effects: [Effect] = []
    let has = request.position
    let oldest = kept.first.map { $0.number - 1 } ?? number
    guard !request.runID.isEmpty, has.term == term, has.number <= number, has.number >= oldest else {
      copy(to: id, &effects)
      return effects
    }
    needsStandby = true
    followers[id] = Follower(sent: has.number, confirmed: has.number)
    send(to: id, &effects)
    release(&effects)
    return effects
  }

  /// A standby has all commits up to this number on its disk.
  package mutating func confirmed(_ number: UInt64, by id: PeerID) -> [Effect] {
    guard var follower = followers[id], !follower.isCopying, number > follower.confirmed, number <= follower.sent else {
      return []
    }
    let news = kept[index(after: follower.confirmed)..<index(after: number)]
    follower.bytesInFlight -= news.reduce(0) { $0 + $1.changes.count }
    follower.confirmed = number
    followers[id] = follower
    var effects: [Effect] = []
    send(to: id, &effects)
    release(&effects)
    return effects
  }

  package mutating func left(_ id: PeerID) -> [Effect] {
    followers[id] = nil
    var effects: [Effect] = []
    release(&effects)
    return effects
  }
}

extension CoordinatorEffect {
  /// It tells a process that what it made is kept, or acts on that.
  fileprivate var acknowledges: Bool {
    switch self {
    case .send(.settled, _), .send(.published, _), .send(.finished, _), .sendBatch, .finish: true
    default: false
    }
  }
}

extension LedgerCommit {
  /// The commit's messages: its changes, cut into pieces that a frame carries.
  package var messages: [Message] {
    let count = max(1, (changes.count + Limits.chunkBytes - 1) / Limits.chunkBytes)
    return (0..<count).map { part in
      var piece = self
      piece.changes = Array(changes[part * Limits.chunkBytes..<min((part + 1) * Limits.chunkBytes, changes.count)])
      return .commit(piece, part: UInt32(part), partCount: UInt32(count))
    }
  }
}
