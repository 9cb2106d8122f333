// RunEnding: how a run's processes ended before the run was finished: they were stopped, or one failed.
//
// The process that ends the run writes it to RUN/ending.json (Runs), so that `status`, the page and the report can say
// later what happened and what to do. A run that goes on, or is finished, has none.

package import Base

package struct RunEnding: Sendable, Equatable {
  package enum Kind: String, Sendable { case failed, stopped }

  package var kind: Kind
  /// Seconds since 1970 UTC.
  package var time: Double
  /// The process that failed; nil for a run that was stopped.
  package var process: String?
  /// What happened: "learner exited with 1, 4 times within 60 s".
  package var what: String
  /// The last error of that process, in its own words; empty if it left none.
  package var reason: String
  /// That process's log, relative to the run directory.
  package var log: String?
  /// The command that continues the run.
  package var next: String

  /// Characters of a text that are kept: an error is a paragraph, and a file can have anything.
  private static let textMax = 4000

  package init(
    _ kind: Kind, time: Double, process: String? = nil, what: String, reason: String = "", log: String? = nil,
    next: String
  ) {
    (self.kind, self.time, self.process, self.log) = (kind, time, process, log)
    self.what = String(what.prefix(Self.textMax))
    self.reason = String(reason.prefix(Self.textMax))
    self.next = String(next.prefix(Self.textMax))
  }

  /// - Returns: nil if a member is missing.
  package init?(_ json: JSON) {
    guard let kind = json["ending"]?.string.flatMap(Kind.init(rawValue:)), let time = json["time"]?.double,
      let what = json["what"]?.string, let next = json["next"]?.string
    else { return nil }
    self.init(
      kind, time: time, process: json["process"]?.string, what: what, reason: json["reason"]?.string ?? "",
      log: json["log"]?.string, next: next)
  }

  package var json: JSON {
    [
      "ending": .string(kind.rawValue), "time": .double(time), "process": .optional(process), "what": .string(what),
      "reason": .string(reason), "log": .optional(log), "next": .string(next),
    ]
  }
}
