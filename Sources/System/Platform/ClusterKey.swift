// ClusterKey: the one secret that the processes of a cluster share. Only a process that has it is admitted.
//
// A key file is three lines of text (docs/operating.md#keys):
//
//   ttrl-key 1
//   id 8f0c1d5a9be27346
//   secret 64 hexadecimal digits: 32 bytes from the kernel's generator
//
// While a key is replaced, a file has a second id and secret (KeyRing).
//
// The id is the beginning of a digest of the secret. It is not secret: each side of a handshake says which key it has
// by the id, so an error can tell "another key" from "no key". The id also protects the file: a damaged secret has
// another id. Lines that begin with "#" are comments. A key file that other users can read is refused.

import Base
import Glibc

package struct ClusterKey: Sendable, Equatable {
  /// 16 hexadecimal digits. It identifies the key and reveals nothing about the secret.
  package let id: String
  /// 32 bytes.
  let secret: [UInt8]

  static let secretBytes = 32
  private static let idBytes = 8

  /// A new, random key.
  package init() {
    var secret = [UInt8](repeating: 0, count: Self.secretBytes)
    let code = getentropy(&secret, secret.count)
    precondition(code == 0, "the kernel gave no random bytes; getentropy needs Linux 3.17 or later")
    self.init(secret: secret)
  }

  private init(secret: [UInt8]) {
    self.secret = secret
    // A digest of 256 random bits reveals nothing about them. With the prefix, this digest is never equal to another
    // digest that is made from the secret.
    id = Hexadecimal.text(Array(SHA256.digest(of: Array("ttrl key id\0".utf8) + secret).prefix(Self.idBytes)))
  }

  /// - Parameter lines: an id and its secret, as in a key file.
  /// - Returns: nil if they are something else, or do not belong together.
  init?(lines: ArraySlice<Substring>) {
    guard lines.count == 2, let id = Self.value(of: "id", in: lines[lines.startIndex]),
      let text = Self.value(of: "secret", in: lines[lines.startIndex + 1])
    else { return nil }
    let secret = Hexadecimal.bytes(text)
    guard secret.count == Self.secretBytes else { return nil }
    self.init(secret: secret)
    guard self.id == id else { return nil }
  }

  private static func value(of name: String, in line: Substring) -> String? {
    line.hasPrefix(name + " ") ? String(line.dropFirst(name.count + 1)) : nil
  }

  /// As in a key file, with line ends.
  var lines: String { "id \(id)\nsecret \(Hexadecimal.text(secret))\n" }

  /// Reads the key of a file that its process offers.
  ///
  /// - Throws: as `KeyRing(reading:)`.
  package init(reading path: String) throws(PlatformError) { self = try KeyRing(reading: path).first }

  /// Makes a key file with this key.
  ///
  /// - Throws: as `KeyRing.write`.
  package func write(to path: String) throws(PlatformError) { try KeyRing(self).write(to: path) }
}

extension ClusterKey: CustomStringConvertible {
  /// Logs and error texts show this. It does not contain the secret.
  package var description: String { "key \(id)" }
}

/// Why a file is not accepted as a key.
package enum KeyProblem: Error, Equatable, Sendable {
  case file(SecretFile.Problem), noKey, damaged
}

extension KeyProblem {
  /// What is wrong, and what to do.
  func text(_ path: String) -> String {
    switch self {
    case .file(.notAFile): "it is not a file. Make a key with: ttrl key --key FILE"
    case .file(let problem): problem.text(path)
    case .noKey: "it does not begin like a key file. Make a key with: ttrl key --key FILE"
    case .damaged:
      "it is damaged: the id does not fit the secret. Copy it again, or make a key with: ttrl key --key FILE"
    }
  }
}
