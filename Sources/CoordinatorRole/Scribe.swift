// Scribe: writes down what a run did, for people: rounds, evaluations, step metrics, the summary and the report.
//
// Everything is in the ledger first; metrics.jsonl, summary.json and report.html are made from it and can be made again.
// Truth is read here, for figures only.

import Base
package import Ledger
import Observatory
import Platform
package import Records
package import Runs
import TTRL

package final class Scribe {
  private let run: Run
  private let ledger: Ledger
  private let begun = MonotonicClock.now()
  private var lines: LineFile?

  package init(run: Run, ledger: Ledger) {
    self.run = run
    self.ledger = ledger
  }

  /// A round is complete: make it so in the ledger; score it if it is an evaluation.
  ///
  /// - Throws: if the ledger or the disk fails.
  package func close(_ round: RoundID) throws {
    switch round.purpose {
    case .train: try ledger.close(round)
    case .evaluate:
      let row = run.evaluate(try ledger.trajectories(of: round), of: round)
      try ledger.transaction {
        try ledger.record(evaluation: round, metrics: row.text())
        try ledger.close(round)
      }
      try append(row)
    }
  }

  /// A step's version exists: it, and the learner's report on the step, become durable together.
  ///
  /// - Throws: if the ledger or the disk fails.
  package func record(_ manifest: PolicyManifest, report: String) throws {
    try ledger.transaction {
      try ledger.record(manifest)
      try ledger.record(step: manifest.version.number - 1, metrics: report)
    }
    try append(text: report)
  }

  private func append(_ row: JSON) throws { try append(text: row.text()) }

  private func append(text: String) throws {
    if lines == nil { lines = try LineFile(run.directory.metrics) }
    try lines?.append(text)
  }

  /// The accounting closes: summary and report.
  ///
  /// - Throws: if the ledger or the disk fails.
  package func finish() throws {
    // Wall time over all sittings: a run that was stopped and continued has used them all.
    let wall = (try ledger.number("wall_seconds") ?? 0) + MonotonicClock.now().since(begun).seconds
    let history = RunHistory(parsing: try ledger.metricsLines().joined(separator: "\n"))
    let summary = Summary.json(history: history, wallSeconds: wall, settings: run.settingsJSON, versions: run.versions)
    try Files.write(summary.text(.pretty) + "\n", to: run.directory.summary)
    try Files.write(
      Report.html(history, summary: summary, settings: run.settingRows), to: run.directory.report)
  }
}
