// Bootstrap: how far a mean over questions may be trusted, without assuming what the values look like.
//
// The questions at hand are taken as the population: sets of the same size are drawn from them with replacement, and
// the middle 95 % of their means is the interval (Efron's percentile method, 1979). The draws are counter-based and
// always the same, so an interval is a function of the values alone, and figures of the same questions are drawn
// together. Not here: what varies between seeds of training; that needs several runs.

/// A range of values, ends included.
package struct Interval: Sendable, Equatable {
  package var low: Double
  package var high: Double

  package init(low: Double, high: Double) {
    self.low = low
    self.high = high
  }
}

package enum Bootstrap {
  /// Sets drawn. With 2,000, 50 means lie beyond each end.
  package static let resamples = 2000

  /// The 95 % interval of each column's mean over rows.
  ///
  /// - Parameter columns: one figure each, by question; all of the same length P.
  /// - Returns: one per column; nil for fewer than 2 questions, of which nothing can be said.
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
