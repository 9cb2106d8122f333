// ExitStatus: what a process returns, and which errors decide it.
//
// Scripts can rely on: 0 done, 1 failed, 2 usage or settings, 130 interrupted. From a role, 2 also tells the supervisor
// that a restart would fail in the same way, because the user has to change something first (a setting, a busy port, a
// full disk). A role that fails with another status is started again.

import Base
import Runs
import Settings

package enum ExitStatus {
  package static let done: Int32 = 0
  package static let failed: Int32 = 1
  package static let usage: Int32 = 2
  package static let interrupted: Int32 = 130

  /// - Parameters:
  ///   - error: what ended the process.
  ///   - isRole: whether a supervisor waits to start it again.
  package static func of(_ error: any Error, isRole: Bool) -> Int32 {
    switch error {
    case is SettingsError: usage
    case let error as UserError: error.status
    case RunError.changed, RunError.otherQuestions, RunError.otherModel: usage
    default: isRole && (error as? any LastingError)?.isLasting == true ? usage : failed
    }
  }
}

/// A failure whose text is for the user: without a stack and without type names.
package struct UserError: Error, CustomStringConvertible {
  package var description: String
  package var status = ExitStatus.failed

  package init(_ description: String, status: Int32 = ExitStatus.failed) {
    self.description = description
    self.status = status
  }
}
