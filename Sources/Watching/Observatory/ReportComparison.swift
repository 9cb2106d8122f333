// ReportComparison: several runs on one page, side by side: `ttrl report RUN RUN …`.
//
// A column per run, in the order given, and a line per run in every chart. First what came out, then how, then what it
// cost and what it survived, then question by question, then in which settings they differ. The page is made like
// report.html: one file that loads nothing. Not here: a single run's report (Report), where two runs part
// (RunDifference).

import Base

/// A run as the page needs it.
package struct ComparedRun: Sendable {
  package let name: String
  package let history: RunHistory
  /// Those that may change a result, in the order of the table.
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
  /// Runs that a page can hold: more lines in a chart could not be told apart.
  package static let runsMax = 10
  /// Questions that are listed one by one.
  static let questionsMax = 300

  package static func html(_ runs: [ComparedRun]) -> String {
    let runs = Array(runs.prefix(runsMax))
    let title = "\(Figures.count(runs.count, "run")) side by side"
    let page: Markup = """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
      script-src 'unsafe-inline'; img-src data:">
      <link rel="icon" href="data:,">
      <title>ttrl: \(title)</title>
      <style>
      \(ReportStyle.css)
      </style>
      </head>
      <body>
      <header><p class="eyebrow">ttrl</p><h1>\(title)</h1>
      <p class="lead">\(runs.map(\.name).joined(separator: " · "))</p></header>
      <main>
      \(outcome(runs))\(curves(runs))\(cost(runs))\(questions(runs))\(settings(runs))</main>
      <script>
      \(ReportStyle.script)
      </script>
      </body>
      </html>

      """
    return page.text
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
        row("\(name)before") { told(set($0).before, "pass@1") }, row("\(name)after") { told(set($0).after, "pass@1") },
        row("\(name)change") { outcome in
          guard let before = set(outcome).before?.passAt1, let after = set(outcome).after?.passAt1 else { return nil }
          let interval = set(outcome).passChangeInterval.map { " (\(Figures.pointsInterval($0)))" } ?? ""
          return Figures.points(after - before) + interval
        },
      ]
    }
    let steps: Row = ("steps", runs.map { Figures.grouped($0.history.steps.count) })
    let rows: [Row] =
      [steps] + both("pass@1 ") { $0.train } + [
        row("base model's maj@k") { $0.baseMajority.map { "\(Figures.percent($0.value)) (k = \($0.k))" } },
        row("maj@64 after") { $0.train.after?.majority(at: 64).map { Figures.percent($0) } },
        row("majority ratio after") { $0.train.after?.majorityRatio.map { Figures.percent($0) } },
      ] + both("held-out pass@1 ") { $0.heldOut } + [
        row("majorities turned right, wrong") { outcome in
          outcome.train.labelChanges.map { "\($0.learned.count), \($0.lost.count)" }
        },
        ("alarms", runs.map { "\($0.history.alarms.count)" }),
        ("delivered", runs.map { $0.history.delivered.map { "policy \($0.policy)" } ?? Figures.missing }),
        ("weights, SHA-256", runs.map { $0.weightsSHA256.map { $0.prefix(12) + "…" } ?? Figures.missing }),
      ]
    return """
      <h2>What came out</h2>
      \(table(runs, rows))<p class="note">Changes are in percentage points, in brackets their 95% interval over \
      questions (bootstrap); behind a figure, its own 95% interval where it was recorded.</p>

      """
  }

  /// "58.4% (54.1% to 62.6%)"
  private static func told(_ evaluation: EvaluationRecord?, _ name: String) -> String? {
    guard let figure = evaluation?[name], let value = figure.value else { return nil }
    let interval = figure.interval.map { " (\(Figures.percent($0.low)) to \(Figures.percent($0.high)))" } ?? ""
    return Figures.percent(value) + interval
  }

  // MARK: Curves

  private static let inks: [Series.Ink] = [.right, .majority, .reward, .other, .quiet]

  private static func curves(_ runs: [ComparedRun]) -> Markup {
    let last = runs.compactMap { $0.history.steps.last?.step }.max() ?? 0
    func chart(
      _ title: String, _ note: String, _ unit: Chart.Unit = .percent, top: Double = 1,
      _ value: (StepRecord) -> Double?
    ) -> Chart {
      let series = runs.enumerated().map { index, run in
        Series(
          name: run.name, label: "", ink: inks[index % inks.count], mark: index < inks.count ? .solid : .dashed,
          points: run.history.steps.map { Series.Point(step: $0.step, value: value($0)) })
      }
      return Chart(title: title, note: note, unit: unit, series: series, top: top)
    }
    let charts = [
      chart("pass@1 while training", "Share of right responses of those sampled to vote.") { $0.groundTruthRatio },
      chart("Right labels", "How often the majority was right.") { $0.labelAccuracy },
      chart("Majority ratio", "Share of responses that agree with the label. Needs no answers.") { $0.majorityRatio },
      chart("Entropy", "How open the model still is.", .nats, top: 0.1) { $0.entropy },
      chart("Different labels", "Per question; falls far in a collapse.", .plain) { $0.distinctLabelRatio },
      chart("Time per step", "Sampling and training together.", .seconds, top: 1e-3) { $0.seconds },
    ]
    let figures = ReportCharts.figures(charts, steps: 0...max(1, last), width: 450, height: 230)
    return figures == "" ? "" : "<h2>How they got there</h2>\n<div class=\"grid\">\n\(figures)</div>\n"
  }

  // MARK: Cost

  private static func cost(_ runs: [ComparedRun]) -> Markup {
    let phases = runs.map { RunPhases($0.history, wallSeconds: $0.wallSeconds) }
    let survived = RunPhases.survived(runs.map(\.events))
    func row(_ name: String, _ cell: (RunPhases) -> String?) -> Row {
      (name, phases.map { cell($0) ?? Figures.missing })
    }
    let rows: [Row] =
      [
        row("in all") { $0.wall.map { Figures.duration(seconds: $0) } }, row("sampling") { $0.told($0.sampling) },
        row("training") { $0.told($0.training) }, row("evaluating, waiting, storing") { $0.told($0.rest) },
        row("tokens sampled") { $0.sampledTokens < 9e15 ? Figures.grouped(Int($0.sampledTokens)) : nil },
        row("tokens/s while sampling") { $0.samplingRate.map { Figures.short($0) } },
        row("tokens/s while training") { $0.trainingRate.map { Figures.short($0) } },
      ] + survived.map { ($0.name, $0.counts.map { Figures.grouped($0) }) }
    return "<h2>What it cost, and what it survived</h2>\n\(table(runs, rows))"
  }

  // MARK: Questions

  /// What became of each question's majority in each run; those where something moved.
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
      return "<tr><th class=\"n\">\(prompt)</th>\(cells)</tr>\n"
    }
    let more =
      moved.count > questionsMax ? "<p class=\"note\">… and \(moved.count - questionsMax) more.</p>\n" : "" as Markup
    let heads = runs.map { "<th class=\"n\">\($0.name)</th>" as Markup }
    return """
      <h2>Questions whose majority turned</h2>
      <p class="note">From the base model's evaluation to the last one: learned, wrong before and right after; lost, \
      the other way round.</p>
      <details><summary>\(Figures.count(moved.count, "question"))</summary><div class="scroll"><table><thead><tr>\
      <th class="n">#</th>\(heads)</tr></thead>
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
    guard !rows.isEmpty else { return "<h2>Settings</h2>\n<p>No setting that may change a result differs.</p>\n" }
    return "<h2>Settings that differ</h2>\n\(table(runs, rows))"
  }
}
