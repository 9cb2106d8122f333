// LearningRate: a linear warm-up, then a cosine or a constant. A pure function of the step.

import Glibc

/// The learning rate by optimizer step.
package struct LearningRate: Sendable, Equatable {
  package var peak: Double
  /// Steps over which the rate rises; the first step already moves.
  package var warmupSteps: Int
  /// The step at which the cosine reaches its floor; nil keeps the rate at its peak.
  package var totalSteps: Int?
  /// The floor as a share of the peak.
  package var floorShare: Double

  package init(peak: Double, warmupSteps: Int = 0, totalSteps: Int? = nil, floorShare: Double = 0) {
    self.peak = peak
    self.warmupSteps = warmupSteps
    self.totalSteps = totalSteps
    self.floorShare = floorShare
  }

  /// The rate of an update; `step` counts those applied before it.
  package func rate(at step: Int) -> Float {
    if step < warmupSteps { return Float(peak * Double(step + 1) / Double(warmupSteps)) }
    guard let totalSteps else { return Float(peak) }
    let span = max(1, totalSteps - warmupSteps)
    let progress = min(1, Double(step - warmupSteps) / Double(span))
    let share = floorShare + (1 - floorShare) * (1 + cos(Double.pi * progress)) / 2
    return Float(peak * share)
  }
}
