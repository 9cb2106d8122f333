// Chart: a chart with its values, and where its parts are.
//
// The rules: every line has its label at its end, so a reader rarely needs the legend. Lines differ in dash and points
// in shape, not only in colour. Axes begin at 0. A gap in the data is a gap in the line. With many steps the line is a
// moving mean, and every step is visible behind it, faintly. A chart is drawn for a given width and not stretched to
// it, because text must keep its size.
// Not here: the strokes (ChartDrawing), colours and dashes (shared.css), which charts there are (Charts).

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

  /// Colours by meaning, the same in all charts: what is right, what the majority says, what is rewarded, the rest. The
  /// raw values are classes of the style sheet.
  package enum Ink: String, Sendable { case right = "c1", majority = "c2", reward = "c3", other = "c4", quiet = "c5" }

  /// Lines for what every step measures, markers for evaluations. The raw values are what the page's script knows.
  package enum Mark: String, Sendable {
    case solid, dashed, dotted
    case disc, ring, square

    var isLine: Bool { self == .solid || self == .dashed || self == .dotted }

    /// Classes of the style sheet.
    var style: String {
      switch self {
      case .solid: "line"
      case .dashed, .dotted: "line \(rawValue)"
      case .disc, .square: "full"
      case .ring: "hollow"
      }
    }
  }

  /// For the legend and the pointer's values.
  let name: String
  /// For the end of the line.
  let label: String
  let ink: Ink
  let mark: Mark
  /// Whether a moving mean helps to read it; false for what is smooth already.
  let isNoisy: Bool
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

/// A described chart, the series of a run, and perhaps a level to compare them with.
package struct Chart: Sendable {
  /// A horizontal line across the chart.
  package struct Reference: Sendable {
    /// For the legend.
    let name: String
    /// For the end of the line.
    let label: String
    let value: Double
  }

  let description: ChartDescription
  var series: [Series]
  let reference: Reference?

  package init(_ description: ChartDescription, series: [Series], reference: Reference? = nil) {
    self.description = description
    self.series = series
    self.reference = reference
  }

  var title: String { description.title }
  var unit: Unit { description.unit }

  /// The chart with the series that have a value; nil if none has.
  var withoutEmptySeries: Chart? {
    var chart = self
    chart.series.removeAll { $0.drawn.isEmpty }
    return chart.series.isEmpty ? nil : chart
  }
}

// MARK: - Units

extension Chart {
  /// How the values of a chart are written.
  package enum Unit: Sendable {
    case percent, nats, tokens, seconds, plain

    /// Above the vertical axis.
    var axisTitle: String {
      switch self {
      case .percent, .plain: ""
      case .nats: "nats per token"
      case .tokens: "tokens"
      case .seconds: "seconds"
      }
    }

    /// A value is multiplied by this before it is written.
    var scale: Double { self == .percent ? 100 : 1 }
    /// Written after a value on the axis, and after a value elsewhere.
    var tickSuffix: String { self == .percent ? "%" : "" }
    var suffix: String { self == .seconds ? " s" : tickSuffix }
    /// nil for three significant digits.
    var decimals: Int? { self == .percent ? 1 : nil }

    /// On the axis: as short as possible.
    func tick(_ value: Double) -> String { typeset(Figures.short(value * scale) + tickSuffix) }

    func text(_ value: Double, decimals: Int?) -> String {
      let scaled = value * scale
      return (decimals.map { Figures.fixed(scaled, decimals: $0) } ?? Figures.short(scaled)) + suffix
    }
  }

  /// The unit's decimals, unless the whole chart is about smaller values.
  var decimals: Int? { axis.high * unit.scale < 5 ? nil : unit.decimals }

  /// A value at the end of its line.
  func text(_ value: Double) -> String { typeset(unit.text(value, decimals: decimals)) }
}

extension Series {
  /// The mean over a window of about a twelfth of the run, at most 25 steps, centred; nil where there are too few
  /// steps to need one.
  package var movingMean: [Point]? {
    let known = points.compactMap(\.drawable)
    guard isNoisy, known.count >= Series.smoothedMin else { return nil }
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
  private static func smoothingReach(of count: Int) -> Int { min(max(1, count / 24), 12) }

  /// What bold and faint lines are; empty where there are too few values for a moving mean.
  static func smoothingNote(of count: Int) -> String {
    guard count >= smoothedMin else { return "" }
    return "Bold lines are means over \(2 * smoothingReach(of: count) + 1) points; faint lines have every point."
  }

  /// A line with fewer values is drawn as it is.
  private static let smoothedMin = 40
}

// MARK: - Labels at the end of lines

extension Chart {
  struct EndLabel: Sendable {
    let text: String
    let style: String
    let step: Int
    let value: Double
  }

  /// One per series, with the last value of what is drawn boldly; then the reference's, at the last step.
  func endLabels(lastStep: Int) -> [EndLabel] {
    let lines = series.compactMap { series -> EndLabel? in
      let points = series.movingMean ?? series.points
      guard let end = points.last(where: { $0.drawable != nil }), let value = end.value else { return nil }
      let text = series.label.isEmpty ? self.text(value) : "\(series.label) \(self.text(value))"
      return EndLabel(text: text, style: series.ink.rawValue, step: end.step, value: value)
    }
    guard let reference else { return lines }
    let text = "\(reference.label) \(self.text(reference.value))"
    return lines
      + [EndLabel(text: text, style: Series.Ink.quiet.rawValue, step: lastStep, value: reference.value)]
  }
}

// MARK: - Geometry

/// Where a chart's parts are, in SVG units (CSS pixels at natural size), y down.
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
  /// Space for the text left and right of the plot.
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
    Axis(
      values: series.flatMap { $0.drawn.map(\.value) } + (reference.map { [$0.value] } ?? []),
      top: description.top)
  }

  /// What this chart needs. The text is 11.5 px high; 6.3 px a character is on the wide side for it.
  var margins: Margins {
    let ticks = axis.ticks.map { unit.tick($0).count }
    let labels = endLabels(lastStep: 0).map(\.text.count)
    return Margins(left: 12 + 6.3 * Double(ticks.max() ?? 0), right: 14 + 6.3 * Double(labels.max() ?? 0))
  }
}
