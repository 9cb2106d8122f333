// Attack: what `ttrl-dev assault` tries, and the bytes of each attempt.

import Base
import Platform
import Records
import Wire

enum Attack: String, CaseIterable {
  /// A connection that sends nothing.
  case idle
  case randomBytes = "random_bytes"
  /// A beginning that never becomes a whole: of a handshake, or of a request's headers.
  case halfOpen = "half_open"
  /// The same, then more bytes, one at a time.
  case slow
  /// The same, and the connection is dropped at once.
  case dropped

  // Coordinator.
  /// A hello in plain TCP.
  case plain
  /// A handshake with another key.
  case otherKey = "other_key"
  // The others need the key.
  /// A handshake, then bytes that are not a frame.
  case garbage = "garbage_after_handshake"
  /// A handshake, then the header of a frame of `Limits.frameBytes`.
  case longHello = "long_hello_after_handshake"
  /// A handshake, then a hello, one byte at a time.
  case slowHello = "slow_hello_after_handshake"
  /// A handshake, then nothing.
  case silence = "silence_after_handshake"

  // Page.
  /// A request whose body comes one byte at a time.
  case slowBody = "slow_body"
  /// A request line of a megabyte.
  case longLine = "long_line"
  /// A header of a megabyte.
  case longHeader = "long_header"
  /// Ten thousand headers.
  case manyHeaders = "many_headers"
  /// A body of a megabyte.
  case longBody = "long_body"
  /// A whole request, and the connection is dropped at once.
  case unread

  static func attacks(onPage isPage: Bool, withKey hasKey: Bool) -> [Attack] {
    allCases.filter { attack in
      switch attack {
      case .idle, .randomBytes, .halfOpen, .slow, .dropped: true
      case .plain, .otherKey: !isPage
      case .garbage, .longHello, .slowHello, .silence: !isPage && hasKey
      case .slowBody, .longLine, .longHeader, .manyHeaders, .longBody, .unread: isPage
      }
    }
  }

  var needsKey: Bool { [.garbage, .longHello, .slowHello, .silence].contains(self) }
  var isSlow: Bool { [.slow, .slowHello, .slowBody].contains(self) }
  var isDropped: Bool { [.dropped, .unread].contains(self) }

  /// What is sent when the connection is open.
  func words(onPage isPage: Bool, _ random: inout RandomSequence) -> [UInt8] {
    func text(_ text: String) -> [UInt8] { Array(text.utf8) }
    let host = "Host: 127.0.0.1\r\n"
    func many(_ byte: String) -> String { String(repeating: byte, count: 1 << 20) }
    switch self {
    case .idle, .otherKey, .silence: return []
    case .halfOpen, .slow, .dropped:
      if isPage { return text("GET / HTTP/1.1\r\n\(host)X-More: ") }
      // A TLS record of 512 bytes with a ClientHello of 508, of which the first 34 are sent.
      return [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3] + Self.bytes(32, &random)
    case .randomBytes, .garbage: return Self.bytes(1 + random.index(below: 4096), &random)
    case .plain:
      return Frame.encode(
        .hello(Hello(role: .worker, name: "stranger", arithmetic: "none", processID: 1, threads: 1)))
    case .longHello: return Self.header(bytes: Limits.frameBytes)
    case .slowHello: return Self.header(bytes: Limits.helloBytes)
    case .slowBody: return text("POST /enter HTTP/1.1\r\n\(host)Content-Length: 1000\r\n\r\n")
    case .longLine: return text("GET /\(many("a")) HTTP/1.1\r\n\(host)\r\n")
    case .longHeader: return text("GET / HTTP/1.1\r\n\(host)X-Long: \(many("a"))\r\n\r\n")
    case .manyHeaders: return text("GET / HTTP/1.1\r\n\(host)") + (0..<10_000).flatMap { text("X-\($0): 1\r\n") }
    case .longBody: return text("POST /enter HTTP/1.1\r\n\(host)Content-Length: \(1 << 20)\r\n\r\n\(many("a"))")
    case .unread: return text("GET / HTTP/1.1\r\n\(host)\r\n")
    }
  }

  private static func bytes(_ count: Int, _ random: inout RandomSequence) -> [UInt8] {
    var bytes: [UInt8] = []
    for _ in 0..<count { bytes.append(UInt8(random.index(below: 256))) }
    return bytes
  }

  /// The header of a frame with a payload of so many bytes.
  private static func header(bytes: Int) -> [UInt8] {
    var header = ByteWriter()
    header.append(Array("TTRL".utf8))
    for half in [ProtocolVersions.greeting, 1, 0, 0] { header.write(half) }
    header.write(UInt32(bytes))
    header.write(UInt32(0))
    header.write(CRC32C.checksum(header.bytes))
    return header.bytes
  }
}
