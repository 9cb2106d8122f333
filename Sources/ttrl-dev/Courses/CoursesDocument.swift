// CoursesDocument: the text of docs/courses.md.

import Records

struct CoursesDocument {
  /// The finished runs of one arm.
  private struct Row {
    let arm: CourseArm
    let runs: [FinishedRun]

    func values(_ end: String, _ name: String) -> [Double] { runs.map { $0.figure(end, "held_out", name) } }

    /// For each seed that both have, what `value` makes of this run and of the other one.
    func compared(with other: Row, _ value: (FinishedRun, FinishedRun) -> Double) -> Interval? {
      Interval(runs.compactMap { run in other.runs.first { $0.seed == run.seed }.map { value(run, $0) } })
    }

    /// The difference in final held-out pass@1, of each seed.
    func difference(from other: Row) -> Interval? {
      compared(with: other) { $0.figure("after", "held_out", "pass@1") - $1.figure("after", "held_out", "pass@1") }
    }

    /// How much of the other one's gain over the base model this one reaches. Both begin with the base model.
    func share(ofGain other: Row) -> Interval? {
      compared(with: other) { own, other in
        let base = other.figure("before", "held_out", "pass@1")
        return (own.figure("after", "held_out", "pass@1") - base)
          / (other.figure("after", "held_out", "pass@1") - base)
      }
    }
  }

  private let questions: [(question: CourseQuestion, rows: [Row])]
  private let commits: [String]

  var finished: Int { questions.reduce(0) { $0 + $1.rows.reduce(0) { $0 + $1.runs.count } } }

  init(_ records: RunRecords) {
    commits = records.commits
    questions = CourseQuestion.all.map { question in
      let rows = question.arms.map { arm in
        Row(arm: arm, runs: Arm.seeds.compactMap { records[question.run(arm, seed: $0).name] })
      }
      return (question, rows)
    }
  }

  var text: String {
    let planned = questions.reduce(0) { $0 + $1.rows.count * Arm.seeds.count }
    let made = finished == 0 ? "no run yet" : "\(finished) of \(planned) runs, of \(Figures.commits(commits))"
    var lines = [
      "# Courses compared", "",
      "Written by `scripts/courses` from the records of the runs in `docs/results/courses.jsonl`; no number here was "
        + "typed by hand. \(made.prefix(1).uppercased())\(made.dropFirst()). The task is the built-in example "
        + "([embedded.md](embedded.md)); [stages.md](stages.md), [supervised.md](supervised.md) and "
        + "[data.md](data.md) describe what is compared.", "",
      "pass@1 is the mean over 16 samples of 128 held-out questions, which no arm trains on. *Difference* is the "
        + "difference in final pass@1 from the first arm with the same seed, in points: the mean over the seeds, with "
        + "a 95 % confidence interval (Student's t over the seeds). It is called clear if the interval does not have 0 "
        + "in it. *Before* is measured with the model with which a run begins; of a course, the last stage.",
    ]
    for (question, rows) in questions { lines += section(question, rows) }
    return lines.joined(separator: "\n") + "\n"
  }

  private func section(_ question: CourseQuestion, _ rows: [Row]) -> [String] {
    var lines = ["", "## \(question.title)", "", question.description, ""]
    guard let first = rows.first, !first.runs.isEmpty else { return lines + ["There is no run of its first arm yet."] }
    lines += [
      "| arm | what it does | seeds | before | pass@1 | maj@16 | difference |", "|---|---|---:|---:|---:|---:|---:|",
    ]
    let finished = rows.filter { !$0.runs.isEmpty }
    for row in finished {
      func mean(_ end: String, _ name: String) -> String {
        let values = row.values(end, name)
        return Figures.percent(values.reduce(0, +) / Double(values.count))
      }
      let difference = row.arm.name == first.arm.name ? "" : row.difference(from: first)?.text ?? "–"
      lines.append(
        "| \(row.arm.name) | \(row.arm.idea) | \(row.runs.count) | \(mean("before", "pass@1")) "
          + "| \(mean("after", "pass@1")) | \(mean("after", "maj@16")) | \(difference) |")
    }
    return lines + [""] + finished.dropFirst().map { "- \(sentence(on: $0, question, first))" }
  }

  // MARK: Words

  private func sentence(on row: Row, _ question: CourseQuestion, _ first: Row) -> String {
    guard let difference = row.difference(from: first) else { return "**\(row.arm.name)**: no seed has both runs yet." }
    let verdict =
      difference.halfWidth == nil
      ? "one seed does not tell"
      : difference.isAbove ? "helps" : difference.isBelow ? "is worse" : "no clear difference"
    let found = "**\(row.arm.name)** compared with \(first.arm.name): \(verdict) (\(difference.text) points)"
    guard let target = question.target, let share = row.share(ofGain: first) else { return found + "." }
    let percent =
      Figures.percent(share.mean) + (share.halfWidth.map { " ± \(Figures.points($0, sign: false))" } ?? "")
    return found
      + "; it reaches \(percent) of the gain, \(share.mean >= target ? "at least" : "less than") the "
      + "\(Figures.percent(target)) that was aimed at."
  }
}
