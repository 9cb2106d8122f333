// RunCondition: whether a run is going on, and if not, why; and the banner that says so.
//
// The terminal, the page and the report show the same banner first: what happened, the reason as it was recorded, and
// what to do next. A run that goes on, or is finished, has none.

package import Base
package import Records

package enum RunCondition: Sendable, Equatable {
  case finished
  case running
  /// A process keeps the run's processes running, and the coordinator is not at work yet.
  case starting
  case ended(RunEnding)
  /// No process runs it, and none has recorded why.
  case abandoned

  /// - Parameters:
  ///   - isAlive: a coordinator is at work.
  ///   - isSupervised: a process keeps the run's processes running.
  ///   - ending: what was recorded.
  package init(isFinished: Bool, isAlive: Bool, isSupervised: Bool, ending: RunEnding?) {
    if isFinished {
      self = .finished
    } else if isAlive {
      self = .running
    } else if let ending {
      self = .ended(ending)
    } else {
      self = isSupervised ? .starting : .abandoned
    }
  }

  /// One word, for programs.
  package var name: String {
    switch self {
    case .finished: "finished"
    case .running: "running"
    case .starting: "starting"
    case .ended(let ending): ending.kind.rawValue
    case .abandoned: "not running"
    }
  }

  package var isGoingOn: Bool { self == .running || self == .starting }

  /// What a run that does not go on waits for; nil if it goes on.
  package var rest: String? {
    switch self {
    case .finished: "nothing: the run is finished"
    case .ended(let ending): ending.kind == .failed ? "nothing: the run failed" : "nothing: the run was stopped"
    case .abandoned: "nothing: no process runs it"
    case .running, .starting: nil
    }
  }
}

/// What a reader has to know first of a run that ended before its end.
package struct Banner: Sendable, Equatable {
  /// "failed", "stopped" or "not running".
  package let kind: String
  /// One line.
  package let what: String
  /// The failed process's own words; can have several lines, or none.
  package let reason: String
  package let next: String

  /// - Parameters:
  ///   - path: the run directory.
  ///   - now: seconds since 1970 UTC; nil leaves out how long ago it was, so that the same run gives the same bytes.
  /// - Returns: nil if the run goes on or is finished.
  package init?(_ condition: RunCondition, path: String, now: Double? = nil) {
    kind = condition.name
    switch condition {
    case .finished, .running, .starting: return nil
    case .ended(let ending):
      let ago = now.map { " \(Figures.duration(seconds: max(0, $0 - ending.time))) ago" } ?? ""
      what =
        ending.kind == .failed
        ? "The run failed\(ago): \(ending.what)." : "The run was stopped\(ago): \(ending.what)."
      reason = ending.reason
      let log = ending.log.map { " (log: \(path)/\($0))" } ?? ""
      next =
        "Finished work is kept\(log). " + (ending.kind == .failed ? "Fix the cause, then continue" : "Continue")
        + " with: \(ending.next)"
    case .abandoned:
      what = "No process runs this run, and none recorded why: it was killed, or its machine ended."
      reason = ""
      next = "Finished work is kept (logs: \(path)/logs). Continue with: ttrl train --run \(path)"
    }
  }

  package var json: JSON {
    ["kind": .string(kind), "what": .string(what), "reason": .string(reason), "next": .string(next)]
  }

  /// Lines for a terminal, without control characters.
  package var lines: [String] {
    let reasons = reason.split(separator: "\n").map { Explanation.shown(String($0), .max) }
    return [padded(kind.uppercased() + " ", to: Self.margin) + Explanation.shown(what, .max)]
      + reasons.enumerated().map { padded($0 == 0 ? "reason" : "", to: Self.margin) + $1 }
      + [padded("next", to: Self.margin) + Explanation.shown(next, .max)]
  }

  package var text: String { lines.joined(separator: "\n") }

  private static let margin = 10

  /// For the top of a report.
  var markup: Markup {
    let why: Markup = reason.isEmpty ? "" : "<pre>\(reason)</pre>\n"
    return "<div class=\"banner\" role=\"alert\">\n<p><strong>\(what)</strong></p>\n\(why)<p>\(next)</p>\n</div>\n"
  }
}
