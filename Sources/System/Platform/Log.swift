// Log: one event, one line, `key=value`.
//
// The log is for people and for grep; no decision depends on it. A line that cannot be written is dropped: a full log
// disk must not stop a run, because the run's record is the ledger. A normal step prints one line.
//
//   time=2026-02-03T04:05:06.789Z level=info role=worker event=lease.granted prompt=17 samples=8

import Base
import Glibc
import Synchronization

package enum Log {
  package enum Level: Int, Comparable, Sendable, CaseIterable {
    case debug, info, warning, error

    package var name: String { "\(self)" }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  }

  private struct Settings {
    var role = ""
    var least = Level.info
    var isStarted = false
  }

  private static let settings = Mutex(Settings())

  /// Sets the role in this process's log. Call this once, at the start. Lines go to standard error.
  ///
  /// - Parameters:
  ///   - role: "coordinator", "worker", "learner 0".
  ///   - level: lines below it are not written.
  package static func start(role: String, level: Level = .info) {
    settings.withLock { current in
      precondition(!current.isStarted, "the log was started already, as \(current.role)")
      current = Settings(role: role, least: level, isStarted: true)
    }
  }

  /// Whether lines of a level are written: for lines that are expensive to make.
  package static func writes(_ level: Level) -> Bool { settings.withLock { level >= $0.least } }

  package static func debug(_ event: String, _ fields: Fields = [:]) { write(.debug, event, fields) }
  package static func info(_ event: String, _ fields: Fields = [:]) { write(.info, event, fields) }
  package static func warning(_ event: String, _ fields: Fields = [:]) { write(.warning, event, fields) }
  package static func error(_ event: String, _ fields: Fields = [:]) { write(.error, event, fields) }

  /// Keys and values, in the order in which they are printed.
  package typealias Fields = KeyValuePairs<String, any CustomStringConvertible>

  private static func write(_ level: Level, _ event: String, _ fields: Fields) {
    let (role, least) = settings.withLock { ($0.role, $0.least) }
    guard level >= least else { return }
    let text = line(at: WallClock.text(), level, role: role, event, fields)
    // One write, so that lines of several processes in one file do not mix.
    _ = Array(text.utf8).withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }

  /// The line, with its newline. A value with spaces, quotes, "=" or control characters is quoted and escaped.
  package static func line(at time: String, _ level: Level, role: String, _ event: String, _ fields: Fields) -> String {
    var line = "time=\(time) level=\(level.name)"
    if !role.isEmpty { line += " role=\(quoted(role))" }
    line += " event=\(event)"
    for (key, value) in fields { line += " \(key)=\(quoted(value.description))" }
    return line + "\n"
  }

  private static func quoted(_ value: String) -> String {
    let isPlain =
      !value.isEmpty
      && value.unicodeScalars.allSatisfy { !$0.isActive && !" \"=\\".unicodeScalars.contains($0) }
    if isPlain { return value }
    var text = "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"", "\\": text += "\\\(scalar)"
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text.visible + "\""
  }
}
