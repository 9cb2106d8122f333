// Coordinator+Peers: which peers are connected: hellos, goodbyes, and peers that are silent.
//
// When a peer leaves, nothing is lost: its leases are granted again, and the trajectories that it delivered stay.

import Base
import Records

extension Coordinator {
  mutating func greet(_ hello: Hello, _ id: PeerID, _ effects: inout [CoordinatorEffect]) {
    guard hello.edition == Edition.own else { return dismiss(id, .otherEdition(hello.edition), &effects) }
    guard hello.term <= welcome.term else {
      // What is finished stays: the other one could not do better.
      guard !hasEnded else { return effects.append(.send(.finished, to: id)) }
      let isLeader = hello.role == .coordinator || hello.role == .standby
      return abdicate(under: hello.term, to: isLeader ? hello.relay : "", &effects)
    }
    if hello.role == .learner, let other = peers.learner {
      // A second learner is the successor of the first: the old connection belongs to a process that died unnoticed.
      // The order of connections says which process is older. The order of hellos does not, because a coordinator that
      // was paused can read the hello of a dead process late.
      if other > id { return dismiss(id, .replaced, &effects) }
      dismiss(other, .replaced, &effects)
    }
    peers.introduce(id, hello)
    effects.append(.note(.joined(id, hello)))
    var welcome = welcome
    welcome.latestPolicy = versions.latest
    effects.append(.send(.welcome(welcome), to: id))
    if !standbys.addresses.isEmpty, hello.speaks.knowsStandbys { effects.append(.send(standbys.message, to: id)) }
    // A learner is told only when it is ready at the last version.
    if isFinished, hello.role == .worker || hello.role == .standby { effects.append(.send(.finished, to: id)) }
  }

  /// Another coordinator leads. The peers of this one are told where.
  ///
  /// - Parameter address: where it is; empty if that is not known.
  mutating func abdicate(under term: Term, to address: String, _ effects: inout [CoordinatorEffect]) {
    standbys.add(address, patience: Limits.silence)
    if !standbys.addresses.isEmpty {
      for (id, peer) in peers.all where peer.knowsStandbys { effects.append(.send(standbys.message, to: id)) }
    }
    effects.append(.abdicate(term, to: standbys.addresses + others))
  }

  /// A standby is here, and says how far its copy is. All peers are told of it.
  mutating func follow(_ request: FollowRequest, by id: PeerID, _ effects: inout [CoordinatorEffect]) {
    guard request.runID.isEmpty || request.runID == welcome.runID else {
      return dismiss(id, .otherRun(request.runID), &effects)
    }
    if let address = peers[id]?.hello?.relay, standbys.add(address, patience: request.patience) {
      for (id, peer) in peers.all where peer.knowsStandbys { effects.append(.send(standbys.message, to: id)) }
    }
    effects.append(.follower(id, .follow(request)))
  }

  /// Refuses a peer permanently.
  mutating func dismiss(_ id: PeerID, _ reason: Dismissal, _ effects: inout [CoordinatorEffect]) {
    effects.append(.dismiss(id, reason))
    remove(id, &effects)
  }

  /// Ends a connection. The peer can connect again.
  mutating func cutOff(_ id: PeerID, _ reason: CutOff, _ effects: inout [CoordinatorEffect]) {
    effects.append(.cutOff(id, reason))
    remove(id, &effects)
  }

  mutating func remove(_ id: PeerID, _ effects: inout [CoordinatorEffect]) {
    guard let peer = peers.remove(id) else { return }
    publication.left(id)
    bundles.left(id)
    if peer.isStandby { effects.append(.followerLeft(id)) }
    let slots = leases.revokeAll(heldBy: id)
    for slot in slots { plan.release(slot) }
    if peer.hello != nil { effects.append(.note(.left(id, name: peer.name, outstanding: slots.count))) }
  }

  /// Cuts off silent peers, and revokes leases without progress, so that their slots are granted again.
  mutating func watch(now: Instant, _ effects: inout [CoordinatorEffect]) {
    for (id, peer) in peers.all {
      guard let fault = peer.fault(now: now) else { continue }
      if case .silent = fault { effects.append(.note(.silent(id, name: peer.name))) }
      cutOff(id, fault, &effects)
    }
    if !others.isEmpty, now.since(lastTold) >= Limits.heraldInterval {
      lastTold = now
      for address in others { effects.append(.tell(address)) }
    }
    if standbys.isBeatDue(now: now) {
      for (id, peer) in peers.all where peer.knowsStandbys { effects.append(.send(.heartbeat(tokens: 0), to: id)) }
    }
    for (id, lease) in leases.expire(now: now, after: Limits.leaseWithoutProgress) {
      effects.append(.note(.expired(id, holder: lease.holder, slots: lease.outstanding.count)))
      effects.append(.send(.revoke(id), to: lease.holder))
      for slot in lease.outstanding { plan.release(slot) }
    }
  }
}
