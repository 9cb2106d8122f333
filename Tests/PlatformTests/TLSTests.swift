// TLS over loopback: only callers with the key are admitted, and idle callers do not keep others out.

import Base
import Glibc
import Platform
import Testing

/// A listener with a key, and the callers that got in.
private final class Fortress {
  let loop: EventLoop
  let key: ClusterKey
  let context: TLSContext
  let listener: Listener
  var members: [Connection] = []
  var received: [UInt8] = []
  var closed: [Connection.CloseReason] = []
  var onBytes: (Connection, [UInt8]) -> Void = { _, _ in }

  init(_ key: ClusterKey = ClusterKey(), recordsPerKey: Int = PlatformLimits.recordsPerKey) throws {
    let loop = try EventLoop()
    (self.loop, self.key) = (loop, key)
    var accept: (Connection) -> Void = { _ in }
    context = try TLSContext(key, recordsPerKey: recordsPerKey)
    listener = try Listener(on: HostPort(host: "127.0.0.1", port: 0), tls: context, loop: loop) { accept($0) }
    accept = { [weak self] member in
      self?.members.append(member)
      member.onBytes = { bytes in
        self?.received += bytes
        self?.onBytes(member, bytes)
      }
      member.onClose = {
        self?.closed.append($0)
        loop.stop()
      }
    }
  }

  deinit {
    listener.close()
    for member in members { member.close() }
  }

  /// Connects with a key, or in plain TCP. Stops the loop when the other side closes.
  func call(_ key: ClusterKey?, recordsPerKey: Int = PlatformLimits.recordsPerKey) throws -> Caller {
    let context = try key.map { try TLSContext($0, recordsPerKey: recordsPerKey) }
    return Caller(Connection(to: listener.address, tls: context, by: soon(), loop: loop), loop)
  }
}

private final class Caller {
  let connection: Connection
  var heard: [UInt8] = []
  var reason: Connection.CloseReason?
  var isIn = false

  init(_ connection: Connection, _ loop: EventLoop) {
    self.connection = connection
    connection.onOpen = { [weak self] in self?.isIn = true }
    connection.onBytes = { [weak self] in self?.heard += $0 }
    connection.onClose = { [weak self] in
      self?.reason = $0
      loop.stop()
    }
  }

  deinit { connection.close() }
}

@Suite(.timeLimit(.minutes(1))) struct TLSTests {
  @Test func `with the same key, bytes go both ways, complete and in order`() throws {
    let fortress = try Fortress()
    fortress.onBytes = { member, _ in
      if fortress.received.count == 3_000_005 { member.send(fortress.received.reversed()) }
    }
    let caller = try fortress.call(fortress.key)
    let sent = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    caller.connection.send(utf8("first"))
    caller.connection.send(sent)
    caller.connection.onBytes = { bytes in
      caller.heard += bytes
      if caller.heard.count == 3_000_005 { fortress.loop.stop() }
    }
    #expect(fortress.loop.run(until: soon()) == .stopped)
    #expect(SHA256.hex(of: fortress.received) == SHA256.hex(of: utf8("first") + sent))
    #expect(SHA256.hex(of: caller.heard) == SHA256.hex(of: (utf8("first") + sent).reversed()))
    caller.connection.finish()
    #expect(fortress.loop.run(until: soon()) == .stopped)
    #expect(fortress.closed == [.byPeer])
  }

  @Test func `no byte is lost when the traffic keys change`() throws {
    let fortress = try Fortress(recordsPerKey: 2)
    let caller = try fortress.call(fortress.key, recordsPerKey: 3)
    let sent = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 2) }
    for start in stride(from: 0, to: sent.count, by: 20_000) {
      caller.connection.send(Array(sent[start..<start + 20_000]))
    }
    fortress.onBytes = { member, _ in if fortress.received.count == sent.count { member.finish() } }
    #expect(fortress.loop.run(until: soon()) == .stopped)
    #expect(SHA256.hex(of: fortress.received) == SHA256.hex(of: sent) && caller.reason == .byPeer)
  }

  @Test func `callers with either key get in while a key is replaced, and only with the new one afterwards`() throws {
    let fortress = try Fortress()
    let both = KeyRing(fortress.key).rotated
    fortress.context.use(both)
    var callers: [Caller] = []
    for key in both.keys {
      let caller = try fortress.call(key)
      caller.connection.send(utf8(key.id))
      callers.append(caller)
    }
    fortress.onBytes = { _, _ in if fortress.received.count == 32 { fortress.loop.stop() } }
    #expect(fortress.loop.run(until: soon()) == .stopped)
    #expect(Set(fortress.members.compactMap(\.keyID)) == Set(both.keys.map(\.id)))
    #expect(callers.map(\.connection.keyID) == both.keys.map(\.id))

    fortress.context.use(both.retired)
    #expect(fortress.members.count { fortress.context.accepts($0.keyID) } == 1)
    let late = try fortress.call(fortress.key)
    #expect(fortress.loop.run(until: soon()) == .stopped)
    guard case .insecure(.refused(_, let ours)) = late.reason else {
      Issue.record("expected a refusal, got \(String(describing: late.reason))")
      return
    }
    #expect(ours == fortress.key.id && fortress.members.count == 2)
    let new = try fortress.call(both.first)
    new.connection.send(utf8("!"))
    fortress.onBytes = { _, _ in fortress.loop.stop() }
    #expect(fortress.loop.run(until: soon()) == .stopped && fortress.members.count == 3)
  }

  @Test func `another key is refused with the ids of both keys, and no byte gets through`() throws {
    let fortress = try Fortress()
    let other = ClusterKey()
    let caller = try fortress.call(other)
    caller.connection.send(utf8("secrets for my own cluster"))
    #expect(fortress.loop.run(until: soon()) == .stopped)
    guard case .insecure(.refused(_, let ours)) = caller.reason else {
      Issue.record("expected a refusal, got \(String(describing: caller.reason))")
      return
    }
    #expect(ours == other.id && other.id != fortress.key.id)
    #expect(!caller.isIn && fortress.members.isEmpty && fortress.received.isEmpty)
  }

  @Test func `a caller without TLS gets an alert and nothing else`() throws {
    let fortress = try Fortress()
    let caller = try fortress.call(nil)
    caller.connection.send(utf8("TTRL plain hello, long enough to be read as a record"))
    #expect(fortress.loop.run(until: soon()) == .stopped)
    #expect(caller.heard == [21, 3, 3, 0, 2, 2, 70])
    #expect(fortress.members.isEmpty)
  }

  @Test(arguments: 1...40) func `random bytes do not get in and do not disturb a member`(seed: Int) throws {
    let fortress = try Fortress()
    var random = RandomSequence(seed: UInt64(seed), purpose: .backoff)
    let caller = try fortress.call(nil)
    var bytes = (0..<1 + random.index(below: 3000)).map { _ in UInt8(random.index(below: 256)) }
    // Half of the inputs look like the beginning of a handshake.
    if seed % 2 == 0 { bytes = [22, 3, 1, UInt8(random.index(below: 64)), UInt8(random.index(below: 256)), 1] + bytes }
    caller.connection.send(bytes)
    caller.connection.finish()
    let member = try fortress.call(fortress.key)
    member.connection.send(utf8("a friend"))
    fortress.onBytes = { _, _ in fortress.loop.stop() }
    #expect(fortress.loop.run(until: soon()) == .stopped)
    #expect(text(fortress.received) == "a friend" && fortress.members.count == 1, "seed \(seed)")
  }

  @Test func `a coordinator that does not speak TLS is recognised`() throws {
    let loop = try EventLoop()
    let listener = try Listener(on: HostPort(host: "127.0.0.1", port: 0), loop: loop) { caller in
      caller.onBytes = { _ in
        caller.send(utf8("TTRL, a goodbye in plain text"))
        caller.finish()
      }
    }
    defer { listener.close() }
    let context = try TLSContext(ClusterKey())
    let caller = Caller(Connection(to: listener.address, tls: context, by: soon(), loop: loop), loop)
    #expect(loop.run(until: soon()) == .stopped)
    #expect(caller.reason == .insecure(.notTLS) && !caller.isIn)
  }

  @Test func `of many simultaneous callers with the key, each whose handshake began gets in, however slow`() throws {
    let fortress = try Fortress()
    let context = try TLSContext(fortress.key)
    let slow = try EventLoop()
    let callers = (0..<PlatformLimits.strangersPerAddress + 100).map { _ in
      Caller(Connection(to: fortress.listener.address, tls: context, by: soon(), loop: slow), slow)
    }
    let deadline = soon()
    while fortress.members.count < PlatformLimits.strangersPerAddress, MonotonicClock.now() < deadline {
      slow.run(until: MonotonicClock.now() + .milliseconds(20))
      // Longer than a stranger's grace: each accepted caller still has to send its last message.
      fortress.loop.run(until: MonotonicClock.now() + .milliseconds(400))
    }
    #expect(callers.prefix(PlatformLimits.strangersPerAddress).allSatisfy { $0.isIn && $0.reason == nil })
  }

  @Test func `idle callers keep no member out, and the oldest of them are closed`() throws {
    let fortress = try Fortress()
    let halfHello: [UInt8] = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 7, 7]
    var idle = try (0..<PlatformLimits.strangersPerAddress).map { _ in try fortress.call(nil) }
    for caller in idle.suffix(30) { caller.connection.send(halfHello) }
    // No caller is closed before its grace is over.
    fortress.loop.run(until: MonotonicClock.now() + PlatformLimits.strangerGrace + .milliseconds(100))
    idle += try (0..<50).map { _ in try fortress.call(nil) }
    while idle.count(where: { $0.reason != nil }) < 50 {
      try #require(fortress.loop.run(until: soon()) == .stopped)
    }
    #expect(idle.prefix(50).allSatisfy { $0.reason != nil })
    let member = try fortress.call(fortress.key)
    member.connection.send(utf8("a friend"))
    fortress.onBytes = { _, _ in fortress.loop.stop() }
    while fortress.received.isEmpty { try #require(fortress.loop.run(until: soon()) == .stopped) }
    #expect(fortress.members.count == 1 && text(fortress.received) == "a friend")
    #expect(idle.count(where: { $0.reason != nil }) == 51)
  }

  @Test func `half a handshake ends at its deadline`() throws {
    let fortress = try Fortress()
    let caller = try fortress.call(nil)
    let begun = MonotonicClock.now()
    caller.connection.send([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 7, 7])
    #expect(fortress.loop.run(until: soon()) == .stopped)
    #expect(caller.reason == .byPeer && fortress.members.isEmpty)
    #expect(MonotonicClock.now().since(begun) >= PlatformLimits.handshake)
  }

  @Test func `bytes that were changed on the way end the connection, and no later byte is used`() throws {
    let fortress = try Fortress()
    let proxy = try Proxy(to: fortress.listener.address, on: fortress.loop)
    let context = try TLSContext(fortress.key)
    let caller = Caller(Connection(to: proxy.address, tls: context, by: soon(), loop: fortress.loop), fortress.loop)
    caller.connection.send(utf8("sound"))
    fortress.onBytes = { _, _ in fortress.loop.stop() }
    #expect(fortress.loop.run(until: soon()) == .stopped)
    proxy.isDamaging = true
    caller.connection.send(utf8("damaged"))
    while fortress.closed.isEmpty { try #require(fortress.loop.run(until: soon()) == .stopped) }
    guard case .insecure(.damaged) = fortress.closed.first else {
      Issue.record("expected damage, got \(fortress.closed)")
      return
    }
    #expect(text(fortress.received) == "sound")
  }
}

/// Forwards bytes. While `isDamaging`, it changes the last byte of each piece.
private final class Proxy {
  let address: HostPort
  var isDamaging = false
  private let listener: Listener
  private var ends: [Connection] = []

  init(to target: HostPort, on loop: EventLoop) throws {
    var accept: (Connection) -> Void = { _ in }
    listener = try Listener(on: HostPort(host: "127.0.0.1", port: 0), loop: loop) { accept($0) }
    address = listener.address
    accept = { [weak self] near in
      let far = Connection(to: target, by: soon(), loop: loop)
      near.onBytes = { bytes in
        var bytes = bytes
        if self?.isDamaging == true { bytes[bytes.count - 1] ^= 1 }
        far.send(bytes)
      }
      far.onBytes = { near.send($0) }
      far.onClose = { _ in near.close() }
      self?.ends += [near, far]
    }
  }

  deinit {
    listener.close()
    for end in ends { end.close() }
  }
}

@Suite struct ClusterKeyTests {
  private let directory: TemporaryDirectory
  private var path: String { directory("key") }

  init() throws { directory = try TemporaryDirectory() }

  @Test func `a written key is read back, only its owner can read the file, and its description hides the secret`()
    throws
  {
    let key = ClusterKey()
    try key.write(to: path)
    #expect(try ClusterKey(reading: path) == key)
    var facts = stat()
    #expect(stat(path, &facts) == 0 && facts.st_mode & 0o777 == 0o600)
    let lines = try Files.readText(path).split(separator: "\n")
    #expect(lines.contains("id \(key.id)") && key.id.count == 16)
    let secret = try #require(lines.last?.split(separator: " ").last)
    #expect(secret.count == 64 && !"\(key)".contains(secret) && !secret.contains(key.id))
  }

  @Test func `while a key is replaced, its file has both keys, the new one first`() throws {
    let former = KeyRing(ClusterKey())
    try former.write(to: path)
    let both = former.rotated
    try both.replace(at: path)
    let read = try KeyRing(reading: path)
    #expect(read == both && read.keys.count == 2 && read.keys[1] == former.first && read.first != former.first)
    #expect(read[former.first.id] == former.first && read["0123456789abcdef"] == nil)
    var facts = stat()
    #expect(stat(path, &facts) == 0 && facts.st_mode & 0o777 == 0o600)
    try both.retired.replace(at: path)
    #expect(try KeyRing(reading: path).keys == [both.first])
    #expect(try Files.list(directory.path) == ["key"])
  }

  @Test func `a file with three keys, or the same key twice, is damaged`() throws {
    let ring = KeyRing(ClusterKey()).rotated
    try ring.write(to: path)
    let lines = try Files.readText(path).split(separator: "\n")
    let third = KeyRing(ClusterKey())
    try third.write(to: directory("third"))
    let more = try Files.readText(directory("third")).split(separator: "\n").suffix(2)
    for extra in [Array(more), Array(lines.suffix(2)), [lines[lines.count - 2]]] {
      try Files.write((lines + extra).joined(separator: "\n") + "\n", to: path, mode: 0o600)
      #expect(throws: PlatformError.keyRefused(path: path, .damaged)) { try KeyRing(reading: path) }
    }
  }

  @Test func `a process reads its file again when it changes, and keeps its keys if the file cannot be used`() throws {
    let former = KeyRing(ClusterKey())
    try former.write(to: path)
    var keys = try ClusterKeys(reading: path)
    #expect(keys.refresh() == .none)
    let both = former.rotated
    try both.replace(at: path)
    #expect(keys.refresh() == .renewed && keys.ring == both && keys.refresh() == .none)
    try Files.write(utf8("ttrl-key 1\n"), to: path, mode: 0o600)
    #expect(keys.refresh() == .unusable(.keyRefused(path: path, .damaged)))
    #expect(keys.ring == both && keys.refresh() == .none)
    unlink(path)
    guard case .unusable = keys.refresh() else {
      Issue.record("a missing file was not noticed")
      return
    }
    try both.write(to: path)
    #expect(keys.refresh() == .none && keys.ring == both)
  }

  @Test func `two keys are never the same, and a key file is never replaced`() throws {
    let first = ClusterKey()
    try first.write(to: path)
    #expect(throws: PlatformError.keyExists(path: path)) { try ClusterKey().write(to: path) }
    #expect(try ClusterKey(reading: path) == first)
    #expect(try KeyRing.readOrMake(path).first == first)
    #expect(try KeyRing.readOrMake(directory("other")).first != first)
    #expect(try Files.list(directory.path) == ["key", "other"])
  }

  @Test(arguments: [0o644, 0o640, 0o604, 0o660]) func `a key that other users can read or write is refused`(_ mode: Int)
    throws
  {
    try ClusterKey().write(to: path)
    chmod(path, mode_t(mode))
    let error = #expect(throws: PlatformError.keyRefused(path: path, .file(.open(mode: UInt32(mode))))) {
      try ClusterKey(reading: path)
    }
    #expect(error.map { "\($0)".contains("chmod 600 \(path)") } == true)
  }

  @Test func `a key whose lines end with CR LF is the same key`() throws {
    let key = ClusterKey()
    try key.write(to: path)
    let text = try Files.readText(path)
    try Files.write("\u{FEFF}" + text.replacing("\n", with: "\r\n"), to: path, mode: 0o600)
    #expect(try ClusterKey(reading: path) == key)
  }

  @Test func `one changed character anywhere in id or secret is noticed`() throws {
    try ClusterKey().write(to: path)
    let bytes = try Files.read(path)
    let body = try #require(bytes.firstIndex(of: 0x0A))
    for index in body + 1..<bytes.count - 1 {
      var damaged = bytes
      damaged[index] = damaged[index] == 0x31 ? 0x32 : 0x31
      try Files.write(damaged, to: path, mode: 0o600)
      #expect(throws: PlatformError.self, "byte \(index)") { try ClusterKey(reading: path) }
    }
  }

  @Test func `a file that is not a key is refused with the command that makes one`() throws {
    for content in ["", "\n", "secret 12", "ttrl-key 2\n", String(repeating: "x", count: 10_000)] {
      try Files.write(utf8(content), to: path, mode: 0o600)
      let error = #expect(throws: PlatformError.self) { try ClusterKey(reading: path) }
      #expect(error.map { "\($0)".contains("ttrl key") } == true)
    }
    #expect(throws: PlatformError.keyRefused(path: directory.path, .file(.notAFile))) {
      chmod(directory.path, 0o700)
      _ = try ClusterKey(reading: directory.path)
    }
  }
}
