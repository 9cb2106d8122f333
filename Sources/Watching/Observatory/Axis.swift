// Axis: a range of values, the round numbers marked on it, and the place of each value.

/// One axis of a chart. A value can be outside its range; the chart decides what it draws.
package struct Axis: Sendable, Equatable {
  let low: Double
  let high: Double
  /// Ascending round numbers. Both ends of a vertical axis are among them.
  package let ticks: [Double]

  /// The vertical axis: from 0, or below where values are negative, to a round number.
  ///
  /// - Parameters:
  ///   - values: finite, at most `drawableMax` in size.
  ///   - top: the axis goes up to this value at least; > 0.
  package init(values: [Double], top: Double) {
    let span = (low: min(0, values.min() ?? 0), high: max(top, values.max() ?? 0))
    let (multiple, unit) = Axis.spacing(of: (span.high - span.low) / 4)
    let step = multiple * unit
    let first = (span.low / step).rounded(.down)
    // Slightly less than the quotient: 1 / 0.25 can be rounded to more than 4, which would add an empty interval.
    let last = (span.high / step - 1e-9).rounded(.up)
    // One multiplication per tick: a sum of steps would also sum their errors.
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

  /// The place of `value`: 0 at `low` and 1 at `high`.
  package func position(_ value: Double) -> Double { (value - low) / (high - low) }

  /// Larger values are not drawn: their differences could overflow.
  static let drawableMax = 1e30

  /// The next round number from `size` up, as multiple · power of ten: 1, 2, 2.5 or 5 times 10^n.
  private static func spacing(of size: Double) -> (multiple: Double, unit: Double) {
    let (mantissa, exponent) = Figures.decimalParts(size)
    let multiple = [1, 2, 2.5, 5, 10].first { mantissa <= $0 * (1 + 1e-9) } ?? 10
    // Parsed and not computed, because parsing gives the nearest double.
    return (multiple, Double("1e\(exponent)") ?? 1)
  }
}
