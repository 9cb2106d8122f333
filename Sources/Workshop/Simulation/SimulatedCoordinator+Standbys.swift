// SimulatedCoordinator+Standbys: commits and standbys.
//
// A commit's changes and the copy of a ledger are kept by the world; eight bytes with their number travel.

import Base
import Fleet
import Records

extension SimulatedCoordinator {
  /// Makes changes durable, and tells standbys.
  func commit(
    _ changes: [RunDirectory.Change], added: [PolicyManifest] = [], removed: [PolicyVersion] = [], in world: World
  ) {
    if let problem = world[disk: seat].commit(changes) { return world.violate(problem) }
    world.changes.append(changes)
    let commit = LedgerCommit(
      number: world[disk: seat].number, added: added, removed: removed, changes: bytes(of: world.changes.count - 1))
    if isFollowed { perform(replication.committed(commit), in: world) }
  }

  func serve(_ message: Message, from peer: PeerID, in world: World) {
    switch message {
    case .follow(let request):
      isFollowed = true
      perform(replication.follow(request, by: peer, at: world[disk: seat].position), in: world)
    case .committed(let number): perform(replication.confirmed(number, by: peer), in: world)
    case .requestFile(let index, let offset):
      guard let file = copies[peer] else { return }
      let rest = file.dropFirst(Int(clamping: offset)).prefix(Limits.chunkBytes)
      world.send(.fileBytes(index: index, offset: offset, bytes: Array(rest)), on: LinkID(peer.number), from: seat)
    default: break
    }
  }

  func perform(_ effects: [Replication.Effect], in world: World) {
    for effect in effects {
      switch effect {
      case .send(let message, let peer): world.send(message, on: LinkID(peer.number), from: seat)
      case .copy(let peer): copy(to: peer, in: world)
      case .release(let effect):
        guard world.survives(seat, incarnation: incarnation) else { return }
        perform(effect, in: world)
      case .dismiss(let peer, let reason): world.violate("standby \(peer) is refused: \(reason)")
      }
    }
  }

  private func copy(to peer: PeerID, in world: World) {
    world.snapshots.append(world[disk: seat])
    let file = bytes(of: world.snapshots.count - 1)
    copies[peer] = file
    let snapshot = ReplicaSnapshot(
      schema: 1, position: world[disk: seat].position,
      files: [ReplicaFile(name: "ledger", byteCount: UInt64(file.count), digest: chunkDigest(file))],
      kept: world[disk: seat].kept)
    world.schedule(
      .done(.copied(peer, snapshot)), on: seat, after: world.workDice.span(.zero, world.scenario.verifyTime))
  }

  private func bytes(of number: Int) -> [UInt8] {
    var out = ByteWriter()
    out.write(UInt64(number))
    return out.bytes
  }

  /// What is acknowledged now must not be lost with this coordinator's disk.
  func promise(_ slots: [Slot], in world: World) {
    guard let standby = world.leaderSeats.first(where: { $0 != seat }) else { return }
    let copy = world[disk: standby]
    // Refused trajectories are acknowledged too: their rounds are complete, or not part of the plan.
    let lost = slots.first { slot in
      world[disk: seat].trajectories.contains(slot) && !copy.trajectories.contains(slot)
    }
    if let lost { world.violate("\(lost) was acknowledged and is not on the standby's disk") }
  }
}
