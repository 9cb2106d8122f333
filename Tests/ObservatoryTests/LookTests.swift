// How runs are shown that exist already: one prompt in the terminal, two runs that differ, several side by side.

import Base
import Observatory
import Testing

@Suite struct ExplanationTests {
  private func response(_ sample: Int, answer: String?, text: String) -> ResponseView {
    ResponseView(
      sample: sample, policy: 3, worker: "ada", address: nil, finish: "stop", answer: answer, counts: true,
      tokens: [(1, text, -0.5)], tokenCount: 1, logprobSum: -0.5, entropyMean: 0.1)
  }

  @Test func `a prompt is shown with its votes, its flips and the responses that gave the label`() throws {
    let digest = digest(of: MadeUpRun())
    let (prompt, track) = try #require(digest.prompts.first { $0.1.flipCount > 0 })
    let last = try #require(track.visits.last)
    let label = track.label(of: last)
    let text = Explanation.text(
      PromptText(index: prompt, id: "q", question: "What is it?", answer: "1"), track, step: Int(last.step),
      [response(0, answer: label, text: "It is."), response(1, answer: nil, text: "No \u{1B}[2Jidea")], columns: 80)
    let words = [
      "What is it?", "\(track.visits.count) visits", "flipped", ", the label", "states no answer",
      "60.7% per token", "by ada", "No \\u{1b}[2Jidea",
    ]
    for word in words { #expect(text.contains(word), "\(word) is missing in\n\(text)") }
    #expect(text.split(separator: "\n").allSatisfy { $0.count < 140 })
  }

  @Test func `a prompt that was never visited says so`() {
    let prompt = PromptText(index: 5, id: nil, question: "Q", answer: nil)
    #expect(Explanation.text(prompt, nil, step: nil, [], columns: 80).contains("no step has sampled this prompt yet"))
  }
}

@Suite struct RunDifferenceTests {
  @Test func `different times are not a difference, different figures are`() throws {
    let left: JSON = ["step": 1, "entropy": 2, "train_seconds": 3, "old": 1]
    let right: JSON = ["step": 1, "entropy": 4, "train_seconds": 5, "new": 1]
    #expect(RunDifference.figures(left, right) == ["entropy", "old", "new"])
    #expect(RunDifference.figures(left, ["step": 1, "entropy": 2, "old": 1, "rollout_seconds": 9]) == [])
  }

  @Test func `the first difference of each kind is shown; what is equal is counted`() {
    var difference = RunDifference()
    (difference.equalResponses, difference.equalSteps, difference.equalPolicies) = (1024, 4, 5)
    #expect(
      difference.isEmpty && difference.text.contains("1,024 responses, 4 steps and 5 policy versions are the same"))
    difference.step = (4, ["entropy"])
    difference.policy = 5
    #expect(difference.text.contains("step 5 (entropy)") && difference.text.contains("policy version 5"))
  }
}

@Suite struct ReportComparisonTests {
  private func run(_ name: String, seed: UInt64, lr: String) -> ComparedRun {
    var made = MadeUpRun()
    made.seed = seed
    // Evaluations with their questions, as the coordinator writes them: the first majority turned right.
    let evaluations = [(0, false), (made.stepCount, true)].map { policy, isRight in
      #"{"kind":"evaluation","policy":\#(policy),"set":"train","pass@1":0.5,"ci95":{"pass@1":[0.4,0.6]},"#
        + #""by_prompt":[{"prompt":0,"label":"q:1","label_right":\#(isRight)}]}"# + "\n"
    }
    return ComparedRun(
      name: name, history: RunHistory(parsing: made.metrics() + evaluations.joined()),
      settings: [("lr", lr), ("votes", "64")],
      wallSeconds: 2000, weightsSHA256: String(repeating: "a", count: 64),
      events: [("lease.expired", 3), ("peer.left", 2), ("worker.joined", 4)])
  }

  @Test func `runs stand side by side with intervals, phases, failures, learned and lost, and what differs`() {
    let html = ReportComparison.html([run("one", seed: 1, lr: "5e-7"), run("two", seed: 2, lr: "1e-6")])
    let words = [
      "2 runs side by side", "pass@1 before", "pass@1 after", "95% interval", ">sampling<", ">training<",
      "leases that expired without progress", "majorities that turned right, wrong", "learned", "Settings that differ",
      "5e-7",
      "1e-6",
    ]
    for word in words { #expect(html.contains(word), "\(word) is missing") }
    // A row of its own only for settings that differ; a line per run in every chart.
    #expect(!html.contains("<th>votes</th>"))
    #expect(html.contains("data-name=\"one\"") && html.contains("data-name=\"two\""))
  }

  @Test func `names are text, whatever they hold`() {
    let html = ReportComparison.html([
      run("<script>alert(1)</script>", seed: 1, lr: "1"), run("b", seed: 2, lr: "\"><i>"),
    ])
    #expect(!html.contains("<script>alert") && !html.contains("<i>"))
  }

  @Test func `a single run's report has its time and its failures`() {
    let html = Report.html(
      RunHistory(parsing: MadeUpRun().metrics()), summary: ["wall_seconds": 2000], settings: [],
      events: [("lease.expired", 3), ("worker.joined", 2)])
    #expect(html.contains("Time and failures") && html.contains("leases that expired without progress"))
  }
}
