// ClusterKey: the one secret that the processes of a cluster share. Only a process that has it is admitted.
//
// A key file is three lines of text (docs/operating.md#keys):
//
//   ttrl-key 1
//   id 8f0c1d5a9be27346
//   secret 64 hexadecimal digits: 32 bytes from the kernel's generator
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
  private static let firstLine = "ttrl-key 1"

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

  /// Reads a key file.
  ///
  /// - Throws: `.file`, or `.keyRefused` if other users can read it, if it is not a key, or if it is damaged.
  package init(reading path: String) throws(PlatformError) {
    let limit = PlatformLimits.keyFileBytes
    switch try SecretFile.read(path, limit: limit + 1, "the key") {
    case .failure(let problem): throw .keyRefused(path: path, .file(problem))
    case .success(let bytes):
      guard bytes.count <= limit else { throw .keyRefused(path: path, .noKey) }
      switch Self.parse(bytes[...]) {
      case .success(let key): self = key
      case .failure(let problem): throw .keyRefused(path: path, problem)
      }
    }
  }

  /// Any bytes give a key or a reason.
  static func parse(_ bytes: ArraySlice<UInt8>) -> Result<ClusterKey, KeyProblem> {
    let text = String(decoding: bytes, as: UTF8.self).withPlainLines
    let lines = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
    guard lines.first == firstLine[...] else { return .failure(.noKey) }
    guard lines.count == 3, let id = value(of: "id", in: lines[1]), let text = value(of: "secret", in: lines[2]) else {
      return .failure(.damaged)
    }
    let secret = Hexadecimal.bytes(text)
    guard secret.count == secretBytes else { return .failure(.damaged) }
    let key = ClusterKey(secret: secret)
    return key.id == id ? .success(key) : .failure(.damaged)
  }

  private static func value(of name: String, in line: Substring) -> String? {
    line.hasPrefix(name + " ") ? String(line.dropFirst(name.count + 1)) : nil
  }

  /// Makes a key file, mode 0600. The file appears with its whole content, and never replaces another file.
  ///
  /// - Throws: `.keyExists`, or `.file`.
  package func write(to path: String) throws(PlatformError) {
    guard try SecretFile.make(Array(text.utf8), at: path, "the key") else { throw .keyExists(path: path) }
  }

  private var text: String {
    """
    # The key of a ttrl cluster. A process that has it can join the cluster and change its runs. Keep it secret.
    \(Self.firstLine)
    id \(id)
    secret \(Hexadecimal.text(secret))

    """
  }

  /// Reads the key of a file; makes the file first if it does not exist.
  package static func readOrMake(_ path: String) throws(PlatformError) -> ClusterKey {
    if try Files.exists(path) { return try ClusterKey(reading: path) }
    do throws(PlatformError) {
      let key = ClusterKey()
      try key.write(to: path)
      return key
    } catch .keyExists {
      // Another process was faster.
      return try ClusterKey(reading: path)
    }
  }
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
