// CoordinatorEnd: how a coordinator's work ends, and how it begins if the process was a standby before.

import Base
package import Platform
package import Records

/// The reason why a coordinator cannot continue, if the cause is neither a file nor the ledger.
package enum CoordinatorFailure: LastingError, Sendable, CustomStringConvertible {
  /// The machine's reason: an invariant is violated.
  case broken(String)

  package var description: String {
    switch self {
    case .broken(let reason): reason
    }
  }
}

/// How a coordinator's work ends.
package enum CoordinatorEnd: Sendable {
  case exit(Int32)
  /// Another coordinator leads, under this term, at one of these addresses. This one listened at the last one.
  case superseded(Term, by: [String], at: HostPort)
}

/// Of a standby that becomes the coordinator.
package struct Takeover: Sendable {
  /// Under which it leads; nil if the run is finished, and only its result is written.
  package var term: Term?
  /// Where others can lead that do not know of it.
  package var others: [String]

  package init(term: Term?, others: [String]) {
    self.term = term
    self.others = others
  }
}
