// ReportCharts: charts as figures of the report, with title and legend. Charts describes them, ChartDrawing draws them.

enum ReportCharts {
  /// Charts side by side: the same margins for all, so that the same step is at the same place. Charts without values
  /// are left out.
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
  /// Title and legend above a drawing.
  fileprivate func figure(_ drawing: Markup) -> Markup {
    """
    <figure><figcaption><strong>\(title)</strong>\(description.help)</figcaption>
    \(legend)\(drawing)</figure>

    """
  }

  private var legend: Markup {
    guard series.count > 1 || reference != nil else { return "" }
    let entries = series.map { series -> Markup in
      "<li class=\"\(series.ink.rawValue)\">\(series.mark.swatch)\(series.name)</li>"
    }
    let base: Markup =
      reference.map { "<li><svg><path class=\"reference\" d=\"M1 6H23\"/></svg>\($0.name)</li>" } ?? ""
    return "<ul class=\"legend\">\(entries)\(base)</ul>\n"
  }
}

extension Series.Mark {
  /// The mark in small, for the legend.
  fileprivate var swatch: Markup {
    switch self {
    case .solid, .dashed, .dotted: "<svg><path class=\"\(style)\" d=\"M1 6H23\"/></svg>"
    case .disc, .square, .ring: "<svg><path class=\"\(style)\" d=\"\(outline(x: 12, y: 6))\"/></svg>"
    }
  }
}
