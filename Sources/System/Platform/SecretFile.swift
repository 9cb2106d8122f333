// SecretFile: keys and tokens, which only their owner may read.
//
// A file that others can read, or that another user can change, is refused. A new file is made with mode 0600 from its
// first moment and appears with its whole content. It replaces another file only where this is asked for.

import Glibc

package enum SecretFile {
  /// Why a file is not used.
  package enum Problem: Error, Equatable, Sendable {
    case open(mode: UInt32), ofAnother, notAFile
  }

  /// The whole file, or what is wrong with it.
  ///
  /// - Parameters:
  ///   - path: can be a link.
  ///   - limit: a longer file is cut there.
  ///   - what: "the key", for error texts.
  /// - Throws: `.file`.
  package static func read(
    _ path: String, limit: Int, _ what: String
  ) throws(PlatformError) -> Result<[UInt8], Problem> {
    // Without O_NONBLOCK, a pipe under this name would make the process wait for a writer.
    let file = try Descriptor(opening: path, O_RDONLY | O_NONBLOCK, to: "read \(what)")
    // Checks the open file. Another file can have its name a moment later.
    let facts = try file.facts()
    guard facts.st_mode & S_IFMT == S_IFREG else { return .failure(.notAFile) }
    guard facts.st_mode & 0o077 == 0 else { return .failure(.open(mode: facts.st_mode & 0o777)) }
    guard facts.st_uid == User.current || facts.st_uid == 0 else { return .failure(.ofAnother) }
    var bytes = [UInt8](repeating: 0, count: limit)
    return .success(Array(bytes[..<(try file.read(into: &bytes))]))
  }

  /// Makes the file.
  ///
  /// - Returns: false if there is something under that name already. It is left as it is.
  /// - Throws: `.file`.
  package static func make(_ bytes: [UInt8], at path: String, _ what: String) throws(PlatformError) -> Bool {
    let temporary = try writeTemporary(bytes, for: path, what)
    defer { unlink(temporary) }
    guard link(temporary, path) == 0 else {
      if errno == EEXIST { return false }
      throw .file(operation: "create \(what)", path: path, code: errno)
    }
    try Files.syncDirectory(Files.directory(of: path))
    return true
  }

  /// Puts the file in the place of what has that name.
  ///
  /// - Throws: `.file`.
  package static func replace(_ bytes: [UInt8], at path: String, _ what: String) throws(PlatformError) {
    let temporary = try writeTemporary(bytes, for: path, what)
    guard rename(temporary, path) == 0 else {
      defer { unlink(temporary) }
      throw .file(operation: "replace \(what)", path: path, code: errno)
    }
    try Files.syncDirectory(Files.directory(of: path))
  }

  /// - Returns: the path of a file with the bytes, beside `path`.
  private static func writeTemporary(
    _ bytes: [UInt8], for path: String, _ what: String
  ) throws(PlatformError) -> String {
    let temporary = "\(path).tmp-\(getpid())"
    // It can be left from a crash of an earlier process with the same number.
    unlink(temporary)
    let file = try Descriptor(writing: temporary, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600, to: "create \(what)")
    do throws(PlatformError) {
      try bytes.span.withUnsafeBytes { bytes throws(PlatformError) in try file.write(bytes) }
      try file.sync()
    } catch {
      unlink(temporary)
      throw error
    }
    return temporary
  }
}

extension SecretFile.Problem {
  /// What is wrong, and what to do, apart from making another file.
  package func text(_ path: String) -> String {
    switch self {
    case .open(let mode):
      "other users can use it (mode \(octal(mode))), so it may no longer be secret. If it still is: chmod 600 \(path)"
    case .ofAnother: "it belongs to another user, who can change it. Make a copy that belongs to you"
    case .notAFile: "it is not a file"
    }
  }
}
