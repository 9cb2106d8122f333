// MethodsDocument: the text of docs/methods.md.

import Records

struct MethodsDocument {
  /// The finished runs of one method in one regime.
  private struct Row {
    let method: ComparedMethod
    let runs: [FinishedRun]

    func values(_ set: String, _ name: String) -> [Double] { runs.map { $0.figure("after", set, name) } }

    /// The differences from the runs of plain voting with the same seeds.
    func gains(over vote: Row) -> Interval? {
      Interval(
        runs.compactMap { run in
          vote.runs.first { $0.seed == run.seed }.map {
            run.figure("after", "train", "pass@1") - $0.figure("after", "train", "pass@1")
          }
        })
    }

    /// Runs that end with less than half of the right responses that they once had.
    var collapses: Int { runs.count { $0.figure("after", "train", "pass@1") < $0.highestPass / 2 } }
  }

  private let regimes: [(regime: Regime, rows: [Row])]
  private let commits: [String]

  var finished: Int { regimes.reduce(0) { $0 + $1.rows.reduce(0) { $0 + $1.runs.count } } }

  init(_ records: RunRecords) {
    commits = records.commits
    regimes = Regime.all.map { regime in
      let rows = ComparedMethod.all.map { method in
        Row(method: method, runs: Arm.seeds.compactMap { records[regime.run(method, seed: $0).name] })
      }
      return (regime, rows)
    }
  }

  var text: String {
    let planned = Regime.all.count * ComparedMethod.all.count * Arm.seeds.count
    var lines = [
      "# Methods compared", "",
      "Written by `scripts/methods` from the records of the runs in `docs/results/methods.jsonl`; no number here was "
        + "typed by hand. \(finished) of \(planned) runs, of \(Figures.commits(commits)). The task is the built-in "
        + "example ([embedded.md](embedded.md)); [algorithm.md](algorithm.md) has each method's formula.", "",
      "Every method runs with the same base model, questions and numbers of samples, and with its own default "
        + "settings. Learning rates were not searched for each method. *Gain* is the difference in final pass@1 from "
        + "plain voting with the same seed, in points: the mean over the seeds, with a 95 % confidence interval "
        + "(Student's t over the seeds). A run *collapses* if it ends with less than half of the share of right "
        + "responses of its best step. *Labels* is the share of right labels in the last 5 steps.",
    ]
    for (regime, rows) in regimes { lines += section(regime, rows) }
    lines += ["", "## Each method in words", ""]
    lines += ComparedMethod.all.dropFirst().map { "- \(sentences(on: $0))" }
    return lines.joined(separator: "\n") + "\n"
  }

  // MARK: Tables

  private func section(_ regime: Regime, _ rows: [Row]) -> [String] {
    var lines = ["", "## \(regime.title)", "", regime.description]
    guard let vote = rows.first, let run = vote.runs.first else { return lines + ["", "There is no run of it yet."] }
    func before(_ name: String) -> String { Figures.percent(run.figure("before", "train", name)) }
    lines[3] +=
      " The base model's pass@1 is \(before("pass@1")), its maj@64 \(before("maj@64")) and its pass@64 "
      + "\(before("pass@64"))."
    lines += [
      "",
      "| method | flags | seeds | pass@1 | gain | maj@64 | pass@64 | held-out pass@1 | labels | collapses "
        + "| tokens sampled |",
      "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows where !row.runs.isEmpty {
      let count = row.runs.count
      func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
      func percent(_ set: String, _ name: String) -> String { Figures.percent(mean(row.values(set, name))) }
      let labels = mean(row.runs.map { $0.meanOfSteps(.labelAccuracy, $0.stepCount - 5..<$0.stepCount) })
      let gain = row.method.name == vote.method.name ? "" : row.gains(over: vote)?.text ?? "–"
      let tokens = mean(row.runs.map(\.sampledTokens)) / 1e6
      lines.append(
        "| \(row.method.name) | \(row.method.flags.isEmpty ? "" : "`\(row.method.flags.joined(separator: " "))`") "
          + "| \(count) | \(percent("train", "pass@1")) | \(gain) | \(percent("train", "maj@64")) "
          + "| \(percent("train", "pass@64")) | \(percent("held_out", "pass@1")) | \(Figures.percent(labels)) "
          + "| \(row.collapses) of \(count) | \(Figures.decimal(tokens, 2)) M |")
    }
    return lines
  }

  // MARK: Words

  /// What a method does, and what it changes in each regime.
  private func sentences(on method: ComparedMethod) -> String {
    let found = regimes.compactMap { regime, rows -> String? in
      guard let vote = rows.first, let row = rows.first(where: { $0.method.name == method.name }),
        let gain = row.gains(over: vote)
      else { return nil }
      let change = gain.isAbove ? "helps" : gain.isBelow ? "is worse" : "makes no clear difference"
      let collapses =
        row.collapses == 0 && vote.collapses == 0
        ? ""
        : "; \(row.collapses) of \(row.runs.count) runs collapse, of plain voting \(vote.collapses) of "
          + "\(vote.runs.count)"
      return "\(regime.title.lowercased()): \(change) (\(gain.text)\(collapses))"
    }
    let course = found.isEmpty ? "It has not run yet." : found.joined(separator: "; ") + "."
    return "**\(method.name)**: \(method.idea). \(course.prefix(1).uppercased() + course.dropFirst())"
  }
}

/// A mean over the seeds, with its confidence interval.
struct Interval {
  let mean: Double
  /// nil for a single value.
  let halfWidth: Double?

  /// The 97.5 % points of Student's t with 1, 2, 3 and 4 degrees of freedom.
  private static let quantiles = [12.706, 4.303, 3.182, 2.776]

  init?(_ values: [Double]) {
    guard !values.isEmpty, values.allSatisfy(\.isFinite) else { return nil }
    let count = Double(values.count)
    mean = values.reduce(0, +) / count
    guard values.count > 1, values.count - 2 < Self.quantiles.count else {
      halfWidth = nil
      return
    }
    let center = mean
    let variance = values.reduce(0) { $0 + ($1 - center) * ($1 - center) } / (count - 1)
    halfWidth = Self.quantiles[values.count - 2] * (variance / count).squareRoot()
  }

  var isAbove: Bool { halfWidth.map { mean - $0 > 0 } ?? false }
  var isBelow: Bool { halfWidth.map { mean + $0 < 0 } ?? false }

  /// In points.
  var text: String {
    Figures.points(mean) + (halfWidth.map { " ± \(Figures.points($0, sign: false))" } ?? "")
  }
}
