// ReportPrompts: how the vote on each question moved.
//
// A strip has one bar per visit: its height is the share of responses that agreed, and it stands above the line where
// the majority was right, hangs below it where it was wrong (position, so that no colour need be told apart). Without
// answers all bars stand, in grey; a dot is a visit in which nobody gave an answer.

import Base

enum ReportPrompts {
  /// Rows of the table; a report of ten thousand questions would be a slow page. The rest is in metrics.jsonl.
  static let rowsMax = 500
  /// Rows up to which the table is shown unfolded.
  static let rowsOpenMax = 40
  /// Bars of a strip; more visits are thinned out evenly, the first and the last kept.
  static let barsMax = 50
  /// Characters of a question or an answer that are shown.
  static let textMax = 160

  /// - Parameter questions: texts by prompt index; may be empty or short.
  static func section(_ history: RunHistory, questions: [String]) -> Markup {
    let visits = history.visitsByPrompt
    guard !visits.isEmpty else { return "" }
    let rows = zip(visits.keys, visits.values).prefix(rowsMax).map { prompt, visits in
      row(prompt, visits, question: prompt < questions.count ? questions[prompt] : nil)
    }
    let isOpen = visits.count <= rowsOpenMax
    let more: Markup =
      visits.count > rowsMax
      ? "<p class=\"note\">The other \(Figures.grouped(visits.count - rowsMax)) are in metrics.jsonl.</p>" : ""
    return """
      <h2>Question by question</h2>
      <p class="note">\(movements(visits.values)) Each bar is one visit, its height the share of responses that agreed: \
      above the line where the majority was right, below where it was wrong, grey where no answer is known.</p>
      <details\(isOpen ? " open" : "")><summary>\(Figures.count(visits.count, "question"))</summary>
      <div class="scroll"><table class="prompts"><thead><tr><th class="n">#</th>\
      \(questions.isEmpty ? "" : "<th>question</th>" as Markup)<th>votes, visit by visit</th><th>majority answer</th>\
      <th class="n">agreement</th><th class="n">right responses</th></tr></thead>
      <tbody>
      \(rows)</tbody></table></div>\(more)</details>

      """
  }

  /// How many labels turned right or wrong between the first and the last visit.
  private static func movements(_ visits: [[PromptVisit]]) -> String {
    let ends = visits.compactMap { visits -> (first: Bool, last: Bool)? in
      guard visits.count > 1, let first = visits.first?.record.isLabelRight, let last = visits.last?.record.isLabelRight
      else { return nil }
      return (first, last)
    }
    guard !ends.isEmpty else { return "" }
    let (turnedRight, turnedWrong) = (ends.count { !$0.first && $0.last }, ends.count { $0.first && !$0.last })
    return "Between first and last visit, \(Figures.count(turnedRight, "label")) turned right and "
      + "\(Figures.grouped(turnedWrong)) turned wrong; \(Figures.grouped(ends.count { $0.first && $0.last })) stayed right, "
      + "\(Figures.grouped(ends.count { !$0.first && !$0.last })) stayed wrong."
  }

  private static func row(_ prompt: Int, _ visits: [PromptVisit], question: String?) -> Markup {
    guard let first = visits.first?.record, let last = visits.last?.record else { return "" }
    let text: Markup =
      question.map { "<td class=\"question\" title=\"\(shortened($0))\"><bdi>\(shortened($0))</bdi></td>" } ?? ""
    return """
      <tr><th class="n">\(prompt)</th>\(text)<td>\(strip(visits))</td>\
      <td>\(answers(first, last))</td>\
      <td class="n">\(change(first.majorityRatio, last.majorityRatio))</td>\
      <td class="n">\(change(first.rightRatio, last.rightRatio))</td></tr>

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
      <svg viewBox="0 0 200 34" role="img" aria-label="\(Figures.count(visits.count, "visit"))">\
      <path class="rule" d="M0 \(Figures.fixed(middle, decimals: 0))H200"/>\(bars("up", up))\(bars("down", down))\
      \(bars("unknown", unknown))\(bars("none", none))</svg>
      """
  }

  private static func bars(_ style: Markup, _ path: String) -> Markup {
    path.isEmpty ? "" : "<path class=\"bar \(style)\" d=\"\(path)\"/>"
  }

  /// At most `count` of the visits, evenly spaced, the ends kept.
  static func thinned<Element>(_ elements: [Element], to count: Int) -> [Element] {
    guard elements.count > count, count > 1 else { return elements }
    return (0..<count).map { elements[$0 * (elements.count - 1) / (count - 1)] }
  }
}
