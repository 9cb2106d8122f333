// Listener: a TCP port that turns callers into connections.
//
// With a key, a caller is a stranger until it has proved that it has the key; the owner never hears of it before. What
// strangers may cost is bounded: their number from one address and altogether, the time they have, and what is logged
// of them. Above the number the oldest stranger gives way, so that those who only sit there keep nobody out. Those who
// have shown the key and are about to finish do not give way: new callers wait in the kernel's queue until they have.
// (When a coordinator with ten thousand workers comes back, all of them call at once.)

import Base
import CLinux
import Glibc

package final class Listener {
  /// Where it really listens: a port of 0 is replaced by the one the kernel chose.
  package let address: HostPort
  private let socket: Int32
  private let context: TLSContext?
  private let loop: EventLoop
  private let limits: ConnectionLimits
  private let onAccept: (Connection) -> Void
  private var isOpen = true
  /// Callers who have not proved yet that they have the key, oldest first.
  private var strangers: [Connection] = []
  private let strangersMax: Int
  /// Nobody is taken from the kernel's queue until one of them has finished.
  private var isWaiting = false
  private var refusals: RefusalLog

  /// Starts to listen. The listener stays open until `close()`; the loop keeps it alive.
  /// - Parameters:
  ///   - address: an empty host is every IPv4 interface, "::" every interface.
  ///   - context: the key that callers have to have; nil is plain TCP.
  ///   - loop: calls `onAccept`, and carries the connections.
  ///   - limits: of each accepted connection.
  ///   - onAccept: gets each connection before any of its bytes, and after it has proved that it has the key.
  /// - Throws: `.addressInUse`, `.cannotListen`, `.unresolvable`.
  package init(
    on address: HostPort, tls context: TLSContext? = nil, loop: EventLoop,
    limits: ConnectionLimits = ConnectionLimits(),
    onAccept: @escaping (Connection) -> Void
  ) throws(PlatformError) {
    (socket, self.address) = try Self.open(address)
    self.context = context
    self.loop = loop
    self.limits = limits
    self.onAccept = onAccept
    strangersMax = min(PlatformLimits.strangers, max(1, Machine.descriptorLimit / PlatformLimits.strangersShare))
    refusals = RefusalLog(self.address)
    try loop.watch(socket, for: .readable) { _ in self.accept() }
  }

  /// Stops listening. Connections that were accepted live on; strangers are turned away.
  package func close() {
    guard isOpen else { return }
    isOpen = false
    for stranger in strangers { stranger.close() }
    strangers = []
    loop.unwatch(socket)
    Glibc.close(socket)
  }

  /// Binds the first address of the host that can be bound, and listens there without taking anybody's call.
  /// - Returns: the socket, which the caller closes, and where it really listens.
  /// - Throws: `.addressInUse`, `.cannotListen`, `.unresolvable`.
  package static func open(_ address: HostPort) throws(PlatformError) -> (socket: Int32, real: HostPort) {
    var code: Int32 = EADDRNOTAVAIL
    for var candidate in try address.resolve(numericOnly: false) {
      let socket = ttrl_listen(&candidate, PlatformLimits.listenBacklog)
      if socket >= 0 {
        var real = ttrl_address()
        ttrl_local_address(socket, &real)
        return (socket, HostPort(real))
      }
      code = -socket
    }
    throw code == EADDRINUSE ? .addressInUse(address) : .cannotListen(address, code: code)
  }

  private func accept() {
    for _ in 0..<PlatformLimits.acceptsPerTurn where isOpen {
      guard strangers.count(where: { $0.hasShownKey }) < finishingMax else { return wait() }
      var peer = ttrl_address()
      let accepted = ttrl_accept(socket, &peer)
      guard accepted >= 0 else {
        if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(-accepted) { rest(code: -accepted) }
        // Nobody is waiting any more, or this caller gave up first.
        return
      }
      do throws(PlatformError) {
        let connection = try Connection(
          accepted: accepted, from: HostPort(peer), tls: context,
          by: MonotonicClock.now() + PlatformLimits.handshake, loop: loop, limits: limits)
        if context == nil { onAccept(connection) } else { watch(connection) }
      } catch {
        Glibc.close(accepted)
        refusals.add(HostPort(peer), "\(error)")
      }
    }
  }

  /// Out of descriptors: the caller stays in the kernel's queue, and a level-triggered loop would spin on it.
  private func rest(code: Int32) {
    Log.warning("listener.rests", ["address": address, "reason": systemErrorText(code), "remedy": remedy(for: code)])
    giveWay { _ in true }
    loop.change(socket, to: [])
    loop.schedule(at: MonotonicClock.now() + PlatformLimits.acceptRest) {
      if self.isOpen, !self.isWaiting { self.loop.change(self.socket, to: .readable) }
    }
  }

  /// As many as can be about to finish: no more than one address may have, since all may be from one.
  private var finishingMax: Int { min(PlatformLimits.strangersPerAddress, strangersMax) }

  /// Enough callers are about to finish; each has the time of a handshake for it.
  private func wait() {
    isWaiting = true
    loop.change(socket, to: [])
  }

  // MARK: Strangers

  private func watch(_ stranger: Connection) {
    if strangers.count >= strangersMax { giveWay { _ in true } }
    let host = stranger.peer.host
    if strangers.count(where: { $0.peer.host == host }) >= finishingMax { giveWay { $0.peer.host == host } }
    strangers.append(stranger)
    stranger.onOpen = { [unowned stranger] in
      self.forget(stranger)
      stranger.onOpen = {}
      stranger.onClose = { _ in }
      self.onAccept(stranger)
    }
    stranger.onClose = { [unowned stranger] reason in
      self.forget(stranger)
      self.refusals.add(stranger.peer, reason == .connectTimedOut ? "it did not finish the handshake" : "\(reason)")
    }
  }

  private func forget(_ stranger: Connection) {
    strangers.removeAll { $0 === stranger }
    guard isWaiting, isOpen else { return }
    isWaiting = false
    loop.change(socket, to: .readable)
  }

  /// The oldest stranger of some has to go, unless it has shown the key.
  private func giveWay(where isMeant: (Connection) -> Bool) {
    guard let oldest = strangers.firstIndex(where: { !$0.hasShownKey && isMeant($0) }) else { return }
    let stranger = strangers.remove(at: oldest)
    stranger.close()
    refusals.add(stranger.peer, "too many callers at once did not prove that they have the key")
  }
}

/// Tells the log of callers who were turned away: the first at once, then at most one line per `refusalReport`. Whoever
/// knocks without a key must not be able to fill a disk.
struct RefusalLog {
  private let address: HostPort
  private var count = 0
  private var lastReport: Instant?

  init(_ address: HostPort) { self.address = address }

  mutating func add(_ peer: HostPort, _ reason: String, now: Instant = MonotonicClock.now()) {
    count += 1
    if let lastReport, now.since(lastReport) < PlatformLimits.refusalReport { return }
    Log.warning("listener.refused", ["address": address, "peer": peer, "reason": reason, "callers": count])
    (lastReport, count) = (now, 0)
  }
}
