// SHA256: the digest that identifies weights, checkpoints and manifests.
//
// OpenSSL computes it, with the processor's SHA instructions if it has them. Not here: the protection of secrets (TLS).

import Base
import COpenSSL
import Glibc

/// A running hash: `update` as bytes come, `hex` once at the end.
package struct SHA256: ~Copyable {
  private let context: OpaquePointer

  package init() {
    guard let context = EVP_MD_CTX_new() else {
      preconditionFailure("OpenSSL has no memory for a hash (some 500 bytes)")
    }
    self.context = context
    precondition(EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1, "this OpenSSL has no SHA-256; is it damaged?")
  }

  deinit { EVP_MD_CTX_free(context) }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    let code = EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
    precondition(code == 1, "OpenSSL refused to hash \(bytes.count) bytes")
  }

  package mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

  /// The 32 bytes of the digest.
  package consuming func digest() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 32)
    let code = EVP_DigestFinal_ex(context, &bytes, nil)
    precondition(code == 1, "OpenSSL could not finish a hash")
    return bytes
  }

  /// The digest as 64 lower-case hexadecimal digits.
  package consuming func hex() -> String { Hexadecimal.text(digest()) }

  package static func digest(of bytes: [UInt8]) -> [UInt8] { bytes.withUnsafeBytes { digest(of: $0) } }

  package static func digest(of bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var hash = SHA256()
    hash.update(bytes)
    return hash.digest()
  }

  package static func hex(of bytes: [UInt8]) -> String {
    var hash = SHA256()
    hash.update(bytes)
    return hash.hex()
  }

  /// The digest of a file of any size, read 1 MiB at a time.
  /// - Throws: `.file`.
  package static func hex(ofFile path: String) throws(PlatformError) -> String {
    let file = try Descriptor(opening: path, O_RDONLY, to: "hash")
    var hash = SHA256()
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = try file.read(into: &chunk)
      chunk.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
      if count < chunk.count { return hash.hex() }
    }
  }
}
