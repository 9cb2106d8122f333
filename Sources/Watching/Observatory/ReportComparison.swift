// ReportComparison: several runs on one page, side by side: `ttrl report RUN RUN …`.
//
// A column per run, in the order given, and a line per run in every chart: results, curves, time and failures,
// questions, settings that differ. The page is made like report.html: one file that loads nothing. Not here: a single
// run's report (Report), the first difference between two runs (RunDifference).

import Base

/// A run as the page needs it.
package struct ComparedRun: Sendable {
  package let name: String
  package let history: RunHistory
  /// The settings that can change a result, in the order of their table.
  package let settings: [(name: String, value: String)]
  package let wallSeconds: Double?
  package let weightsSHA256: String?
  /// How often each kind of event happened.
  package let events: [(kind: String, count: Int)]

  package init(
    name: String, history: RunHistory, settings: [(name: String, value: String)], wallSeconds: Double?,
    weightsSHA256: String?, events: [(kind: String, count: Int)]
  ) {
    self.name = name
    self.history = history
    self.settings = settings
    self.wallSeconds = wallSeconds
    self.weightsSHA256 = weightsSHA256
    self.events = events
  }
}

package enum ReportComparison {
  /// Runs on one page: the reader could not tell more lines apart in a chart.
  package static let runsMax = 10
  /// Questions that are listed one by one.
  static let questionsMax = 300

  package static func html(_ runs: [ComparedRun]) -> String {
    let runs = Array(runs.prefix(runsMax))
    let title = "\(counted(runs.count, "run")) side by side"
    return ReportDocument.html(
      title: title,
      header: """
        <p class="eyebrow">ttrl</p><h1>\(title)</h1>
        <p class="lead">\(runs.map(\.name).joined(separator: " · "))</p>

        """, main: "\(outcome(runs))\(curves(runs))\(cost(runs))\(questions(runs))\(settings(runs))")
  }

  // MARK: Tables

  /// A row: its name and a cell per run.
  private typealias Row = (name: String, cells: [String])

  private static func table(_ runs: [ComparedRun], _ rows: [Row]) -> Markup {
    let heads = runs.map { "<th class=\"n\">\($0.name)</th>" as Markup }
    let body = rows.filter { row in row.cells.contains { $0 != Figures.missing } }.map { row -> Markup in
      let cells = row.cells.map { "<td class=\"n\">\(typeset($0))</td>" as Markup }
      return "<tr\(row.name == "pass@1 after" ? " class=\"key\"" as Markup : "")><th>\(row.name)</th>\(cells)</tr>\n"
    }
    return """
      <div class="scroll"><table><thead><tr><th></th>\(heads)</tr></thead>
      <tbody>
      \(body)</tbody></table></div>

      """
  }

  private static func outcome(_ runs: [ComparedRun]) -> Markup {
    let outcomes = runs.map { Outcome($0.history) }
    func row(_ name: String, _ cell: (Outcome) -> String?) -> Row {
      (name, outcomes.map { cell($0) ?? Figures.missing })
    }
    func both(_ name: String, _ set: @escaping (Outcome) -> Comparison) -> [Row] {
      [
        row("\(name)before") { figure(set($0).before, "pass@1") },
        row("\(name)after") { figure(set($0).after, "pass@1") },
        row("\(name)change") { outcome in
          guard let before = set(outcome).before?.passAt1, let after = set(outcome).after?.passAt1 else { return nil }
          let interval = set(outcome).passChangeInterval.map { " (\(Figures.pointsInterval($0)))" } ?? ""
          return Figures.points(after - before) + interval
        },
      ]
    }
    let steps: Row = ("steps", runs.map { grouped($0.history.steps.count) })
    let rows: [Row] =
      [steps] + both("pass@1 ") { $0.train } + [
        row("base model's maj@k") { $0.baseMajority.map { "\(Figures.percent($0.value)) (k = \($0.k))" } },
        row("maj@64 after") { $0.train.after?.majority(at: 64).map { Figures.percent($0) } },
        row("majority ratio after") { $0.train.after?.majorityRatio.map { Figures.percent($0) } },
      ] + both("held-out pass@1 ") { $0.heldOut } + [
        row("majorities that turned right, wrong") { outcome in
          outcome.train.labelChanges.map { "\($0.learned.count), \($0.lost.count)" }
        },
        ("alarms", runs.map { "\($0.history.alarms.count)" }),
        ("delivered", runs.map { $0.history.delivered.map { "policy \($0.policy)" } ?? Figures.missing }),
        ("weights, SHA-256", runs.map { $0.weightsSHA256.map { $0.prefix(12) + "…" } ?? Figures.missing }),
      ]
    return """
      <h2>Results</h2>
      \(table(runs, rows))<p class="note">Changes are in percentage points. In brackets: the 95% interval over \
      questions (bootstrap), where it was recorded.</p>

      """
  }

  /// "58.4% (54.1% to 62.6%)"
  private static func figure(_ evaluation: EvaluationRecord?, _ name: String) -> String? {
    guard let figure = evaluation?[name], let value = figure.value else { return nil }
    let interval = figure.interval.map { " (\(Figures.percent($0.low)) to \(Figures.percent($0.high)))" } ?? ""
    return Figures.percent(value) + interval
  }

  // MARK: Curves

  private static let inks: [Series.Ink] = [.right, .majority, .reward, .other, .quiet]

  private static func curves(_ runs: [ComparedRun]) -> Markup {
    let last = runs.compactMap { $0.history.steps.last?.step }.max() ?? 0
    let charts = Charts.compared.compactMap { Charts.curve(of: $0) }.map { curve, chart in
      comparison(curve, chart, runs)
    }
    let figures = ReportCharts.figures(charts, steps: 0...max(1, last), width: 450, height: 230)
    return figures == "" ? "" : "<h2>Learning</h2>\n<div class=\"grid\">\n\(figures)</div>\n"
  }

  /// One figure of every step, with a line per run.
  private static func comparison(_ curve: Curve, _ chart: ChartDescription, _ runs: [ComparedRun]) -> Chart {
    guard case .step(let figure) = curve.source else { return Chart(chart, series: []) }
    let series = runs.enumerated().map { index, run in
      Series(
        name: run.name, label: "", ink: inks[index % inks.count], mark: index < inks.count ? .solid : .dashed,
        points: run.history.steps.map { Series.Point(step: $0.step, value: $0[figure]) })
    }
    let help = StepFigures.all.first { $0.figure == figure }?.help ?? ""
    return Chart(
      ChartDescription(capitalized(curve.name), capitalized(help) + ".", in: chart.unit, top: chart.top, curves: []),
      series: series)
  }

  private static func capitalized(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() }

  // MARK: Cost

  private static func cost(_ runs: [ComparedRun]) -> Markup {
    let phases = runs.map { RunPhases($0.history, wallSeconds: $0.wallSeconds) }
    let survived = RunPhases.survived(runs.map(\.events))
    func row(_ name: String, _ cell: (RunPhases) -> String?) -> Row {
      (name, phases.map { cell($0) ?? Figures.missing })
    }
    let rows: [Row] =
      [
        row("in all") { $0.wall.map { Figures.duration(seconds: $0) } }, row("sampling") { $0.text(of: $0.sampling) },
        row("training") { $0.text(of: $0.training) }, row("evaluating, waiting, writing") { $0.text(of: $0.rest) },
        row("tokens sampled") { $0.sampledTokens < 9e15 ? grouped(Int($0.sampledTokens)) : nil },
        row("tokens/s while sampling") { $0.samplingRate.map { Figures.short($0) } },
        row("tokens/s while training") { $0.trainingRate.map { Figures.short($0) } },
      ] + survived.map { ($0.name, $0.counts.map { grouped($0) }) }
    return "<h2>Time and failures</h2>\n\(table(runs, rows))"
  }

  // MARK: Questions

  /// The questions whose majority changed in any run.
  private static func questions(_ runs: [ComparedRun]) -> Markup {
    let changes = runs.map { Outcome($0.history).train.labelChanges }
    let moved = Set(changes.flatMap { ($0?.learned ?? []) + ($0?.lost ?? []) }).sorted()
    guard !moved.isEmpty else { return "" }
    let rows = moved.prefix(questionsMax).map { prompt -> Markup in
      let cells = changes.map { change -> Markup in
        if change?.learned.contains(prompt) == true { return "<td class=\"n is-right\">learned</td>" }
        if change?.lost.contains(prompt) == true { return "<td class=\"n is-wrong\">lost</td>" }
        return "<td class=\"n\">–</td>"
      }
      return "<tr><th class=\"n\">#\(prompt)</th>\(cells)</tr>\n"
    }
    let more =
      moved.count > questionsMax ? "<p class=\"note\">… and \(moved.count - questionsMax) more.</p>\n" : "" as Markup
    let heads = runs.map { "<th class=\"n\">\($0.name)</th>" as Markup }
    return """
      <h2>Questions whose majority changed</h2>
      <p class="note">Compared are the evaluation of the base model and the last one. Learned: wrong before, right \
      after. Lost: right before, wrong after.</p>
      <details><summary>\(counted(moved.count, "question"))</summary><div class="scroll"><table><thead><tr>\
      <th class="n">prompt</th>\(heads)</tr></thead>
      <tbody>
      \(Array(rows))</tbody></table></div></details>
      \(more)
      """
  }

  // MARK: Settings

  private static func settings(_ runs: [ComparedRun]) -> Markup {
    let names = runs.first?.settings.map(\.name) ?? []
    let rows = names.compactMap { name -> Row? in
      let values = runs.map { run in run.settings.first { $0.name == name }?.value ?? "" }
      guard Set(values).count > 1 else { return nil }
      return (name, values.map { $0.isEmpty ? "unset" : String($0.prefix(60)) })
    }
    guard !rows.isEmpty else { return "<h2>Settings</h2>\n<p>No setting that can change a result differs.</p>\n" }
    return "<h2>Settings that differ</h2>\n\(table(runs, rows))"
  }
}
