// ReportCharts: which curves the report draws, in which order, and what each is called.
//
// A step's own figures stand at the number of steps trained when its responses were sampled, so that they line up with
// the evaluations of the same policy.

import Records

enum ReportCharts {
  /// The result: how often responses are right, and how often their majority is.
  static func accuracy(_ history: RunHistory, _ outcome: Outcome) -> Chart {
    var chart = Chart(
      title: "Accuracy",
      note:
        "Points are evaluations; lines are what each step sampled to vote: the share of right responses, and of right "
        + "majorities (label accuracy). Higher is better.",
      series: [
        line(history, "pass@1 while training", "training pass@1", .right, .solid, \.groundTruthRatio),
        line(
          history, "label accuracy while training", "labels", .majority,
          .dashed, \.labelAccuracy),
        points(history, "pass@1, training questions", "pass@1", .right, .disc, .train, \.passAt1),
        points(history, "maj@16, training questions", "maj@16", .majority, .square, .train) { $0.majority(at: 16) },
        points(history, "pass@1, held-out questions", "held out", .reward, .ring, .heldOut, \.passAt1),
      ])
    if let base = outcome.baseMajority {
      chart.reference = Chart.Reference(value: base.value, label: "base maj@\(base.k) \(Figures.percent(base.value))")
    }
    return chart
  }

  /// What the method sees and does.
  static func learning(_ history: RunHistory) -> [Chart] {
    [
      Chart(
        title: "Labels and rewards",
        note:
          "How often the vote's label, and how often a response's reward, is what the true answer would have given.",
        series: [
          line(history, "reward accuracy", "rewards", .reward, .solid, \.rewardAccuracy),
          line(history, "label accuracy", "labels", .majority, .dashed, \.labelAccuracy),
        ]),
      Chart(
        title: "Majority ratio",
        note: "Share of responses that agree with the label. Needs no answers; it rises as the model grows certain.",
        series: [line(history, "majority ratio", "", .majority, .solid, \.majorityRatio)]),
      Chart(
        title: "Entropy", note: "How open the model still is. Near 0 it says the same every time.", unit: .nats,
        series: [line(history, "entropy", "", .other, .solid, \.entropy)], top: 0.1),
      Chart(
        title: "Response length", note: "A length that runs away, or collapses, is an early sign of trouble.",
        unit: .tokens,
        series: [
          line(history, "mean", "mean", .right, .solid, \.[.responseLengthMean]),
          line(history, "longest", "longest", .quiet, .dotted, \.[.responseLengthMax]),
        ], top: 8),
      Chart(
        title: "Guards",
        note:
          "Shares of responses without an answer or cut off; of questions with a tied vote or nothing to learn from.",
        series: [
          line(history, "no signal (zero advantage)", "no signal", .quiet, .dotted, \.[.zeroAdvantageRatio]),
          line(history, "no answer", "no answer", .majority, .solid, \.noAnswerRatio),
          line(history, "cut off", "cut off", .right, .dashed, \.truncationRatio),
          line(history, "tie", "tie", .other, .solid, \.[.tieRatio]),
        ], top: 0.1),
      Chart(
        title: "Labels",
        note:
          "Different labels per question: where it falls far, one answer is taking over. How many labels are another "
          + "than at the question's last visit; and how many of them most responses had agreed on.",
        series: [
          line(history, "distinct labels", "distinct", .majority, .solid, \.distinctLabelRatio),
          line(history, "flips", "flips", .quiet, .dotted, \.[.flipRatio]),
          line(history, "overturned", "overturned", .other, .solid, \.[.overturnRatio]),
        ], top: 0.1),
      Chart(
        title: "Time per step", note: "Sampling and training, one after the other.", unit: .seconds,
        series: [
          line(history, "sampling", "sampling", .right, .solid, \.rolloutSeconds),
          line(history, "training", "training", .majority, .dashed, \.trainSeconds),
        ], top: 1e-3),
    ]
  }

  /// What the optimizer does.
  static func optimizer(_ history: RunHistory) -> [Chart] {
    var rate = line(history, "learning rate", "", .quiet, .solid, \.[.learningRate])
    rate.isNoisy = false
    return [
      Chart(title: "Learning rate", note: "Of each step.", unit: .plain, series: [rate], top: 1e-12),
      Chart(
        title: "Gradient norm", note: "Before clipping, mean over a step's updates.", unit: .plain,
        series: [line(history, "gradient norm", "", .quiet, .solid, \.[.gradientNorm])], top: 1e-6),
      Chart(
        title: "Clip ratio", note: "Share of trained tokens whose probability ratio was clipped.",
        series: [line(history, "clip ratio", "", .quiet, .solid, \.[.clipRatio])], top: 0.001),
    ]
  }

  private static func line(
    _ history: RunHistory, _ name: String, _ label: String, _ ink: Series.Ink, _ mark: Series.Mark,
    _ value: (StepRecord) -> Double?
  ) -> Series {
    Series(
      name: name, label: label, ink: ink, mark: mark,
      points: history.steps.map { Series.Point(step: $0.step, value: value($0)) })
  }

  private static func points(
    _ history: RunHistory, _ name: String, _ label: String, _ ink: Series.Ink, _ mark: Series.Mark,
    _ set: QuestionSet, _ value: (EvaluationRecord) -> Double?
  ) -> Series {
    Series(
      name: name, label: label, ink: ink, mark: mark, isNoisy: false,
      points: history.evaluations(on: set).map { Series.Point(step: $0.policy, value: value($0)) })
  }
}

// MARK: - As figures of the page

extension ReportCharts {
  /// Charts side by side: the same margins for all, so that the same step stands in the same place. Charts without
  /// data are left out.
  static func figures(_ charts: [Chart], steps: ClosedRange<Int>, width: Double, height: Double) -> Markup {
    let charts = charts.compactMap(\.withoutEmptySeries)
    let margins = charts.map(\.margins).reduce(Chart.Margins()) { $0.union($1) }
    var markup: Markup = ""
    for chart in charts {
      markup += chart.figure(chart.svg(steps: steps, width: width, height: height, margins: margins, style: "small"))
    }
    return markup
  }

  /// A chart across the page, drawn twice: one drawing alone would have unreadable text on a phone.
  static func wideFigure(_ chart: Chart, steps: ClosedRange<Int>) -> Markup {
    guard let chart = chart.withoutEmptySeries else { return "" }
    return chart.figure(
      """
      \(chart.svg(steps: steps, width: 1000, height: 380, margins: chart.margins, style: "wide"))\
      \(chart.svg(steps: steps, width: 400, height: 320, margins: chart.margins, style: "narrow"))
      """)
  }
}

extension Chart {
  /// The chart with the series that have a point; nil if none has.
  fileprivate var withoutEmptySeries: Chart? {
    var chart = self
    chart.series.removeAll { $0.drawn.isEmpty }
    return chart.series.isEmpty ? nil : chart
  }

  /// Title and legend above a drawing.
  fileprivate func figure(_ drawing: Markup) -> Markup {
    """
    <figure><figcaption><strong>\(title)</strong>\(note)</figcaption>
    \(legend)\(drawing)</figure>

    """
  }

  private var legend: Markup {
    guard series.count > 1 || reference != nil else { return "" }
    let entries = series.map { series -> Markup in
      "<li class=\"\(series.ink.rawValue)\">\(series.mark.swatch)\(series.name)</li>"
    }
    let base: Markup =
      reference == nil
      ? "" : "<li><svg><path class=\"reference\" d=\"M1 6H23\"/></svg>the base model's own majority vote</li>"
    return "<ul class=\"legend\">\(entries)\(base)</ul>\n"
  }
}

extension Series.Mark {
  /// The mark in small, for the legend.
  fileprivate var swatch: Markup {
    switch self {
    case .solid: "<svg><path class=\"line\" d=\"M1 6H23\"/></svg>"
    case .dashed: "<svg><path class=\"line dashed\" d=\"M1 6H23\"/></svg>"
    case .dotted: "<svg><path class=\"line dotted\" d=\"M1 6H23\"/></svg>"
    case .disc, .square: "<svg><path class=\"full\" d=\"\(outline(x: 12, y: 6))\"/></svg>"
    case .ring, .frame: "<svg><path class=\"hollow\" d=\"\(outline(x: 12, y: 6))\"/></svg>"
    }
  }
}
