// Relay: stands between a run's processes and its coordinator, and makes trouble on request.
//
// It forwards bytes and understands none of them: with a key they are TLS records, without one frames. Whatever it does
// to them, both sides have to notice, and neither may believe a byte that was not sent. It asks for the coordinator's
// address anew for every caller, because a restarted one may listen elsewhere.

package import Base
import Glibc
package import Platform

package final class Relay {
  /// One caller and the coordinator.
  private final class Pair {
    let caller: Connection
    let onward: Connection
    /// Where the next bytes to go that way have a bit flipped: at this share of their length.
    var corruptsNext: Double?
    /// While it stalls: what waits, and for whom.
    var isStalled = false
    var held: [(to: Connection, bytes: [UInt8])] = []

    init(_ caller: Connection, _ onward: Connection) {
      self.caller = caller
      self.onward = onward
    }
  }

  /// Where the run's processes have to go.
  package var address: HostPort { listener?.address ?? HostPort(host: "127.0.0.1", port: 0) }
  private let loop: EventLoop
  private let target: () -> HostPort?
  private var listener: Listener?
  private var pairs: [Pair] = []

  /// Starts to listen on loopback.
  ///
  /// - Parameters:
  ///   - loop: carries the connections.
  ///   - target: where the coordinator is now; nil where it is nowhere.
  /// - Throws: if no port can be listened on.
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

  // MARK: Trouble

  /// Resets both ends of a connection.
  package func reset(_ number: Int) {
    let pair = pairs[number]
    pair.caller.reset()
    pair.onward.reset()
    pairs.removeAll { $0 === pair }
  }

  /// Flips a bit of what a connection carries next, in either direction.
  ///
  /// - Parameters:
  ///   - number: of the connection.
  ///   - place: where in those bytes, as a share of their length, in [0, 1).
  package func corrupt(_ number: Int, at place: Double) { pairs[number].corruptsNext = place }

  /// Holds back what a connection carries, and lets go of it later, in order.
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
    // Nobody there: the caller sees what it would see without us.
    guard let target = target() else { return caller.reset() }
    let onward = Connection(to: target, by: MonotonicClock.now() + Limits.connectDeadline, loop: loop)
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

  /// One side hung up: what it said last still reaches the other.
  private func end(_ pair: Pair) {
    pairs.removeAll { $0 === pair }
    for (connection, bytes) in pair.held { connection.send(bytes) }
    pair.held = []
    pair.caller.finish()
    pair.onward.finish()
  }
}
