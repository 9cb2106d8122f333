// PlatformError: what the operating system refused, and what to do about it.
//
// One type for the whole target. The cases hold data; `description` is the only place that makes the text. Each text
// says what was being done, to which path or address, what the system answered, and what to do next.

import Base
import CLinux
import Glibc

package enum PlatformError: LastingError, Equatable, Sendable {
  /// An operation on a path failed; `operation` is a verb ("write", "create directory").
  case file(operation: String, path: String, code: Int32)
  /// A file is larger than its reader accepts.
  case tooLarge(path: String, bytes: Int, limit: Int)
  /// Another process holds the lock of this directory; the pid is nil if it did not say.
  case locked(directory: String, owner: String, pid: Int32?)
  /// Another user could change what is in a directory.
  case directoryRefused(path: String, DirectoryProblem)
  case keyRefused(path: String, KeyProblem)
  /// A key file exists; it is never replaced.
  case keyExists(path: String)
  /// An operation of OpenSSL failed; `reason` is OpenSSL's text.
  case openSSL(operation: String, reason: String)
  /// Not of the form HOST:PORT.
  case badAddress(text: String, problem: String)
  case addressInUse(HostPort)
  case cannotListen(HostPort, code: Int32)
  /// The name service gave no address; `reason` is its text.
  case unresolvable(HostPort, reason: String)
  /// No file of this name in any directory of PATH.
  case programNotFound(String)
  case cannotSpawn(path: String, stage: SpawnStage, code: Int32)
  /// A system call without a path failed, because the process lacks descriptors or memory.
  case system(call: String, code: Int32)

  /// How far a new process got before it failed.
  package enum SpawnStage: Equatable, Sendable {
    case fork, prepare, exec
  }
}

extension PlatformError: CustomStringConvertible {
  /// On one line, whatever the names in it are.
  package var description: String { text.visible }

  private var text: String {
    switch self {
    case .file(let operation, let path, let code):
      "cannot \(operation) \(path): \(systemErrorText(code)). \(remedy(for: code, to: operation, path))"
    case .tooLarge(let path, let bytes, let limit):
      "cannot read \(path): it has \(bytes) bytes, at most \(limit) were expected. Is it the right file?"
    case .locked(let directory, let owner, let pid):
      "cannot open \(directory): another \(owner) (pid \(pid.map(String.init) ?? "unknown")) has this run directory "
        + "open. Wait for it, or stop it with: kill \(pid.map(String.init) ?? "PID")"
    case .directoryRefused(let path, let problem): "cannot use the directory \(path): \(problem.text(path))"
    case .keyRefused(let path, let problem): "cannot use the key \(path): \(problem.text(path))"
    case .keyExists(let path):
      "cannot create the key \(path): that file exists, and a key is never replaced. Use it, move it away, "
        + "or choose another path"
    case .openSSL(let operation, let reason):
      "OpenSSL cannot \(operation): \(reason). Version 3.0 or later is needed, with TLS 1.3"
    case .badAddress(let text, let problem):
      "\"\(text)\" is not an address: \(problem). Expected HOST:PORT, such as 127.0.0.1:7000, node1:7000 or [::1]:7000"
    case .addressInUse(let address):
      "cannot listen on \(address): another process listens there. Stop it (ss -ltnp names it), or give another "
        + "address; port 0 takes any free port"
    case .cannotListen(let address, let code):
      "cannot listen on \(address): \(systemErrorText(code)). \(remedy(for: code))"
    case .unresolvable(let address, let reason):
      "cannot find the address of \(address.host): \(reason). Check the spelling, or give the IP address"
    case .programNotFound(let name):
      "cannot run \(name): it is in no directory of PATH. Install it, or add its directory to PATH"
    case .cannotSpawn(let path, .exec, EACCES):
      "cannot run \(path): \(systemErrorText(EACCES)). Expected a program that \(User.name()) may execute: "
        + "chmod +x \(path), or choose another one"
    case .cannotSpawn(let path, let stage, let code):
      "cannot run \(path): \(stage.text) failed with \(systemErrorText(code)). \(remedy(for: code))"
    case .system(let call, let code):
      "\(call) failed: \(systemErrorText(code)). \(remedy(for: code))"
    }
  }
}

extension PlatformError.SpawnStage {
  init(code: Int32) {
    switch Int(code) {
    case TTRL_SPAWN_FORK: self = .fork
    case TTRL_SPAWN_PREPARE: self = .prepare
    default: self = .exec
    }
  }

  fileprivate var text: String {
    switch self {
    case .fork: "making a process"
    case .prepare: "preparing the new process"
    case .exec: "starting the program"
    }
  }
}

/// "No space left on device (ENOSPC)".
func systemErrorText(_ code: Int32) -> String {
  let name = ttrl_errno_name(code).map { String(cString: $0) } ?? "error \(code)"
  var text = [CChar](repeating: 0, count: 128)
  // The POSIX form fills the buffer; it is what Swift imports.
  guard strerror_r(code, &text, text.count) == 0 else { return name }
  return "\(String(nulTerminated: text)) (\(name))"
}

extension String {
  /// The text before the first NUL of a buffer that C filled.
  init(nulTerminated buffer: [CChar]) {
    self.init(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// What to do next after an operation on a path.
private func remedy(for code: Int32, to operation: String, _ path: String) -> String {
  let isReading = PlatformError.readings.contains { operation.hasPrefix($0) }
  switch code {
  case EACCES, EPERM:
    return denial(of: path, isReading: isReading)
      ?? (isReading ? "Check who may read it, or choose another path" : remedy(for: code))
  case ELOOP: return "A link has that name, and \(User.name()) writes to no link; remove it, or choose another path"
  default: return remedy(for: code)
  }
}

/// What to do next, as far as the error number tells.
func remedy(for code: Int32) -> String {
  switch code {
  case ENOSPC, EDQUOT: "Free space there and start again; everything that was durable is intact"
  case EACCES, EPERM, EROFS: "Check who may write there, or choose another place"
  case ENOENT: "Check the path"
  case ENOTDIR, EISDIR, EEXIST: "A file or directory of another kind has that name; move it, or choose another path"
  case EMFILE, ENFILE: "Raise the limit on open files (ulimit -n)"
  case ENOMEM, EAGAIN: "The machine lacks memory or processes; stop another program, or raise the limit (ulimit -u)"
  case EADDRNOTAVAIL: "This machine does not have that address; `ip address` lists its addresses"
  case ECONNREFUSED: "No program listens there; start the other side first, or check the port"
  case EHOSTUNREACH, ENETUNREACH, ETIMEDOUT: "Check the address, and whether a firewall blocks it"
  case EIO: "Perhaps the disk is failing; look at the kernel's log (dmesg)"
  default: "Look up the error name; the kernel's log (dmesg) can say more"
  }
}

extension PlatformError {
  /// The operations, or their first words, that change nothing.
  fileprivate static let readings = ["read", "map", "hash", "list", "look at", "open directory"]

  package var isLasting: Bool {
    switch self {
    case .file(_, _, let code): ![EMFILE, ENFILE, ENOMEM, EAGAIN, EINTR, EIO].contains(code)
    case .tooLarge, .locked, .directoryRefused, .keyRefused, .keyExists, .openSSL, .badAddress, .addressInUse,
      .cannotListen, .programNotFound:
      true
    case .unresolvable, .cannotSpawn, .system: false
    }
  }
}
