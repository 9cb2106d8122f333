// HTTPServer: answers requests, on the event loop's thread.
//
// libmicrohttpd speaks HTTP. It has no thread here; the loop watches its descriptor like any other. Everything that a
// client can make the server hold is limited: connections, bytes of headers and of a body, the seconds for a request
// and for its answer. This file accepts the connections itself and knows what each of them waits for. So when all
// places are taken, a new client gets the place of the connection that has been idle for the longest time, and clients
// that hold places without using them cannot keep others out. Not here: what is answered, and to which clients
// (PageShell, PageAccess).

import Base
import CMicrohttpd
import Glibc
import Platform

/// The parts of a request that the page uses.
struct HTTPRequest {
  let method: String
  let path: String
  let body: [UInt8]
  fileprivate let connection: OpaquePointer

  /// Valid while the request is being answered.
  func header(_ name: String) -> String? { ttrl_http_header(connection, name).map { String(cString: $0) } }
  func cookie(_ name: String) -> String? { ttrl_http_cookie(connection, name).map { String(cString: $0) } }
  func query(_ name: String) -> String? { ttrl_http_query(connection, name).map { String(cString: $0) } }
}

struct HTTPResponse {
  var status: UInt32 = 200
  var type: String
  var body: [UInt8]
  var headers: [(name: String, value: String)] = []

  init(_ status: UInt32 = 200, type: String, _ body: [UInt8]) {
    self.status = status
    self.type = type
    self.body = body
  }

  static func text(_ status: UInt32, _ text: String) -> HTTPResponse {
    HTTPResponse(status, type: "text/plain; charset=utf-8", Array((text + "\n").utf8))
  }
}

/// The bounds of what clients can hold, each with its reason.
private enum HTTPLimits {
  /// Connections at once, from all addresses and from one. A browser opens up to 6, and through a tunnel or a proxy all
  /// browsers have one address: 11 of them and some programs fit. Each connection can hold an answer of a few hundred
  /// kilobytes.
  static let connections = 192
  static let connectionsPerAddress = 96
  /// Connections hold at most one in so many of the process's descriptors, because files must still open.
  static let connectionsShare = 4
  /// How long a client has for a request, counted from its connection or from its last answer, and again for the body.
  /// So this is also how long an unused connection stays open. The slowest network needs less.
  static let request = Instant.Span.seconds(10)
  /// How long a client has to read an answer. The largest answers take 10 s at 50 kB/s.
  static let answer = Instant.Span.seconds(60)
  /// How long a client that reads an answer can do nothing.
  static let idleSeconds: UInt32 = 15
  /// What the kernel keeps of an answer that the client does not read, and for how long: shorter than `idleSeconds`, so
  /// that it does not stay in memory after the connection. By default it is up to 4 MB, for minutes.
  static let unreadBytes: Int32 = 256 << 10
  static let unreadMilliseconds: UInt32 = 12_000
  /// How often the deadlines are checked.
  static let tick = Instant.Span.seconds(1)
  /// For the request line, the headers and pieces of the body of one connection.
  static let connectionBytes = 16 << 10
  static let bodyBytes = 1 << 10
}

/// A connection, and what it waits for.
private struct Client {
  let peer: HostPort
  let socket: Int32
  /// Whether its client has to read an answer; otherwise the client has to send a request.
  var isAnswered = false
  /// When this began.
  var since: Instant

  var deadline: Instant { since + (isAnswered ? HTTPLimits.answer : HTTPLimits.request) }

  /// Whether it should be closed before another one.
  func isIdler(than other: Client) -> Bool {
    (isAnswered ? 1 : 0, since, socket) < (other.isAnswered ? 1 : 0, other.since, other.socket)
  }
}

final class HTTPServer {
  private(set) var address: HostPort
  private let loop: EventLoop
  private let answer: (HTTPRequest) -> HTTPResponse
  /// On the heap, because libmicrohttpd keeps its address.
  private let server: UnsafeMutablePointer<ttrl_http_server>
  private var acceptor: Acceptor?
  private var timer: EventLoop.TimerID?
  private var ticking: EventLoop.TimerID?
  /// What libmicrohttpd serves, by socket.
  private var clients: [Int32: Client] = [:]
  /// The caller that libmicrohttpd is about to serve.
  private var caller: HostPort?
  private let connectionsMax: Int
  private var refusals: RefusalLog

  /// The body of a request that is arriving.
  private final class Body {
    var bytes: [UInt8] = []
    var isTooLarge = false
  }

  /// - Throws: `PlatformError` if the address cannot be listened on.
  init(
    on address: HostPort, loop: EventLoop, answer: @escaping (HTTPRequest) -> HTTPResponse
  ) throws(PlatformError) {
    self.loop = loop
    self.answer = answer
    self.address = address
    connectionsMax = min(HTTPLimits.connections, max(1, Machine.descriptorLimit / HTTPLimits.connectionsShare))
    refusals = RefusalLog(address)
    server = .allocate(capacity: 1)
    server.initialize(to: ttrl_http_server())
    setHandlers()
    // Its own limit must never be reached, so it is higher.
    let connections = UInt32(2 * connectionsMax)
    guard ttrl_http_start(server, connections, HTTPLimits.idleSeconds, HTTPLimits.connectionBytes) != 0 else {
      throw .system(call: "MHD_start_daemon", code: ENOMEM)
    }
    do throws(PlatformError) {
      let acceptor = try Acceptor(
        on: address, loop: loop, onExhaustion: { self.makeRoom { _ in true } }, onCaller: { self.admit($0, from: $1) })
      self.acceptor = acceptor
      self.address = acceptor.address
      refusals = RefusalLog(acceptor.address)
      try loop.watch(ttrl_http_descriptor(server), for: .readable) { _ in self.turn() }
    } catch {
      acceptor?.close()
      ttrl_http_stop(server)
      throw error
    }
    tick()
  }

  private func setHandlers() {
    server.pointee.context = Unmanaged.passUnretained(self).toOpaque()
    server.pointee.handler = { context, connection, url, method, body, count, request in
      guard let context, let connection, let url, let method, let request else { return 0 }
      let server = Unmanaged<HTTPServer>.fromOpaque(context).takeUnretainedValue()
      return server.receive(connection, url, method, UnsafeRawBufferPointer(start: body, count: count), request)
        ? 1 : 0
    }
    server.pointee.completed = { context, connection, request in
      if let request { Unmanaged<Body>.fromOpaque(request).release() }
      guard let context, let connection else { return }
      Unmanaged<HTTPServer>.fromOpaque(context).takeUnretainedValue().mark(connection, isAnswered: false)
    }
    server.pointee.opened = { context, socket in
      guard let context else { return }
      Unmanaged<HTTPServer>.fromOpaque(context).takeUnretainedValue().opened(socket)
    }
    server.pointee.closed = { context, socket in
      guard let context else { return }
      Unmanaged<HTTPServer>.fromOpaque(context).takeUnretainedValue().clients[socket] = nil
    }
  }

  func close() {
    acceptor?.close()
    loop.unwatch(ttrl_http_descriptor(server))
    for timer in [timer, ticking].compactMap({ $0 }) { loop.cancel(timer) }
    ttrl_http_stop(server)
  }

  deinit { server.deallocate() }

  /// Lets libmicrohttpd do what is ready.
  private func turn() {
    let due = ttrl_http_run(server)
    if let timer { loop.cancel(timer) }
    timer = due < 0 ? nil : loop.schedule(at: MonotonicClock.now() + .milliseconds(UInt64(due))) { self.turn() }
  }

  // MARK: Connections

  private func admit(_ socket: Int32, from peer: HostPort) {
    let host = peer.host
    let perAddress = min(HTTPLimits.connectionsPerAddress, connectionsMax)
    if clients.values.count(where: { $0.peer.host == host }) >= perAddress { makeRoom { $0.peer.host == host } }
    if clients.count >= connectionsMax { makeRoom { _ in true } }
    caller = peer
    set(SO_SNDBUF, of: socket, at: SOL_SOCKET, to: HTTPLimits.unreadBytes)
    set(TCP_USER_TIMEOUT, of: socket, at: Int32(IPPROTO_TCP), to: HTTPLimits.unreadMilliseconds)
    ttrl_http_add(server, socket)
    turn()
    caller = nil
  }

  private func opened(_ socket: Int32) {
    guard let caller else { return }
    clients[socket] = Client(peer: caller, socket: socket, since: MonotonicClock.now())
  }

  private func mark(_ connection: OpaquePointer, isAnswered: Bool) {
    let socket = ttrl_http_socket(connection)
    clients[socket]?.isAnswered = isAnswered
    clients[socket]?.since = MonotonicClock.now()
  }

  /// Closes the connection that has been idle for the longest time, of those for which `isMeant` is true.
  private func makeRoom(where isMeant: (Client) -> Bool) {
    guard let idlest = clients.values.filter(isMeant).min(by: { $0.isIdler(than: $1) }) else { return }
    refusals.add(idlest.peer, "too many connections at once; the one that was idle for the longest time was closed")
    end(idlest, isLate: false)
    turn()
  }

  /// libmicrohttpd owns the socket and closes it when it sees that the connection has ended. What a client does not
  /// read is thrown away; otherwise the kernel would keep it.
  private func end(_ client: Client, isLate: Bool) {
    if isLate || client.isAnswered {
      set(SO_LINGER, of: client.socket, at: SOL_SOCKET, to: linger(l_onoff: 1, l_linger: 0))
    }
    shutdown(client.socket, Int32(SHUT_RDWR))
  }

  /// A socket that refuses an option works without it.
  private func set<Value: BitwiseCopyable>(_ option: Int32, of socket: Int32, at level: Int32, to value: Value) {
    withUnsafeBytes(of: value) { bytes in
      _ = setsockopt(socket, level, option, bytes.baseAddress, socklen_t(bytes.count))
    }
  }

  private func tick() {
    let now = MonotonicClock.now()
    for client in clients.values where client.deadline <= now { end(client, isLate: true) }
    turn()
    ticking = loop.schedule(at: now + HTTPLimits.tick) { self.tick() }
  }

  // MARK: Requests

  /// - Returns: false to drop the connection.
  private func receive(
    _ connection: OpaquePointer, _ url: UnsafePointer<CChar>, _ method: UnsafePointer<CChar>,
    _ piece: UnsafeRawBufferPointer, _ request: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  ) -> Bool {
    guard let known = request.pointee else {
      request.pointee = Unmanaged.passRetained(Body()).toOpaque()
      // The body has its own time.
      mark(connection, isAnswered: false)
      return true
    }
    let body = Unmanaged<Body>.fromOpaque(known).takeUnretainedValue()
    if piece.count > 0 {
      body.isTooLarge = body.isTooLarge || body.bytes.count + piece.count > HTTPLimits.bodyBytes
      if !body.isTooLarge { body.bytes += piece }
      return true
    }
    if body.isTooLarge { return respond(to: connection, .text(413, "the request is too large")) }
    let method = String(cString: method)
    guard ["GET", "HEAD", "POST"].contains(method) else {
      return respond(to: connection, .text(405, "only GET, HEAD and POST are understood"))
    }
    return respond(
      to: connection,
      answer(HTTPRequest(method: method, path: String(cString: url), body: body.bytes, connection: connection)))
  }

  private func respond(to connection: OpaquePointer, _ response: HTTPResponse) -> Bool {
    let headers = [("Content-Type", response.type)] + response.headers.map { ($0.name, $0.value) }
    let texts = headers.flatMap { [strdup($0.0), strdup($0.1)] }
    defer { for text in texts { free(text) } }
    var pointers = texts.map { UnsafePointer<CChar>($0) } + [nil]
    mark(connection, isAnswered: true)
    return response.body.withUnsafeBytes { body in
      ttrl_http_respond(connection, response.status, body.baseAddress, body.count, &pointers) != 0
    }
  }
}
