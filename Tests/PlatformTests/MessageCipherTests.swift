// Messages between processes with the cluster's key: what is opened is what was sealed, and anything else is refused.

import Base
import Platform
import Testing

@Suite struct MessageCipherTests {
  private let key = ClusterKey()
  private let contributions = [MessageCipher.contribution, MessageCipher.contribution]
  private let nonce = MessageNonce(sender: 3, receiver: 1, number: 258)

  private func cipher() throws -> MessageCipher { try MessageCipher(key, contributions: contributions) }

  private func sealed(_ bytes: [UInt8], by cipher: MessageCipher, _ nonce: MessageNonce) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: bytes.count + MessageCipher.tagBytes)
    bytes.withUnsafeBytes { plain in result.withUnsafeMutableBytes { cipher.seal(plain, nonce, into: $0) } }
    return result
  }

  /// nil if they are refused.
  private func opened(_ bytes: [UInt8], by cipher: MessageCipher, _ nonce: MessageNonce) -> [UInt8]? {
    var result = [UInt8](repeating: 0, count: bytes.count - MessageCipher.tagBytes)
    let isOpen = bytes.withUnsafeBytes { sealed in
      result.withUnsafeMutableBytes { cipher.open(sealed, nonce, into: $0) }
    }
    return isOpen ? result : nil
  }

  @Test(arguments: [0, 1, 15, 16, 17, 1000, 3_000_001]) func `what is sealed is opened again`(_ count: Int) throws {
    let plain = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    let message = sealed(plain, by: try cipher(), nonce)
    let receiver = try cipher()
    #expect(opened(message, by: receiver, nonce) == plain)
    if count >= 16 { #expect(Array(message.prefix(count)) != plain) }
  }

  @Test func `a message with one changed bit anywhere is refused`() throws {
    let (sender, receiver) = (try cipher(), try cipher())
    let message = sealed(Array("thirty bytes of text, or so ...".utf8), by: sender, nonce)
    for bit in 0..<message.count * 8 {
      var changed = message
      changed[bit / 8] ^= 1 << (bit % 8)
      #expect(opened(changed, by: receiver, nonce) == nil, "bit \(bit)")
    }
    #expect(opened(message, by: receiver, nonce) != nil)
  }

  @Test func `a message is opened only as the one that it is`() throws {
    let message = sealed([1, 2, 3], by: try cipher(), nonce)
    let receiver = try cipher()
    for other in [
      MessageNonce(sender: 1, receiver: 3, number: 258), MessageNonce(sender: 3, receiver: 2, number: 258),
      MessageNonce(sender: 3, receiver: 1, number: 259), MessageNonce(sender: 3, receiver: 1, number: 2),
    ] {
      #expect(opened(message, by: receiver, other) == nil)
    }
  }

  @Test func `another key and another session cannot open it`() throws {
    let message = sealed([1, 2, 3], by: try cipher(), nonce)
    let others = [
      try MessageCipher(ClusterKey(), contributions: contributions),
      try MessageCipher(key, contributions: contributions.reversed()),
      try MessageCipher(key, contributions: [contributions[0], MessageCipher.contribution]),
    ]
    for other in others { #expect(opened(message, by: other, nonce) == nil) }
  }

  @Test func `equal messages look different`() throws {
    let cipher = try cipher()
    let next = MessageNonce(sender: 3, receiver: 1, number: 259)
    #expect(sealed([1, 2, 3, 4], by: cipher, nonce) != sealed([1, 2, 3, 4], by: cipher, next))
  }
}
