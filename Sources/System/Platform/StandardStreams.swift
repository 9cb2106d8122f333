// StandardStreams: standard error and standard output of this process.
//
// Results go to standard output and must arrive. Progress goes to standard error and can be lost: a log file on a full
// disk, or a closed terminal, is not a reason to end a run.

import CLinux
import Glibc

package enum StandardError {
  /// Whether it is a terminal on which lines can be drawn again. A dumb terminal shows control sequences as text.
  package static var isLive: Bool { isatty(STDERR_FILENO) == 1 && variable("TERM") != "dumb" }

  /// Whether text can be bold or coloured there. NO_COLOR counts unless it is empty (no-color.org).
  package static var isStyled: Bool { isLive && (variable("NO_COLOR") ?? "").isEmpty }

  private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

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
