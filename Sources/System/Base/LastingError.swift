// LastingError: an error says whether it helps to start the process again.

/// An error that can end a supervised process. Each module says of its own errors whether another start would end the
/// same way.
package protocol LastingError: Error {
  /// The cause stays until the user changes something: a setting, a file, a busy port. Starting again does not help.
  var isLasting: Bool { get }
}

extension LastingError {
  package var isLasting: Bool { true }
}
