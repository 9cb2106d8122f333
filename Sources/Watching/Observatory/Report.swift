// Report: a run on one page, for people. RUN/report.html.
//
// One file that loads nothing. It can be read without its script, it can be printed, and it follows the light or dark
// scheme of the reader's system. Its order: the result, compared with the base model; the curves; whether sampler and
// trainer agree; the time; every question; the settings to repeat it. The same values give the same bytes.
// Not here: numbers for programs (Summary), the charts (Charts, Chart), the look and the script (PageFiles).

package import Base
package import Records

/// How far the run is, for its report.
package struct RunProgress: Sendable {
  package let stepCount: Int
  package let condition: RunCondition
  /// The run directory.
  package let path: String

  package init(stepCount: Int, condition: RunCondition, path: String) {
    self.stepCount = stepCount
    self.condition = condition
    self.path = path
  }
}

/// RUN/report.html.
package enum Report {
  /// - Parameters:
  ///   - summary: the object of summary.json. What it does not have is left out of the page.
  ///   - settings: the resolved settings, in the order in which they are to be listed.
  ///   - questions: by index, from 0; empty to show none.
  ///   - example: nil if the run does not have it.
  ///   - events: how often each kind of event happened; empty if that is not known.
  ///   - progress: of a run that may not be finished; nil if that is not known.
  package static func html(
    _ history: RunHistory, summary: JSON, settings: [ShownSetting], questions: [PromptText] = [],
    example: ExamplePrompt? = nil, events: [(kind: String, count: Int)] = [], progress: RunProgress? = nil
  ) -> String {
    let outcome = Outcome(history)
    let title = outcome.sentence(history, labels: Labels(settings: settings))
    return ReportDocument.html(
      title: title,
      header: """
        <p class="eyebrow">\(subject(settings))</p>
        \(state(progress, history))<h1>\(title)</h1>
        <p class="lead">\(effort(history, summary))</p>
        \(warnings(history))
        """,
      main: """
        \(result(outcome))\(curves(history))\(ReportDifficulty.section(outcome))\(agreement(history))\
        \(cost(history, summary, events))\
        \(ReportPrompts.section(history, questions: questions))\(Self.prompt(example))\(origin(summary, settings))
        """)
  }

  // MARK: Head

  /// The model and the questions, as far as the settings say.
  private static func subject(_ settings: [ShownSetting]) -> String {
    func file(_ name: String, otherwise: String) -> String {
      let value = settings.first { $0.name == name }?.value ?? ""
      return value.split(separator: "/").last.map(String.init) ?? otherwise
    }
    return "ttrl run · \(file("model", otherwise: "the built-in model")) · "
      + file("data", otherwise: "the built-in questions")
  }

  /// Of a run that is not finished: the banner, or how far it is.
  private static func state(_ progress: RunProgress?, _ history: RunHistory) -> Markup {
    guard let progress else { return "" }
    let done = "\(grouped(history.steps.count)) of \(counted(progress.stepCount, "step")) done"
    if let banner = Banner(progress.condition, path: progress.path) { return banner.markup + "<p>\(done).</p>\n" }
    return progress.condition.isGoingOn ? "<p>The run is going on: \(done).</p>\n" : ""
  }

  private static func effort(_ history: RunHistory, _ summary: JSON) -> String {
    var parts: [String] = []
    if let step = history.steps.last, !step.prompts.isEmpty {
      let votes = step.prompts.map(\.samples).max() ?? 0
      parts.append(
        "\(counted(step.prompts.count, "question")) a step, \(counted(votes, "response")) for each")
    }
    let tokens = history.steps.reduce(0.0) { $0 + Double($1.sampledTokens ?? 0) }
    if tokens > 0, tokens < 9e15 { parts.append("\(grouped(Int(tokens))) tokens sampled") }
    if let seconds = summary["wall_seconds"]?.double { parts.append("\(Figures.duration(seconds: seconds)) in all") }
    return parts.isEmpty ? "" : parts.joined(separator: " · ")
  }

  private static func warnings(_ history: RunHistory) -> Markup {
    var markup: Markup = ""
    if let advice = FinalTable.nothingToVoteOn(history) ?? FinalTable.fewVotes(history) {
      markup += "<p class=\"warning\">\(advice.prefix(1).uppercased() + advice.dropFirst()).</p>\n"
    }
    let alarms = history.alarms
    if !alarms.isEmpty {
      let shown = alarms.prefix(8).map { "<li>\($0.text)</li>\n" as Markup }
      let more: Markup = alarms.count > 8 ? "<li>… and \(alarms.count - 8) more, in summary.json</li>\n" : ""
      markup += "<ul class=\"warning\">\n\(Array(shown))\(more)</ul>\n"
    }
    if let delivered = history.delivered, delivered.rule != "last" || delivered.plateau != nil {
      let plateau = delivered.plateau == nil ? "" : "The run ended early: agreement no longer rose. "
      markup += """
        <p class="warning">\(delivered.collapse == nil ? plateau : "The guard ended the run early. ")Delivered: policy \
        \(delivered.policy), in \(delivered.directory).</p>

        """
    }
    if !history.unreadableLines.isEmpty {
      let lines = history.unreadableLines.prefix(8).map(String.init).joined(separator: ", ")
      markup += """
        <p class="warning">\(counted(history.unreadableLines.count, "line")) of metrics.jsonl could not be read; \
        this page does not have what they say (\(lines)\(history.unreadableLines.count > 8 ? ", …" : "")).</p>

        """
    }
    return markup
  }

  // MARK: Result

  private static func result(_ outcome: Outcome) -> Markup {
    let sets = outcome.sets
    guard !sets.isEmpty else { return "" }
    return """
      <h2>Before and after\(outcome.train.after.map { " \(counted($0.policy, "step"))" } ?? "")</h2>
      <div class="grid">
      \(sets.map { table(outcome, $0) })</div>
      <p class="note">\(resultNote(outcome))</p>
      \(passCurve(outcome))
      """
  }

  /// pass@k over k, and a warning where questions were lost.
  private static func passCurve(_ outcome: Outcome) -> Markup {
    let rows = outcome.curveRows
    guard let head = rows.first, rows.count > 1 else { return "" }
    let titles = head.dropFirst().map { "<th class=\"n\">\($0)</th>" as Markup }
    let body = rows.dropFirst().map { row in
      "<tr><th>\(row[0])</th>\(row.dropFirst().map { "<td class=\"n\">\(typeset($0))</td>" as Markup })</tr>\n"
        as Markup
    }
    let notes = outcome.narrowings.map {
      "<p class=\"warning\">\($0.prefix(1).uppercased() + $0.dropFirst()).</p>\n" as Markup
    }
    return """
      <div class="scroll"><table class="result"><caption>pass@k: the chance that one of k responses is right</caption>
      <thead><tr><th>\(head[0])</th>\(titles)</tr></thead>
      <tbody>
      \(body)</tbody></table></div>
      \(notes)
      """
  }

  private static func table(_ outcome: Outcome, _ set: Outcome.EvaluatedSet) -> Markup {
    let (name, ends) = (set.title, set.ends)
    let title = name.prefix(1).uppercased() + name.dropFirst() + (set.isTrained ? "" : ", never trained on")
    let count = (ends.before?.prompts ?? ends.after?.prompts).map { " (\(grouped($0)))" } ?? ""
    let rows = outcome.rows(ends).map { row -> Markup in
      let isKey = row.name == "pass@1"
      let interval = isKey ? ends.passChangeInterval.map { " (\(Figures.pointsInterval($0)))" } ?? "" : ""
      return """
        <tr\(isKey ? " class=\"key\"" as Markup : "")><th>\(row.name)</th>\
        \(cell(row.before, ends.before?[row.name]?.interval))\(cell(row.after, ends.after?[row.name]?.interval))\
        <td class="n">\(typeset(Figures.points(row.change)))\(row.change == nil ? "" : typeset(interval))</td></tr>

        """
    }
    return """
      <div class="scroll"><table class="result"><caption>\(title)\(count)</caption>
      <thead><tr><th></th><th class="n">before</th>\
      <th class="n">after</th>\
      <th class="n">change</th></tr></thead>
      <tbody>
      \(rows)</tbody></table></div>

      """
  }

  /// A value. Its interval is shown under the pointer.
  private static func cell(_ value: Double?, _ interval: Interval?) -> Markup {
    let title: Markup =
      interval.map { " title=\"95%: \(percent($0.low)) to \(percent($0.high))\"" as Markup } ?? ""
    return "<td class=\"n\"\(title)>\(percent(value))</td>"
  }

  private static func resultNote(_ outcome: Outcome) -> String {
    guard outcome.train.knowsAnswers || outcome.heldOut.knowsAnswers else {
      return
        "Changes are in percentage points. There are no answers to compare with: the majority ratio shows how much the "
        + "responses agree, not whether they are right."
    }
    var note =
      "Changes are in percentage points. pass@1 is the share of right responses. maj@k is the share of questions for "
      + "which the majority of k responses is right. The base model's maj@k is what voting alone gives, without "
      + "training."
    if outcome.train.passChangeInterval != nil || outcome.heldOut.passChangeInterval != nil {
      note += " In brackets, the 95% interval over questions (bootstrap)."
    }
    if let changes = outcome.train.labelChanges {
      note += " Of the majorities on the training questions, \(Figures.learnedAndLost(changes))."
    }
    let changes = outcome.train.passChanges
    if !changes.isEmpty {
      note +=
        " Of the training questions, \(changes.count { $0 > 0 }) have more right responses than before, "
        + "\(changes.count { $0 < 0 }) have fewer, \(changes.count { $0 == 0 }) as many."
    }
    return note
  }

  private static func percent(_ fraction: Double?) -> String { typeset(Figures.percent(fraction)) }

  // MARK: Curves

  private static func curves(_ history: RunHistory) -> Markup {
    let last = max(history.steps.last?.step ?? 0, history.evaluations.last?.policy ?? 0)
    let first = min(history.steps.first?.step ?? last, history.evaluations.first?.policy ?? last)
    let steps = first...max(first, last)
    let learning = ReportCharts.figures(
      Charts.learning.map(history.chart), steps: steps, width: 450, height: 230)
    guard learning != "" else { return "" }
    let optimizer = ReportCharts.figures(
      Charts.optimizer.map(history.chart), steps: steps, width: 330, height: 200)
    return """
      <h2>Learning</h2>
      <p class="note">\(Series.smoothingNote(of: history.steps.count))</p>
      \(ReportCharts.wideFigure(history.chart(Charts.accuracy), steps: steps))<div class="grid">
      \(learning)</div>
      <h2>Optimizer</h2>
      <div class="grid three">
      \(optimizer)</div>

      """
  }

  // MARK: Agreement of sampler and trainer

  /// E2: whether the run trained exactly the policy that it sampled with.
  private static func agreement(_ history: RunHistory) -> Markup {
    let gaps = history.steps.compactMap(\.logprobGap)
    guard let largest = gaps.max() else { return "" }
    let checked = counted(gaps.count, "step")
    let unequal = grouped(gaps.count { $0 != 0 })
    let skipped = history.steps.reduce(0.0) { $0 + Double($1.skippedUpdates ?? 0) }
    let verdict: Markup =
      largest == 0
      ? """
      <p>Sampler and trainer agree exactly. In each of \(checked), the log-probabilities recorded while sampling and \
      those computed again before the first update were equal, bit for bit (largest difference 0).</p>
      """
      : """
      <p class="warning">Sampler and trainer do not agree: their log-probabilities differ in \
      \(unequal) of \(checked), by up to \(Figures.short(largest)). The policy that was trained is not exactly the \
      one that sampled. The usual cause: workers with different processors.</p>
      """
    let updates: Markup =
      skipped == 0
      ? "" : "<p class=\"warning\">\(Figures.short(skipped)) updates were skipped: their gradient was not finite.</p>"
    return "<h2>Sampler and trainer</h2>\n\(verdict)\(updates)\n"
  }

  // MARK: Cost

  private static func cost(
    _ history: RunHistory, _ summary: JSON, _ events: [(kind: String, count: Int)]
  ) -> Markup {
    let phases = RunPhases(history, wallSeconds: summary["wall_seconds"]?.double)
    guard phases.sampling + phases.training > 0 else { return "" }
    let rows = [
      ("in all", phases.wall.map { Figures.duration(seconds: $0) }), ("sampling", phases.text(of: phases.sampling)),
      ("training", phases.text(of: phases.training)), ("evaluating, waiting, writing", phases.text(of: phases.rest)),
      ("tokens/s while sampling", phases.samplingRate.map { Figures.short($0) }),
      ("tokens/s while training", phases.trainingRate.map { Figures.short($0) }),
    ].compactMap { name, value in
      value.map { "<tr><th>\(name)</th><td class=\"n\">\($0)</td></tr>\n" as Markup }
    }
    let survived = RunPhases.survived([events]).map { row in
      "<tr><th>\(row.name)</th><td class=\"n\">\(grouped(row.counts.reduce(0, +)))</td></tr>\n" as Markup
    }
    return """
      <h2>Time and failures</h2>
      <p class="note">If a step waited for an evaluation, that time is part of sampling. Processes that ended were \
      started again; the result is the same as without failures.</p>
      <table><tbody>
      \(rows)\(survived)</tbody></table>
      \(ReportTimes.section(history))
      """
  }

  // MARK: The prompt

  private static func prompt(_ example: ExamplePrompt?) -> Markup {
    guard let example else { return "" }
    return """
      <h2>A prompt as the model sees it</h2>
      <p class="note">The \(example.title); \(example.form).</p>
      <pre class="prompt">\(example.text)</pre>

      """
  }

  // MARK: Origin

  private static func origin(_ summary: JSON, _ settings: [ShownSetting]) -> Markup {
    var facts: [(String, String)] = []
    for (name, key) in [("weights, SHA-256", "weights_sha256"), ("optimizer state, SHA-256", "state_sha256")] {
      if let value = summary[key]?.string { facts.append((name, value)) }
    }
    for version in summary["versions"]?.members ?? [] {
      facts.append((version.key, version.value.string ?? version.value.text()))
    }
    let identity: Markup =
      facts.isEmpty
      ? ""
      : """
      <table><tbody>
      \(facts.map { "<tr><th>\($0.0)</th><td><code>\($0.1)</code></td></tr>\n" as Markup })</tbody></table>

      """
    let (chosen, defaults) = (ShownSetting.chosen(settings), ShownSetting.defaults(settings))
    var list: Markup = ""
    if !chosen.isEmpty { list += "<h3>Settings that differ from their defaults</h3>\n\(ShownSetting.list(chosen))" }
    if !defaults.isEmpty {
      list +=
        "<details><summary>\(counted(defaults.count, "setting")) with their defaults</summary>\n"
        + ShownSetting.list(defaults) + "</details>\n"
    }
    guard !facts.isEmpty || !settings.isEmpty else { return "" }
    return "<h2>To repeat it</h2>\n\(identity)\(list)"
  }
}
