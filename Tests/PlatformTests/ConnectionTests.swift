// TCP over loopback: bytes arrive complete, every end has a name, and nothing waits forever.

import Base
import Glibc
import Platform
import Testing

/// One loop, a listener on a free port, and what its first caller did.
private final class Server {
  let loop: EventLoop
  let listener: Listener
  var connection: Connection?
  var received: [UInt8] = []
  var closed: Connection.CloseReason?

  init(limits: ConnectionLimits = ConnectionLimits(), greet: @escaping (Connection) -> Void = { _ in }) throws {
    let loop = try EventLoop()
    self.loop = loop
    var accept: (Connection) -> Void = { _ in }
    listener = try Listener(on: HostPort(host: "127.0.0.1", port: 0), loop: loop, limits: limits) { accept($0) }
    accept = { [weak self] caller in
      self?.connection = caller
      caller.onBytes = { self?.received += $0 }
      caller.onClose = {
        self?.closed = $0
        loop.stop()
      }
      greet(caller)
    }
  }

  deinit {
    listener.close()
    connection?.close()
  }

  func connect(limits: ConnectionLimits = ConnectionLimits()) -> Connection {
    Connection(to: listener.address, by: soon(), loop: loop, limits: limits)
  }
}

/// A listening port with room for one caller, which never accepts.
private final class DeafListener {
  let address: HostPort
  private let fd: Int32

  init() throws {
    fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let fd = fd
    let code = withUnsafeMutablePointer(to: &name) { name in
      name.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(fd, $0, size) | listen(fd, 0) | getsockname(fd, $0, &size)
      }
    }
    guard code == 0 else { throw PlatformError.system(call: "bind", code: errno) }
    address = HostPort(host: "127.0.0.1", port: UInt16(bigEndian: name.sin_port))
  }

  deinit { close(fd) }
}

@Suite(.timeLimit(.minutes(1))) struct ConnectionTests {
  @Test func `a listener on port 0 reports its real port`() throws {
    let server = try Server()
    #expect(server.listener.address.host == "127.0.0.1" && server.listener.address.port != 0)
  }

  @Test func `bytes sent before the connection is open arrive complete and in order`() throws {
    let server = try Server()
    let client = server.connect()
    let sent = (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    client.send(utf8("first"))
    client.send(sent)
    #expect(client.queuedBytes == sent.count + 5)
    client.finish()
    #expect(server.loop.run(until: soon()) == .stopped)
    #expect(server.received == utf8("first") + sent)
    #expect(server.closed == .byPeer)
  }

  @Test func `an answer comes back over the same connection`() throws {
    let server = try Server { caller in caller.onBytes = { caller.send($0.reversed()) } }
    let client = server.connect()
    var answer: [UInt8] = []
    client.onBytes = {
      answer += $0
      if answer.count == 3 { server.loop.stop() }
    }
    client.send(utf8("abc"))
    #expect(server.loop.run(until: soon()) == .stopped)
    #expect(text(answer) == "cba")
    client.close()
  }

  @Test func `a peer that does not read makes the connection fail, and the queue never grows past its limit`() throws {
    let server = try Server()
    let client = server.connect(limits: ConnectionLimits(queuedBytes: 1 << 20))
    var reason: Connection.CloseReason?
    var most = 0
    client.onClose = {
      reason = $0
      server.loop.stop()
    }
    client.onOpen = {
      // The kernel takes some megabytes. The loop does not run here, so no bytes are read.
      for _ in 0..<1000 {
        client.send([UInt8](repeating: 1, count: 100_000))
        most = max(most, client.queuedBytes)
      }
    }
    #expect(server.loop.run(until: soon()) == .stopped)
    guard case .queueFull(_, let limit) = reason else {
      Issue.record("expected .queueFull, got \(String(describing: reason))")
      return
    }
    #expect(limit == 1 << 20)
    #expect(most <= limit && most > 0)
  }

  @Test func `the owner is told when a queue that was full is empty`() throws {
    let server = try Server()
    let client = server.connect()
    var drained = 0
    client.onOpen = {
      client.send([UInt8](repeating: 1, count: 20_000_000))
      #expect(client.queuedBytes > 0)
    }
    client.onDrained = {
      drained += 1
      #expect(client.queuedBytes == 0)
      client.finish()
    }
    #expect(server.loop.run(until: soon()) == .stopped)
    #expect(drained == 1)
    #expect(server.received.count == 20_000_000)
  }

  @Test func `onClose never runs inside send, and runs once`() throws {
    let server = try Server()
    let client = server.connect(limits: ConnectionLimits(queuedBytes: 10))
    var isSending = false
    var reasons: [Connection.CloseReason] = []
    client.onClose = {
      #expect(!isSending)
      reasons.append($0)
    }
    isSending = true
    client.send([UInt8](repeating: 0, count: 11))
    client.send([UInt8](repeating: 0, count: 12))
    isSending = false
    server.loop.run(until: .zero)
    server.loop.run(until: .zero)
    #expect(reasons == [.queueFull(bytes: 11, limit: 10)])
  }

  @Test func `a refused connection is reported as refused`() throws {
    let server = try Server()
    server.listener.close()
    let client = server.connect()
    var reason: Connection.CloseReason?
    client.onClose = {
      reason = $0
      server.loop.stop()
    }
    #expect(server.loop.run(until: soon()) == .stopped)
    #expect(reason == .failed(operation: "connect", code: ECONNREFUSED))
    #expect("\(try #require(reason))".contains("No program listens there"))
  }

  @Test func `a connection without an answer ends at its deadline`() throws {
    let loop = try EventLoop()
    let full = try DeafListener()
    // Its kernel queue holds one caller; the packets of further callers are dropped.
    let callers = (0..<4).map { _ in
      Connection(to: full.address, by: MonotonicClock.now() + .milliseconds(50), loop: loop)
    }
    var reasons: [Connection.CloseReason] = []
    for caller in callers {
      caller.onClose = {
        reasons.append($0)
        loop.stop()
      }
    }
    #expect(loop.run(until: soon()) == .stopped)
    #expect(reasons.first == .connectTimedOut)
    for caller in callers { caller.close() }
  }

  @Test func `a host name is looked up on another thread and then connected to`() throws {
    let server = try Server()
    let address = HostPort(host: "localhost", port: server.listener.address.port)
    let client = Connection(to: address, by: soon(), loop: server.loop)
    client.onOpen = { server.loop.stop() }
    client.onClose = { Issue.record("closed: \($0)") }
    #expect(server.loop.run(until: soon()) == .stopped)
    #expect(client.isOpen)
    client.close()
  }

  @Test func `a peer's last bytes are read although sending to it fails`() throws {
    let server = try Server { caller in
      caller.send(utf8("refused: wrong version"))
      caller.close()
    }
    let client = server.connect()
    var heard: [UInt8] = []
    client.onBytes = { heard += $0 }
    client.onClose = { _ in server.loop.stop() }
    client.onOpen = {
      // The listener's side closes before it reads these, so the kernel resets the connection.
      for _ in 0..<50 { client.send([UInt8](repeating: 0, count: 1000)) }
    }
    #expect(server.loop.run(until: soon()) == .stopped)
    #expect(text(heard) == "refused: wrong version")
  }

  @Test func `no callback follows close`() throws {
    let server = try Server()
    let client = server.connect()
    client.onClose = { _ in Issue.record("onClose after close()") }
    client.onOpen = {
      client.close()
      client.send(utf8("into the void"))
      client.close()
    }
    #expect(server.loop.run(until: soon()) == .stopped)
    #expect(server.closed == .byPeer && server.received.isEmpty)
  }

  @Test func `a second listener on one address is refused with a remedy`() throws {
    let server = try Server()
    let taken = server.listener.address
    let error = #expect(throws: PlatformError.addressInUse(taken)) {
      try Listener(on: taken, loop: server.loop) { _ in }
    }
    let message = "\(try #require(error))"
    #expect(message.contains("127.0.0.1:\(taken.port)") && message.contains("port 0"), "\(message)")
  }

  @Test func `a listener on an address of another machine is refused`() throws {
    let loop = try EventLoop()
    let foreign = HostPort(host: "192.0.2.1", port: 0)
    #expect(throws: PlatformError.cannotListen(foreign, code: EADDRNOTAVAIL)) {
      try Listener(on: foreign, loop: loop) { _ in }
    }
  }
}

@Suite struct HostPortTests {
  @Test(arguments: [
    ("node1:7000", "node1", 7000), ("127.0.0.1:0", "127.0.0.1", 0), ("[::1]:65535", "::1", 65535), (":80", "", 80),
  ])
  func `an address is read and written back`(text: String, host: String, port: Int) throws {
    let address = try HostPort(parsing: text)
    #expect(address.host == host && Int(address.port) == port)
    #expect("\(address)" == text)
  }

  @Test(arguments: ["", "node1", "node1:", "node1:65536", "node1:-1", "node1:７", "::1:7000", "[::1]", "a b:1", "[]:1"])
  func `a text that is not an address is refused with an example`(text: String) {
    let error = #expect(throws: PlatformError.self) { try HostPort(parsing: text) }
    #expect(error.map { "\($0)".contains("Expected HOST:PORT") } == true)
  }

  @Test func `only literal loopback addresses and localhost count as loopback`() {
    for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1"] {
      #expect(HostPort(host: host, port: 1).isLoopback, "\(host)")
    }
    for host in ["", "127.0.0.1.example.org", "10.0.0.1", "::", "0.0.0.0"] {
      #expect(!HostPort(host: host, port: 1).isLoopback, "\(host)")
    }
  }
}
