// Axis: a range of values, the round numbers marked on it, and where each value lies.

/// One axis of a chart. Values may lie anywhere; the chart decides what it draws.
package struct Axis: Sendable, Equatable {
  let low: Double
  let high: Double
  /// Ascending round numbers, both ends of a vertical axis among them.
  package let ticks: [Double]

  /// The vertical axis: from 0, or below where values are negative, to a round number.
  ///
  /// - Parameters:
  ///   - values: finite, at most `drawableMax` in size.
  ///   - top: the least that the axis reaches up to; > 0.
  package init(values: [Double], top: Double) {
    let span = (low: min(0, values.min() ?? 0), high: max(top, values.max() ?? 0))
    let (multiple, unit) = Axis.spacing(of: (span.high - span.low) / 4)
    let step = multiple * unit
    let first = (span.low / step).rounded(.down)
    // A hair less than the quotient: 1 / 0.25 may come out above 4, and an empty interval would be added.
    let last = (span.high / step - 1e-9).rounded(.up)
    // One multiplication per tick: adding steps up would add their errors up.
    ticks = (Int(first)...Int(last)).map { Double($0) * multiple * unit }
    low = first * step
    high = last * step
  }

  /// The horizontal axis: steps. The ends are exact, the ticks whole numbers.
  package init(steps: ClosedRange<Int>, tickCount: Int) {
    let range = steps.lowerBound...max(steps.upperBound, steps.lowerBound + 1)
    let (multiple, unit) = Axis.spacing(of: max(1, Double(range.count - 1) / Double(tickCount)))
    let step = max(1, Int((multiple * unit).rounded(.up)))
    let first = (range.lowerBound + step - 1) / step * step
    ticks = stride(from: first, through: range.upperBound, by: step).map(Double.init)
    low = Double(range.lowerBound)
    high = Double(range.upperBound)
  }

  /// Where `value` lies, 0 at `low` and 1 at `high`.
  package func position(_ value: Double) -> Double { (value - low) / (high - low) }

  /// Larger values are not drawn: their differences could overflow.
  static let drawableMax = 1e30

  /// The next round number from `size` up, as multiple · power of ten: 1, 2, 2.5 or 5 times 10^n.
  private static func spacing(of size: Double) -> (multiple: Double, unit: Double) {
    let (mantissa, exponent) = Figures.decimalParts(size)
    let multiple = [1, 2, 2.5, 5, 10].first { mantissa <= $0 * (1 + 1e-9) } ?? 10
    // Parsed rather than computed, for the nearest double.
    return (multiple, Double("1e\(exponent)") ?? 1)
  }
}
