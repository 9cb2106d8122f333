// Plateau: has the majority ratio stopped rising? It needs no true answers, as the guard.
//
// The sign of learning that every step has is how much the responses agree with their label. The mean of the last
// window is compared with the mean of the window before. If it is not higher by more than `gain`, further steps teach
// little. A window is the guard's: by default one pass over the prompts, so that both windows have the same questions.
// It is a pure function of the recorded steps, so a restarted coordinator ends the run at the same step. Not here: what
// the run delivers (Fleet.RunCourse), and signs that the policy is being destroyed (Guard).

package struct Plateau: Sendable {
  /// The first step after which the majority ratio no longer rose; nil if it still rises, or before two windows.
  package private(set) var step: UInt32?
  private let window: Int
  /// Of the last two windows, by step.
  private var ratios: [Double] = []

  /// How much higher the mean of a window has to be, as a share of the responses. Sampling alone moves the mean over
  /// 100 prompts of 64 responses by about 0.005.
  package static let gain = 0.01

  /// - Parameter window: steps.
  package init(window: Int) { self.window = window }

  /// Adds the next step.
  package mutating func observe(_ signs: StepSigns) {
    ratios = ratios.suffix(2 * window - 1) + [signs.majorityRatio]
    guard step == nil, ratios.count == 2 * window else { return }
    let (before, now) = (mean(ratios.prefix(window)), mean(ratios.suffix(window)))
    if now - before <= Self.gain { step = signs.step }
  }

  private func mean(_ values: ArraySlice<Double>) -> Double { values.reduce(0, +) / Double(values.count) }
}
