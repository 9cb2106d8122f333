// RunSummary: a run's result, for programs (summary.json) and for people (report.html).
//
// It is made from the ledger alone, so it can be made again at any time, also of a run that is not finished.

package import Base
package import Ledger
package import Observatory
import Platform
import Records
package import Runs
package import Settings
import Tensors

package enum RunSummary {
  /// All rows of the run, as metrics.jsonl has them: steps, then evaluations, each in order.
  package static func history(_ ledger: Ledger) throws(LedgerError) -> RunHistory {
    let delivered = try ledger.value(for: .delivered).map { [$0] } ?? []
    let rows = try ledger.stepMetrics().map(\.json) + ledger.evaluationMetrics().map(\.json) + delivered
    return RunHistory(parsing: rows.joined(separator: "\n"))
  }

  /// The summary of what is recorded so far.
  package static func json(_ settings: RunSettings, _ ledger: Ledger) throws(LedgerError) -> JSON {
    let history = try history(ledger)
    let hashes = try hashes(ledger)
    return Summary.json(
      history, wallSeconds: try ledger.value(for: .wallSeconds).flatMap(Double.init) ?? 0,
      weightsSHA256: hashes.weights, stateSHA256: hashes.state,
      settings: RunManifest.values(of: settings), versions: versions)
  }

  /// Of the last checkpoint. If the guard ended the run early, the learner's last step has no hashes: then of the
  /// weights that the run delivered, which come without the optimizer's state.
  static func hashes(_ ledger: Ledger) throws(LedgerError) -> (weights: String?, state: String?) {
    let lines = [try ledger.stepMetrics().last?.json, try ledger.value(for: .delivered)]
    let (last, delivered) = (parsed(lines[0]), parsed(lines[1]))
    return (
      last?["weights_sha256"]?.string ?? delivered?["weights_sha256"]?.string, last?["state_sha256"]?.string
    )
  }

  private static func parsed(_ line: String?) -> JSON? { line.flatMap { try? MetricsRow.parse($0) } }

  /// What determines the bits of a result.
  private static var versions: JSON {
    ["ttrl": .string(Program.version), "arithmetic": .string(Arithmetic.description)]
  }

  /// Writes summary.json and report.html.
  ///
  /// - Throws: `LedgerError` or `PlatformError`.
  package static func write(_ directory: RunDirectory, _ settings: RunSettings, ledger: Ledger) throws {
    let summary = try json(settings, ledger)
    try Files.write(summary.text(.pretty) + "\n", to: directory.summary)
    try writeReport(directory, settings, ledger: ledger)
  }

  /// Writes report.html. The model need not be on this machine: the ledger has the questions.
  ///
  /// - Throws: `LedgerError` or `PlatformError`.
  package static func writeReport(_ directory: RunDirectory, _ settings: RunSettings, ledger: Ledger) throws {
    let history = try history(ledger)
    let condition = try RunCondition(of: directory, isDelivered: history.delivered != nil)
    try Files.write(
      Report.html(
        history, summary: try json(settings, ledger), settings: settings.shown,
        questions: try ledger.prompts(of: .training).map { PromptText($0) }, example: try ledger.examplePrompt(),
        events: try ledger.eventCounts(),
        progress: RunProgress(
          stepCount: Int(settings.method.steps), condition: condition, path: directory.path)),
      to: directory.report)
  }

  /// A run for the page that compares several. Its model need not be on this machine.
  ///
  /// - Throws: `RunError` or `LedgerError`.
  package static func comparable(_ directory: RunDirectory) throws -> ComparedRun {
    let manifest = try RunManifest(reading: directory)
    let ledger = try Ledger(path: directory.ledger, mode: .readOnly)
    return ComparedRun(
      name: directory.path.split(separator: "/").last.map(String.init) ?? directory.path,
      history: try history(ledger),
      settings: SettingTable.all.filter { $0.effect == .result }.map { ($0.name, $0.value(in: manifest.settings)) },
      wallSeconds: try ledger.value(for: .wallSeconds).flatMap(Double.init),
      weightsSHA256: try hashes(ledger).weights, events: try ledger.eventCounts())
  }
}
