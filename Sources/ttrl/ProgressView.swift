// ProgressView: a run on the terminal, read from its own ledger.
//
// One line per finished step and evaluation; on a terminal also a live line. Reading the ledger beside the coordinator
// costs it nothing, and what is shown is what is durable.

import Base
import Foundation
import Ledger
import Observatory
import Platform
import Records
import Runs

final class ProgressView {
  private let directory: RunDirectory
  private let steps: Int
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private var ledger: Ledger?
  private var shownSteps = -1
  private var shownEvaluations = 0
  private var hasLiveLine = false

  init(_ directory: RunDirectory, steps: Int) {
    self.directory = directory
    self.steps = steps
  }

  func say(_ text: String) {
    clearLiveLine()
    write(text + "\n")
  }

  /// Prints what is new. A ledger that is not there yet, or busy, is looked at again next time.
  func refresh() {
    if ledger == nil { ledger = try? Ledger(path: directory.ledger, mode: .readOnly) }
    guard let ledger, let view = try? look(ledger) else { return }
    for evaluation in view.history.evaluations.dropFirst(shownEvaluations) {
      say(text(for: evaluation))
    }
    shownEvaluations = max(shownEvaluations, view.history.evaluations.count)
    for step in view.history.steps where step.step > shownSteps {
      say(ProgressLine.text(for: step, of: steps, secondsLeft: view.history.secondsLeft(ofSteps: steps)))
      for onset in view.history.alarms where onset.step == step.step { say(onset.text) }
      shownSteps = step.step
    }
    if isTerminal, let status = view.status { showLive(status) }
  }

  func finish() {
    refresh()
    clearLiveLine()
  }

  // MARK: Looking

  private func look(_ ledger: Ledger) throws -> (history: RunHistory, status: LiveStatus?) {
    try ledger.transaction { () throws(LedgerError) in
      let rows = try ledger.stepMetrics().map(\.json) + ledger.evaluationMetrics().map(\.json)
      let history = RunHistory(parsing: rows.joined(separator: "\n"))
      return (history, try status(ledger, history))
    }
  }

  /// What the run is doing: the first open round, or else training on the last closed one.
  private func status(_ ledger: Ledger, _ history: RunHistory) throws(LedgerError) -> LiveStatus? {
    let step = history.steps.count
    guard let round = try ledger.rounds().first(where: { $0.closedAt == nil }) else {
      return LiveStatus(step: max(0, min(step, steps - 1)), stepCount: steps, phase: .publishing)
    }
    let done = try ledger.accountedCount(of: round.id)
    return LiveStatus(
      step: max(0, min(Int(round.id.step), steps - 1)), stepCount: steps,
      phase: round.id.purpose == .train
        ? .sampling(done: done, total: round.slots) : .evaluating(done: done, total: round.slots),
      secondsLeft: history.secondsLeft(ofSteps: steps))
  }

  private func text(for evaluation: EvaluationRecord) -> String {
    func percent(_ value: Double?) -> String { value.map { String(format: "%.1f%%", $0 * 100) } ?? "–" }
    var parts = [
      "evaluation of policy \(evaluation.policy), \(name(of: evaluation.set)) prompts:"
    ]
    parts.append("pass@1 \(percent(evaluation.passAt1))")
    for k in evaluation.majorityCounts { parts.append("maj@\(k) \(percent(evaluation.majority(at: k)))") }
    if evaluation.passAt1 == nil { parts.append("majority \(percent(evaluation.majorityRatio))") }
    return parts.joined(separator: "  ")
  }

  private func name(of set: Observatory.QuestionSet) -> String {
    switch set {
    case .train: "training"
    case .heldOut: "held-out"
    case .transfer: "transfer"
    }
  }

  // MARK: Terminal

  private func showLive(_ status: LiveStatus) {
    var size = winsize()
    let width = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    clearLiveLine()
    write(ProgressLine.text(for: status, width: width - 1))
    hasLiveLine = true
  }

  private func clearLiveLine() {
    if hasLiveLine { write("\r\u{1B}[K") }
    hasLiveLine = false
  }

  private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
