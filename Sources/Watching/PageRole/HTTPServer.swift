// HTTPServer: answers requests, on the event loop's thread.
//
// libmicrohttpd speaks HTTP. It has no thread here; the loop watches its descriptor like any other. Everything that a
// client can make the server hold is limited: connections, bytes of headers and of a body, the seconds for which an
// idle client is kept. A client that never reads its answer is dropped after those seconds. Not here: what is answered,
// and to which clients (PageShell, PageAccess).

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

final class HTTPServer {
  /// Connections at once. Each can hold an answer of a few hundred kilobytes for `idleSeconds`.
  private static let connectionsMax: UInt32 = 64
  private static let idleSeconds: UInt32 = 15
  /// For the request line, the headers and pieces of the body of one connection.
  private static let connectionBytes = 16 << 10
  private static let bodyBytes = 1 << 10

  let address: HostPort
  private let loop: EventLoop
  private let answer: (HTTPRequest) -> HTTPResponse
  /// On the heap, because libmicrohttpd keeps its address.
  private let server: UnsafeMutablePointer<ttrl_http_server>
  private var timer: EventLoop.TimerID?

  /// The body of a request that is arriving.
  private final class Body {
    var bytes: [UInt8] = []
    var isTooLarge = false
  }

  /// - Throws: `PlatformError` if the address cannot be listened on.
  init(
    on address: HostPort, loop: EventLoop, answer: @escaping (HTTPRequest) -> HTTPResponse
  ) throws(PlatformError) {
    let socket: Int32
    (socket, self.address) = try Listener.open(address)
    self.loop = loop
    self.answer = answer
    server = .allocate(capacity: 1)
    server.initialize(to: ttrl_http_server())
    server.pointee.context = Unmanaged.passUnretained(self).toOpaque()
    server.pointee.handler = { context, connection, url, method, body, count, request in
      guard let context, let connection, let url, let method, let request else { return 0 }
      let server = Unmanaged<HTTPServer>.fromOpaque(context).takeUnretainedValue()
      return server.receive(connection, url, method, UnsafeRawBufferPointer(start: body, count: count), request)
        ? 1 : 0
    }
    server.pointee.completed = { _, request in
      if let request { Unmanaged<Body>.fromOpaque(request).release() }
    }
    guard
      ttrl_http_start(server, socket, Self.connectionsMax, Self.idleSeconds, Self.connectionBytes) != 0
    else {
      Glibc.close(socket)
      throw .system(call: "MHD_start_daemon", code: ENOMEM)
    }
    try loop.watch(ttrl_http_descriptor(server), for: .readable) { _ in self.turn() }
    turn()
  }

  func close() {
    loop.unwatch(ttrl_http_descriptor(server))
    if let timer { loop.cancel(timer) }
    ttrl_http_stop(server)
  }

  deinit { server.deallocate() }

  private func turn() {
    let due = ttrl_http_run(server)
    if let timer { loop.cancel(timer) }
    timer = due < 0 ? nil : loop.schedule(at: MonotonicClock.now() + .milliseconds(UInt64(due))) { self.turn() }
  }

  /// - Returns: false to drop the connection.
  private func receive(
    _ connection: OpaquePointer, _ url: UnsafePointer<CChar>, _ method: UnsafePointer<CChar>,
    _ piece: UnsafeRawBufferPointer, _ request: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  ) -> Bool {
    guard let known = request.pointee else {
      request.pointee = Unmanaged.passRetained(Body()).toOpaque()
      return true
    }
    let body = Unmanaged<Body>.fromOpaque(known).takeUnretainedValue()
    if piece.count > 0 {
      body.isTooLarge = body.isTooLarge || body.bytes.count + piece.count > Self.bodyBytes
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
    return response.body.withUnsafeBytes { body in
      ttrl_http_respond(connection, response.status, body.baseAddress, body.count, &pointers) != 0
    }
  }
}
