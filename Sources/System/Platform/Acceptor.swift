// Acceptor: a TCP port, and the callers that it accepts, on the loop.
//
// What happens with a caller is the owner's decision, and so is how many callers there can be. A listening socket must
// come back after every shortage: if the process has no descriptor left, it pauses for a moment, then tries again.

package import Base
import CLinux
import Glibc

package final class Acceptor {
  /// The address that it listens on. If port 0 was asked for, this has the port that the kernel chose.
  package let address: HostPort
  private let socket: Int32
  private let loop: EventLoop
  private let onCaller: (_ socket: Int32, _ peer: HostPort) -> Void
  private let onExhaustion: () -> Void
  private var isOpen = true

  /// Starts to listen. It stays open until `close()`; the loop keeps it alive.
  /// - Parameters:
  ///   - address: an empty host means all IPv4 interfaces, "::" all interfaces.
  ///   - loop: calls the handlers.
  ///   - onExhaustion: called when the process has no descriptor left, so that the owner can close something.
  ///   - onCaller: gets each caller's socket, which it closes, and the caller's address.
  /// - Throws: `.addressInUse`, `.cannotListen`, `.unresolvable`.
  package init(
    on address: HostPort, loop: EventLoop, onExhaustion: @escaping () -> Void,
    onCaller: @escaping (_ socket: Int32, _ peer: HostPort) -> Void
  ) throws(PlatformError) {
    (socket, self.address) = try Self.listen(on: address)
    self.loop = loop
    self.onExhaustion = onExhaustion
    self.onCaller = onCaller
    try loop.watch(socket, for: .readable) { _ in self.accept() }
  }

  /// Stops listening. Does nothing if it is closed.
  package func close() {
    guard isOpen else { return }
    isOpen = false
    loop.unwatch(socket)
    Glibc.close(socket)
  }

  /// Binds the first address of the host that can be bound, and listens on it.
  private static func listen(on address: HostPort) throws(PlatformError) -> (socket: Int32, real: HostPort) {
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
      onCaller(accepted, HostPort(peer))
    }
  }

  /// The caller stays in the kernel's queue. Without a pause, the level-triggered loop would spin.
  private func rest(code: Int32) {
    Log.warning("listener.rests", ["address": address, "reason": systemErrorText(code), "remedy": remedy(for: code)])
    onExhaustion()
    loop.change(socket, to: [])
    loop.schedule(at: MonotonicClock.now() + PlatformLimits.acceptRest) {
      if self.isOpen { self.loop.change(self.socket, to: .readable) }
    }
  }
}

/// Writes refused callers to the log: the first at once, then at most one line per `refusalReport`. A caller without
/// the key must not be able to fill a disk.
package struct RefusalLog {
  private let address: HostPort
  private var count = 0
  private var lastReport: Instant?

  package init(_ address: HostPort) { self.address = address }

  package mutating func add(_ peer: HostPort, _ reason: String, now: Instant = MonotonicClock.now()) {
    count += 1
    if let lastReport, now.since(lastReport) < PlatformLimits.refusalReport { return }
    Log.warning("listener.refused", ["address": address, "peer": peer, "reason": reason, "callers": count])
    (lastReport, count) = (now, 0)
  }
}
