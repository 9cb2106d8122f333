// The report: well-formed HTML, nothing injected, nothing fetched, only numbers in its drawings, the same bytes always.

import Base
import Observatory
import Records
import Testing

private let settings = [("model", "models/tiny"), ("data", "q.jsonl"), ("seed", "1")].map {
  ShownSetting(name: $0.0, value: $0.1)
}

/// Every number in the attributes of the page's drawings, as text.
func figuresOfDrawings(in page: String) -> [String] {
  var figures: [String] = []
  for attribute in ["d", "x", "y", "viewBox", "data-frame", "data-steps", "data-x", "data-v"] {
    for part in page.split(separator: " \(attribute)=\"").dropFirst() {
      let value = part.prefix { $0 != "\"" }
      let isNumeric = { (c: Character) in c.isNumber || c == "." || c == "-" || c == "e" || c == "+" }
      figures += value.split { !isNumeric($0) && !$0.isLetter || "MLHVahvz".contains($0) }.map(String.init)
    }
  }
  return figures
}

/// What keeps `page` from being balanced HTML, or nil.
private func imbalance(_ page: String) -> String? {
  let void = ["meta", "link", "!doctype"]
  var open: [String] = []
  var rest = page[...]
  while let start = rest.firstIndex(of: "<") {
    guard let end = rest[start...].firstIndex(of: ">") else { return "a tag without an end" }
    let tag = rest[rest.index(after: start)..<end]
    let name = String(tag.drop { $0 == "/" }.prefix { $0.isLetter || $0.isNumber || $0 == "!" })
    if tag.hasPrefix("/") {
      guard open.popLast() == name else { return "</\(name)> closes \(open.last ?? "nothing")" }
    } else if !tag.hasSuffix("/"), !void.contains(name) {
      open.append(name)
    }
    rest = rest[rest.index(after: end)...]
    // A script's comparisons and arrows are no tags.
    if open.last == "script" || open.last == "style", let name = open.last {
      guard let close = rest.range(of: "</\(name)>") else { return "\(name) without an end" }
      rest = rest[close.lowerBound...]
    }
  }
  return open.isEmpty ? nil : "unclosed: \(open)"
}

extension Substring {
  fileprivate func range(of text: String) -> Range<Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
      start = index(after: start)
    }
    return nil
  }
}

@Suite struct ReportTests {
  static let runs: [MadeUpRun] = [
    MadeUpRun(stepCount: 60), MadeUpRun(stepCount: 5, knowsAnswers: false), MadeUpRun(stepCount: 1, hasHeldOut: false),
    MadeUpRun(stepCount: 0), MadeUpRun(stepCount: 3, questionCount: 60),
  ]

  private func page(_ history: RunHistory, questions: [String] = []) -> String {
    let summary = Summary.json(
      history, wallSeconds: 90, weightsSHA256: "ab12", stateSHA256: nil, settings: [:], versions: ["oneDNN": "2.6.3"])
    let prompts = questions.enumerated().map { PromptText(index: $0, id: nil, question: $1, answer: nil) }
    return Report.html(history, summary: summary, settings: settings, questions: prompts)
  }

  @Test(arguments: runs.indices) func `any run gives balanced HTML whose drawings hold only numbers`(index: Int) {
    let html = page(RunHistory(parsing: Self.runs[index].metrics()))
    #expect(imbalance(html) == nil)
    let figures = figuresOfDrawings(in: html)
    #expect(figures.allSatisfy { Double($0)?.isFinite == true }, "\(figures.first { Double($0) == nil } ?? "")")
  }

  @Test func `the empty run and the empty summary give a page, too`() {
    let html = Report.html(RunHistory(), summary: .null, settings: [])
    #expect(imbalance(html) == nil)
    #expect(html.contains("<h1>No step is done yet.</h1>"))
    #expect(!html.contains("<svg"))
  }

  @Test func `figures too large to draw are left out of the drawing`() {
    var history = RunHistory()
    for (step, value) in [1e300, 0.5, -1e308, 0.25].enumerated() {
      history.add([
        "kind": "step", "step": .int(step), "entropy": .double(value), "majority_ratio": .double(value),
        "learning_rate": .double(value),
      ])
    }
    let figures = figuresOfDrawings(in: page(history))
    #expect(!figures.isEmpty && figures.allSatisfy { abs(Double($0) ?? .infinity) < 1e6 })
  }

  @Test func `the same values give the same bytes`() {
    let metrics = MadeUpRun(stepCount: 12).metrics()
    #expect(page(RunHistory(parsing: metrics)) == page(RunHistory(parsing: metrics)))
  }

  @Test func `markup in answers, questions, settings and versions stays text`() {
    let evil = "</script><script>alert(1)</script>\" onload='x' \u{0}\u{1B}[31m"
    var history = RunHistory()
    let prompt: JSON = ["prompt": 0, "label": .string(evil), "label_votes": 1, "samples": 2]
    history.add(["kind": "step", "step": 0, "majority_ratio": 0.5, "prompts": [prompt]])
    let html = Report.html(
      history, summary: ["weights_sha256": .string(evil), "versions": .object([.init(evil, .string(evil))])],
      settings: [ShownSetting(name: "model", value: evil), ShownSetting(name: evil, value: evil)],
      questions: [PromptText(index: 0, id: evil, question: evil, answer: evil)],
      progress: RunProgress(
        stepCount: 1,
        condition: .ended(RunEnding(.failed, time: 0, what: evil, reason: evil, log: evil, next: evil)), path: evil))
    #expect(!html.contains("<script>alert") && !html.contains("onload='x'") && !html.contains("\" onload"))
    #expect(!html.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" })
    #expect(
      html.contains(
        "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload=&#39;x&#39; \u{FFFD}\u{FFFD}[31m"))
    #expect(imbalance(html) == nil)
    #expect(html.split(separator: "<script>").count == 2, "one script, ours")
  }

  @Test func `nothing is fetched`() {
    let html = page(RunHistory(parsing: MadeUpRun(stepCount: 3).metrics()))
    for forbidden in ["http:", "https:", "//", "src=", "url(", "@import", "<a "] {
      #expect(!html.contains(forbidden), "\(forbidden)")
    }
    #expect(html.contains("default-src 'none'"))
  }

  @Test func `the heading is the result, and the tables follow`() {
    let history = RunHistory(parsing: MadeUpRun(stepCount: 60).metrics())
    let html = page(history)
    #expect(html.contains("<h1>\(escaped(Outcome(history).sentence(history)))</h1>"))
    #expect(html.contains("largest difference 0") && html.contains("<dt>seed</dt><dd>1</dd>"))
    #expect(html.contains("<code>ab12</code>") && html.contains("ttrl run · tiny · q.jsonl"))
  }

  @Test func `each step has a bar, and a table has the mean and the share of every part`() {
    let html = page(RunHistory(parsing: MadeUpRun(stepCount: 60).metrics()))
    #expect(html.split(separator: "<rect class=\"part c1\" x=").count == 61, "one for each step")
    #expect(html.contains("forward</th><td class=\"n\">1.5 s</td><td class=\"n\">18.7%</td>"))
    let many = page(RunHistory(parsing: MadeUpRun(stepCount: 1000).metrics()))
    #expect(many.split(separator: "<rect class=\"part c1\" x=").count == 121 && many.contains("the mean of some steps"))
    var earlier = RunHistory()
    earlier.add(["kind": "step", "step": 0, "rollout_seconds": 3, "train_seconds": 1])
    #expect(!page(earlier).contains("part of the step"))
  }

  @Test func `without answers nothing claims to know what is right`() {
    let html = page(RunHistory(parsing: MadeUpRun(stepCount: 5, knowsAnswers: false).metrics()))
    #expect(
      !html.contains("<strong>Accuracy") && !html.contains("right responses</th>") && !html.contains("is-right\" "))
    #expect(html.contains("There are no answers to compare with"))
  }

  @Test func `questions are in rows by how often the base model was right`() {
    let buckets = DifficultyBucket.buckets(before: [0, 0.25, 0.125, 0.5, 1], after: [0.5, 1, 0.5, 1, 0.5])
    #expect(buckets.map(\.questions) == [1, 2, 1, 1])
    #expect(buckets.map(\.before) == [0, 0.375, 0.5, 1] && buckets.map(\.after) == [0.5, 1.5, 1, 0.5])
    #expect(buckets.map(\.name) == ["never right", "right at most 1 in 4", "1 in 4 to half", "more than 3 in 4"])
    #expect(DifficultyBucket.buckets(before: [], after: []).isEmpty)
  }

  @Test func `a gap between sampler and trainer is a warning`() {
    var history = RunHistory()
    history.add(["kind": "step", "step": 0, "logprob_gap": 0])
    history.add(["kind": "step", "step": 1, "logprob_gap": 0.00025])
    let html = page(history)
    #expect(html.contains("differ in 1 of 2 steps, by up to 2.5e-4") && !html.contains("agree exactly"))
  }

  @Test func `lines that could not be read, and a run without answers, are said at the top`() {
    let html = page(
      RunHistory(
        parsing: """
          {"kind":"step","step":0,"unlabeled_ratio":1,"truncation_ratio":1}
          damaged
          {"kind":"step","step":1,"unlabeled_ratio":1,"truncation_ratio":1}

          """))
    #expect(html.contains("<h1>Nothing could be voted on: no response gave an answer.</h1>"))
    #expect(html.contains("raise --max-new-tokens") && html.contains("1 line of metrics.jsonl could not be read"))
  }
}

@Suite struct ChartTests {
  private func series(_ values: [Double?]) -> Series {
    Series(
      name: "name", label: "label", ink: .right, mark: .solid,
      points: values.enumerated().map { Series.Point(step: $0, value: $1) })
  }

  @Test func `a small chart, stroke by stroke`() {
    let chart = Chart(ChartDescription("T", "", curves: []), series: [series([0.5, nil, 0, 1])])
    let svg = chart.svg(steps: 0...4, width: 300, height: 158, margins: .init(left: 50, right: 50), style: "s").text
    #expect(svg.contains("data-frame=\"50 250 22 122\" data-steps=\"0 4\" data-scale=\"100\""))
    #expect(svg.contains("data-decimals=\"1\" data-suffix=\"%\""))
    #expect(svg.contains("aria-label=\"T. name: from 50.0% to 100.0%\""))
    #expect(svg.contains("<path class=\"rule\" d=\"M50 122H250M50 97H250M50 72H250M50 47H250M50 22H250\"/>"))
    #expect(svg.contains("data-x=\"0 2 3\" data-v=\"0.5000 0.0000 1.0000\""))
    #expect(svg.contains("<path class=\"line\" d=\"M50 72L50 72M150 122L150 122L200 22\"/>"), "a gap stays a gap")
    #expect(svg.contains(">label 100.0%</text>"))
  }

  @Test func `labels are right of the plot, also of lines that end at its left edge`() throws {
    let first = Series(
      name: "n", label: "early", ink: .reward, mark: .ring, points: [Series.Point(step: 0, value: 0.5)])
    let chart = Chart(ChartDescription("T", "", curves: []), series: [series([0.5, 0.4, 0.6, 1]), first])
    let svg = chart.svg(steps: 0...3, width: 300, height: 158, margins: .init(left: 50, right: 50), style: "s").text
    let places = svg.split(separator: "<text class=\"label").dropFirst().compactMap { part in
      part.split(separator: "x=\"").dropFirst().first?.prefix { $0 != "\"" }
    }
    #expect(places.count == 2 && places.allSatisfy { Double($0) ?? 0 > 250 }, "\(places)")
  }

  @Test func `axes begin at zero and end on a round number`() {
    #expect(Axis(values: [0.3], top: 1).ticks == [0, 0.25, 0.5, 0.75, 1])
    #expect(Axis(values: [], top: 0.1).ticks == [0, 0.025, 0.05, 0.075, 0.1])
    #expect(Axis(values: [361], top: 8).ticks == [0, 100, 200, 300, 400])
    #expect(Axis(values: [-3, 5], top: 1).ticks == [-4, -2, 0, 2, 4, 6])
    #expect(Axis(steps: 0...120, tickCount: 8).ticks == [0, 20, 40, 60, 80, 100, 120])
    #expect(Axis(steps: 7...7, tickCount: 4).ticks == [7, 8])
  }

  @Test(arguments: [1e-300, 1e-12, 0.001, 0.07, 1, 3, 999, 1e6, 1e30]) func `every value lies on its axis`(top: Double)
  {
    let axis = Axis(values: [top], top: 1e-305)
    #expect(axis.ticks.count >= 4 && axis.ticks.count <= 6)
    #expect(axis.position(0) == 0 && axis.position(top) > 0.6 && axis.position(top) <= 1 + 1e-9)
  }

  @Test func `labels are moved apart, and no further than the plot`() {
    #expect(spread([10, 10, 11, 60], within: 0...60, distance: 14) == [10, 24, 38, 60])
    #expect(spread([58, 59, 60], within: 0...60, distance: 14) == [32, 46, 60])
    #expect(spread([], within: 0...60, distance: 14) == [])
  }

  @Test func `a moving mean of a constant is the constant, and few steps have none`() {
    #expect(series(Array(repeating: 0.25, count: 39)).movingMean == nil)
    let mean = series(Array(repeating: 0.25, count: 200)).movingMean
    #expect(mean?.count == 200 && mean?.allSatisfy { $0.value == 0.25 } == true)
  }

  @Test func `a moving mean keeps the gaps of its line`() {
    var values = [Double?](repeating: 0.5, count: 100)
    values[50] = nil
    values[70] = 1e300
    let mean = series(values).movingMean
    #expect(mean?.enumerated().filter { $0.element.value == nil }.map(\.offset) == [50, 70])
    #expect(mean?.compactMap(\.value).allSatisfy { $0 == 0.5 } == true)
  }

  @Test func `visits are thinned evenly and keep both ends`() {
    #expect(ReportPrompts.thinned(Array(0..<5), to: 5) == [0, 1, 2, 3, 4])
    #expect(ReportPrompts.thinned(Array(0..<101), to: 5) == [0, 25, 50, 75, 100])
  }
}
