// ChaosReport: what `ttrl-dev chaos` found, as text and as JSON.

import Base
import Chaos
import Ledger
import Observatory
import Platform
import RunReading
import Runs

struct ChaosReport {
  /// One disturbed run.
  struct OneRun {
    let outcome: DisturbedOutcome
    /// The coordinator's lines, and those of the learner's ranks.
    let log: [(seconds: Double, line: LogLine)]
    let learnerLog: [(seconds: Double, line: LogLine)]
    let slots: Int
    let steps: Int
    /// Where it differs from the undisturbed run.
    let difference: String?

    /// Trajectories that came a second time.
    var duplicates: Int { log.count { $0.line.event == "coordinator.refused" } }
    /// Slots that were returned when their worker left, whether sampling had begun or not.
    var returned: Int {
      log.reduce(0) { $0 + ($1.line.event == "coordinator.left" ? Int($1.line["slots_returned"] ?? "") ?? 0 : 0) }
    }
    var trained: Int { learnerLog.count { $0.line.event == "learner.step" } }
  }

  private let undisturbedSeconds: Double
  private var runs: [OneRun] = []

  init(undisturbedSeconds: Double) { self.undisturbedSeconds = undisturbedSeconds }

  mutating func add(_ run: OneRun) { runs.append(run) }

  /// How many slots a finished run has.
  static func slots(of directory: RunDirectory) throws(LedgerError) -> Int {
    try Ledger(path: directory.ledger, mode: .readOnly).rounds().reduce(0) { $0 + $1.slots }
  }

  /// Where two finished runs differ, if they do. `ttrl diff` also compares unfinished runs, so it ignores what only one
  /// run has; this does not.
  static func difference(_ left: RunDirectory, _ right: RunDirectory) throws -> String? {
    let found = try RunComparison(left, right).difference()
    guard found.isEmpty else { return found.text }
    let counts = try [left, right].map { run in
      let ledger = try Ledger(path: run.ledger, mode: .readOnly)
      return try [ledger.rounds().count, ledger.trajectoryCount(), ledger.policies().count, ledger.stepMetrics().count]
    }
    guard counts[0] == counts[1] else { return "rounds, trajectories, policies, steps: \(counts[0]), and \(counts[1])" }
    let summaries = try [left, right].map { try JSON.parse(try Files.read($0.summary)) }
    for name in ["weights_sha256", "state_sha256"] where summaries[0][name] != summaries[1][name] {
      return "\(name): \(summaries[0][name]?.text() ?? "none"), and \(summaries[1][name]?.text() ?? "none")"
    }
    return nil
  }

  var isIdentical: Bool { runs.allSatisfy { $0.difference == nil && $0.outcome.receipts.lost.isEmpty } }

  // MARK: Figures

  private var recovered: [(kind: ProcessKind, times: RecoveryTimes)] {
    ProcessKind.allCases.map { kind in
      let all = runs.map { run in
        recoveries(of: run.outcome.kills, log: run.log).first { $0.kind == kind }?.times
          ?? RecoveryTimes(kills: 0, seconds: [])
      }
      return (
        kind, RecoveryTimes(kills: all.reduce(0) { $0 + $1.kills }, seconds: all.flatMap(\.seconds).sorted())
      )
    }
  }

  private var others: [(name: String, count: Int)] {
    ["pause", "reset", "corrupt", "stall"].map { name in
      (name, runs.reduce(0) { $0 + ($1.outcome.others[name] ?? 0) })
    }
  }

  private func share(_ part: Int, of whole: Int) -> Double { whole == 0 ? 0 : Double(part) / Double(whole) }
  private func sum(_ figure: (OneRun) -> Int) -> Int { runs.reduce(0) { $0 + figure($1) } }

  private var resampled: Double { share(sum { $0.duplicates + $0.returned }, of: sum(\.slots)) }
  private var retrained: Double { share(sum { max(0, $0.trained - $0.steps) }, of: sum(\.steps)) }

  // MARK: Text

  var verdict: String {
    for (index, run) in runs.enumerated() {
      if let lost = run.outcome.receipts.lost.first { return "run \(index + 1) LOST \(lost), which was acknowledged" }
      if let difference = run.difference { return "run \(index + 1) DIFFERS from the undisturbed one: \(difference)" }
    }
    let spared = recovered.filter { $0.times.kills == 0 }.map(\.kind.rawValue)
    let missed = spared.isEmpty ? "" : "; no \(spared.joined(separator: ", ")) was killed before the end: raise --steps"
    return "identical: every policy version, trajectory and hash, in \(runs.count) of \(runs.count) runs" + missed
  }

  var text: String {
    var rows = [["killed", "times", "back after (median)", "worst"]]
    for (kind, times) in recovered {
      rows.append([kind.rawValue, "\(times.kills)", seconds(times.median), seconds(times.worst)])
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    var lines = rows.map { row in
      zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: "  ")
    }
    lines.append(others.map { "\($0.name) \($0.count)" }.joined(separator: ", "))
    let receipts = runs.map(\.outcome.receipts)
    lines.append(
      "acknowledged and then looked up in the ledger: \(receipts.reduce(0) { $0 + $1.compared }) times, right after "
        + "\(receipts.reduce(0) { $0 + $1.checks }) deaths and ends; lost: "
        + "\(receipts.reduce(0) { $0 + $1.lost.count })")
    lines.append("work repeated: sampling at most \(percent(resampled)), whole training steps \(percent(retrained))")
    let times = runs.map { seconds($0.outcome.seconds) }.joined(separator: ", ")
    lines.append("undisturbed \(seconds(undisturbedSeconds)), disturbed \(times)")
    return lines.joined(separator: "\n")
  }

  private func seconds(_ value: Double?) -> String { value.map { "\(($0 * 10).rounded() / 10) s" } ?? "–" }
  private func percent(_ share: Double) -> String { "\((share * 1000).rounded() / 10) %" }

  var json: JSON {
    let kinds = recovered
    return [
      "kills": .object(kinds.map { JSON.Member($0.kind.rawValue, .int($0.times.kills)) }),
      "identical": .bool(isIdentical),
      "recovery_seconds": .object(
        kinds.map { kind, times in
          JSON.Member(
            kind.rawValue,
            [
              "median": times.median.map { .double($0) } ?? .null, "worst": times.worst.map { .double($0) } ?? .null,
              "recovered": .int(times.seconds.count),
            ])
        }),
      "others": .object(others.map { JSON.Member($0.name, .int($0.count)) }),
      "acknowledged_compared": .int(sum(\.outcome.receipts.compared)),
      "acknowledged_lost": .int(sum(\.outcome.receipts.lost.count)),
      "repeated_sampling": .double(resampled), "repeated_training": .double(retrained),
      "undisturbed_seconds": .double(undisturbedSeconds),
      "disturbed_seconds": .array(runs.map { .double($0.outcome.seconds) }), "verdict": .string(verdict),
    ]
  }
}
