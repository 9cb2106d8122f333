// ClusterKey: the one secret that the processes of a cluster share. Who has it is let in; who has not, is not.
//
// A key file is three lines of text (docs/operating.md#keys):
//
//   ttrl-key 1
//   id 8f0c1d5a9be27346
//   secret 64 hexadecimal digits: 32 bytes from the kernel's generator
//
// The id is a digest of the secret, cut short. It is no secret: the two sides of a handshake name their key by it, so
// that "another key" can be told from "no key". It is the file's check as well: a damaged secret has another id. Lines
// that begin with "#" are comments. A key file that others can read is no key, and is refused.

import Base
import Glibc

package struct ClusterKey: Sendable, Equatable {
  /// 16 hexadecimal digits; says which key, and nothing about its content.
  package let id: String
  /// 32 bytes.
  let secret: [UInt8]

  static let secretBytes = 32
  private static let idBytes = 8
  private static let firstLine = "ttrl-key 1"

  /// A new one.
  package init() {
    var secret = [UInt8](repeating: 0, count: Self.secretBytes)
    let code = getentropy(&secret, secret.count)
    precondition(code == 0, "the kernel gave no random bytes; every kernel since 3.17 does")
    self.init(secret: secret)
  }

  private init(secret: [UInt8]) {
    self.secret = secret
    // Of 256 random bits no digest gives anything away. The prefix keeps it from being a digest of anything else.
    id = Hexadecimal.text(Array(SHA256.digest(of: Array("ttrl key id\0".utf8) + secret).prefix(Self.idBytes)))
  }

  /// Reads a key file.
  ///
  /// - Throws: `.file`, or `.keyRefused` if others may read it, or if it is no key or a damaged one.
  package init(reading path: String) throws(PlatformError) {
    let file = try Descriptor(opening: path, O_RDONLY, to: "read the key")
    // Of the file that is open, not of whatever has its name a moment later.
    var facts = stat()
    guard fstat(file.number, &facts) == 0 else { throw .file(operation: "read the key", path: path, code: errno) }
    guard facts.st_mode & S_IFMT == S_IFREG else { throw .keyRefused(path: path, .notAFile) }
    guard facts.st_mode & 0o077 == 0 else {
      throw .keyRefused(path: path, .open(mode: UInt32(facts.st_mode & 0o777)))
    }
    guard facts.st_uid == geteuid() || facts.st_uid == 0 else { throw .keyRefused(path: path, .ofAnother) }
    var bytes = [UInt8](repeating: 0, count: PlatformLimits.keyFileBytes + 1)
    let count = try file.read(into: &bytes)
    guard count < bytes.count else { throw .keyRefused(path: path, .noKey) }
    switch Self.parse(bytes[..<count]) {
    case .success(let key): self = key
    case .failure(let problem): throw .keyRefused(path: path, problem)
    }
  }

  /// Any bytes give a key or a reason.
  static func parse(_ bytes: ArraySlice<UInt8>) -> Result<ClusterKey, KeyProblem> {
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") }
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

  /// Makes a key file, mode 0600. It is whole when it appears, and never takes the place of another.
  ///
  /// - Throws: `.keyExists`, or `.file`.
  package func write(to path: String) throws(PlatformError) {
    let temporary = "\(path).tmp-\(getpid())"
    // One that was left by a crash of a process with our number.
    unlink(temporary)
    let file = try Descriptor(opening: temporary, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600, to: "create the key")
    defer { unlink(temporary) }
    try Array(text.utf8).span.withUnsafeBytes { bytes throws(PlatformError) in try file.write(bytes) }
    try file.sync()
    guard link(temporary, path) == 0 else {
      throw errno == EEXIST ? .keyExists(path: path) : .file(operation: "create the key", path: path, code: errno)
    }
    try Files.syncDirectory(Files.directory(of: path))
  }

  private var text: String {
    """
    # The key of a ttrl cluster. Whoever has it can join, and read and change what is run. Keep it to yourself.
    \(Self.firstLine)
    id \(id)
    secret \(Hexadecimal.text(secret))

    """
  }

  /// The key of a file, which is made first where there is none.
  package static func readOrMake(_ path: String) throws(PlatformError) -> ClusterKey {
    if Files.exists(path) { return try ClusterKey(reading: path) }
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
  /// Never the secret: this is what logs and error texts show.
  package var description: String { "key \(id)" }
}

/// Why a file is not taken for a key.
package enum KeyProblem: Error, Equatable, Sendable {
  case open(mode: UInt32), ofAnother, notAFile, noKey, damaged
}

extension KeyProblem {
  /// What is wrong, and what to do.
  func text(_ path: String) -> String {
    switch self {
    case .open(let mode):
      "others may use it (mode \(octal(mode))), so it may not be a secret any more. If it still is: chmod 600 \(path)"
    case .ofAnother: "it belongs to another user, who can change it. Copy it, so that it is yours"
    case .notAFile: "it is not a file. Make a key with: ttrl key --key FILE"
    case .noKey: "it does not begin as a key does. Make one with: ttrl key --key FILE"
    case .damaged:
      "it is damaged: secret and id do not belong together. Copy it again, or make one: ttrl key --key FILE"
    }
  }

  private func octal(_ mode: UInt32) -> String { "0" + String(mode, radix: 8) }
}
