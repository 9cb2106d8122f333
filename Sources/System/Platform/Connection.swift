// Connection: a byte stream on an event loop: TCP, or with a key TLS over TCP.
//
// It knows nothing about frames. All it knows about TLS is that the bytes go through a TLSSession. Bytes to send are
// offered to the kernel at once; what the kernel does not take is queued, up to a limit. Received bytes are passed on
// as they come. Every end has a named reason, which is reported exactly once. A connection keeps itself alive until it
// is closed. With a key, the connection is open when both sides have proved that they have the key; before that, no
// byte is passed on.
//
// Callbacks never run inside a call to the connection: `send` on a broken connection returns, and `onClose` follows on
// a later turn.

package import Base
import CLinux
import Glibc

package final class Connection {
  /// Why a connection ended although its owner did not close it.
  package enum CloseReason: Error, Equatable, Sendable {
    /// The peer closed the connection.
    case byPeer
    /// The peer did not take what was sent, and the queue is full.
    case queueFull(bytes: Int, limit: Int)
    /// There was no answer, or the handshake was not complete, at the deadline.
    case connectTimedOut
    /// The peer did not prove that it has the key, or bytes were changed on the way.
    case insecure(TLSFailure)
    /// No address was found for the host.
    case unresolvable(String)
    /// The operating system reported an error during `operation`.
    case failed(operation: String, code: Int32)
  }

  private enum State {
    case connecting, securing, open, finishing, closed
  }

  /// The peer's address: as given by the caller of `init(to:)`, or numeric for an accepted connection.
  package let peer: HostPort
  /// The owner sets these before it returns to the loop. `onClose` is the last call; it is not called after `close` or
  /// `finish`.
  package var onOpen: () -> Void = {}
  package var onBytes: ([UInt8]) -> Void = { _ in }
  package var onClose: (CloseReason) -> Void = { _ in }
  /// Called when the queue is empty again: more can be sent.
  package var onDrained: () -> Void = {}

  private let loop: EventLoop
  private let limits: ConnectionLimits
  /// nil is plain TCP.
  private let context: TLSContext?
  /// Made when the first bytes are sent or received: a caller that sends nothing costs only a socket.
  private var tls: TLSSession?
  /// The caller's first message was made with the key; the handshake need not be complete.
  var hasShownKey: Bool { tls?.hasShownKey ?? false }
  /// The id of the key with which it was made; nil in plain TCP, and before the handshake.
  package var keyID: String? { tls?.offered }
  private let side: TLSSession.Side
  private var socket: Int32 = -1
  private var state: State
  /// The reason for closing, once decided; the connection is closed on the next turn of the loop.
  private var verdict: CloseReason?
  /// Sent before the connection was open.
  private var early: [[UInt8]] = []
  /// Chunks from `firstChunk` on are unsent; of the first one, `sentOfFirst` bytes have been sent.
  private var chunks: [[UInt8]] = []
  private var firstChunk = 0
  private var sentOfFirst = 0
  /// Addresses that have not been tried, in reverse order.
  private var candidates: [ttrl_address] = []
  private var deadlineTimer: EventLoop.TimerID?

  /// Bytes that `send` accepted and the kernel has not taken yet; with TLS, their encrypted form.
  package private(set) var queuedBytes = 0

  /// The numeric address of this side, without its port; empty if there is none.
  package var localHost: String {
    guard socket >= 0 else { return "" }
    var address = ttrl_address()
    return ttrl_local_address(socket, &address) == 0 ? HostPort(address).host : ""
  }

  /// Whether the peer has this side's address: then it is a process of this machine.
  package var isLocal: Bool {
    var address = ttrl_address()
    guard socket >= 0, ttrl_peer_address(socket, &address) == 0 else { return false }
    return !localHost.isEmpty && HostPort(address).host == localHost
  }

  /// Whether bytes can be sent: connected, and not closed by either side.
  package var isOpen: Bool { state == .open && verdict == nil }

  /// Takes over an accepted socket. A plain TCP connection is open at once; with a key, `onOpen` or `onClose` follows
  /// before the deadline.
  init(
    accepted socket: Int32, from peer: HostPort, tls context: TLSContext?, by deadline: Instant, loop: EventLoop,
    limits: ConnectionLimits
  ) throws(PlatformError) {
    self.peer = peer
    self.loop = loop
    self.limits = limits
    self.context = context
    side = .server
    state = context == nil ? .open : .securing
    let code = tune(socket)
    guard code == 0 else { throw .system(call: "setsockopt", code: code) }
    try loop.watch(socket, for: .readable) { self.handle($0) }
    self.socket = socket
    if context != nil { deadlineTimer = loop.schedule(at: deadline) { self.decide(.connectTimedOut) } }
  }

  /// Starts to connect. `onOpen` or `onClose` follows. `send` can be called at once; the bytes wait.
  ///
  /// A host name is looked up on a separate thread, and its addresses are tried in order, all within the deadline.
  package init(
    to peer: HostPort, tls context: TLSContext? = nil, by deadline: Instant, loop: EventLoop,
    limits: ConnectionLimits = ConnectionLimits()
  ) {
    self.peer = peer
    self.loop = loop
    self.limits = limits
    self.context = context
    side = .client
    state = .connecting
    deadlineTimer = loop.schedule(at: deadline) { self.decide(.connectTimedOut) }
    do {
      candidates = try peer.resolve(numericOnly: true).reversed()
      tryNextAddress(lastFailure: nil)
    } catch {
      resolveOnThread()
    }
  }

  // MARK: Sending

  /// Sends bytes, in the order of the calls. Does nothing once the connection is closing.
  package func send(_ bytes: [UInt8]) {
    guard [.connecting, .securing, .open].contains(state), verdict == nil, !bytes.isEmpty else { return }
    guard queuedBytes + bytes.count <= limits.queuedBytes else {
      return decide(.queueFull(bytes: queuedBytes + bytes.count, limit: limits.queuedBytes))
    }
    guard state == .open else {
      early.append(bytes)
      queuedBytes += bytes.count
      return
    }
    enqueue(bytes)
  }

  private func enqueue(_ bytes: [UInt8]) {
    guard let tls else { return put(bytes) }
    do throws(TLSFailure) {
      try tls.send(bytes)
      put(tls.takeOutgoing())
    } catch {
      decide(.insecure(error))
    }
  }

  /// Queues bytes in the form in which they are sent over the network.
  private func put(_ bytes: [UInt8]) {
    guard !bytes.isEmpty, socket >= 0 else { return }
    let wasEmpty = chunks.isEmpty
    chunks.append(bytes)
    queuedBytes += bytes.count
    guard wasEmpty else { return }
    flush()
    if !chunks.isEmpty, verdict == nil { loop.change(socket, to: [.readable, .writable]) }
  }

  /// Gives bytes to the kernel until it takes no more.
  private func flush() {
    while firstChunk < chunks.count {
      let sent = chunks[firstChunk].withUnsafeBytes { bytes in
        Glibc.send(
          socket, bytes.baseAddress?.advanced(by: sentOfFirst), bytes.count - sentOfFirst,
          Int32(MSG_NOSIGNAL))
      }
      guard sent >= 0 else {
        let code = errno
        if code == EINTR { continue }
        if code != EAGAIN { decide(.failed(operation: "send", code: code)) }
        return
      }
      account(forSent: sent)
    }
  }

  private func account(forSent count: Int) {
    queuedBytes -= count
    sentOfFirst += count
    guard sentOfFirst == chunks[firstChunk].count else { return }
    // Frees each chunk when it has been sent, but moves the rest down only now and then, so that a long queue costs
    // linear time.
    chunks[firstChunk] = []
    sentOfFirst = 0
    firstChunk += 1
    guard firstChunk == chunks.count || firstChunk >= 1024 else { return }
    chunks.removeFirst(firstChunk)
    firstChunk = 0
  }

  // MARK: Closing

  /// Closes at once; queued bytes are lost. No callback follows.
  package func close() {
    guard state != .closed else { return }
    state = .closed
    if let deadlineTimer { loop.cancel(deadlineTimer) }
    if socket >= 0 {
      loop.unwatch(socket)
      Glibc.close(socket)
    }
    (socket, early, chunks, firstChunk, queuedBytes, tls) = (-1, [], [], 0, 0, nil)
    (onOpen, onBytes, onClose, onDrained) = ({}, { _ in }, { _ in }, {})
  }

  /// Closes at once with a TCP reset, which the peer sees. No callback follows.
  package func reset() {
    var abort = Glibc.linger(l_onoff: 1, l_linger: 0)
    if socket >= 0 { setsockopt(socket, SOL_SOCKET, SO_LINGER, &abort, socklen_t(MemoryLayout.size(ofValue: abort))) }
    close()
  }

  /// Sends what is queued, then closes: when the peer has closed its side too, or after `PlatformLimits.linger`. No
  /// callback follows; bytes that still arrive are dropped.
  package func finish() {
    (onBytes, onClose, onDrained) = ({ _ in }, { _ in }, {})
    if [.connecting, .securing].contains(state), verdict == nil {
      // It finishes when it is open. The deadline for connecting still applies.
      onOpen = { self.finish() }
      return
    }
    guard isOpen else { return close() }
    tls?.end()
    put(tls?.takeOutgoing() ?? [])
    guard verdict == nil else { return }
    state = .finishing
    deadlineTimer = loop.schedule(at: MonotonicClock.now() + PlatformLimits.linger) { self.close() }
    if chunks.isEmpty { hangUp() }
  }

  private func hangUp() {
    // Only the sending side is shut: closing a socket with unread bytes resets the connection, and then the last bytes
    // sent can be lost.
    shutdown(socket, Int32(SHUT_WR))
  }

  /// Ends the connection on the next turn, so that no callback runs inside the owner's call.
  private func decide(_ reason: CloseReason) {
    guard verdict == nil, state != .closed else { return }
    verdict = reason
    loop.soon {
      guard self.state != .closed else { return }
      // What the peer sent before it closed, often a refusal, can still be read.
      if self.state == .open, case .failed = reason { self.receiveRest() }
      let onClose = self.onClose
      self.close()
      onClose(reason)
    }
  }

  // MARK: Events

  private func handle(_ readiness: EventLoop.Readiness) {
    guard verdict == nil else { return }
    if state == .connecting { return settleConnect() }
    if readiness.contains(.writable) { continueSending() }
    if !readiness.isDisjoint(with: [.readable, .hangup]), verdict == nil, state != .closed { receive() }
  }

  private func continueSending() {
    flush()
    guard chunks.isEmpty, verdict == nil else { return }
    loop.change(socket, to: .readable)
    if state == .finishing { hangUp() } else if state == .open { onDrained() }
  }

  private func receive() {
    switch receiveOnce() {
    case .bytes(let bytes): take(bytes)
    case .nothing: break
    case .end: state == .finishing ? close() : decide(.byPeer)
    case .failure(let code): decide(.failed(operation: "receive", code: code))
    }
  }

  private func receiveRest() {
    while state == .open, case .bytes(let bytes) = receiveOnce() { take(bytes) }
  }

  /// Takes bytes in the form in which they came over the network.
  private func take(_ bytes: [UInt8]) {
    guard let context else { return onBytes(bytes) }
    guard state != .finishing else { return }
    do {
      let session = try tls ?? TLSSession(context, side)
      tls = session
      // Sends the session's answer, often an alert, even if the received bytes were bad.
      defer { put(session.takeOutgoing()) }
      let plain = try session.receive(bytes)
      if state == .securing, session.isEstablished {
        put(session.takeOutgoing())
        open()
      }
      if state == .open, !plain.isEmpty { onBytes(plain) }
      if session.hasEnded { decide(.byPeer) }
    } catch let failure as TLSFailure {
      if failure == .notTLS, side == .server { put(TLSSession.protocolAlert) }
      decide(.insecure(failure))
    } catch {
      decide(.insecure(.failed("\(error)")))
    }
  }

  private enum Received {
    case bytes([UInt8]), nothing, end, failure(Int32)
  }

  private func receiveOnce() -> Received {
    withUnsafeTemporaryAllocation(byteCount: PlatformLimits.receiveBytes, alignment: 16) { buffer in
      let count = recv(socket, buffer.baseAddress, buffer.count, 0)
      if count > 0 { return .bytes(Array(buffer[..<count])) }
      if count == 0 { return .end }
      let code = errno
      return code == EAGAIN || code == EINTR ? .nothing : .failure(code)
    }
  }

  // MARK: Connecting

  private func resolveOnThread() {
    let peer = peer
    do throws(PlatformError) {
      var close = {}
      let answers = try loop.inbox { (answer: Result<[ttrl_address], PlatformError>) in
        close()
        self.take(answer)
      }
      close = { [loop] in answers.close(on: loop) }
      try startThread(named: "resolve") {
        answers.post(Result { () throws(PlatformError) in try peer.resolve(numericOnly: false) })
      }
    } catch {
      decide(.unresolvable("\(error)"))
    }
  }

  private func take(_ answer: Result<[ttrl_address], PlatformError>) {
    guard state == .connecting, verdict == nil else { return }
    switch answer {
    case .success(let addresses):
      candidates = addresses.reversed()
      tryNextAddress(lastFailure: nil)
    case .failure(let error): decide(.unresolvable("\(error)"))
    }
  }

  private func tryNextAddress(lastFailure: Int32?) {
    guard var address = candidates.popLast() else {
      return decide(.failed(operation: "connect", code: lastFailure ?? EADDRNOTAVAIL))
    }
    let attempt = ttrl_connect(&address)
    guard attempt >= 0 else { return tryNextAddress(lastFailure: -attempt) }
    do throws(PlatformError) {
      try loop.watch(attempt, for: .writable) { self.handle($0) }
      socket = attempt
    } catch {
      Glibc.close(attempt)
      decide(.unresolvable("\(error)"))
    }
  }

  private func settleConnect() {
    let code = -ttrl_socket_error(socket)
    let failure = code == 0 ? tune(socket) : code
    guard failure == 0 else {
      loop.unwatch(socket)
      Glibc.close(socket)
      socket = -1
      return tryNextAddress(lastFailure: failure)
    }
    loop.change(socket, to: .readable)
    guard let context else { return open() }
    state = .securing
    do {
      let session = try TLSSession(context, side)
      tls = session
      try session.begin()
      put(session.takeOutgoing())
    } catch {
      decide(.insecure(.failed("\(error)")))
    }
  }

  /// The connection is established; with a key, both sides have proved that they have it.
  private func open() {
    if let deadlineTimer { loop.cancel(deadlineTimer) }
    state = .open
    let waiting = early
    early = []
    queuedBytes -= waiting.reduce(0) { $0 + $1.count }
    for bytes in waiting { enqueue(bytes) }
    if verdict == nil { onOpen() }
  }

  /// - Returns: 0, or an errno.
  private func tune(_ socket: Int32) -> Int32 {
    -ttrl_tune(
      socket, limits.probeAfterSeconds, limits.probeEverySeconds, PlatformLimits.lostProbes,
      Int32(clamping: limits.unacknowledged.milliseconds))
  }
}

extension Connection.CloseReason: CustomStringConvertible {
  package var description: String {
    switch self {
    case .byPeer: "the other side closed the connection"
    case .queueFull(let bytes, let limit):
      "the other side does not keep up: \(bytes) bytes wait for it; the limit is \(limit)"
    case .insecure(let failure): "\(failure)"
    case .connectTimedOut: "no answer within the time allowed. \(remedy(for: ETIMEDOUT))"
    case .unresolvable(let text): text
    case .failed(let operation, let code): "\(operation) failed: \(systemErrorText(code)). \(remedy(for: code))"
    }
  }
}
