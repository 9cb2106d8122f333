// CourseReading: a course's stages, read from their ledgers. The models need not be on this machine.

import Base
import Ledger
package import Observatory
import Platform
import Records
package import Runs
import Settings

extension CourseDirectory {
  /// The stages as they are now.
  ///
  /// - Parameter now: seconds since 1970 UTC.
  /// - Throws: `LedgerError` or `PlatformError` if a stage that has begun cannot be read.
  package func view(now: Double) throws -> CourseView {
    let done = finished.count
    let stages = try course.stages.enumerated().map { index, stage in
      let run = run(at: index)
      let hasBegun = try Files.exists(run.ledger)
      let state = RunCondition(of: run, isFinished: index < done, now: now).name
      let skipReason = skipReason(ofStage: index)
      return CourseView.Stage(
        name: stage.name, directory: course.directoryName(of: index),
        state: try Files.exists(run.settings)
          ? state : skipReason == nil ? CourseView.notBegun : CourseView.skipped,
        skipReason: skipReason, stepCount: Int(stage.settings.method.steps),
        history: try hasBegun ? RunSummary.history(Ledger(path: run.ledger, mode: .readOnly)) : nil)
    }
    return CourseView(path: path, stages: stages)
  }

  /// The stage that is shown: the one that is trained, or the newest that has begun; nil before the first.
  package var current: RunDirectory? { begun.last }

  package var report: String { "\(path)/report.html" }

  /// Writes the course's report.html.
  ///
  /// - Throws: as `view`, or `PlatformError` if it cannot be written.
  package func writeReport(now: Double) throws { try Files.write(try view(now: now).html, to: report) }
}
