// ReportTimes: the report's section on where the time of the steps went: one bar per step, and the parts as a table.

import Base
import Records

enum ReportTimes {
  /// Bars that a page's width can show.
  private static let barsMax = 120
  /// The drawing's own units. It has no text, so it can be stretched to the page's width.
  private static let (width, height) = (1000.0, 160.0)

  static func section(_ history: RunHistory) -> Markup {
    let steps = history.steps.map(\.figures).filter { $0[.stepSeconds] ?? 0 > 0 && $0.largestPart != nil }
    let total = steps.reduce(0) { $0 + ($1[.stepSeconds] ?? 0) }
    guard !steps.isEmpty, total.isFinite else { return "" }
    let bins = PageAnswers.bins(of: steps.count, count: barsMax)
    let bars = bins.map { bin in
      StepParts.looks.map { look in steps[bin].reduce(0) { $0 + max(0, $1[look.part] ?? 0) } / Double(bin.count) }
    }
    let longest = bars.map { $0.reduce(0, +) }.max() ?? 0
    guard longest > 0, longest.isFinite else { return "" }
    let each = (bins.first?.count ?? 1) > 1 ? "Each bar is the mean of some steps. " : ""
    let room = width / Double(max(bars.count, 12))
    return """
      <h3>Where each step's time went</h3>
      <p class="note">\(each)One bar per step, from the first to the last; the longest step took \
      \(Figures.duration(seconds: longest)). The parts of a bar are in the order of the table, from below.</p>
      <svg class="times" viewBox="0 0 \(text(width)) \(text(height))" preserveAspectRatio="none">\
      \(bars.enumerated().map { bar($1, at: Double($0) * room, room, longest) })</svg>
      <table><thead><tr><th>part of the step</th><th class="n">mean</th><th class="n">share</th></tr></thead><tbody>
      \(StepParts.looks.map { row($0, steps, total) })</tbody></table>

      """
  }

  private static func bar(_ parts: [Double], at x: Double, _ room: Double, _ longest: Double) -> Markup {
    var markup: Markup = ""
    var top = height
    for (look, seconds) in zip(StepParts.looks, parts) where seconds > 0 {
      let length = seconds / longest * height
      top -= length
      markup += """
        <rect class="\(look.style)" x="\(text(x))" y="\(text(top))" width="\(text(room * 0.85))" \
        height="\(text(length))"><title>\(look.part.partName): \(Figures.duration(seconds: seconds))</title></rect>
        """
    }
    return markup
  }

  private static func row(_ look: StepParts.Look, _ steps: [FigureValues], _ total: Double) -> Markup {
    let seconds = steps.reduce(0) { $0 + ($1[look.part] ?? 0) }
    guard seconds > 0 else { return "" }
    return """
      <tr><th><svg class="swatch" viewBox="0 0 10 10"><rect class="\(look.style)" width="10" height="10"/></svg> \
      \(look.part.partName)</th><td class="n">\(Figures.duration(seconds: seconds / Double(steps.count)))</td>\
      <td class="n">\(Figures.percent(seconds / total))</td></tr>

      """
  }

  private static func text(_ value: Double) -> String { Figures.fixed(value, decimals: 1) }
}
