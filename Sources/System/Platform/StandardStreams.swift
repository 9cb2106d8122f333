// StandardStreams: what a process says to whoever started it.
//
// Results go to standard output and must arrive; what is told along the way goes to standard error and may be lost. A
// log file on a full disk, or a terminal that is gone, is no reason to end a run.

import CLinux
import Glibc

package enum StandardError {
  /// Writes what can be written. There is nobody to tell about the rest.
  package static func write(_ text: String) {
    var rest = ArraySlice(text.utf8)
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
      if written > 0 {
        rest = rest.dropFirst(written)
      } else if errno != EINTR {
        return
      }
    }
  }
}

package enum StandardOutput {
  /// Hands on everything that was printed, before the process ends.
  ///
  /// - Throws: `.file`, if some of it could not be written.
  package static func finish() throws(PlatformError) {
    let code = -ttrl_finish_output()
    if code != 0 { throw .file(operation: "write to", path: "standard output", code: code) }
  }
}
