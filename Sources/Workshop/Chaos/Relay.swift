// Relay: forwards connections between a run's processes and its coordinator, and makes faults on request.
//
// It forwards bytes without reading them: TLS records with a key, frames without one. Both sides must notice every
// change, and must not use a byte that was not sent. It asks for the coordinator's address for every caller, because a
// restarted coordinator can listen on another port.

package import Base
import Glibc
package import Platform

package final class Relay {
  /// One caller's connection, and the one to the coordinator.
  private final class Pair {
    let caller: Connection
    let onward: Connection
    /// If set, one bit of the next forwarded bytes is flipped, at this share of their length.
    var corruptsNext: Double?
    /// The bytes that wait during a stall, and where they go.
    var isStalled = false
    var held: [(to: Connection, bytes: [UInt8])] = []

    init(_ caller: Connection, _ onward: Connection) {
      self.caller = caller
      self.onward = onward
    }
  }

  /// The address to which the run's processes connect.
  package var address: HostPort { listener?.address ?? HostPort(host: "127.0.0.1", port: 0) }
  private let loop: EventLoop
  private let target: () -> HostPort?
  private var listener: Listener?
  private var pairs: [Pair] = []

  /// Starts to listen on loopback.
  ///
  /// - Parameters:
  ///   - loop: serves the connections.
  ///   - target: the coordinator's present address; nil if it has none.
  /// - Throws: if it cannot listen on a port.
  package init(loop: EventLoop, target: @escaping () -> HostPort?) throws(PlatformError) {
    self.loop = loop
    self.target = target
    listener = try Listener(on: HostPort(parsing: "127.0.0.1:0"), loop: loop) { self.accept($0) }
  }

  package var connectionCount: Int { pairs.count }

  package func close() {
    listener?.close()
    for pair in pairs { end(pair) }
  }

  // MARK: Faults

  /// Resets both ends of a connection.
  package func reset(_ number: Int) {
    let pair = pairs[number]
    pair.caller.reset()
    pair.onward.reset()
    pairs.removeAll { $0 === pair }
  }

  /// Flips one bit of the next bytes that a connection carries, in either direction.
  ///
  /// - Parameters:
  ///   - number: the connection's index.
  ///   - place: the place in those bytes, as a share of their length, in [0, 1).
  package func corrupt(_ number: Int, at place: Double) { pairs[number].corruptsNext = place }

  /// Holds back what a connection carries, and sends it later, in order.
  package func stall(_ number: Int, for span: Instant.Span) {
    let pair = pairs[number]
    pair.isStalled = true
    loop.schedule(at: MonotonicClock.now() + span) {
      pair.isStalled = false
      for (connection, bytes) in pair.held { connection.send(bytes) }
      pair.held = []
    }
  }

  // MARK: Forwarding

  private func accept(_ caller: Connection) {
    // There is no coordinator. The caller sees the same as without a relay.
    guard let target = target() else { return caller.reset() }
    let onward = Connection(to: target, by: MonotonicClock.now() + PlatformLimits.connectDeadline, loop: loop)
    let pair = Pair(caller, onward)
    pairs.append(pair)
    caller.onBytes = { self.forward($0, to: onward, of: pair) }
    onward.onBytes = { self.forward($0, to: caller, of: pair) }
    caller.onClose = { _ in self.end(pair) }
    onward.onClose = { _ in self.end(pair) }
  }

  private func forward(_ bytes: [UInt8], to connection: Connection, of pair: Pair) {
    var bytes = bytes
    if let place = pair.corruptsNext {
      pair.corruptsNext = nil
      let bit = Int(place * Double(bytes.count * 8))
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
    }
    if pair.isStalled { pair.held.append((connection, bytes)) } else { connection.send(bytes) }
  }

  /// One side closed its connection. Its last bytes still reach the other side.
  private func end(_ pair: Pair) {
    pairs.removeAll { $0 === pair }
    for (connection, bytes) in pair.held { connection.send(bytes) }
    pair.held = []
    pair.caller.finish()
    pair.onward.finish()
  }
}
