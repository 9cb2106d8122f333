// CourseView: a course of training as a table of its stages, for the terminal, for programs, for the page and as
// report.html.
//
// A stage is a run, and everything else about it is in the run's own report. Values in, text out. The same values give
// the same bytes. Not here: how the stages are read (RunReading).

package import Base

package struct CourseView: Sendable {
  package struct Stage: Sendable {
    package let name: String
    /// Of its run, relative to the course's directory.
    package let directory: String
    /// A run's condition in a word, or "not begun", or "skipped".
    package let state: String
    /// nil if it is not skipped.
    package let skipReason: String?
    package let stepsDone: Int
    package let stepCount: Int
    /// SHA-256 of the weights that it delivered, in hexadecimal; nil before.
    package let weightsSHA256: String?
    fileprivate let rows: [Row]

    /// - Parameters:
    ///   - name: the stage's.
    ///   - directory: of its run, relative to the course's directory.
    ///   - state: a run's condition in a word, or `notBegun`, or `skipped`.
    ///   - skipReason: nil if it is not skipped.
    ///   - stepCount: the steps of its settings. A stage can end sooner.
    ///   - history: nil if the stage has not begun.
    package init(
      name: String, directory: String, state: String, skipReason: String? = nil, stepCount: Int, history: RunHistory?
    ) {
      self.name = name
      self.directory = directory
      self.state = state
      self.skipReason = skipReason
      self.stepCount = stepCount
      stepsDone = history?.steps.count ?? 0
      weightsSHA256 = history?.delivered?.line["weights_sha256"]?.string
      let outcome = history.map { Outcome($0) }
      rows = [
        Row(name: "pass@1", json: "pass@1", outcome?.train) { $0.passAt1 },
        Row(name: "held-out pass@1", json: "held_out_pass@1", outcome?.heldOut) { $0.passAt1 },
        Row(name: "majority ratio", json: "majority_ratio", outcome?.train) { $0.majorityRatio },
      ]
    }

    fileprivate var progress: String { "\(grouped(stepsDone)) of \(grouped(stepCount))" }

    fileprivate var hasBegun: Bool { ![CourseView.notBegun, CourseView.skipped].contains(state) }

    fileprivate var isFinished: Bool { ["finished", CourseView.skipped].contains(state) }
  }

  /// A figure at both ends of a stage.
  fileprivate struct Row: Sendable {
    let name: String
    let json: String
    let before: Double?
    let after: Double?

    init(name: String, json: String, _ ends: Comparison?, _ value: (EvaluationRecord) -> Double?) {
      self.name = name
      self.json = json
      before = ends?.before.flatMap(value)
      after = ends?.after.flatMap(value)
    }
  }

  package static let notBegun = "not begun"
  package static let skipped = "skipped"

  /// The course's directory.
  package let path: String
  package let stages: [Stage]

  package init(path: String, stages: [Stage]) {
    self.path = path
    self.stages = stages
  }

  package var isFinished: Bool { stages.allSatisfy(\.isFinished) }

  /// Why stages were skipped.
  private var skips: [String] {
    stages.compactMap { stage in stage.skipReason.map { "\(stage.name) was skipped: \($0)" } }
  }

  /// Names of the figures that a stage has.
  private var figures: [Int] {
    let count = stages.first?.rows.count ?? 0
    return (0..<count).filter { index in
      stages.contains { $0.rows[index].before != nil || $0.rows[index].after != nil }
    }
  }

  // MARK: Terminal

  /// A line per stage, with its figures before and after.
  package var text: String {
    let shown = figures
    let heads = shown.map { stages[0].rows[$0].name }
    let rows =
      [["stage", "state", "steps"] + heads]
      + stages.map { stage in
        [stage.directory, stage.state, stage.progress]
          + shown.map { index in
            let row = stage.rows[index]
            guard row.before != nil || row.after != nil else { return Figures.missing }
            return "\(Figures.percent(row.before)) -> \(Figures.percent(row.after))"
          }
      }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    let lines = rows.map { row in
      var line = row.indices.map { padded(row[$0].visible, to: widths[$0]) }.joined(separator: "  ")
      while line.hasSuffix(" ") { line.removeLast() }
      return line
    }
    return (["course    \(path.visible)"] + lines + skips.map(\.visible)).joined(separator: "\n")
  }

  // MARK: Programs

  package var json: JSON {
    [
      "course": .string(path), "finished": .bool(isFinished),
      "stages": .array(
        stages.map { stage in
          let ends = stage.rows.map { row in
            JSON.Member(row.json, ["before": number(row.before), "after": number(row.after)])
          }
          return .object(
            [
              JSON.Member("name", .string(stage.name)), JSON.Member("directory", .string(stage.directory)),
              JSON.Member("state", .string(stage.state)), JSON.Member("steps_done", .int(stage.stepsDone)),
              JSON.Member("steps", .int(stage.stepCount)), JSON.Member("skip_reason", .optional(stage.skipReason)),
              JSON.Member("weights_sha256", .optional(stage.weightsSHA256)),
            ] + ends)
        }),
    ]
  }

  private func number(_ value: Double?) -> JSON { value.map { .double($0) } ?? .null }

  // MARK: report.html

  /// The stages as a page, with links to their reports.
  package var html: String {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let done = stages.count(where: \.isFinished)
    return ReportDocument.html(
      title: "course \(name)",
      header: """
        <p class="eyebrow">ttrl course · \(name)</p>
        <h1>\(grouped(done)) of \(counted(stages.count, "stage")) finished</h1>
        <p class="lead">Each stage begins with what the stage before delivered.</p>

        """, main: table)
  }

  private var table: Markup {
    let shown = figures
    let heads = shown.map { index -> Markup in
      let name = stages[0].rows[index].name
      return "<th class=\"n\">\(name) before</th><th class=\"n\">after</th>"
    }
    let rows = stages.map { stage -> Markup in
      let title: Markup =
        stage.hasBegun ? "<a href=\"\(stage.directory)/report.html\">\(stage.name)</a>" : "\(stage.name)"
      let cells = shown.map { index -> Markup in
        let row = stage.rows[index]
        return """
          <td class="n">\(typeset(Figures.percent(row.before)))</td>\
          <td class="n">\(typeset(Figures.percent(row.after)))</td>
          """
      }
      return "<tr><th>\(title)</th><td>\(stage.state)</td><td class=\"n\">\(stage.progress)</td>\(cells)</tr>\n"
    }
    let weights = stages.filter { $0.weightsSHA256 != nil }.map { stage -> Markup in
      "<tr><th>\(stage.name)</th><td><code>\(stage.weightsSHA256 ?? "")</code></td></tr>\n"
    }
    let delivered: Markup =
      weights.isEmpty
      ? "" : "<h2>Delivered weights, SHA-256</h2>\n<table><tbody>\n\(weights)</tbody></table>\n"
    return """
      <h2>Stages</h2>
      <div class="scroll"><table><thead><tr><th>stage</th><th>state</th><th class="n">steps</th>\(heads)</tr></thead>
      <tbody>
      \(rows)</tbody></table></div>
      <p class="note">A figure before a stage is that of the model with which it begins, on the stage's own questions \
      and with its own sampling.</p>
      \(skips.map { text -> Markup in "<p class=\"note\">\(text)</p>\n" })\(delivered)
      """
  }
}
