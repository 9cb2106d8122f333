// LineView: how far a command is, on standard error: `eval`, `generate`, `export`.
//
// Nothing is shown in the first seconds, so a short command stays quiet. On a terminal one line is drawn again in its
// place; otherwise a line is added from time to time.

import Base
import Foundation
import LanguageModel
import Observatory
import Platform
import Runs
import Synchronization

final class LineView: Sendable {
  private struct State {
    var isOver = false
    /// A line is on the screen that has to be cleared.
    var isDrawn = false
  }

  private let begun = MonotonicClock.now()
  private let state = Mutex(State())
  private let text: @Sendable (_ seconds: Double) -> String

  /// Starts to show.
  ///
  /// - Parameter text: how far the command is, after so many seconds. Another thread calls it.
  /// - Throws: if the thread cannot be started.
  init(_ text: @escaping @Sendable (_ seconds: Double) -> String) throws {
    self.text = text
    try startThread(named: "progress") { self.run() }
  }

  /// After this, nothing is written any more.
  func end() {
    state.withLock { state in
      state.isOver = true
      if state.isDrawn { StandardError.write("\r\u{1B}[K") }
      state.isDrawn = false
    }
  }

  private func run() {
    let isLive = StandardError.isLive
    let pause = isLive ? Limits.progressRedrawn : Limits.progressLine
    var next = begun + Limits.quiet
    while true {
      while MonotonicClock.now() < next {
        usleep(50_000)
        if state.withLock({ $0.isOver }) { return }
      }
      next = next + pause
      state.withLock { state in
        guard !state.isOver else { return }
        let text = self.text(MonotonicClock.now().since(begun).seconds)
        StandardError.write(isLive ? "\r" + text + "\u{1B}[K" : text + "\n")
        state.isDrawn = isLive
      }
    }
  }
}

extension LineView {
  /// Shows how far sampling is.
  ///
  /// - Parameter samples: how many there will be.
  /// - Throws: if the thread cannot be started.
  convenience init(of progress: SamplingProgress, samples: Int) throws {
    try self.init { seconds in
      let rate = grouped(Int(Double(progress.tokens) / max(seconds, 0.001)))
      let text = "\(grouped(progress.samples)) of \(counted(samples, "sample")), \(rate) tokens/s"
      return text + Self.timeLeft(after: seconds, done: progress.samples, of: samples)
    }
  }

  /// ", 12 s left"; nothing before something is done.
  static func timeLeft(after seconds: Double, done: Int, of all: Int) -> String {
    done > 0 ? ", \(StepTime.text(seconds * Double(all - done) / Double(done))) left" : ""
  }
}
