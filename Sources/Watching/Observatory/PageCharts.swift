// PageCharts: charts as JSON, for the page's script to draw (CPageFiles/files/page-charts.js).
//
// The script knows how to draw a chart. Which charts there are, what they are called, what they show and how their
// values are written comes from here.

package import Base

extension PageAnswers {
  /// Evaluations of one set in one chart.
  static let evaluationsMax = 400

  /// All charts of a run that have values, of at most `pointsUsual` points a line.
  package static func charts(_ digest: RunDigest) -> JSON {
    let bins = bins(of: digest.steps.count, count: pointsUsual)
    let steps = bins.map { Int(digest.steps[$0.upperBound - 1]) }
    return charts(Charts.all.map { digest.chart($0, bins: bins) }, steps: steps, note: note(bins, steps.count))
  }

  /// The chart of one prompt's visits.
  static func charts(_ visits: [PromptTrack.Visit]) -> JSON {
    let chart = Chart(Charts.agreement, baseMajority: nil) { source in
      guard case .visit(let share) = source else { return [] }
      return visits.map { Series.Point(step: Int($0.step), value: $0.share(share)) }
    }
    // Of a single visit the bar says it all.
    return charts(visits.count > 1 ? [chart] : [], steps: visits.map { Int($0.step) }, note: "")
  }

  /// How the lines are to be read.
  private static func note(_ bins: [Range<Int>], _ count: Int) -> String {
    let width = bins.first?.count ?? 1
    let each = width > 1 ? "Each point is the mean of about \(width) steps." : ""
    return [Series.smoothingNote(of: count), each].filter { !$0.isEmpty }.joined(separator: " ")
  }

  /// - Parameter steps: where the values of all lines are; markers have places of their own.
  private static func charts(_ charts: [Chart], steps: [Int], note: String) -> JSON {
    [
      "axis": .string(Charts.axis), "note": .string(note), "steps": .array(steps.map { .int($0) }),
      "charts": .array(charts.compactMap(\.withoutEmptySeries).map(chart)),
    ]
  }

  private static func chart(_ chart: Chart) -> JSON {
    let unit = chart.unit
    return [
      "title": .string(chart.title), "note": .string(chart.description.help), "wide": .bool(chart.description.isMain),
      "top": .double(chart.description.top),
      "unit": [
        "title": .string(unit.axisTitle), "scale": .double(unit.scale),
        "decimals": chart.decimals.map { .int($0) } ?? .null, "suffix": .string(unit.suffix),
        "tick_suffix": .string(unit.tickSuffix),
      ],
      "reference": chart.reference.map {
        ["name": .string($0.name), "label": .string($0.label), "value": .double($0.value)]
      } ?? .null,
      "series": .array(chart.series.map(series)),
    ]
  }

  private static func series(_ series: Series) -> JSON {
    let values = series.points.map { $0.drawable.map { short(Float($0)) } ?? .null }
    let data =
      series.mark.isLine
      ? JSON.Member("values", .array(values))
      : JSON.Member("points", .array(zip(series.points, values).map { .array([.int($0.step), $1]) }))
    return .object([
      JSON.Member("name", .string(series.name)), JSON.Member("label", .string(series.label)),
      JSON.Member("ink", .string(series.ink.rawValue)), JSON.Member("mark", .string(series.mark.rawValue)),
      JSON.Member("noisy", .bool(series.isNoisy)), data,
    ])
  }
}
