// The charts are described once: the page, the report and the terminal show what the table says, and nothing else.

import Base
import Observatory
import Records
import Testing

@Suite struct ChartsTests {
  private static let digest = ObservatoryTests.digest(of: MadeUpRun())
  private static let history = RunHistory(parsing: MadeUpRun().metrics())

  @Test func `every curve shows a figure that there is`() {
    for curve in Charts.all.flatMap(\.curves) {
      switch curve.source {
      case .step(let figure): #expect(StepFigures.all.contains { $0.figure == figure }, "\(figure)")
      case .evaluation(let set, let figure):
        #expect(Self.history.evaluations(on: set).allSatisfy { $0.figures.contains { $0.name == figure } }, "\(figure)")
      case .visit: Issue.record("\(curve.name) is of one prompt, not of a run")
      }
    }
    for figure in Charts.compared {
      #expect(Charts.all.contains { $0.curves.contains { $0.source == .step(figure) } }, "\(figure) has no curve")
    }
  }

  @Test func `charts, and the curves of a chart, can be told apart`() {
    #expect(Set(Charts.all.map(\.title)).count == Charts.all.count)
    for chart in Charts.all + [Charts.agreement] {
      #expect(chart.help.hasSuffix("."), "\(chart.title): \(chart.help)")
      #expect(Set(chart.curves.map(\.name)).count == chart.curves.count)
      #expect(Set(chart.curves.map(\.label)).count == chart.curves.count)
      let looks = chart.curves.map { "\($0.ink) \($0.mark)" }
      #expect(Set(looks).count == looks.count, "\(chart.title): \(looks)")
    }
  }

  @Test func `the page and the report show all charts of the table, in its order, with its words`() throws {
    let page = try #require(PageAnswers.charts(Self.digest)["charts"]?.elements)
    let report = Report.html(Self.history, summary: .null, settings: [])
    let figures = report.components(between: "<figcaption>", and: "</figure>")
    // The made-up run learns no given responses, and shows no options in several orders.
    let charts = Charts.all.filter { !["Perplexity", "Position bias"].contains($0.title) }
    #expect(page.count == charts.count && figures.count == charts.count && charts.count == Charts.all.count - 2)
    for (chart, (shown, figure)) in zip(charts, zip(page, figures)) {
      #expect(shown["title"]?.string == chart.title && shown["note"]?.string == chart.help)
      #expect(figure.hasPrefix("<strong>\(escaped(chart.title))</strong>\(escaped(chart.help))<"), "\(chart.title)")
      let series = try #require(shown["series"]?.elements)
      #expect(series.compactMap { $0["name"]?.string } == chart.curves.map(\.name))
      for (curve, one) in zip(chart.curves, series) {
        #expect(one["ink"]?.string == curve.ink.rawValue && one["mark"]?.string == curve.mark.rawValue)
        #expect(one["label"]?.string == (chart.curves.count == 1 ? "" : curve.label))
        #expect(figure.contains("data-name=\"\(escaped(curve.name))\""), "\(curve.name)")
      }
    }
  }

  @Test func `what the page draws are the values of the run`() throws {
    let answer = PageAnswers.charts(Self.digest)
    #expect(answer["steps"]?.elements?.compactMap(\.int) == Self.history.steps.map(\.step))
    let charts = try #require(answer["charts"]?.elements)
    let accuracy = try #require(charts.first?["series"]?.elements)
    let lines = accuracy.compactMap { $0["values"]?.elements?.compactMap(\.double) }
    let points = accuracy.compactMap { $0["points"]?.elements?.compactMap(\.elements) }
    for (line, figure) in zip(lines, [FigureName.groundTruthRatio, .labelAccuracy]) {
      let recorded = Self.digest.column(figure).map(Double.init)
      #expect(line.count == recorded.count && zip(line, recorded).allSatisfy { abs($0 - $1) < 1e-6 })
    }
    let evaluations = Self.history.evaluations(on: .train)
    #expect(points.count == 3 && points.first?.compactMap { $0.first?.int } == evaluations.map(\.policy))
    let passes = evaluations.compactMap(\.passAt1).map { ($0 * 1e6).rounded() / 1e6 }
    let shown = points.first?.compactMap { $0.last?.double } ?? []
    #expect(shown.count == passes.count && zip(shown, passes).allSatisfy { abs($0 - $1) < 1e-6 })
    #expect(charts.first?["reference"]?["value"]?.double == Outcome(Self.history).baseMajority?.value)
    #expect(charts.dropFirst().allSatisfy { $0["reference"] == .null })
  }

  @Test func `a run without answers has no chart of accuracy, and an empty run has none at all`() {
    let blind = PageAnswers.charts(ObservatoryTests.digest(of: MadeUpRun(knowsAnswers: false)))
    let titles = blind["charts"]?.elements?.compactMap { $0["title"]?.string }
    #expect(titles?.first == "Majority ratio" && titles?.count == Charts.all.count - 4)
    #expect(PageAnswers.charts(RunDigest())["charts"]?.elements == [])
  }

  @Test func `a prompt's chart has its shares, from the second visit on`() throws {
    let track = try #require(Self.digest.prompts.first { $0.1.visits.count > 1 })
    let text = PromptText(index: track.0, id: nil, question: "", answer: nil)
    let charts = try #require(PageAnswers.prompt(text, track.1)["charts"])
    let series = try #require(charts["charts"]?.elements?.first?["series"]?.elements)
    #expect(series.compactMap { $0["name"]?.string } == Charts.agreement.curves.map(\.name))
    let shown = series.first?["values"]?.elements?.compactMap(\.double) ?? []
    let shares = track.1.visits.map(\.share)
    #expect(shown.count == shares.count && zip(shown, shares).allSatisfy { abs($0 - $1) < 1e-6 })
    #expect(PageAnswers.prompt(text, nil)["charts"]?["charts"]?.elements == [])
  }

  @Test func `the terminal calls the curves what the charts call them`() {
    let terminal = LiveView.Terminal(width: 200, height: 40, isUnicode: true, isStyled: false)
    let lines = LiveView.lines(RunView(), Self.digest, on: terminal).joined(separator: "\n")
    for figure in [FigureName.groundTruthRatio, .labelAccuracy, .majorityRatio, .entropy, .distinctLabelRatio] {
      let curve = Charts.all.lazy.flatMap(\.curves).first { $0.source == .step(figure) }
      #expect(curve.map { lines.contains("\($0.label) ") } == true, "\(figure) is missing in\n\(lines)")
    }
  }
}

extension String {
  /// The texts between two words.
  fileprivate func components(between start: String, and end: String) -> [String] {
    var (parts, rest) = ([String](), self[...])
    while let from = rest.firstRange(of: start), let to = rest[from.upperBound...].firstRange(of: end) {
      parts.append(String(rest[from.upperBound..<to.lowerBound]))
      rest = rest[to.upperBound...]
    }
    return parts
  }
}
