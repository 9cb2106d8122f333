// Frame: how a message travels. docs/protocol.md shows every byte.
//
// A frame is a fixed header and a payload. The header has its own checksum, so a length is used only after the header
// has been verified, and a payload is buffered only if its length is within the limit. All numbers are little-endian.
//
//   offset size
//        0    4  magic "TTRL"
//        4    2  protocol version
//        6    2  kind of message
//        8    4  flags, 0
//       12    4  payload length
//       16    4  CRC-32C of the payload
//       20    4  CRC-32C of bytes 0–19

package import Base
package import Records

/// Why bytes are not a frame, or a frame is not a message. Every such error ends the connection.
package enum WireError: Error, Equatable, Sendable {
  case notOurProtocol
  /// The peer answered with TLS, but plain frames were expected.
  case encrypted
  /// A frame has a version of the protocol that this side does not speak.
  case otherVersion(found: UInt16, spoken: ProtocolVersions)
  /// A peer's hello says that it speaks no version that this side speaks.
  case noCommonVersion(peer: ProtocolVersions, spoken: ProtocolVersions)
  case damagedHeader
  case tooLarge(bytes: Int, limit: Int)
  case damagedPayload(kind: UInt16)
  case unknownKind(UInt16)
  case malformed(kind: UInt16, ByteError)
  case reservedFlags(UInt32)
}

extension WireError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .notOurProtocol: "the peer does not speak ttrl's protocol (no \"TTRL\" at the start of a frame)"
    case .encrypted: "the peer speaks TLS; give the cluster's key with --key FILE"
    case .otherVersion(let found, let spoken):
      "the peer speaks version \(found) of ttrl's protocol, this program \(spoken); "
        + "run the same release everywhere, or two releases that follow each other"
    case .noCommonVersion(let peer, let spoken):
      "the peer speaks \(peer) of ttrl's protocol, this program \(spoken); "
        + "run the same release everywhere, or two releases that follow each other"
    case .damagedHeader: "a frame's header was damaged on the way (checksum)"
    case .tooLarge(let bytes, let limit): "a frame claims \(bytes) bytes; the limit is \(limit)"
    case .damagedPayload(let kind): "the payload of a frame of kind \(kind) was damaged on the way (checksum)"
    case .unknownKind(let kind): "a frame has the unknown kind \(kind)"
    case .malformed(let kind, let error): "a frame of kind \(kind) is malformed: \(error)"
    case .reservedFlags(let flags): "a frame sets the flags \(flags); no flags are defined"
    }
  }
}

package enum Frame {
  package static let headerBytes = 24
  static let magic: UInt32 = 0x4C52_5454  // "TTRL" in memory

  /// The bytes of one message.
  ///
  /// - Parameters:
  ///   - message: what to send.
  ///   - version: of the protocol, as both sides speak it (`FrameDecoder.version`).
  package static func encode(_ message: Message, version: UInt16 = ProtocolVersions.own.newest) -> [UInt8] {
    let (kind, payload) = MessageCodec.encode(message, version: version)
    return encode(kind: kind, payload: payload, version: version)
  }

  /// A frame around any payload. Its header and checksums are right, whatever the payload is.
  package static func encode(
    kind: UInt16, payload: [UInt8], version: UInt16 = ProtocolVersions.own.newest
  ) -> [UInt8] {
    var header = ByteWriter(reserving: headerBytes + payload.count)
    header.write(magic)
    header.write(MessageCodec.isFixed(kind) ? ProtocolVersions.greeting : version)
    header.write(kind)
    header.write(UInt32(0))
    header.write(UInt32(payload.count))
    header.write(CRC32C.checksum(payload))
    header.write(CRC32C.checksum(header.bytes))
    header.append(payload)
    return header.bytes
  }
}

/// Turns a byte stream into messages. It takes bytes as they arrive. When `next` has returned nil, it holds less than
/// one frame. It also keeps the version of the protocol in which this side has to send.
package struct FrameDecoder: Sendable {
  private var buffer: [UInt8] = []
  private var consumed = 0
  /// The largest payload that is accepted now.
  private var limit: Int
  private let spoken: ProtocolVersions
  /// The version in which to answer: the newest of both sides after a hello, or the version of the answer to one.
  package private(set) var version: UInt16

  /// - Parameters:
  ///   - firstFrameBytes: the largest payload of the first frame: a peer that has not sent its hello gets little
  ///     memory.
  ///   - spoken: the versions that this side speaks.
  package init(firstFrameBytes: Int = Limits.frameBytes, speaking spoken: ProtocolVersions = .own) {
    limit = firstFrameBytes
    self.spoken = spoken
    version = spoken.newest
  }

  /// Bytes that are not a whole frame yet, where `next` has returned nil.
  package var bytesLeft: Int { buffer.count - consumed }

  /// Takes bytes from the stream.
  package mutating func append(_ bytes: [UInt8]) {
    if consumed > 0, consumed * 2 > buffer.count {
      buffer.removeFirst(consumed)
      consumed = 0
    }
    buffer.append(contentsOf: bytes)
  }

  /// The next complete message, or nil until more bytes have come. After an error the stream cannot be used any more.
  package mutating func next() throws(WireError) -> Message? {
    let available = buffer.count - consumed
    // A peer that speaks another protocol is refused after its first four bytes.
    if available >= 4, available < Frame.headerBytes { try checkMagic() }
    guard available >= Frame.headerBytes else { return nil }
    let header = try readHeader()
    guard available >= Frame.headerBytes + header.length else { return nil }
    let start = consumed + Frame.headerBytes
    let payload = start..<start + header.length
    guard CRC32C.checksum(buffer, in: payload) == header.checksum else { throw .damagedPayload(kind: header.kind) }
    let message = try MessageCodec.decode(kind: header.kind, version: header.version, buffer, in: payload)
    try agree(on: header, message)
    consumed = payload.upperBound
    limit = Limits.frameBytes
    return message
  }

  private mutating func agree(on header: Header, _ message: Message) throws(WireError) {
    if case .hello(let hello) = message {
      guard let common = spoken.common(with: hello.speaks) else {
        throw .noCommonVersion(peer: hello.speaks, spoken: spoken)
      }
      version = common
    } else if !header.isFixed {
      version = header.version
    }
  }

  private struct Header {
    var version: UInt16
    var kind: UInt16
    var length: Int
    var checksum: UInt32

    var isFixed: Bool { MessageCodec.isFixed(kind) }
  }

  private func checkMagic() throws(WireError) {
    var reader = ByteReader(buffer, in: consumed..<consumed + 4)
    let found = try? reader.read(UInt32.self)
    // Content type 21 (alert) or 22 (handshake), then version 3: a TLS record.
    if let found, [0x0315, 0x0316].contains(found & 0xFFFF) { throw .encrypted }
    guard found == Frame.magic else { throw .notOurProtocol }
  }

  private func readHeader() throws(WireError) -> Header {
    try checkMagic()
    var reader = ByteReader(buffer, in: consumed + 4..<consumed + Frame.headerBytes)
    guard let version = try? reader.read(UInt16.self), let kind = try? reader.read(UInt16.self),
      let flags = try? reader.read(UInt32.self), let length = try? reader.read(UInt32.self),
      let checksum = try? reader.read(UInt32.self), let headerChecksum = try? reader.read(UInt32.self)
    else { throw .damagedHeader }
    // The version is checked before the checksum: a later version can have another layout.
    guard spoken.contains(version) || version == ProtocolVersions.greeting else {
      throw .otherVersion(found: version, spoken: spoken)
    }
    guard CRC32C.checksum(buffer, in: consumed..<consumed + 20) == headerChecksum else { throw .damagedHeader }
    let header = Header(version: version, kind: kind, length: Int(length), checksum: checksum)
    guard spoken.contains(version) || header.isFixed else { throw .otherVersion(found: version, spoken: spoken) }
    guard flags == 0 else { throw .reservedFlags(flags) }
    guard header.length <= limit else { throw .tooLarge(bytes: header.length, limit: limit) }
    return header
  }
}
