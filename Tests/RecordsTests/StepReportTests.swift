// A step's report in files: what is written is read again, rows of earlier versions are read, and a row that is not one
// is an error that names the member.

import Base
import Foundation
import Records
import Testing

@Suite struct StepReportTests {
  private static let report: StepReport = {
    var report = StepReport(step: 3, weightsDigest: [UInt8](repeating: 0xAB, count: 32))
    for (place, name) in FigureName.allCases.enumerated() where place % 3 > 0 {
      report.figures[name] = name.isCount ? Double(place) : 1 / Double(place)
    }
    var judged = PromptReport(prompt: 5)
    judged.label = "q:1/2"
    (judged.labelVotes, judged.samples, judged.unneeded, judged.rewarded) = (4, 7, 1, 4)
    (judged.isTie, judged.isFlip, judged.abstention) = (true, false, .tie)
    judged.truth = PromptReport.Truth(isLabelRight: false, right: 2, rightRewards: 1)
    report.prompts = [judged, PromptReport(prompt: 6)]
    var seconds = FigureValues()
    seconds[.forwardSeconds] = 0.25
    report.processes = [ProcessTimes(process: "rank 0", seconds: seconds)]
    report.positions = [4, 0, 1]
    return report
  }()

  @Test func `a report comes out of its line as it went in`() throws {
    #expect(try StepReport(parsing: Self.report.json.text()) == Self.report)
  }

  @Test func `an unknown figure is null, and a count has no fraction`() throws {
    let row = Self.report.json
    let place = try #require(FigureName.allCases.firstIndex(of: .loss))
    #expect(row["learning_rate"] == .null && row["state_sha256"] == .null)
    #expect(row["budget_exhausted"] == 11 && row["loss"] == .double(1.0 / Double(place)))
  }

  @Test func `a value that a figure cannot have is unknown`() {
    var figures = FigureValues()
    figures[.loss] = .infinity
    figures[.updates] = 1.5
    figures[.sampledTokens] = -1
    #expect(figures == FigureValues())
  }

  @Test func `the parts of a step are times, each once, and a rank measures some of them`() {
    #expect(Set(FigureName.parts).count == FigureName.parts.count && FigureName.parts.allSatisfy(\.isTime))
    #expect(Set(FigureName.rankParts).isSubset(of: FigureName.parts))
    let times = Set(FigureName.allCases.filter(\.isTime))
    #expect(times.subtracting(FigureName.parts) == [.stepSeconds, .rolloutSeconds, .trainSeconds])
    #expect(FigureName.lastSampleSeconds.partName == "last sample")
  }

  @Test func `a clock is in one part at a time`() {
    var clock = PartClock(in: .voteSeconds, at: Instant(nanoseconds: 5))
    for (time, part) in [(UInt64(7), FigureName.forwardSeconds), (10, .backwardSeconds), (14, .forwardSeconds)] {
      clock.begin(part, at: Instant(nanoseconds: time))
    }
    clock.begin(.publishSeconds, at: Instant(nanoseconds: 30))
    let spans = [FigureName.voteSeconds, .forwardSeconds, .backwardSeconds, .publishSeconds].map {
      clock[$0].nanoseconds
    }
    #expect(spans == [2, 19, 4, 0])
  }

  @Test func `a row with former names is the same report`() throws {
    var text = Self.report.json.text()
    for (name, former) in [
      ("label_votes", "votes"), ("unneeded", "saved"), ("overturn_ratio", "overturn_rate"),
      ("unneeded_samples", "samples_saved"),
    ] {
      text = text.split(separator: "\"\(name)\"", omittingEmptySubsequences: false).joined(separator: "\"\(former)\"")
    }
    text = "{\"flip_rate\":0.5," + text.dropFirst()
    #expect(try StepReport(parsing: text) == Self.report)
    #expect(try MetricsRow.parse(text)["flip_rate"] == nil)
    let alarms = try MetricsRow.parse(#"{"alarms":[{"name":"silence","value":0.9},{"name":"entropy","value":2.0}]}"#)
    #expect(alarms["alarms"]?.elements?.compactMap { $0["name"]?.string } == ["zero_advantage", "entropy"])
    let evaluation = try MetricsRow.parse(#"{"kind":"evaluation","by_prompt":[{"prompt":0,"votes":3}]}"#)
    #expect(evaluation["by_prompt"] == [["prompt": 0, "label_votes": 3]])
  }

  @Test(arguments: [
    ("\"step\":3", "\"step\":-1", "\"step\" is the number -1"),
    ("\"tie\":true", "\"tie\":1", "\"tie\" is the number 1"),
    ("\"label_votes\":4", "\"labels\":4", "\"label_votes\" is missing"),
    ("\"abstained\":\"tie\"", "\"abstained\":\"x\"", "\"abstained\" is the string \"x\""),
    ("\"samples\":7", "\"samples\":4294967296", "\"samples\" is the number 4294967296"),
    ("abab", "ab", "\"weights_sha256\" is the string"), ("\"prompts\"", "\"others\"", "\"prompts\" is missing"),
    ("\"process\":\"rank 0\"", "\"process\":0", "\"processes\" is"),
    ("}]}", "}]", "line 1"),
  ])
  func `a damaged row is an error that names the member`(_ part: String, _ damage: String, _ problem: String) throws {
    let text = Self.report.json.text()
    let place = try #require(text.range(of: part))
    let damaged = text.replacingCharacters(in: place, with: damage)
    let error = #expect(throws: StepReportError.self) { try StepReport(parsing: damaged) }
    #expect("\(try #require(error))".contains(problem), "\(String(describing: error))")
  }
}
