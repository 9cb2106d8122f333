// StandardStreams: standard error and standard output of this process.
//
// Results go to standard output and must arrive. Progress goes to standard error and can be lost: a log file on a full
// disk, or a closed terminal, is not a reason to end a run.

import CLinux
import Glibc

package enum StandardError {
  /// Writes what can be written. Errors are ignored, because there is no place to report them.
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
  /// Flushes everything that was printed. Call this before the process ends.
  ///
  /// - Throws: `.file`, if some of it could not be written.
  package static func finish() throws(PlatformError) {
    let code = -ttrl_finish_output()
    if code != 0 { throw .file(operation: "write to", path: "standard output", code: code) }
  }
}
