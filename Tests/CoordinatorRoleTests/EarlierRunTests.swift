// What a coordinator and a page recall of a run that an earlier version of the program made, and what they make of a
// ledger that is damaged.

import Base
import CoordinatorRole
import Fleet
import Foundation
import Ledger
import Observatory
import Platform
import Records
import RunReading
import Runs
import TTRL
import Testing

@Suite struct EarlierRunTests {
  @Test func `the guard comes to what it came to then`() throws {
    let copy = try EarlierRun()
    let run = try Run(opening: copy.directory)
    let ledger = try Ledger(path: copy.directory.ledger, mode: .readOnly)
    var watch = run.freshGuard
    var reports: [StepReport] = []
    for row in try ledger.stepMetrics() {
      let report = try StepReport(parsing: row.json)
      let reading = watch.observe(try StepSigns(report))
      #expect(reading.distinctLabelRatio == report.figures[.distinctLabelRatio])
      #expect(reading.overturnRatio == report.figures[.overturnRatio])
      // Written again it is the same, member by member: `ttrl diff` compares it with rows of today.
      #expect(RunDifference.figures(report.json, try MetricsRow.parse(row.json)) == ["alarms"])
      reports.append(report)
    }
    #expect(reports.map { $0.figures[.unneededSamples] } == [4, 0, 2])
    #expect(reports[0].prompts[0].labelVotes == 4 && reports[0].prompts[0].unneeded == 3)
  }

  @Test func `a coordinator recalls it`() throws {
    let copy = try EarlierRun()
    let ledger = try Ledger(path: copy.directory.ledger, mode: .readWrite)
    let memory = try RunRecorder(run: try Run(opening: copy.directory), ledger: ledger).recall()
    #expect(memory.closedRounds.count == 3 && memory.policies.count == 4 && memory.settled.isEmpty)
    #expect(memory.course.judged == PolicyVersion(2))
  }

  @Test func `a row that cannot be read ends the coordinator, and is named`() throws {
    let copy = try EarlierRun()
    let ledger = try Ledger(path: copy.directory.ledger, mode: .readWrite)
    try ledger.setMetrics(#"{"kind":"step","step":1,"prompts":[]}"#, ofStep: 1)
    let recorder = RunRecorder(run: try Run(opening: copy.directory), ledger: ledger)
    let error = #expect(throws: CoordinatorFailure.self) { try recorder.recall() }
    let text = "\(try #require(error))"
    #expect(text.contains("row of step 1 cannot be read") && text.contains("majority_ratio"), "\(text)")
  }

  @Test func `a ledger that stays unreadable is said, after it was read again`() throws {
    let copy = try EarlierRun()
    let watch = RunWatch(copy.directory)
    while watch.refresh() {}
    #expect(watch.view.problem == nil)
    try Files.write("no ledger", to: copy.directory.ledger)
    let other = RunWatch(copy.directory)
    other.refresh()
    #expect(other.view.problem == nil, "one look can meet a ledger that is being made")
    for _ in 0..<3 { other.refresh() }
    #expect(other.view.problem?.contains(copy.directory.ledger) == true, "\(other.view.problem ?? "nothing is said")")
  }

  @Test func `a watcher sees that a run is kept running, and takes no lock`() throws {
    let copy = try EarlierRun()
    #expect(!copy.directory.isSupervised)
    let lock = try RunLock(directory: copy.directory.path, name: RunDirectory.supervisorLock, owner: "supervisor")
    #expect(copy.directory.isSupervised)
    withExtendedLifetime(lock) {}
  }

  @Test func `the page has its figures under their present names`() throws {
    let copy = try EarlierRun()
    let watch = RunWatch(copy.directory)
    while watch.refresh() {}
    let figures = PageAnswers.curves(watch.digest, points: 10)["figures"]
    #expect(figures?["unneeded_samples"] == [.double(4), .double(0), .double(2)] && figures?["flip_rate"] == nil)
    let prompt = PageAnswers.prompt(
      PromptText(index: 27, id: nil, question: "", answer: nil), watch.digest.prompts[27])
    #expect(prompt["votes"]?.elements?.first?["samples"] == 5)
    let ledger = try Ledger(path: copy.directory.ledger, mode: .readOnly)
    let step = PageAnswers.step(try MetricsRow.parse(try #require(try ledger.metrics(ofStep: 0))))
    let first = try #require(step["prompts"]?.elements?.first)
    #expect(first["label_votes"] == 4 && first["unneeded"] == 3 && first["votes"] == nil)
  }
}
