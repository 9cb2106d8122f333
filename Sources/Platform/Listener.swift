// Listener: a TCP port that turns callers into connections.

import Base
import CLinux
import Glibc

package final class Listener {
  /// Where it really listens: a port of 0 is replaced by the one the kernel chose.
  package let address: HostPort
  private let socket: Int32
  private let loop: EventLoop
  private let limits: ConnectionLimits
  private let onAccept: (Connection) -> Void
  private var isOpen = true

  /// Starts to listen. The listener stays open until `close()`; the loop keeps it alive.
  /// - Parameters:
  ///   - address: an empty host is every IPv4 interface, "::" every interface.
  ///   - loop: calls `onAccept`, and carries the connections.
  ///   - limits: of each accepted connection.
  ///   - onAccept: gets each connection before any of its bytes.
  /// - Throws: `.addressInUse`, `.cannotListen`, `.unresolvable`.
  package init(
    on address: HostPort, loop: EventLoop, limits: ConnectionLimits = ConnectionLimits(),
    onAccept: @escaping (Connection) -> Void
  ) throws(PlatformError) {
    (socket, self.address) = try Self.open(address)
    self.loop = loop
    self.limits = limits
    self.onAccept = onAccept
    try loop.watch(socket, for: .readable) { _ in self.accept() }
  }

  /// Stops listening; connections that were accepted live on.
  package func close() {
    guard isOpen else { return }
    isOpen = false
    loop.unwatch(socket)
    Glibc.close(socket)
  }

  /// Binds the first address of the host that can be bound.
  private static func open(_ address: HostPort) throws(PlatformError) -> (socket: Int32, real: HostPort) {
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
        // Nobody is waiting any more, or this caller gave up first.
        return
      }
      do throws(PlatformError) {
        onAccept(try Connection(accepted: accepted, from: HostPort(peer), loop: loop, limits: limits))
      } catch {
        Glibc.close(accepted)
        Log.warning("connection.refused", ["peer": HostPort(peer), "reason": error])
      }
    }
  }

  /// Out of descriptors: the caller stays in the kernel's queue, and a level-triggered loop would spin on it.
  private func rest(code: Int32) {
    Log.warning("listener.rests", ["address": address, "reason": systemErrorText(code), "remedy": remedy(for: code)])
    loop.change(socket, to: [])
    loop.schedule(at: MonotonicClock.now() + PlatformLimits.acceptRest) {
      if self.isOpen { self.loop.change(self.socket, to: .readable) }
    }
  }
}
