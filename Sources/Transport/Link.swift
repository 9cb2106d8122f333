// Link: a connection that carries messages.
//
// Bytes come from Platform, frames and messages from Wire; here they meet. A link that receives anything that is no
// message ends, with the reason; it never guesses where the next frame might begin.

package import Base
package import Platform
package import Records
import Wire

package final class Link {
  private let connection: Connection
  private var decoder = FrameDecoder()
  private var isOpen = true
  private let onMessage: (Message) -> Void
  /// Called once, unless the link was closed from this side. The text says why.
  private let onClose: (String) -> Void

  /// For a connection that a listener accepted.
  package init(
    _ connection: Connection, onMessage: @escaping (Message) -> Void, onClose: @escaping (String) -> Void
  ) {
    self.connection = connection
    self.onMessage = onMessage
    self.onClose = onClose
    connection.onBytes = { self.receive($0) }
    connection.onClose = { self.end("\($0)") }
  }

  package var peer: HostPort { connection.peer }
  /// Bytes that wait to be sent.
  package var queuedBytes: Int { connection.queuedBytes }

  package func send(_ message: Message) {
    if isOpen { connection.send(Frame.encode(message)) }
  }

  /// Ends the link after what was sent has been sent.
  package func finish() {
    isOpen = false
    connection.finish()
  }

  /// Ends the link now.
  package func close() {
    isOpen = false
    connection.close()
  }

  private func receive(_ bytes: [UInt8]) {
    decoder.append(bytes)
    do throws(WireError) {
      while isOpen, let message = try decoder.next() { onMessage(message) }
    } catch {
      send(.goodbye(reason: "\(error)"))
      connection.finish()
      end("\(error)")
    }
  }

  private func end(_ reason: String) {
    guard isOpen else { return }
    isOpen = false
    onClose(reason)
  }
}

/// A link to the coordinator that is made again whenever the owner asks.
package final class Uplink {
  private let loop: EventLoop
  private let coordinator: HostPort
  private var link: Link?
  package var onConnect: () -> Void = {}
  package var onMessage: (Message) -> Void = { _ in }
  package var onDisconnect: (String) -> Void = { _ in }

  package init(to coordinator: HostPort, loop: EventLoop) {
    self.coordinator = coordinator
    self.loop = loop
  }

  /// Connects after a pause; `onConnect` or `onDisconnect` follows.
  package func connect(after pause: Instant.Span) {
    loop.schedule(at: MonotonicClock.now() + pause) { self.connectNow() }
  }

  private func connectNow() {
    let connection = Connection(to: coordinator, by: MonotonicClock.now() + Limits.connectDeadline, loop: loop)
    connection.onOpen = { self.onConnect() }
    link = Link(
      connection, onMessage: { self.onMessage($0) },
      onClose: { reason in
        self.link = nil
        self.onDisconnect(reason)
      })
  }

  package func send(_ message: Message) { link?.send(message) }

  /// Gives up this connection; the owner learns of it like of any other loss.
  package func disconnect(_ reason: String) {
    guard let link else { return }
    self.link = nil
    link.close()
    loop.soon { self.onDisconnect(reason) }
  }

  /// Ends the connection for good after what was sent has been sent.
  package func finish() {
    link?.finish()
    link = nil
  }
}
