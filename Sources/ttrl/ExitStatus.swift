// ExitStatus: what a process says with its last byte, and the errors that decide it.
//
// Scripts may rely on: 0 done, 1 failed, 2 usage or settings, 130 interrupted. Between a role and its supervisor 2
// means more: starting it again would end the same way, somebody has to change something first (a setting, a busy
// port, a full disk). A role that ends with anything else is started again.

import CoordinatorRole
import Glibc
import LanguageModel
import LearnerRole
import Ledger
import Platform
import Runs
import Settings
import Tensors
import Transport

enum ExitStatus {
  static let done: Int32 = 0
  static let failed: Int32 = 1
  static let usage: Int32 = 2
  static let interrupted: Int32 = 130

  /// - Parameters:
  ///   - error: what ended the process.
  ///   - isRole: whether a supervisor may be waiting to start it again.
  static func of(_ error: any Error, isRole: Bool) -> Int32 {
    switch error {
    case is SettingsError: usage
    case let error as UserError: error.status
    case RunError.changed, RunError.otherQuestions, RunError.otherModel: usage
    default: isRole && isLasting(error) ? usage : failed
    }
  }

  /// The reason will not go away by itself.
  static func isLasting(_ error: any Error) -> Bool {
    switch error {
    case let error as PlatformError: error.isLasting
    case let error as LedgerError:
      switch error {
      // A reader that holds the lock may let go of it; a failing read may succeed.
      case .locked, .storage: false
      default: true
      }
    case let error as ModelError: error.isLasting
    default: error is any LastingError
    }
  }
}

/// Errors after which starting again would end the same way, whatever their case.
private protocol LastingError: Error {}
extension SettingsError: LastingError {}
extension RunError: LastingError {}
extension ModelDirectoryError: LastingError {}
extension MemoryError: LastingError {}
extension QuestionsError: LastingError {}
extension TrainingError: LastingError {}
extension CoordinatorFailure: LastingError {}
extension KeyRefused: LastingError {}
extension RanksDisagree: LastingError {}

extension ModelError {
  /// Memory that was short may be there the next time.
  fileprivate var isLasting: Bool {
    if case .multiplication = self { return false }
    return true
  }
}

extension PlatformError {
  fileprivate var isLasting: Bool {
    switch self {
    case .file(_, _, let code): ![EMFILE, ENFILE, ENOMEM, EAGAIN, EINTR, EIO].contains(code)
    case .tooLarge, .locked, .keyRefused, .keyExists, .openSSL, .badAddress, .addressInUse, .cannotListen,
      .programNotFound:
      true
    case .unresolvable, .cannotSpawn, .system: false
    }
  }
}

/// A failure whose text is for the user; no stack, no type names.
struct UserError: Error, CustomStringConvertible {
  var description: String
  var status = ExitStatus.failed

  init(_ description: String, status: Int32 = ExitStatus.failed) {
    self.description = description
    self.status = status
  }
}
