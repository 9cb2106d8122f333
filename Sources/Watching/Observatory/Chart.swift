// Chart: what a learning curve shows, and where its parts lie.
//
// Four habits. Every line is labelled at its end, so the legend explains and need not be decoded. Colour is never
// alone: lines differ in dash, points in shape. Axes begin at 0. A gap in the data is a gap in the line. Where there
// are many steps, the line is a moving mean, and every step stays visible, faintly, behind it.
// A chart is drawn for a given width, not stretched to it: text must keep its size.
// Not here: the strokes (ChartDrawing), colours and dashes (ReportStyle), which charts there are (ReportCharts).

/// One thing measured along the run.
package struct Series: Sendable {
  /// One measurement; nil where there was none.
  package struct Point: Sendable {
    /// Steps trained when it was measured.
    package let step: Int
    package let value: Double?

    package init(step: Int, value: Double?) {
      self.step = step
      self.value = value
    }

    /// The value, unless its size would spoil the arithmetic of the drawing.
    var drawable: Double? { value.flatMap { abs($0) <= Axis.drawableMax ? $0 : nil } }
  }

  /// By meaning, the same in all charts: what is right, what the majority says, what is rewarded, the rest.
  package enum Ink: String, Sendable { case right = "c1", majority = "c2", reward = "c3", other = "c4", quiet = "c5" }

  /// Lines for what every step measures, markers for evaluations; rings and frames are hollow.
  package enum Mark: Sendable, Equatable {
    case solid, dashed, dotted
    case disc, ring, square, frame

    var isLine: Bool { self == .solid || self == .dashed || self == .dotted }
  }

  /// For the legend and the pointer's values.
  let name: String
  /// For the end of the line.
  let label: String
  let ink: Ink
  let mark: Mark
  /// A moving mean helps to read it; false for what is smooth by itself.
  var isNoisy: Bool
  let points: [Point]

  package init(name: String, label: String, ink: Ink, mark: Mark, isNoisy: Bool = true, points: [Point]) {
    self.name = name
    self.label = label
    self.ink = ink
    self.mark = mark
    self.isNoisy = isNoisy
    self.points = points
  }

  /// The points that can be drawn.
  var drawn: [(step: Int, value: Double)] {
    points.compactMap { point in point.drawable.map { (point.step, $0) } }
  }
}

/// A title, some series over the steps of a run, and perhaps a level to compare them with.
package struct Chart: Sendable {
  /// Of the vertical axis. The raw value is what the page's script goes by.
  package enum Unit: String, Sendable {
    case percent, nats, tokens, seconds, plain

    var axisTitle: String {
      switch self {
      case .percent, .plain: ""
      case .nats: "nats per token"
      case .tokens: "tokens"
      case .seconds: "seconds"
      }
    }

    /// On the axis: as short as can be.
    func tick(_ value: Double) -> String {
      typeset(self == .percent ? Figures.short(value * 100) + "%" : Figures.short(value))
    }
  }

  /// A horizontal line across the chart.
  package struct Reference: Sendable {
    let value: Double
    let label: String
  }

  let title: String
  /// One line: what is shown, in which direction it should go.
  let note: String
  let unit: Unit
  var series: [Series]
  var reference: Reference?
  /// The least the vertical axis reaches up to.
  var top: Double

  package init(
    title: String, note: String, unit: Unit = .percent, series: [Series], reference: Reference? = nil, top: Double = 1
  ) {
    self.title = title
    self.note = note
    self.unit = unit
    self.series = series
    self.reference = reference
    self.top = top
  }
}

extension Chart {
  /// A value beside its line: as the tables write it, unless the whole chart is about less.
  func text(_ value: Double) -> String {
    switch unit {
    case .percent where axis.high >= 0.05: typeset(Figures.percent(value))
    case .seconds: unit.tick(value) + " s"
    case .percent, .nats, .tokens, .plain: unit.tick(value)
    }
  }
}

extension Series {
  /// The mean over a window of about a twelfth of the run, at most 25 steps, centred; nil where there are too few
  /// steps to need one.
  package var movingMean: [Point]? {
    let known = points.compactMap(\.drawable)
    guard isNoisy, known.count >= 40 else { return nil }
    let reach = Series.smoothingReach(of: known.count)
    var index = -1
    return points.map { point in
      guard point.drawable != nil else { return Point(step: point.step, value: nil) }
      index += 1
      let window = known[max(0, index - reach)...min(known.count - 1, index + reach)]
      return Point(step: point.step, value: window.reduce(0, +) / Double(window.count))
    }
  }

  /// Steps to either side in a moving mean.
  static func smoothingReach(of count: Int) -> Int { min(max(1, count / 24), 12) }
}

// MARK: - Labels at the end of lines

extension Chart {
  struct EndLabel: Sendable {
    let text: String
    let style: String
    let step: Int
    let value: Double
  }

  /// One per series: its label and the last value of what is drawn boldly.
  var endLabels: [EndLabel] {
    series.compactMap { series in
      let points = series.movingMean ?? series.points
      guard let end = points.last(where: { $0.drawable != nil }), let value = end.value else { return nil }
      let text = series.label.isEmpty ? text(value) : "\(series.label) \(text(value))"
      return EndLabel(text: text, style: series.ink.rawValue, step: end.step, value: value)
    }
  }
}

// MARK: - Geometry

/// Where a chart's parts lie, in SVG units (CSS pixels at natural size), y down.
struct Plot: Sendable {
  let width: Double
  let height: Double
  let left: Double
  let right: Double
  let top = 22.0
  let bottom: Double
  let x: Axis
  let y: Axis

  init(_ chart: Chart, steps: ClosedRange<Int>, width: Double, height: Double, margins: Chart.Margins) {
    y = chart.axis
    x = Axis(steps: steps, tickCount: width > 600 ? 8 : 4)
    self.width = width
    self.height = height
    left = margins.left
    right = max(left + 80, width - margins.right)
    bottom = height - 36
  }

  func x(_ step: Int) -> Double { left + x.position(Double(step)) * (right - left) }
  func y(_ value: Double) -> Double { bottom - y.position(value) * (bottom - top) }
}

extension Chart {
  /// Room for the text beside the plot.
  package struct Margins: Sendable {
    var left = 0.0
    var right = 0.0

    package init(left: Double = 0, right: Double = 0) {
      self.left = left
      self.right = right
    }

    func union(_ other: Margins) -> Margins {
      Margins(left: max(left, other.left), right: max(right, other.right))
    }
  }

  var axis: Axis {
    Axis(values: series.flatMap { $0.drawn.map(\.value) } + (reference.map { [$0.value] } ?? []), top: top)
  }

  /// What this chart needs. The text is 11.5 px high; 6.3 px a character is on the wide side for it.
  var margins: Margins {
    let ticks = axis.ticks.map { unit.tick($0).count }
    let labels = endLabels.map(\.text.count) + (reference.map { [$0.label.count] } ?? [])
    return Margins(left: 12 + 6.3 * Double(ticks.max() ?? 0), right: 14 + 6.3 * Double(labels.max() ?? 0))
  }
}
