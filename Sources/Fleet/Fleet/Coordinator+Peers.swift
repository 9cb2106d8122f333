// Coordinator+Peers: who is there. Hellos, goodbyes, and the silent.
//
// A peer that goes takes nothing with it: its promises return to the pool, what it delivered stays.

import Base
import Records

extension Coordinator {
  mutating func greet(_ hello: Hello, _ id: PeerID, _ effects: inout [CoordinatorEffect]) {
    let kind = ArithmeticKind(hello.arithmetic, dtype: welcome.dtype)
    if let arithmetic, ArithmeticKind(arithmetic, dtype: welcome.dtype) != kind {
      return refuse(
        id,
        "it computes other bits than the run's processes: it has \(hello.arithmetic), they have \(arithmetic), and in "
          + "\(welcome.dtype) that matters. See docs/operating.md#mixed-processors", &effects)
    }
    if arithmetic == nil { arithmetic = hello.arithmetic }
    if hello.role == .learner {
      // A second learner is the first one's successor: the old connection is a process that died unnoticed. Which one
      // is older is a matter of connections, not of hellos: a dead one's hello may be read late, by a paused
      // coordinator.
      if peers.contains(where: { $0.0 > id && $0.1.isLearner }) {
        return refuse(id, "another learner has taken over", &effects)
      }
      for (other, peer) in peers where peer.isLearner { refuse(other, "another learner has taken over", &effects) }
    }
    _ = peers.update(id) { $0.hello = hello }
    if hello.role == .learner { learners.append(id) }
    effects.append(.note(.joined(id, hello)))
    var welcome = welcome
    welcome.latestPolicy = latestPolicy
    effects.append(.send(.welcome(welcome), to: id))
    // A learner is told when it is ready at the last version, and not before.
    if isFinished, hello.role == .worker { effects.append(.send(.finished, to: id)) }
  }

  /// Ends it with a peer for good: it breaks the rules, or has no place here any more.
  mutating func refuse(_ id: PeerID, _ reason: String, _ effects: inout [CoordinatorEffect]) {
    effects.append(.send(.goodbye(reason: reason), to: id))
    cutOff(id, reason, &effects)
  }

  /// Ends a connection and not the peer: it was paused, late, or unlucky. It may come back at once, and starts clean.
  mutating func cutOff(_ id: PeerID, _ reason: String, _ effects: inout [CoordinatorEffect]) {
    effects.append(.close(id, reason: reason))
    remove(id, &effects)
  }

  /// A peer is gone: its promises return to the pool; what it delivered stays.
  mutating func remove(_ id: PeerID, _ effects: inout [CoordinatorEffect]) {
    guard let peer = peers.remove(id) else { return }
    wants[id] = nil
    learners.removeAll { $0 == id }
    if incoming?.from == id { incoming = nil }
    bundles.left(id)
    let slots = leases.revokeAll(heldBy: id)
    for slot in slots { release(slot) }
    if peer.hello != nil { effects.append(.note(.left(id, name: peer.name, outstanding: slots.count))) }
  }

  mutating func release(_ slot: Slot) { _ = openRounds.update(slot.round) { $0.release(slot) } }

  /// Cuts off the silent, and grants again what nobody makes progress on.
  mutating func watch(now: Instant, _ effects: inout [CoordinatorEffect]) {
    for (id, peer) in peers {
      if peer.hello == nil, now.since(peer.connectedAt) > Limits.helloDeadline {
        cutOff(id, "no hello within \(Int(Limits.helloDeadline.seconds)) s", &effects)
      } else if peer.hello != nil, now.since(peer.lastHeard) > peer.patience {
        effects.append(.note(.silent(id, name: peer.name)))
        cutOff(id, "no word for \(Int(peer.patience.seconds)) s", &effects)
      }
    }
    for (id, lease) in leases.expire(now: now, after: Limits.leaseWithoutProgress) {
      effects.append(.note(.expired(id, holder: lease.holder, slots: lease.outstanding.count)))
      effects.append(.send(.revoke(id), to: lease.holder))
      for slot in lease.outstanding { release(slot) }
    }
  }
}
