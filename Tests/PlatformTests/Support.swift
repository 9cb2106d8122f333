// Support: a temporary directory, and a deadline for everything that waits.

import Base
import Glibc
import Platform

/// A new directory in the system's temporary directory, removed with the object.
final class TemporaryDirectory {
  let path: String

  init() throws {
    var template = Array("/tmp/ttrl-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw PlatformError.system(call: "mkdtemp", code: errno) }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { try? Files.removeTree(path) }

  func callAsFunction(_ name: String) -> String { path + "/" + name }
}

/// How long a test waits for what it expects. Only a failing test waits that long.
func soon() -> Instant { MonotonicClock.now() + .seconds(10) }

func utf8(_ text: String) -> [UInt8] { Array(text.utf8) }

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
