// Bootstrap: the uncertainty of a mean over questions, without an assumption about how the values are distributed.
//
// The questions of the set are taken as the population: sets of the same size are drawn from them with replacement, and
// the middle 95 % of their means is the interval (Efron's percentile method, 1979). The draws are counter-based and
// always the same, so an interval depends on the values alone. All figures of one set of questions use the same draws.
// Not here: the variation between training seeds, which needs several runs.

/// A range of values, including both ends.
package struct Interval: Sendable, Equatable {
  package var low: Double
  package var high: Double

  package init(low: Double, high: Double) {
    self.low = low
    self.high = high
  }
}

package enum Bootstrap {
  /// Number of sets drawn. Of 2,000 means, 50 are outside each end of the interval.
  private static let resamples = 2000

  /// The 95 % interval of each column's mean over rows.
  ///
  /// - Parameter columns: each holds one figure's values by question; all have the same length P.
  /// - Returns: one interval per column; nil for fewer than 2 questions, because one value has no spread.
  package static func intervals(ofMeans columns: [[Double]]) -> [Interval?] {
    let count = columns.first?.count ?? 0
    guard count > 1 else { return columns.map { _ in nil } }
    var draws = RandomSequence(seed: 0, purpose: .bootstrap)
    var means = columns.map { _ in [Double]() }
    for _ in 0..<resamples {
      var sums = [Double](repeating: 0, count: columns.count)
      for _ in 0..<count {
        let row = draws.index(below: count)
        for column in columns.indices { sums[column] += columns[column][row] }
      }
      for column in columns.indices { means[column].append(sums[column] / Double(count)) }
    }
    let beyond = resamples / 40
    return means.map { values in
      let sorted = values.sorted()
      return Interval(low: sorted[beyond], high: sorted[resamples - 1 - beyond])
    }
  }

  /// The 95 % interval of one mean.
  package static func interval(ofMean values: [Double]) -> Interval? { intervals(ofMeans: [values])[0] }
}
