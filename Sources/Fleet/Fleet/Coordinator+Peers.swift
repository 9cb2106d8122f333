// Coordinator+Peers: who is there. Hellos, goodbyes, and the silent.
//
// A peer that goes takes nothing with it: its leases are granted again, and what it delivered stays.

import Base
import Records

extension Coordinator {
  mutating func greet(_ hello: Hello, _ id: PeerID, _ effects: inout [CoordinatorEffect]) {
    if let run = peers.conflict(with: hello.arithmetic, dtype: welcome.dtype) {
      return dismiss(id, .otherArithmetic(hello.arithmetic, run: run, dtype: welcome.dtype), &effects)
    }
    if hello.role == .learner, let other = peers.learner {
      // A second learner is the first one's successor: the old connection is a process that died unnoticed. Which one
      // is older is a matter of connections, not of hellos: a paused coordinator can read a dead one's hello late.
      if other > id { return dismiss(id, .replaced, &effects) }
      dismiss(other, .replaced, &effects)
    }
    peers.introduce(id, hello)
    effects.append(.note(.joined(id, hello)))
    var welcome = welcome
    welcome.latestPolicy = versions.latest
    effects.append(.send(.welcome(welcome), to: id))
    // A learner is told when it is ready at the last version, and not before.
    if isFinished, hello.role == .worker { effects.append(.send(.finished, to: id)) }
  }

  /// Ends it with a peer for good.
  mutating func dismiss(_ id: PeerID, _ reason: Dismissal, _ effects: inout [CoordinatorEffect]) {
    effects.append(.dismiss(id, reason))
    remove(id, &effects)
  }

  /// Ends a connection and not the peer.
  mutating func cutOff(_ id: PeerID, _ reason: CutOff, _ effects: inout [CoordinatorEffect]) {
    effects.append(.cutOff(id, reason))
    remove(id, &effects)
  }

  /// A peer is gone.
  mutating func remove(_ id: PeerID, _ effects: inout [CoordinatorEffect]) {
    guard let peer = peers.remove(id) else { return }
    publication.left(id)
    bundles.left(id)
    let slots = leases.revokeAll(heldBy: id)
    for slot in slots { plan.release(slot) }
    if peer.hello != nil { effects.append(.note(.left(id, name: peer.name, outstanding: slots.count))) }
  }

  /// Cuts off the silent, and grants again the leases that make no progress.
  mutating func watch(now: Instant, _ effects: inout [CoordinatorEffect]) {
    for (id, peer) in peers.all {
      guard let fault = peer.fault(now: now) else { continue }
      if case .silent = fault { effects.append(.note(.silent(id, name: peer.name))) }
      cutOff(id, fault, &effects)
    }
    for (id, lease) in leases.expire(now: now, after: Limits.leaseWithoutProgress) {
      effects.append(.note(.expired(id, holder: lease.holder, slots: lease.outstanding.count)))
      effects.append(.send(.revoke(id), to: lease.holder))
      for slot in lease.outstanding { plan.release(slot) }
    }
  }
}
