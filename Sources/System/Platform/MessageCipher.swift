// MessageCipher: messages that only processes with the cluster's key can read, change or make, for a way that is not
// our own connection: MPI's.
//
// AES-256-GCM by OpenSSL. Each process contributes random bytes, and the key of a session is a digest of the cluster's
// key and all contributions. So a session never uses the key of an earlier one, and recorded messages of an earlier one
// cannot be opened in it. A nonce says who sends which message to whom; within a session none is used twice.

import Base
import COpenSSL
import Glibc

/// Which message it is.
package struct MessageNonce: Sendable, Equatable {
  package var sender: UInt16
  package var receiver: UInt16
  /// Counted from 0 for each pair.
  package var number: UInt64

  package init(sender: UInt16, receiver: UInt16, number: UInt64) {
    (self.sender, self.receiver, self.number) = (sender, receiver, number)
  }

  fileprivate var bytes: [UInt8] {
    func littleEndian<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
      withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }
    return littleEndian(sender) + littleEndian(receiver) + littleEndian(number)
  }
}

package final class MessageCipher {
  /// Bytes by which a sealed message is longer.
  package static let tagBytes = 16
  package static let contributionBytes = 32

  /// Random bytes of this process for a session.
  package static var contribution: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: contributionBytes)
    let code = getentropy(&bytes, bytes.count)
    precondition(code == 0, "the kernel gave no random bytes; getentropy needs Linux 3.17 or later")
    return bytes
  }

  private let key: [UInt8]
  private let context: OpaquePointer

  /// - Parameters:
  ///   - key: the cluster's.
  ///   - contributions: of all processes of the session, in the same order in each of them.
  /// - Throws: `.openSSL` if there is no memory.
  package init(_ key: ClusterKey, contributions: [[UInt8]]) throws(PlatformError) {
    self.key = SHA256.digest(of: Array("ttrl session key\0".utf8) + key.secret + contributions.flatMap { $0 })
    guard let context = EVP_CIPHER_CTX_new() else { throw .openSSL(operation: "begin to encrypt", reason: "no memory") }
    self.context = context
  }

  deinit { EVP_CIPHER_CTX_free(context) }

  /// - Parameters:
  ///   - plain: at most 2 GiB.
  ///   - nonce: a new one.
  ///   - sealed: gets the encrypted bytes and the tag; `tagBytes` longer than `plain`.
  package func seal(
    _ plain: UnsafeRawBufferPointer, _ nonce: MessageNonce, into sealed: UnsafeMutableRawBufferPointer
  ) {
    precondition(sealed.count == plain.count + Self.tagBytes, "\(sealed.count) bytes for \(plain.count) and a tag")
    let target = sealed.bindMemory(to: UInt8.self).baseAddress
    var count: Int32 = 0
    let isSealed =
      EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nil, key, nonce.bytes) == 1
      && (plain.isEmpty
        || EVP_EncryptUpdate(
          context, target, &count, plain.bindMemory(to: UInt8.self).baseAddress, Int32(plain.count)) == 1)
      && EVP_EncryptFinal_ex(context, target?.advanced(by: plain.count), &count) == 1
      && EVP_CIPHER_CTX_ctrl(
        context, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagBytes), target?.advanced(by: plain.count)) == 1
    // It fails only without memory, and then nothing may be sent.
    precondition(isSealed, "OpenSSL could not encrypt \(plain.count) bytes")
  }

  /// - Parameters:
  ///   - sealed: as `seal` made it.
  ///   - nonce: the sender's.
  ///   - plain: gets the bytes; `tagBytes` shorter than `sealed`.
  /// - Returns: whether they are the sender's. If not, `plain` must not be used.
  package func open(
    _ sealed: UnsafeRawBufferPointer, _ nonce: MessageNonce, into plain: UnsafeMutableRawBufferPointer
  ) -> Bool {
    precondition(sealed.count == plain.count + Self.tagBytes, "\(sealed.count) bytes for \(plain.count) and a tag")
    let source = sealed.bindMemory(to: UInt8.self).baseAddress
    let target = plain.bindMemory(to: UInt8.self).baseAddress
    var tag = Array(sealed.suffix(Self.tagBytes))
    var count: Int32 = 0
    return EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nil, key, nonce.bytes) == 1
      && (plain.isEmpty || EVP_DecryptUpdate(context, target, &count, source, Int32(plain.count)) == 1)
      && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagBytes), &tag) == 1
      && EVP_DecryptFinal_ex(context, target?.advanced(by: plain.count), &count) == 1
  }
}
