// ExitStatus: what a process says with its last byte, and the errors that decide it.
//
// Scripts may rely on: 0 done, 1 failed, 2 usage or settings, 130 interrupted. Between a role and its supervisor 2
// means more: starting it again would end the same way, somebody has to change something first (a setting, a busy
// port, a full disk). A role that ends with anything else is started again.

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
  ///   - isRole: whether a supervisor may be waiting to start it again.
  package static func of(_ error: any Error, isRole: Bool) -> Int32 {
    switch error {
    case is SettingsError: usage
    case let error as UserError: error.status
    case RunError.changed, RunError.otherQuestions, RunError.otherModel: usage
    default: isRole && (error as? any LastingError)?.isLasting == true ? usage : failed
    }
  }
}

/// A failure whose text is for the user; no stack, no type names.
package struct UserError: Error, CustomStringConvertible {
  package var description: String
  package var status = ExitStatus.failed

  package init(_ description: String, status: Int32 = ExitStatus.failed) {
    self.description = description
    self.status = status
  }
}
