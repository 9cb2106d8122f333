// LastingError: does it help to start the process again?

/// An error of a process that a supervisor starts again. Every module says of its own errors whether another start
/// would end the same way.
package protocol LastingError: Error {
  /// The cause stays until someone changes something: a setting, a file, a busy port. Starting again does not help.
  var isLasting: Bool { get }
}

extension LastingError {
  package var isLasting: Bool { true }
}
