// StandbyDesk: performs Replication's decisions with the ledger, files, a thread and links.
//
// A standby that has nothing, or too little, gets a list of files and asks for their bytes, piece by piece. The
// ledger among them is a copy that a thread has made; the others are read where they are, because they never change
// while a run goes on. Not here: published versions, which travel as bundles like those to workers.

import Base
import Fleet
import Ledger
import Platform
import Records
import Runs

final class StandbyDesk {
  /// What a thread has listed for a standby.
  private struct Listed: Sendable {
    var peer: PeerID
    var paths: [String]
    var snapshot: ReplicaSnapshot
    var copy: String
  }

  private let run: Run
  private let recorder: RunRecorder
  private var replication: Replication
  private var inbox: Inbox<Result<Listed, any Error>>?
  /// The files of the standbys that copy.
  private var offered: [PeerID: Listed] = [:]
  private let send: (Message, PeerID) -> Void
  private let onRelease: (CoordinatorEffect) -> Void
  private let onDismiss: (PeerID, Dismissal) -> Void
  private let onFailure: (any Error) -> Void
  private var aloneSince: Instant?

  /// - Parameters:
  ///   - hasTakenOver: this process was a standby.
  ///   - send: sends a message to a standby.
  ///   - onRelease: called with each effect that had to wait.
  /// - Throws: `LedgerError`, or if the process has no descriptor left.
  init(
    _ run: Run, _ recorder: RunRecorder, durability: Durability, hasTakenOver: Bool, loop: EventLoop,
    send: @escaping (Message, PeerID) -> Void, onRelease: @escaping (CoordinatorEffect) -> Void,
    onDismiss: @escaping (PeerID, Dismissal) -> Void, onFailure: @escaping (any Error) -> Void
  ) throws {
    self.run = run
    self.recorder = recorder
    self.send = send
    self.onRelease = onRelease
    self.onDismiss = onDismiss
    self.onFailure = onFailure
    replication = Replication(
      position: try recorder.position(), durability: durability, hasTakenOver: hasTakenOver,
      isJudged: run.method.isJudged)
    try removeCopies()
    inbox = try loop.inbox { [unowned self] listed in self.offer(listed) }
    if replication.recordsAlways { watchCommits() }
  }

  private func watchCommits() {
    recorder.onCommit = { [unowned self] commit in self.perform(self.replication.committed(commit)) }
  }

  /// Whether an effect can be performed now; otherwise it is released later.
  func admits(_ effect: CoordinatorEffect) -> Bool { replication.admits(effect) }

  /// Whether effects wait for a standby.
  var isHolding: Bool { replication.waitingCount > 0 }

  /// What is shown of the standbys.
  func note(names: (PeerID) -> String) -> [FleetNote.Standby] {
    replication.progress.map { progress in
      FleetNote.Standby(
        name: names(progress.peer), commitsBehind: progress.behind.map { Int(clamping: $0.commits) },
        bytesBehind: progress.behind?.bytes)
    }
  }

  /// Since when nothing is acknowledged for lack of a standby, and how many acknowledgements wait; nil if none lacks.
  func lack(now: Instant) -> (waiting: Int, since: Instant.Span)? {
    guard replication.lacksStandby else { return nil }
    return (replication.waitingCount, now.since(aloneSince ?? now))
  }

  /// Called regularly.
  ///
  /// - Throws: `CoordinatorFailure` if there has been no standby for too long.
  func tick(now: Instant) throws {
    guard replication.lacksStandby else { return aloneSince = nil }
    let since = aloneSince ?? now
    aloneSince = since
    guard now.since(since) > Limits.standbyAbsence else { return }
    throw CoordinatorFailure.broken(
      "with --durability replicated nothing is acknowledged without a standby, and none was there for "
        + "\(Int(Limits.standbyAbsence.seconds)) s. Start one (ttrl standby --follow HOST:PORT --run DIR) and continue "
        + "the run, or continue it with --durability local")
  }

  /// A standby has sent a message that is about its copy.
  func receive(_ message: Message, from id: PeerID) throws {
    switch message {
    case .follow(let request):
      if recorder.onCommit == nil { watchCommits() }
      forget(id)
      perform(replication.follow(request, by: id, at: try recorder.position()))
    case .committed(let number): perform(replication.confirmed(number, by: id))
    case .requestFile(let index, let offset):
      guard let listed = offered[id], listed.paths.indices.contains(Int(index)) else { return }
      let size = listed.snapshot.files[Int(index)].byteCount
      let count = offset < size ? min(UInt64(Limits.chunkBytes), size - offset) : 0
      let bytes = try Files.read(listed.paths[Int(index)], from: Int(clamping: offset), count: Int(count))
      send(.fileBytes(index: index, offset: offset, bytes: bytes), id)
    default: break
    }
  }

  func left(_ id: PeerID) {
    forget(id)
    perform(replication.left(id))
  }

  private func forget(_ id: PeerID) {
    if let listed = offered.removeValue(forKey: id) { try? Files.removeTree(listed.copy) }
  }

  private func perform(_ effects: [Replication.Effect]) {
    for effect in effects {
      switch effect {
      case .send(let message, let peer): send(message, peer)
      case .copy(let peer): copy(to: peer)
      case .release(let effect): onRelease(effect)
      case .dismiss(let peer, let reason): onDismiss(peer, reason)
      }
    }
  }

  // MARK: Snapshots

  private static let copyPrefix = "standby-"

  /// An earlier process can have left copies.
  private func removeCopies() throws {
    for name in try Files.list(run.directory.path) where name.hasPrefix(Self.copyPrefix) {
      try Files.removeTree("\(run.directory.path)/\(name)")
    }
  }

  private func copy(to peer: PeerID) {
    Log.info("coordinator.copies", ["peer": peer])
    guard let inbox else { return }
    let copy = "\(run.directory.path)/\(Self.copyPrefix)\(peer).sqlite"
    do {
      try startThread(named: "copy") { [run] in inbox.post(Result { try Self.listed(run, for: peer, copy: copy) }) }
    } catch {
      onFailure(error)
    }
  }

  /// Copies the ledger and lists the run's files. On a thread: it takes as long as reading all of them.
  private static func listed(_ run: Run, for peer: PeerID, copy: String) throws -> Listed {
    try Files.removeTree(copy)
    try Ledger(path: run.directory.ledger, mode: .readOnly).copy(to: copy)
    let ledger = try Ledger(path: copy, mode: .readOnly)
    let files = [(path: copy, name: RunReplica.ledgerName)] + (try RunReplica.files(of: run))
    let snapshot = ReplicaSnapshot(
      schema: UInt32(ledger.schemaVersion), position: try ledger.position,
      files: try files.map { file in
        ReplicaFile(
          name: file.name, byteCount: UInt64(try Files.size(of: file.path)),
          digest: ChunkDigest(Hexadecimal.bytes(try SHA256.hex(ofFile: file.path))))
      }, kept: try ledger.policies().filter { $0.removedAt == nil }.map(\.manifest))
    return Listed(peer: peer, paths: files.map(\.path), snapshot: snapshot, copy: copy)
  }

  private func offer(_ listed: Result<Listed, any Error>) {
    switch listed {
    case .success(let listed):
      offered[listed.peer] = listed
      // It can have left while its copy was made.
      guard replication.isCopying(listed.peer) else { return forget(listed.peer) }
      send(.snapshot(listed.snapshot), listed.peer)
    case .failure(let error): onFailure(error)
    }
  }
}
