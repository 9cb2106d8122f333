// ChartValues: a described chart with the values of a run.
//
// A report has every step's record (RunHistory). A watcher has columns of numbers (RunDigest) and thins them out to
// what a screen can show.

extension Chart {
  /// - Parameter points: those of one curve; empty where the run has none.
  init(
    _ description: ChartDescription, baseMajority: @autoclosure () -> (k: Int, value: Double)?,
    points: (Curve.Source) -> [Series.Point]
  ) {
    let isOnly = description.curves.count == 1
    self.init(
      description,
      series: description.curves.map { curve in
        // A single line needs no label: the title says what it is.
        Series(
          name: curve.name, label: isOnly ? "" : curve.label, ink: curve.ink, mark: curve.mark, isNoisy: curve.isNoisy,
          points: points(curve.source))
      },
      reference: description.isMain ? baseMajority().map(Reference.init) : nil)
  }
}

extension Chart.Reference {
  /// What voting alone gives, without training.
  init(_ base: (k: Int, value: Double)) {
    self.init(name: "the base model's own majority vote", label: "base maj@\(base.k)", value: base.value)
  }
}

extension Series {
  /// The evaluations of one figure, at the policies they are of.
  static func points(_ evaluations: [EvaluationRecord], _ figure: String) -> [Point] {
    evaluations.map { Point(step: $0.policy, value: $0[figure]?.value) }
  }
}

extension RunHistory {
  /// Every step as it is.
  func chart(_ description: ChartDescription) -> Chart {
    Chart(description, baseMajority: Outcome(self).baseMajority) { source in
      switch source {
      case .step(let figure): steps.map { Series.Point(step: $0.step, value: $0[figure]) }
      case .evaluation(let set, let figure): Series.points(evaluations(on: set), figure)
      case .visit: []
      }
    }
  }
}

extension RunDigest {
  /// - Parameter bins: of neighbouring steps; each is one point, their mean, at its last step.
  func chart(_ description: ChartDescription, bins: [Range<Int>]) -> Chart {
    Chart(description, baseMajority: ends(on: .train).baseMajority) { source in
      switch source {
      case .step(let figure):
        let column = column(figure)
        return bins.map { bin in
          let mean = column.isEmpty ? Float.nan : PageAnswers.mean(column[bin])
          return Series.Point(step: Int(steps[bin.upperBound - 1]), value: mean.isFinite ? Double(mean) : nil)
        }
      case .evaluation(let set, let figure):
        return Series.points(PageAnswers.thinned(evaluations(on: set), to: PageAnswers.evaluationsMax), figure)
      case .visit: return []
      }
    }
  }
}

extension PromptTrack.Visit {
  /// A share of the visit's responses; nil where it is not known.
  func share(_ share: Curve.VisitShare) -> Double? {
    let count = share == .label ? Int(votes) : right
    return samples > 0 ? count.map { Double($0) / Double(samples) } : nil
  }
}
