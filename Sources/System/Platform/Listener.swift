// Listener: a TCP port that accepts connections.
//
// With a key, a caller is a stranger until it has proved that it has the key; before that the owner does not hear of
// it. The cost of strangers is bounded: their number from one address and in total, their time, and the log lines about
// them. Above that number the oldest stranger is closed, so idle strangers cannot keep other callers out. A stranger
// that has shown the key, or that has just come, is not closed; then the new caller is closed and has to call again.
// (When a coordinator starts again, all its workers call at once. A handshake that has begun must be able to finish.)

import Base
import Glibc

package final class Listener {
  private let context: TLSContext?
  private let loop: EventLoop
  private let limits: ConnectionLimits
  private let onAccept: (Connection) -> Void
  private var acceptor: Acceptor?
  /// Callers that have not yet proved that they have the key, oldest first.
  private var strangers: [(connection: Connection, since: Instant)] = []
  private let strangersMax: Int
  private var refusals: RefusalLog
  /// The address that it listens on. If port 0 was asked for, this has the port that the kernel chose.
  package private(set) var address: HostPort

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
    self.context = context
    self.loop = loop
    self.limits = limits
    self.onAccept = onAccept
    self.address = address
    strangersMax = min(PlatformLimits.strangers, max(1, Machine.descriptorLimit / PlatformLimits.strangersShare))
    refusals = RefusalLog(address)
    let acceptor = try Acceptor(
      on: address, loop: loop, onExhaustion: { _ = self.giveWay { _ in true } },
      onCaller: { self.take($0, from: $1) })
    self.acceptor = acceptor
    self.address = acceptor.address
    refusals = RefusalLog(acceptor.address)
  }

  /// Stops listening. Accepted connections stay open; strangers are closed.
  package func close() {
    acceptor?.close()
    acceptor = nil
    for stranger in strangers { stranger.connection.close() }
    strangers = []
  }

  private func take(_ caller: Int32, from peer: HostPort) {
    do throws(PlatformError) {
      let connection = try Connection(
        accepted: caller, from: peer, tls: context, by: MonotonicClock.now() + PlatformLimits.handshake, loop: loop,
        limits: limits)
      if context == nil { onAccept(connection) } else { watch(connection) }
    } catch {
      Glibc.close(caller)
      refusals.add(peer, "\(error)")
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
