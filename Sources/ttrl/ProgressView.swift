// ProgressView: a run on the terminal, read from its own ledger.
//
// On a terminal: a block of lines that is drawn again in its place (LiveView). Above it are the lines that stay:
// evaluations, alarms, messages of the supervisor. Into a file or a pipe: one line per finished step and evaluation,
// and nothing that moves. It reads the ledger, so what it shows is durable, and the coordinator has no work with it.

import Base
import Ceilings
import Foundation
import Ledger
import Observatory
import Platform
import Records
import RunReading
import Runs

final class ProgressView {
  private let steps: Int
  private let watch: RunWatch
  /// "stage 2 of 3, vote: " if the run is a stage of a course; else empty.
  private let stage: String
  /// Whether there is a terminal to draw on.
  static var isLive: Bool { StandardError.isLive }
  private let isTerminal = ProgressView.isLive
  /// Whether the caller prints the figures itself: then there is only progress.
  private let isOfEvaluation: Bool
  /// When something was said last, or could have been.
  private var said = MonotonicClock.now()
  private var shownRounds = ""
  /// Whether it was shown that the reward command is waited for.
  private var wasJudging = false
  private var shownSteps = -1
  private var shownProblem: String?
  private var shownEvaluations: [String] = []
  /// Lines of the block that is on the screen. The cursor is below them.
  private var blockHeight = 0
  /// The peak speed of this machine.
  var peak: ArithmeticPeak?
  /// URL of the page, for the block.
  var page = ""

  init(_ directory: RunDirectory, steps: Int, isOfEvaluation: Bool = false) {
    self.steps = steps
    self.isOfEvaluation = isOfEvaluation
    watch = RunWatch(directory)
    stage = CoursePlace(of: directory).map { "\($0.title): " } ?? ""
  }

  /// What a run that continues has already recorded is not shown again.
  func passOver() {
    while watch.refresh() {}
    shownSteps = watch.digest.lastStep
    shownEvaluations = watch.digest.evaluations.map(text(for:))
  }

  func say(_ text: String) {
    said = MonotonicClock.now()
    clearBlock()
    write(text.visibleLines + "\n")
  }

  var isFinished: Bool { watch.view.isFinished }

  /// What is recorded about the end of a run that failed or was stopped; nil while it goes on, and of a run that no
  /// process runs for now.
  var endingBanner: Banner? {
    guard case .ended = watch.view.condition else { return nil }
    return watch.view.banner
  }

  /// "7 of 30 steps done".
  var stepsDone: String {
    "\(grouped(watch.digest.steps.count)) of \(counted(steps, "step")) done"
  }

  /// Shows what is new. A ledger that does not exist yet, or is busy, is read again next time.
  func refresh() {
    watch.refresh()
    show()
  }

  private func show() {
    let digest = watch.digest
    for evaluation in digest.evaluations {
      let text = text(for: evaluation)
      guard !isOfEvaluation, !shownEvaluations.contains(text) else { continue }
      shownEvaluations.append(text)
      say(stage + text)
    }
    sayAlarms(digest)
    if isTerminal {
      showBlock()
    } else {
      saySteps(digest)
      sayRounds()
      sayProblem()
    }
    shownSteps = digest.lastStep
  }

  /// Once: a ledger that stays unreadable must not fill a log.
  private func sayProblem() {
    let problem = watch.view.problem
    if let problem, problem != shownProblem { say("the run cannot be read now, and is tried again: \(problem)") }
    shownProblem = problem
  }

  /// - Parameter keepingBlock: whether the block stays on the screen.
  func finish(keepingBlock: Bool = false) {
    while watch.refresh() {}
    show()
    if keepingBlock { blockHeight = 0 } else { clearBlock() }
  }

  // MARK: Lines that stay

  private func sayAlarms(_ digest: RunDigest) {
    for onset in digest.alarms where onset.step > shownSteps { say(onset.text) }
  }

  /// A ledger that is busy is read again at the next look: no step is left out.
  private func saySteps(_ digest: RunDigest) {
    for step in digest.steps where step > shownSteps {
      guard let ledger = watch.ledger, let text = try? ledger.metrics(ofStep: Int(step)) else { return }
      var history = RunHistory()
      _ = (try? MetricsRow.parse(text)).map { history.add($0) }
      shownSteps = Int(step)
      guard let record = history.steps.first else {
        say("step \(step)  its record in the ledger cannot be read")
        continue
      }
      // The time left is known for the newest step only.
      let left = Int(step) == digest.lastStep ? digest.secondsLeft(ofSteps: steps) : nil
      say(stage + ProgressLine.text(for: record, of: steps, secondsLeft: left))
    }
  }

  /// A line now and then while nothing else is to say: how far the open rounds are.
  private func sayRounds() {
    var pause = isOfEvaluation ? shownRounds.isEmpty ? Limits.quiet : Limits.progressLine : Limits.progressLineOfRun
    // A program that is not ttrl's can be slow for reasons of its own.
    let isJudging = watch.view.openRounds.contains { $0.verdictsLeft ?? 0 > 0 }
    if isJudging { pause = wasJudging ? Limits.progressLine : Limits.quiet }
    guard MonotonicClock.now().since(said) >= pause else { return }
    let rounds = watch.view.openRounds.filter { $0.settled < $0.slots || $0.verdictsLeft ?? 0 > 0 }.map { round in
      if let left = round.verdictsLeft {
        return "\(round.name): waits for \(counted(left, "verdict")) of the reward command"
      }
      let what = isOfEvaluation ? "" : "\(round.name): "
      return "\(what)\(grouped(round.settled)) of \(counted(round.slots, "sample"))"
    }
    let text = rounds.joined(separator: "; ")
    guard text != shownRounds, !text.isEmpty else { return }
    (shownRounds, wasJudging) = (text, isJudging)
    say(text)
  }

  private func text(for evaluation: EvaluationRecord) -> String {
    func percent(_ value: Double?) -> String { value.map { String(format: "%.1f%%", $0 * 100) } ?? "–" }
    var parts = [
      "evaluation \(evaluation.moment), \(name(of: evaluation.set)) prompts:"
    ]
    parts.append("pass@1 \(percent(evaluation.passAt1))")
    for k in evaluation.majorityCounts { parts.append("maj@\(k) \(percent(evaluation.majority(at: k)))") }
    if evaluation.passAt1 == nil { parts.append("majority \(percent(evaluation.majorityRatio))") }
    if let answered = evaluation.answered { parts.append("(\(answered))") }
    return parts.joined(separator: "  ")
  }

  private func name(of set: Observatory.QuestionSet) -> String {
    switch set {
    case .train: "training"
    case .heldOut: "held-out"
    case .transfer: "transfer"
    }
  }

  // MARK: The block

  private func showBlock() {
    guard watch.ledger != nil else { return }
    var view = watch.view
    view.page = page
    view.peak = peak.map { ($0.sampling, $0.training) }
    view.stage = stage
    let lines = LiveView.lines(view, watch.digest, on: terminal)
    // Each line is cleared to its end as it is written, so that nothing flickers.
    let up = blockHeight > 0 ? "\u{1B}[\(blockHeight)A\r" : ""
    write(up + lines.map { $0 + "\u{1B}[K\n" }.joined() + "\u{1B}[J")
    blockHeight = lines.count
  }

  private var terminal: LiveView.Terminal {
    var size = winsize()
    let isKnown = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
    let environment = ProcessInfo.processInfo.environment
    let language = environment["LC_ALL"] ?? environment["LC_CTYPE"] ?? environment["LANG"] ?? ""
    return LiveView.Terminal(
      width: isKnown ? Int(size.ws_col) - 1 : 79, height: isKnown && size.ws_row > 4 ? Int(size.ws_row) : 24,
      isUnicode: language.lowercased().contains("utf"),
      isStyled: StandardError.isStyled)
  }

  private func clearBlock() {
    if blockHeight > 0 { write("\u{1B}[\(blockHeight)A\r\u{1B}[J") }
    blockHeight = 0
  }

  private func write(_ text: String) { StandardError.write(text) }
}
