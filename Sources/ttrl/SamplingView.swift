// SamplingView: how far the sampling of `eval` and `generate` is, on standard error.
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

final class SamplingView: Sendable {
  private struct State {
    var isOver = false
    /// A line is on the screen that has to be cleared.
    var isDrawn = false
  }

  private let progress: SamplingProgress
  private let samples: Int
  private let begun = MonotonicClock.now()
  private let state = Mutex(State())

  /// Starts to show.
  ///
  /// - Parameter samples: how many there will be.
  /// - Throws: if the thread cannot be started.
  init(of progress: SamplingProgress, samples: Int) throws {
    self.progress = progress
    self.samples = samples
    try startThread(named: "progress") { self.run() }
  }

  /// After this, nothing is written any more.
  func end() {
    state.withLock { state in
      state.isOver = true
      if state.isDrawn { StandardError.write("\r\u{1B}[K") }
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
        StandardError.write(isLive ? "\r" + text + "\u{1B}[K" : text + "\n")
        state.isDrawn = isLive
      }
    }
  }

  private var text: String {
    let seconds = MonotonicClock.now().since(begun).seconds
    let (finished, tokens) = (progress.samples, progress.tokens)
    let rate = grouped(Int(Double(tokens) / max(seconds, 0.001)))
    var text = "\(grouped(finished)) of \(counted(samples, "sample")), \(rate) tokens/s"
    if finished > 0 {
      text += ", \(StepTime.text(seconds * Double(samples - finished) / Double(finished))) left"
    }
    return text
  }
}
