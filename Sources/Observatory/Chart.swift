// Chart: learning curves as inline SVG that a person can read without a script.
//
// Four habits. Every line is labelled at its end, so the legend explains and need not be decoded. Colour is never alone:
// lines differ in dash, points in shape. Axes begin at 0. A gap in the data is a gap in the line. Where there are many
// steps, the line is a moving mean and every step stays visible, faintly, behind it.
// Drawn for a given width, not stretched to it: text must keep its size. The page's script reads the `data-` attributes
// to show values under the pointer. Colours are classes; the style sheet (ReportStyle) has both schemes.

/// One thing measured along the run.
struct Series: Sendable {
  struct Point: Sendable {
    /// Steps trained when it was measured.
    let step: Int
    let value: Double?
  }

  /// By meaning, the same in all charts: what is right, what the majority says, what is rewarded, the rest.
  enum Ink: String, Sendable { case right = "c1", majority = "c2", reward = "c3", other = "c4", quiet = "c5" }

  enum Mark: Sendable, Equatable {
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
  var isNoisy = true
  let points: [Point]

  /// The points that can be drawn.
  var drawn: [(step: Int, value: Double)] {
    points.compactMap { point in
      guard let value = point.value, abs(value) <= Axis.drawableMax else { return nil }
      return (point.step, value)
    }
  }
}

struct Chart: Sendable {
  /// Of the vertical axis. The raw value is what the page's script goes by.
  enum Unit: String, Sendable {
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

  struct Reference: Sendable {
    let value: Double
    let label: String
  }

  let title: String
  /// One line: what is shown, in which direction it should go.
  let note: String
  var unit = Unit.percent
  var series: [Series]
  var reference: Reference?
  /// The least the vertical axis reaches up to.
  var top = 1.0
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
  struct Margins: Sendable {
    var left = 0.0
    var right = 0.0

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

/// A coordinate: one decimal, no trailing zero.
private func at(_ value: Double) -> String {
  let text = Figures.fixed(value, decimals: 1)
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}

// MARK: - Drawing

extension Chart {
  /// - Parameters:
  ///   - steps: the horizontal axis; the same for all charts of a page, so that they can be compared.
  ///   - width: in CSS pixels, at which the text has its size.
  ///   - margins: at least this chart's own.
  ///   - style: classes beside `chart`.
  func svg(
    steps: ClosedRange<Int>, width: Double, height: Double, margins: Margins, style: String = ""
  ) -> Markup {
    let plot = Plot(self, steps: steps, width: width, height: height, margins: margins)
    let frame = [plot.left, plot.right, plot.top, plot.bottom].map(at).joined(separator: " ")
    return """
      <svg class="chart \(style)" viewBox="0 0 \(at(width)) \(at(height))" role="img" aria-label="\(spoken)" \
      data-frame="\(frame)" data-steps="\(at(plot.x.low)) \(at(plot.x.high))" data-unit="\(unit.rawValue)">
      \(axes(plot))\(referenceLine(plot))\(series.map { drawing(of: $0, plot) })\(labels(plot))<path class="cursor"/></svg>

      """
  }

  /// The chart for those who cannot see it.
  private var spoken: String {
    let ends = series.compactMap { series -> String? in
      guard let first = series.drawn.first, let last = series.drawn.last else { return nil }
      return "\(series.name): from \(text(first.value)) to \(text(last.value))"
    }
    return "\(title). \(ends.joined(separator: "; "))"
  }

  private func axes(_ plot: Plot) -> Markup {
    let rules = plot.y.ticks.map { "M\(at(plot.left)) \(at(plot.y($0)))H\(at(plot.right))" }.joined()
    let values = plot.y.ticks.map { tick -> Markup in
      """
      <text class="tick" x="\(at(plot.left - 6))" y="\(at(plot.y(tick) + 4))" text-anchor="end">\(unit.tick(tick))</text>
      """
    }
    let steps = plot.x.ticks.map { tick -> Markup in
      """
      <text class="tick" x="\(at(plot.x(Int(tick))))" y="\(at(plot.bottom + 16))" \
      text-anchor="middle">\(Figures.grouped(Int(tick)))</text>
      """
    }
    return """
      <path class="rule" d="\(rules)"/>\(values)\(steps)\
      <text class="tick" x="\(at((plot.left + plot.right) / 2))" y="\(at(plot.height - 4))" \
      text-anchor="middle">steps trained</text>\
      <text class="tick" x="2" y="10">\(unit.axisTitle)</text>

      """
  }

  private func referenceLine(_ plot: Plot) -> Markup {
    guard let reference else { return "" }
    return "<path class=\"reference\" d=\"M\(at(plot.left)) \(at(plot.y(reference.value)))H\(at(plot.right))\"/>\n"
  }

  private func drawing(of series: Series, _ plot: Plot) -> Markup {
    let shape = series.mark.isLine ? line(series, plot) : markers(series, plot)
    return """
      <g class="series \(series.ink.rawValue)" data-name="\(series.name)" data-x="\(steps(of: series))" \
      data-v="\(values(of: series))">\(shape)</g>

      """
  }

  private func steps(of series: Series) -> String { series.drawn.map { "\($0.step)" }.joined(separator: " ") }

  private func values(of series: Series) -> String {
    series.drawn.map { unit == .percent ? Figures.fixed($0.value, decimals: 4) : "\(Float($0.value))" }
      .joined(separator: " ")
  }

  private func line(_ series: Series, _ plot: Plot) -> Markup {
    let mean = series.movingMean
    let style = series.mark == .solid ? "" : series.mark == .dashed ? " dashed" : " dotted"
    let bold: Markup = "<path class=\"line\(style)\" d=\"\(path(mean ?? series.points, plot))\"/>"
    guard mean != nil else { return bold }
    return "<path class=\"faint\" d=\"\(path(series.points, plot))\"/>\(bold)"
  }

  /// A polyline with gaps. A point between two gaps is a line of no length, which a round cap makes visible.
  private func path(_ points: [Series.Point], _ plot: Plot) -> String {
    var path = ""
    var isPenDown = false
    for point in points {
      guard let value = point.value, abs(value) <= Axis.drawableMax else {
        isPenDown = false
        continue
      }
      let place = "\(at(plot.x(point.step))) \(at(plot.y(value)))"
      path += isPenDown ? "L\(place)" : "M\(place)L\(place)"
      isPenDown = true
    }
    return path
  }

  /// Markers joined by a thin line.
  private func markers(_ series: Series, _ plot: Plot) -> Markup {
    let style = series.mark == .ring || series.mark == .frame ? "hollow" : "full"
    let shapes = series.drawn.map { point in
      series.mark.outline(x: plot.x(point.step), y: plot.y(point.value))
    }
    return """
      <path class="join" d="\(path(series.points.filter { $0.value != nil }, plot))"/>\
      <path class="\(style)" d="\(shapes.joined())"/>
      """
  }
}

extension Series.Mark {
  /// A closed path around a point; empty for lines.
  func outline(x: Double, y: Double) -> String {
    switch self {
    case .disc, .ring: "M\(at(x - 4)) \(at(y))a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z"
    case .square, .frame: "M\(at(x - 3.5)) \(at(y - 3.5))h7v7h-7z"
    case .solid, .dashed, .dotted: ""
    }
  }
}

extension Series {
  /// The mean over a window of about a twelfth of the run, centred; nil where there are too few steps to need one.
  var movingMean: [Point]? {
    let known = drawn
    guard isNoisy, known.count >= 40 else { return nil }
    let reach = Series.smoothingReach(of: known.count)
    return known.indices.map { index in
      let window = known[max(0, index - reach)...min(known.count - 1, index + reach)]
      return Point(step: known[index].step, value: window.reduce(0) { $0 + $1.value } / Double(window.count))
    }
  }

  /// Steps to either side in a moving mean.
  static func smoothingReach(of count: Int) -> Int { max(1, count / 24) }
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
      guard let end = (series.movingMean ?? series.points).last(where: { $0.value != nil }), let value = end.value,
        abs(value) <= Axis.drawableMax
      else { return nil }
      let text = series.label.isEmpty ? text(value) : "\(series.label) \(text(value))"
      return EndLabel(text: text, style: series.ink.rawValue, step: end.step, value: value)
    }
  }

  private func labels(_ plot: Plot) -> Markup {
    var labels = endLabels
    if let reference {
      labels.append(
        EndLabel(text: reference.label, style: Series.Ink.quiet.rawValue, step: Int(plot.x.high), value: reference.value))
    }
    labels.sort { $0.value > $1.value }
    let heights = spread(labels.map { plot.y($0.value) }, within: plot.top...plot.bottom, distance: 14)
    var markup: Markup = ""
    for (label, y) in zip(labels, heights) {
      let end = (x: plot.x(label.step), y: plot.y(label.value))
      // A leader only where the label is away from the end of its line.
      if abs(y - end.y) > 3 || plot.right - end.x > 20 {
        markup += "<path class=\"leader\" d=\"M\(at(end.x + 3)) \(at(end.y))L\(at(plot.right + 7)) \(at(y))\"/>"
      }
      markup += "<text class=\"label \(label.style)\" x=\"\(at(plot.right + 9))\" y=\"\(at(y + 4))\">\(label.text)</text>"
    }
    return markup
  }
}

/// Moves ascending positions apart to a least distance, as little as pushing down and then up again needs.
func spread(_ positions: [Double], within range: ClosedRange<Double>, distance: Double) -> [Double] {
  var result = positions
  for index in result.indices.dropFirst() { result[index] = max(result[index], result[index - 1] + distance) }
  var floor = range.upperBound
  for index in result.indices.reversed() {
    result[index] = min(result[index], floor)
    floor = result[index] - distance
  }
  return result
}
