// Connection: a byte stream on a loop: TCP, or TLS over TCP where there is a key.
//
// It knows nothing of frames, and of TLS (TLSSession) no more than that bytes go through it. Bytes to send are offered
// to the kernel at once and queued when it is full, up to a limit; bytes that arrive are handed on as they come. Every
// end has a named reason, told exactly once. A connection that is not closed keeps itself alive. With a key it is open
// when both sides have proved that they have it, and not a byte is handed on before.
//
// Callbacks never run inside a call to the connection: `send` on a broken connection returns, and `onClose` follows on
// a later turn.

package import Base
import CLinux
import Glibc

package final class Connection {
  /// Why a connection ended without being asked to.
  package enum CloseReason: Error, Equatable, Sendable {
    /// The peer hung up in good order.
    case byPeer
    /// More was sent than the peer took.
    case queueFull(bytes: Int, limit: Int)
    /// No answer before the deadline of `connect`, or no complete handshake.
    case connectTimedOut
    /// The other side is not who we speak with, or bytes were changed on the way.
    case insecure(TLSFailure)
    /// The host has no address that we could find.
    case unresolvable(String)
    /// The system ended it while we did what `operation` says.
    case failed(operation: String, code: Int32)
  }

  private enum State {
    case connecting, securing, open, finishing, closed
  }

  /// The other side's address: as given to `connect`, or numeric where it called us.
  package let peer: HostPort
  /// Set by the owner, before it returns to the loop. `onClose` is the last call, and never follows `close`/`finish`.
  package var onOpen: () -> Void = {}
  package var onBytes: ([UInt8]) -> Void = { _ in }
  package var onClose: (CloseReason) -> Void = { _ in }
  /// The queue, having been filled, is empty again: time to send more.
  package var onDrained: () -> Void = {}

  private let loop: EventLoop
  private let limits: ConnectionLimits
  /// nil is plain TCP.
  private let context: TLSContext?
  /// Made when the first bytes come or go: one who calls and says nothing costs no more than a socket.
  private var tls: TLSSession?
  /// A caller's first message was made with the key; the handshake may not be over.
  var hasShownKey: Bool { tls?.hasShownKey ?? false }
  private let side: TLSSession.Side
  private var socket: Int32 = -1
  private var state: State
  /// The reason to close that is already decided and waits for its turn.
  private var verdict: CloseReason?
  /// Sent before the connection stood.
  private var early: [[UInt8]] = []
  /// Chunks `firstChunk...` are unsent, the first of them from `sentOfFirst` on.
  private var chunks: [[UInt8]] = []
  private var firstChunk = 0
  private var sentOfFirst = 0
  /// Addresses not yet tried, last one first.
  private var candidates: [ttrl_address] = []
  private var deadlineTimer: EventLoop.TimerID?

  /// Bytes that `send` accepted and the kernel did not take yet; with TLS, what they became.
  package private(set) var queuedBytes = 0

  /// The numeric address of this side, without its port; empty where there is none.
  package var localHost: String {
    guard socket >= 0 else { return "" }
    var address = ttrl_address()
    return ttrl_local_address(socket, &address) == 0 ? HostPort(address).host : ""
  }

  /// Whether bytes can flow: connected, and not closed from either side.
  package var isOpen: Bool { state == .open && verdict == nil }

  /// For an accepted socket, which it then owns. Plain TCP is open at once; with a key, `onOpen` or `onClose` follows
  /// by the deadline.
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

  /// Starts to connect. `onOpen` or `onClose` follows; bytes may be sent already and wait.
  ///
  /// A name is looked up on a thread of its own and its addresses are tried in turn, all within the deadline.
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

  /// Sends bytes after those sent before. Nothing is sent once the connection is closing.
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

  /// Queues bytes as they go over the network.
  private func put(_ bytes: [UInt8]) {
    guard !bytes.isEmpty, socket >= 0 else { return }
    let wasEmpty = chunks.isEmpty
    chunks.append(bytes)
    queuedBytes += bytes.count
    guard wasEmpty else { return }
    flush()
    if !chunks.isEmpty, verdict == nil { loop.change(socket, to: [.readable, .writable]) }
  }

  /// Gives the kernel what it takes.
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
    // Free each chunk when it is gone; move the rest down only now and then, so that a long queue costs linear time.
    chunks[firstChunk] = []
    sentOfFirst = 0
    firstChunk += 1
    guard firstChunk == chunks.count || firstChunk >= 1024 else { return }
    chunks.removeFirst(firstChunk)
    firstChunk = 0
  }

  // MARK: Closing

  /// Closes at once; what is queued is lost. No callback follows.
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

  /// Closes at once, and the peer is told that the connection was reset. No callback follows.
  package func reset() {
    var abort = Glibc.linger(l_onoff: 1, l_linger: 0)
    if socket >= 0 { setsockopt(socket, SOL_SOCKET, SO_LINGER, &abort, socklen_t(MemoryLayout.size(ofValue: abort))) }
    close()
  }

  /// Sends what is queued, hangs up, and closes when the peer has hung up too or `PlatformLimits.linger` is over. No
  /// callback follows; bytes that still arrive are dropped.
  package func finish() {
    (onBytes, onClose, onDrained) = ({ _ in }, { _ in }, {})
    if [.connecting, .securing].contains(state), verdict == nil {
      // Once it stands, or never: the deadline of the connect still holds.
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
    // Closing with unread bytes would reset the connection and may destroy our last words on their way.
    shutdown(socket, Int32(SHUT_WR))
  }

  /// Ends the connection on the next turn, so that no callback runs inside the owner's call.
  private func decide(_ reason: CloseReason) {
    guard verdict == nil, state != .closed else { return }
    verdict = reason
    loop.soon {
      guard self.state != .closed else { return }
      // What the peer said before it hung up (a refusal, often) is still there to be read.
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

  /// Takes bytes as they came over the network.
  private func take(_ bytes: [UInt8]) {
    guard let context else { return onBytes(bytes) }
    guard state != .finishing else { return }
    do {
      let session = try tls ?? TLSSession(context, side)
      tls = session
      // What it has to say (an alert, often) leaves even where what came was bad.
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

  /// The connection stands, and with a key both sides have proved that they have it.
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
      "the other side does not keep up: \(bytes) bytes wait for it, at most \(limit) may"
    case .insecure(let failure): "\(failure)"
    case .connectTimedOut: "no answer within the time allowed. \(remedy(for: ETIMEDOUT))"
    case .unresolvable(let text): text
    case .failed(let operation, let code): "\(operation) failed: \(systemErrorText(code)). \(remedy(for: code))"
    }
  }
}
