// Link: a connection that carries messages.
//
// It joins the byte stream of a connection (Platform) with frames and messages (Wire). A link that receives anything
// other than a message ends, with the reason; it never guesses where the next frame begins. Not here: TLS (Connection).

package import Base
package import Platform
package import Records
package import Wire

package final class Link {
  /// Why a link ended that this side did not close.
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
  /// Called once, unless this side closed the link.
  private let onClose: (End) -> Void

  /// - Parameters:
  ///   - connection: accepted, or still connecting.
  ///   - firstFrameBytes: the largest payload of the first message; the limit of later ones is `Limits.frameBytes`.
  ///   - onMessage: gets each message.
  ///   - onClose: gets the reason when the link ends.
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
  /// Whether the other process is on this machine.
  package var isLocal: Bool { connection.isLocal }
  /// The id of the key with which it was made; nil in plain TCP.
  package var keyID: String? { connection.keyID }
  /// Bytes that wait to be sent.
  package var queuedBytes: Int { connection.queuedBytes }
  /// Called when the waiting bytes have been sent.
  package var onDrained: () -> Void {
    get { connection.onDrained }
    set { connection.onDrained = newValue }
  }

  package func send(_ message: Message) {
    if isOpen { connection.send(Frame.encode(message, version: decoder.version)) }
  }

  /// Ends the link when everything queued has been sent.
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

/// A link to the coordinator. The owner decides when it is made again, and to which address.
package final class Uplink {
  private let loop: EventLoop
  /// The address of the last attempt.
  package private(set) var coordinator: HostPort
  private let context: TLSContext?
  private var link: Link?
  /// Whether the coordinator has ever sent a message, and how often it has refused the key before that.
  private var isAdmitted = false
  private var refusals = 0
  package var onConnect: () -> Void = {}
  package var onMessage: (Message) -> Void = { _ in }
  package var onDisconnect: (String) -> Void = { _ in }
  /// Called instead of `onDisconnect` when another attempt would fail in the same way, because the keys differ. Not
  /// called once the coordinator has sent a message: then another program can have its port for a moment.
  package var onRefused: (KeyRefused) -> Void = { _ in }

  /// - Parameters:
  ///   - coordinator: the coordinator's address.
  ///   - context: made from the key; nil is plain TCP. Many links can share one.
  ///   - loop: serves the connection.
  package init(to coordinator: HostPort, context: TLSContext?, loop: EventLoop) {
    self.coordinator = coordinator
    self.loop = loop
    self.context = context
  }

  /// Connects after a pause; `onConnect` or `onDisconnect` follows.
  ///
  /// - Parameters:
  ///   - address: HOST:PORT; the address of the last attempt if it is something else.
  ///   - pause: from now.
  ///   - deadline: how long it may take then; nil for the usual time.
  package func connect(to address: String, after pause: Instant.Span, within deadline: Instant.Span?) {
    if let address = try? HostPort(parsing: address) { coordinator = address }
    loop.schedule(at: MonotonicClock.now() + pause) { self.connectNow(within: deadline) }
  }

  /// Connects after a pause to the address of the last attempt; `onConnect` or `onDisconnect` follows.
  package func connect(after pause: Instant.Span) {
    loop.schedule(at: MonotonicClock.now() + pause) { self.connectNow(within: nil) }
  }

  private func connectNow(within deadline: Instant.Span?) {
    let connection = Connection(
      to: coordinator, tls: context, by: MonotonicClock.now() + (deadline ?? PlatformLimits.connectDeadline), loop: loop
    )
    connection.onOpen = { self.onConnect() }
    link = Link(
      connection,
      onMessage: { message in
        self.isAdmitted = true
        self.onMessage(message)
      },
      onClose: { reason in
        self.link = nil
        self.end(reason)
      })
  }

  private func end(_ reason: Link.End) {
    if reason.isRefusal, !isAdmitted {
      refusals += 1
      if refusals >= Limits.keyRefusals { return onRefused(KeyRefused(coordinator: coordinator, reason: "\(reason)")) }
    }
    onDisconnect("\(reason)")
  }

  package func send(_ message: Message) { link?.send(message) }

  /// The address of this side, while there is a connection.
  package var localHost: String { link?.localHost ?? "" }
  /// Whether there is a connection, to a coordinator on this machine.
  package var isLocal: Bool { link?.isLocal ?? false }

  /// Makes the connection again if this side would now offer another key.
  package func renewKey() {
    guard let context, let keyID = link?.keyID, keyID != context.ring.first.id else { return }
    disconnect("the key was replaced")
  }

  /// Closes the connection. `onDisconnect` follows, as for any other loss.
  package func disconnect(_ reason: String) {
    guard let link else { return }
    self.link = nil
    link.close()
    loop.soon { self.onDisconnect(reason) }
  }

  /// Ends the connection for good, when everything queued has been sent.
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
  /// The two sides differ about the key; another attempt does not help.
  fileprivate var isRefusal: Bool {
    switch self {
    case .connection(.insecure(.refused)), .connection(.insecure(.notTLS)), .connection(.insecure(.notByKey)),
      .wire(.encrypted):
      true
    default: false
    }
  }
}
