// Listener: a TCP port that accepts connections.
//
// With a key, a caller is a stranger until it has proved that it has the key; before that the owner does not hear of
// it. The cost of strangers is bounded: their number from one address and in total, their time, and the log lines about
// them. Above that number the oldest stranger is closed, so idle strangers cannot keep other callers out. A stranger
// that has shown the key, or that has just come, is not closed; then the new caller is closed and has to call again.
// (When a coordinator starts again, all its workers call at once. A handshake that has begun must be able to finish.)

import Base
import CLinux
import Glibc

package final class Listener {
  /// The address that it listens on. If port 0 was asked for, this has the port that the kernel chose.
  package let address: HostPort
  private let socket: Int32
  private let context: TLSContext?
  private let loop: EventLoop
  private let limits: ConnectionLimits
  private let onAccept: (Connection) -> Void
  private var isOpen = true
  /// Callers that have not yet proved that they have the key, oldest first.
  private var strangers: [(connection: Connection, since: Instant)] = []
  private let strangersMax: Int
  private var refusals: RefusalLog

  /// Starts to listen. The listener stays open until `close()`; the loop keeps it alive.
  /// - Parameters:
  ///   - address: an empty host means all IPv4 interfaces, "::" all interfaces.
  ///   - context: the key that callers must have; nil is plain TCP.
  ///   - loop: calls `onAccept` and serves the connections.
  ///   - limits: apply to each accepted connection.
  ///   - onAccept: gets each connection, after the caller has proved that it has the key, and before any of its bytes.
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

  /// Stops listening. Accepted connections stay open; strangers are closed.
  package func close() {
    guard isOpen else { return }
    isOpen = false
    for stranger in strangers { stranger.connection.close() }
    strangers = []
    loop.unwatch(socket)
    Glibc.close(socket)
  }

  /// Binds the first address of the host that can be bound, and listens on it. Accepts no connections.
  /// - Returns: the socket, which the caller closes, and its real address.
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
      var peer = ttrl_address()
      let accepted = ttrl_accept(socket, &peer)
      guard accepted >= 0 else {
        if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(-accepted) { rest(code: -accepted) }
        // No caller is waiting, or this caller gave up first.
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

  /// The process has no descriptor left. The caller stays in the kernel's queue; without a pause, the level-triggered
  /// loop would spin.
  private func rest(code: Int32) {
    Log.warning("listener.rests", ["address": address, "reason": systemErrorText(code), "remedy": remedy(for: code)])
    _ = giveWay { _ in true }
    loop.change(socket, to: [])
    loop.schedule(at: MonotonicClock.now() + PlatformLimits.acceptRest) {
      if self.isOpen { self.loop.change(self.socket, to: .readable) }
    }
  }

  // MARK: Strangers

  private func watch(_ stranger: Connection) {
    let host = stranger.peer.host
    let perAddress = min(PlatformLimits.strangersPerAddress, strangersMax)
    let isFull = strangers.count >= strangersMax && !giveWay { _ in true }
    let isHostFull =
      strangers.count(where: { $0.connection.peer.host == host }) >= perAddress && !giveWay { $0.peer.host == host }
    guard !isFull, !isHostFull else {
      stranger.close()
      return refusals.add(stranger.peer, Self.tooMany)
    }
    strangers.append((stranger, MonotonicClock.now()))
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

  private func forget(_ stranger: Connection) { strangers.removeAll { $0.connection === stranger } }

  private static let tooMany = "too many callers at once have not proved that they have the key"

  /// Closes the oldest stranger for which `isMeant` is true and that has neither shown the key nor just come.
  ///
  /// - Returns: whether a stranger was closed.
  private func giveWay(where isMeant: (Connection) -> Bool) -> Bool {
    let now = MonotonicClock.now()
    let oldest = strangers.firstIndex { stranger in
      !stranger.connection.hasShownKey && now.since(stranger.since) >= PlatformLimits.strangerGrace
        && isMeant(stranger.connection)
    }
    guard let oldest else { return false }
    let stranger = strangers.remove(at: oldest).connection
    stranger.close()
    refusals.add(stranger.peer, Self.tooMany)
    return true
  }
}

/// Writes refused callers to the log: the first at once, then at most one line per `refusalReport`. A caller without
/// the key must not be able to fill a disk.
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
