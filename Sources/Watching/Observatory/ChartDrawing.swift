// ChartDrawing: a chart as inline SVG.
//
// The picture is complete without a script. The report's script reads the `data-` attributes to show values under the
// pointer. Colours, dashes and widths are classes, so that the style sheet can have a light and a dark scheme.

import Base

extension Chart {
  /// - Parameters:
  ///   - steps: the horizontal axis; the same for all charts of a page, so that they can be compared.
  ///   - width: in CSS pixels, at which the text has its size.
  ///   - height: in CSS pixels.
  ///   - margins: at least this chart's own.
  ///   - style: a second class, in addition to `chart`.
  package func svg(
    steps: ClosedRange<Int>, width: Double, height: Double, margins: Margins, style: String
  ) -> Markup {
    let plot = Plot(self, steps: steps, width: width, height: height, margins: margins)
    let frame = [plot.left, plot.right, plot.top, plot.bottom].map(at).joined(separator: " ")
    return """
      <svg class="chart \(style)" viewBox="0 0 \(at(width)) \(at(height))" role="img" tabindex="0" \
      aria-label="\(spoken)" data-frame="\(frame)" data-steps="\(at(plot.x.low)) \(at(plot.x.high))" \
      data-scale="\(at(unit.scale))" data-decimals="\(decimals.map(String.init) ?? "")" data-suffix="\(unit.suffix)">
      \(axes(plot))\(referenceLine(plot))\(series.map { drawing(of: $0, plot) })\(labels(plot))\
      <path class="cursor"/></svg>

      """
  }

  /// The chart for a reader who cannot see it.
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
      <text class="tick" x="\(at(plot.left - 6))" y="\(at(plot.y(tick) + 4))" \
      text-anchor="end">\(unit.tick(tick))</text>
      """
    }
    let steps = plot.x.ticks.map { tick -> Markup in
      """
      <text class="tick" x="\(at(plot.x(Int(tick))))" y="\(at(plot.bottom + 16))" \
      text-anchor="middle">\(grouped(Int(tick)))</text>
      """
    }
    return """
      <path class="rule" d="\(rules)"/>\(values)\(steps)\
      <text class="tick" x="\(at((plot.left + plot.right) / 2))" y="\(at(plot.height - 4))" \
      text-anchor="middle">\(Charts.axis)</text>\
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
      <g class="series \(series.ink.rawValue)" data-name="\(series.name)" data-mark="\(series.mark.rawValue)" \
      data-x="\(steps(of: series))" \
      data-v="\(values(of: series))">\(shape)</g>

      """
  }

  private func steps(of series: Series) -> String { series.drawn.map { "\($0.step)" }.joined(separator: " ") }

  private func values(of series: Series) -> String {
    series.drawn.map { decimals == nil ? "\(Float($0.value))" : Figures.fixed($0.value, decimals: 4) }
      .joined(separator: " ")
  }

  private func line(_ series: Series, _ plot: Plot) -> Markup {
    // A line of one point is a dot.
    if series.drawn.count == 1, let only = series.drawn.first {
      return "<path class=\"full\" d=\"\(Series.Mark.disc.outline(x: plot.x(only.step), y: plot.y(only.value)))\"/>"
    }
    let mean = series.movingMean
    let bold: Markup = "<path class=\"\(series.mark.style)\" d=\"\(path(mean ?? series.points, plot))\"/>"
    guard mean != nil else { return bold }
    return "<path class=\"faint\" d=\"\(path(series.points, plot))\"/>\(bold)"
  }

  /// A polyline with gaps. A point between two gaps is a line of no length, which a round cap makes visible.
  private func path(_ points: [Series.Point], _ plot: Plot) -> String {
    var path = ""
    var isPenDown = false
    for point in points {
      guard let value = point.drawable else {
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
    let shapes = series.drawn.map { point in
      series.mark.outline(x: plot.x(point.step), y: plot.y(point.value))
    }
    return """
      <path class="join" d="\(path(series.points.filter { $0.value != nil }, plot))"/>\
      <path class="\(series.mark.style)" d="\(shapes.joined())"/>
      """
  }
}

extension Series.Mark {
  /// A closed path around a point; empty for lines.
  func outline(x: Double, y: Double) -> String {
    switch self {
    case .disc, .ring: "M\(at(x - 4)) \(at(y))a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z"
    case .square: "M\(at(x - 3.5)) \(at(y - 3.5))h7v7h-7z"
    case .solid, .dashed, .dotted: ""
    }
  }
}

// MARK: - Labels at the end of lines

extension Chart {
  private func labels(_ plot: Plot) -> Markup {
    let labels = endLabels(lastStep: Int(plot.x.high)).sorted { $0.value > $1.value }
    let heights = spread(labels.map { plot.y($0.value) }, within: plot.top...plot.bottom, distance: 14)
    var markup: Markup = ""
    for (label, y) in zip(labels, heights) {
      let end = (x: plot.x(label.step), y: plot.y(label.value))
      // Right of the plot: inside it, a label would be on the lines.
      let x = plot.right
      // A leader only where the label had to move away from a line that ends at the edge.
      if abs(y - end.y) > 3, end.x > plot.right - 40 {
        markup += "<path class=\"leader\" d=\"M\(at(end.x + 3)) \(at(end.y))L\(at(x + 7)) \(at(y))\"/>"
      }
      markup += """
        <text class="label \(label.style)" x="\(at(x + 9))" y="\(at(y + 4))">\(label.text)</text>
        """
    }
    return markup
  }
}

/// Moves ascending positions apart to a least distance, as little as pushing down and then up again needs.
package func spread(_ positions: [Double], within range: ClosedRange<Double>, distance: Double) -> [Double] {
  var result = positions
  for index in result.indices.dropFirst() { result[index] = max(result[index], result[index - 1] + distance) }
  var floor = range.upperBound
  for index in result.indices.reversed() {
    result[index] = min(result[index], floor)
    floor = result[index] - distance
  }
  return result
}

/// A coordinate: one decimal, no trailing zero.
private func at(_ value: Double) -> String {
  let text = Figures.fixed(value, decimals: 1)
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}
