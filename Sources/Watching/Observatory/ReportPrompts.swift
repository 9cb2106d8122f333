// ReportPrompts: the votes on each question, visit by visit.
//
// A strip has one bar per visit. Its height is the share of responses that gave the label. It is above the line if the
// label was right and below if it was wrong, so that no reader depends on colours. Without answers all bars are above
// the line, in grey. A dot is a visit in which no response gave an answer.

import Base

/// The report's table of questions.
package enum ReportPrompts {
  /// Rows of the table: ten thousand questions would make a slow page. The rest is in metrics.jsonl.
  static let rowsMax = 500
  /// A table with more rows is folded at first.
  static let rowsOpenMax = 40
  /// Bars of a strip; of more visits, evenly spaced ones, with the first and the last.
  static let barsMax = 50
  /// Characters of a question or an answer that are shown.
  static let textMax = 160

  /// - Parameter questions: by prompt index; can be empty, or shorter than the list of prompts.
  static func section(_ history: RunHistory, questions: [PromptText]) -> Markup {
    let visits = history.visitsByPrompt
    guard !visits.isEmpty else { return "" }
    let columns = Columns(
      questions: questions, knowsAnswers: visits.values.contains { $0.contains { $0.record.isLabelRight != nil } })
    let rows = zip(visits.keys, visits.values).prefix(rowsMax).map { row($0, $1, columns) }
    let isOpen = visits.count <= rowsOpenMax
    let more: Markup =
      visits.count > rowsMax
      ? "<p class=\"note\">The other \(grouped(visits.count - rowsMax)) are in metrics.jsonl.</p>" : ""
    return """
      <h2>Question by question</h2>
      <p class="note">Each bar is one visit. Its height is the share of responses that gave the \
      label.\(columns.knowsAnswers ? " Above the line: the label was right; below: wrong." : "") \
      \(movements(visits.values))</p>
      <details\(isOpen ? " open" : "")><summary>\(counted(visits.count, "question"))</summary>
      <div class="scroll"><table class="prompts"><thead><tr><th>prompt</th>\
      \(questions.isEmpty ? "" : "<th>question</th>" as Markup)<th>votes, visit by visit</th><th>majority answer</th>\
      <th class="n">agreement</th>\(columns.knowsAnswers ? "<th class=\"n\">right responses</th>" : "" as Markup)</tr>\
      </thead>
      <tbody>
      \(rows)</tbody></table></div>\(more)</details>

      """
  }

  /// What the table can show.
  private struct Columns {
    /// By prompt index.
    let questions: [PromptText]
    let knowsAnswers: Bool

    /// A prompt's name: its id, if there is one, and its index.
    func name(_ prompt: Int) -> String { prompt < questions.count ? questions[prompt].name : "#\(prompt)" }

    /// A prompt's cell; empty where the table has no such column.
    func question(_ prompt: Int) -> Markup {
      guard !questions.isEmpty else { return "" }
      let text = prompt < questions.count ? shortened(questions[prompt].question) : typeset(Figures.missing)
      return "<td class=\"question\" title=\"\(text)\"><bdi>\(text)</bdi></td>"
    }
  }

  /// How many labels turned right or wrong between the first and the last visit.
  private static func movements(_ visits: [[PromptVisit]]) -> String {
    let ends = visits.compactMap { visits -> (first: Bool, last: Bool)? in
      guard visits.count > 1, let first = visits.first?.record.isLabelRight, let last = visits.last?.record.isLabelRight
      else { return nil }
      return (first, last)
    }
    guard !ends.isEmpty else { return "" }
    func count(from first: Bool, to last: Bool) -> Int { ends.count { $0.first == first && $0.last == last } }
    return "Between first and last visit, \(counted(count(from: false, to: true), "label")) turned right and "
      + "\(grouped(count(from: true, to: false))) turned wrong; "
      + "\(grouped(count(from: true, to: true))) stayed right, "
      + "\(grouped(count(from: false, to: false))) stayed wrong."
  }

  private static func row(_ prompt: Int, _ visits: [PromptVisit], _ columns: Columns) -> Markup {
    guard let first = visits.first?.record, let last = visits.last?.record else { return "" }
    let right: Markup =
      columns.knowsAnswers ? "<td class=\"n\">\(change(first.rightRatio, last.rightRatio))</td>" : ""
    return """
      <tr><th>\(shortened(columns.name(prompt)))</th>\(columns.question(prompt))<td>\(strip(visits))</td>\
      <td>\(answers(first, last))</td>\
      <td class="n">\(change(first.majorityRatio, last.majorityRatio))</td>\(right)</tr>

      """
  }

  private static func change(_ first: Double?, _ last: Double?) -> String {
    guard let first, let last else { return typeset(Figures.missing) }
    let (from, to) = (Figures.fixed(first * 100, decimals: 0), Figures.fixed(last * 100, decimals: 0))
    return from == to ? "\(to)%" : "\(from) → \(to)%"
  }

  private static func answers(_ first: PromptRecord, _ last: PromptRecord) -> Markup {
    if first.label == last.label && first.isLabelRight == last.isLabelRight { return answer(last) }
    return "\(answer(first)) → \(answer(last))"
  }

  private static func answer(_ record: PromptRecord) -> Markup {
    guard let label = record.label else { return "none" }
    let verdict: Markup =
      switch record.isLabelRight {
      case true: " <span class=\"is-right\" title=\"right\">✓</span>"
      case false: " <span class=\"is-wrong\" title=\"wrong\">✗</span>"
      case nil: ""
      }
    return "<bdi class=\"answer\" title=\"\(shortened(label))\">\(shortened(label))</bdi>\(verdict)"
  }

  private static func shortened(_ text: String) -> String {
    text.count <= textMax ? text : text.prefix(textMax) + "…"
  }

  // MARK: Strips

  private static func strip(_ visits: [PromptVisit]) -> Markup {
    let shown = thinned(visits, to: barsMax)
    let width = 4.0
    let middle = shown.contains { $0.record.isLabelRight != nil } ? 17.0 : 32.0
    let room = middle - 2
    var up = "", down = "", unknown = "", none = ""
    for (index, visit) in shown.enumerated() {
      let start = "M\(Figures.fixed((Double(index) + 0.5) * width, decimals: 0)) \(Figures.fixed(middle, decimals: 0))"
      let length = Figures.fixed(visit.record.majorityRatio * room, decimals: 1)
      switch (visit.record.label, visit.record.isLabelRight) {
      case (nil, _): none += start + "v0"
      case (_, true): up += start + "v-" + length
      case (_, false): down += start + "v" + length
      case (_, nil): unknown += start + "v-" + length
      }
    }
    return """
      <svg viewBox="0 0 200 34" role="img" aria-label="\(counted(visits.count, "visit"))">\
      <path class="rule" d="M0 \(Figures.fixed(middle, decimals: 0))H200"/>\(bars("up", up))\(bars("down", down))\
      \(bars("unknown", unknown))\(bars("none", none))</svg>
      """
  }

  private static func bars(_ style: Markup, _ path: String) -> Markup {
    path.isEmpty ? "" : "<path class=\"bar \(style)\" d=\"\(path)\"/>"
  }

  /// At most `count` of the elements, evenly spaced, with both ends.
  package static func thinned<Element>(_ elements: [Element], to count: Int) -> [Element] {
    guard elements.count > count, count > 1 else { return elements }
    return (0..<count).map { elements[$0 * (elements.count - 1) / (count - 1)] }
  }
}
