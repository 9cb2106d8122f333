// Charts: what each chart of a run shows. The only place where charts are described.
//
// The report draws these charts (ReportCharts). The live page gets them with their values as JSON (PageCharts) and
// draws them in the browser. The terminal takes its names and units from here (LiveView), and so does the page that
// compares runs (ReportComparison). Not here: values (ChartValues), how a chart looks (Chart, ChartDrawing).

package import Records

/// One line, or one row of points, in a chart.
package struct Curve: Sendable {
  package enum Source: Sendable, Equatable {
    /// A figure of every step.
    case step(FigureName)
    /// A figure of the evaluations on one set of questions.
    case evaluation(QuestionSet, String)
    /// A share of the responses of one prompt, at every visit.
    case visit(VisitShare)
  }

  package enum VisitShare: Sendable { case label, right }

  package let source: Source
  /// For the legend and the values under the pointer.
  package let name: String
  /// For the end of the line, and for the terminal.
  package let label: String
  package let ink: Series.Ink
  package let mark: Series.Mark
  /// Whether a moving mean helps to read it.
  var isNoisy = true

  init(_ source: Source, _ name: String, _ label: String, _ ink: Series.Ink, _ mark: Series.Mark) {
    self.source = source
    self.name = name
    self.label = label
    self.ink = ink
    self.mark = mark
  }
}

/// A chart without its values.
package struct ChartDescription: Sendable {
  package let title: String
  /// What is shown, and in which direction it should go.
  package let help: String
  let unit: Chart.Unit
  /// The vertical axis goes up to this value at least.
  let top: Double
  package let curves: [Curve]
  /// Across the page, with the base model's majority vote as a level to compare with.
  var isMain = false

  package init(_ title: String, _ help: String, in unit: Chart.Unit = .percent, top: Double = 1, curves: [Curve]) {
    self.title = title
    self.help = help
    self.unit = unit
    self.top = top
    self.curves = curves
  }
}

package enum Charts {
  /// Of the horizontal axis, the same everywhere. The values of a step are drawn at the number of steps trained when
  /// its responses were sampled, so that they line up with the evaluations of the same policy.
  package static let axis = "steps trained"

  /// The result: how often responses are right, and how often the majority of the responses is.
  static let accuracy = {
    var chart = ChartDescription(
      "Accuracy",
      "Lines: the samples of each step, how many responses and how many labels are right. Points: evaluations. Higher "
        + "is better.",
      curves: [
        Curve(.step(.groundTruthRatio), "pass@1 while training", "pass@1", .right, .solid),
        Curve(.step(.labelAccuracy), "label accuracy while training", "labels", .majority, .dashed),
        Curve(.evaluation(.train, "pass@1"), "pass@1, training questions", "eval pass@1", .right, .disc),
        Curve(.evaluation(.train, "maj@16"), "maj@16, training questions", "eval maj@16", .majority, .square),
        Curve(.evaluation(.heldOut, "pass@1"), "pass@1, held-out questions", "held out", .reward, .ring),
      ])
    chart.isMain = true
    return chart
  }()

  /// What the method sees and does.
  static let learning = [
    ChartDescription(
      "Perplexity", "Of the given responses, before each update. It falls as they become likelier.", in: .plain, top: 1,
      curves: [Curve(.step(.perplexity), "perplexity", "perplexity", .right, .solid)]),
    ChartDescription(
      "Labels and rewards", "How often the label, and a response's reward, is what the true answer would have given.",
      curves: [
        Curve(.step(.rewardAccuracy), "reward accuracy", "rewards", .reward, .solid),
        Curve(.step(.labelAccuracy), "label accuracy", "labels", .majority, .dashed),
      ]),
    ChartDescription(
      "Majority ratio",
      "Share of responses that gave the label. It needs no answers; it rises as the model becomes more certain.",
      curves: [Curve(.step(.majorityRatio), "majority ratio", "majority", .majority, .solid)]),
    ChartDescription(
      "Entropy", "How much the model's responses vary. Near 0 they are always the same.", in: .nats, top: 0.1,
      curves: [Curve(.step(.entropy), "entropy", "entropy", .other, .solid)]),
    ChartDescription(
      "Response length", "If it grows or falls without end, something is wrong.", in: .tokens, top: 8,
      curves: [
        Curve(.step(.responseLengthMean), "mean length", "mean", .right, .solid),
        Curve(.step(.responseLengthMax), "longest response", "longest", .quiet, .dotted),
      ]),
    ChartDescription(
      "Warning signs",
      "Questions with zero advantage (no signal) or with a tied vote; responses without an answer or cut off.",
      top: 0.1,
      curves: [
        Curve(.step(.zeroAdvantageRatio), "no signal", "no signal", .quiet, .dotted),
        Curve(.step(.noAnswerRatio), "no answer", "no answer", .majority, .solid),
        Curve(.step(.truncationRatio), "cut off", "cut off", .right, .dashed),
        Curve(.step(.tieRatio), "tied vote", "tie", .other, .solid),
      ]),
    ChartDescription(
      "Position bias",
      "How unequally often the places of options are chosen, whatever option is there. 0: all places equally often.",
      top: 0.1,
      curves: [Curve(.step(.positionBias), "position bias", "position bias", .majority, .solid)]),
    ChartDescription(
      "Label changes",
      "Distinct labels per question: if they become few, one answer takes over. Flips: labels that differ from the "
        + "question's visit before. Overturned: flips of labels that most responses had agreed on.",
      in: .plain, top: 0.1,
      curves: [
        Curve(.step(.distinctLabelRatio), "distinct labels", "distinct labels", .majority, .solid),
        Curve(.step(.flipRatio), "flips", "flips", .quiet, .dotted),
        Curve(.step(.overturnRatio), "overturned", "overturned", .other, .dashed),
      ]),
    ChartDescription(
      "Time per step", "A step samples, then trains. If it waits for an evaluation, that is part of sampling.",
      in: .seconds, top: 1e-3,
      curves: [
        Curve(.step(.rolloutSeconds), "sampling time", "sampling", .right, .solid),
        Curve(.step(.trainSeconds), "training time", "training", .majority, .dashed),
      ]),
  ]

  /// What the optimizer does.
  static let optimizer = {
    var rate = Curve(.step(.learningRate), "learning rate", "learning rate", .quiet, .solid)
    rate.isNoisy = false
    return [
      ChartDescription("Learning rate", "Of every update of a step.", in: .plain, top: 1e-12, curves: [rate]),
      ChartDescription(
        "Gradient norm", "Before clipping, mean over the updates of a step.", in: .plain, top: 1e-6,
        curves: [Curve(.step(.gradientNorm), "gradient norm", "gradient norm", .quiet, .solid)]),
      ChartDescription(
        "Clip ratio", "Share of trained tokens whose probability ratio was clipped.", top: 0.001,
        curves: [Curve(.step(.clipRatio), "clip ratio", "clip ratio", .quiet, .solid)]),
    ]
  }()

  /// All charts of a run, in the order in which they are shown.
  package static let all = [accuracy] + learning + optimizer

  /// Of one prompt.
  package static let agreement = ChartDescription(
    "Agreement and right responses", "Shares of the responses to this prompt, at every visit.",
    curves: [
      Curve(.visit(.label), "gave the label", "label", .majority, .solid),
      Curve(.visit(.right), "right", "right", .right, .dashed),
    ])

  /// Figures of which the page that compares runs has a chart, with one line per run.
  package static let compared: [FigureName] = [
    .groundTruthRatio, .labelAccuracy, .majorityRatio, .entropy, .distinctLabelRatio, .rolloutSeconds,
    .trainSeconds,
  ]

  /// The first curve of a figure of every step, and its chart; nil if there is none.
  static func curve(of figure: FigureName) -> (curve: Curve, chart: ChartDescription)? {
    for chart in all {
      if let curve = chart.curves.first(where: { $0.source == .step(figure) }) { return (curve, chart) }
    }
    return nil
  }
}
