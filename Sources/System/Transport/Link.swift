// Link: a connection that carries messages.
//
// Bytes come from Platform, frames and messages from Wire; here they meet. A link that receives anything that is no
// message ends, with the reason; it never guesses where the next frame might begin. Whether there is TLS in between is
// the connection's business.

package import Base
package import Platform
package import Records
package import Wire

package final class Link {
  /// Why a link ended that was not closed from this side.
  package enum End: Sendable, CustomStringConvertible {
    case connection(Connection.CloseReason)
    case wire(WireError)

    package var description: String {
      switch self {
      case .connection(let reason): "\(reason)"
      case .wire(let error): "\(error)"
      }
    }
  }

  private let connection: Connection
  private var decoder: FrameDecoder
  private var isOpen = true
  private let onMessage: (Message) -> Void
  /// Called once, unless the link was closed from this side.
  private let onClose: (End) -> Void

  /// - Parameters:
  ///   - connection: accepted, or on its way.
  ///   - firstFrameBytes: the largest payload of the first message; later ones may have `Limits.frameBytes`.
  ///   - onMessage: what the other side says.
  ///   - onClose: why it ended.
  package init(
    _ connection: Connection, firstFrameBytes: Int = Limits.frameBytes, onMessage: @escaping (Message) -> Void,
    onClose: @escaping (End) -> Void
  ) {
    self.connection = connection
    decoder = FrameDecoder(firstFrameBytes: firstFrameBytes)
    self.onMessage = onMessage
    self.onClose = onClose
    connection.onBytes = { self.receive($0) }
    connection.onClose = { self.end(.connection($0)) }
  }

  package var peer: HostPort { connection.peer }
  /// The address of this side; empty once it is closed.
  package var localHost: String { connection.localHost }
  /// Bytes that wait to be sent.
  package var queuedBytes: Int { connection.queuedBytes }
  /// Called when the bytes that waited have been sent.
  package var onDrained: () -> Void {
    get { connection.onDrained }
    set { connection.onDrained = newValue }
  }

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
      end(.wire(error))
    }
  }

  private func end(_ reason: End) {
    guard isOpen else { return }
    isOpen = false
    onClose(reason)
  }
}

/// A link to the coordinator that is made again whenever the owner asks.
package final class Uplink {
  private let loop: EventLoop
  private let coordinator: HostPort
  private let context: TLSContext?
  private var link: Link?
  /// Whether the coordinator has ever spoken to us, and how often it refused our key before.
  private var wasIn = false
  private var refusals = 0
  package var onConnect: () -> Void = {}
  package var onMessage: (Message) -> Void = { _ in }
  package var onDisconnect: (String) -> Void = { _ in }
  /// Called instead of `onDisconnect` when trying again would end the same way: the keys differ. A process that was
  /// in before is never told so; somebody may have taken the coordinator's port for a moment.
  package var onRefused: (KeyRefused) -> Void = { _ in }

  /// - Parameters:
  ///   - coordinator: its address.
  ///   - key: the cluster's; nil is plain TCP.
  ///   - loop: carries it.
  /// - Throws: `.openSSL`.
  package convenience init(to coordinator: HostPort, key: ClusterKey?, loop: EventLoop) throws(PlatformError) {
    let context = if let key { try TLSContext(key) } else { nil as TLSContext? }
    self.init(to: coordinator, context: context, loop: loop)
  }

  /// - Parameter context: the key, made ready; nil is plain TCP. Many links may share it.
  package init(to coordinator: HostPort, context: TLSContext?, loop: EventLoop) {
    self.coordinator = coordinator
    self.loop = loop
    self.context = context
  }

  /// Connects after a pause; `onConnect` or `onDisconnect` follows.
  package func connect(after pause: Instant.Span) {
    loop.schedule(at: MonotonicClock.now() + pause) { self.connectNow() }
  }

  private func connectNow() {
    let connection = Connection(
      to: coordinator, tls: context, by: MonotonicClock.now() + Limits.connectDeadline, loop: loop)
    connection.onOpen = { self.onConnect() }
    link = Link(
      connection,
      onMessage: { message in
        self.wasIn = true
        self.onMessage(message)
      },
      onClose: { reason in
        self.link = nil
        self.end(reason)
      })
  }

  private func end(_ reason: Link.End) {
    if reason.isRefusal, !wasIn {
      refusals += 1
      if refusals >= Limits.keyRefusals { return onRefused(KeyRefused(coordinator: coordinator, reason: "\(reason)")) }
    }
    onDisconnect("\(reason)")
  }

  package func send(_ message: Message) { link?.send(message) }

  /// The address of this side, while there is a connection.
  package var localHost: String { link?.localHost ?? "" }

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

/// The coordinator and this process do not have the same key.
package struct KeyRefused: LastingError, Sendable, CustomStringConvertible {
  package let coordinator: HostPort
  package let reason: String

  package var description: String { "cannot join the coordinator at \(coordinator): \(reason)" }
}

extension Link.End {
  /// The two sides are of different minds about the key, rather than unlucky.
  fileprivate var isRefusal: Bool {
    switch self {
    case .connection(.insecure(.refused)), .connection(.insecure(.notTLS)), .connection(.insecure(.notByKey)),
      .wire(.encrypted):
      true
    default: false
    }
  }
}
