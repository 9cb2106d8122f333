// How runs are shown that exist already: one prompt in the terminal, two runs that differ, several side by side.

import Base
import Observatory
import Records
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
    let times: JSON = [
      "step": 1, "entropy": 2, "old": 1, "rollout_seconds": 9, "sampling_seconds": 8,
      "processes": [["process": "rank 0"]],
    ]
    #expect(RunDifference.figures(left, times) == [])
  }

  @Test func `the first difference of each kind is shown; what is equal is counted`() {
    var difference = RunDifference()
    (difference.equalResponses, difference.equalSteps, difference.equalPolicies) = (1024, 4, 5)
    #expect(
      difference.isEmpty && difference.text.contains("1,024 responses, 4 steps and 5 policy versions are the same"))
    difference.step = (4, ["entropy"])
    difference.policy = 5
    #expect(difference.text.contains("step 4 (entropy)") && difference.text.contains("policy version 5"))
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

@Suite struct PromptChoiceTests {
  /// Three prompts: one flips, one is wrong in the end, one agrees little; and one that was never visited.
  private static let digest = {
    var digest = RunDigest()
    let steps: [[(label: String, votes: Int, isRight: Bool)]] = [
      [("a", 4, false), ("a", 8, true), ("a", 3, true)], [("b", 6, true), ("a", 7, false), ("a", 3, true)],
    ]
    for (step, groups) in steps.enumerated() {
      let prompts = groups.enumerated().map { index, group -> JSON in
        [
          "prompt": .int(index), "label": .string(group.label), "label_votes": .int(group.votes), "samples": 8,
          "label_right": .bool(group.isRight),
        ]
      }
      digest.add(["kind": "step", "step": .int(step), "prompts": .array(prompts)])
    }
    return digest
  }()

  @Test func `prompts are chosen by their votes and sorted by flips or agreement, those without a visit last`() {
    func chosen(_ show: String?, _ order: String?) -> [Int] {
      PromptChoice(show: show, order: order).chosen(from: [0, 1, 2, 3], Self.digest)
    }
    #expect(chosen(nil, nil) == [0, 1, 2, 3] && chosen("no such", "'; --") == [0, 1, 2, 3])
    #expect(chosen("flipped", nil) == [0] && chosen("wrong", nil) == [1])
    #expect(chosen("split", nil) == [2] && chosen("unvisited", nil) == [3])
    #expect(chosen(nil, "flips") == [0, 1, 2, 3] && chosen(nil, "agreement") == [2, 0, 1, 3])
  }
}

@Suite struct BannerTests {
  private static let ending = RunEnding(
    .failed, time: 940, process: "learner", what: "learner exited with 1, 6 times within 60 s",
    reason: "no space is left on the device\n/runs/demo", log: "logs/learner.log", next: "ttrl train --run /runs/demo")

  private static func condition(isFinished: Bool = false, isAlive: Bool = false, _ ending: RunEnding?) -> RunCondition {
    RunCondition(isFinished: isFinished, isAlive: isAlive, isSupervised: false, ending: ending)
  }

  @Test func `what was recorded about an end counts until the run goes on or is finished`() {
    #expect(Self.condition(isFinished: true, Self.ending) == .finished)
    #expect(Self.condition(isAlive: true, Self.ending) == .running)
    #expect(Self.condition(Self.ending) == .ended(Self.ending) && Self.condition(nil) == .abandoned)
    #expect(RunEnding(Self.ending.json) == Self.ending)
    for condition in [RunCondition.running, .finished, .starting] { #expect(Banner(condition, path: "") == nil) }
  }

  @Test func `a terminal's banner has what failed, why, and the next step`() {
    #expect(
      Banner(.ended(Self.ending), path: "/runs/demo", now: 1000)?.text == """
        FAILED    The run failed 60 s ago: learner exited with 1, 6 times within 60 s.
        reason    no space is left on the device
                  /runs/demo
        next      Finished work is kept (log: /runs/demo/logs/learner.log). Fix the cause, then continue with: ttrl \
        train --run /runs/demo
        """)
  }

  @Test func `a run that nobody ended says that no process runs it`() throws {
    let banner = try #require(Banner(.abandoned, path: "/runs/demo"))
    #expect(banner.text.hasPrefix("NOT RUNNING No process runs this run") && banner.next.hasSuffix("--run /runs/demo"))
    var view = RunView()
    view.path = "/runs/demo"
    let terminal = LiveView.Terminal(width: 200, height: 40, isUnicode: true, isStyled: false)
    #expect(LiveView.lines(view, RunDigest(), on: terminal)[1].hasPrefix("ended   No process runs this run"))
  }

  @Test func `the live view of a failed run begins with the banner and promises nothing`() {
    var view = RunView()
    (view.path, view.stepCount, view.now, view.ending) = ("/runs/demo", 240, 1000, Self.ending)
    let lines = LiveView.lines(
      view, digest(of: MadeUpRun()), on: LiveView.Terminal(width: 200, height: 40, isUnicode: true, isStyled: false))
    #expect(lines[1].hasPrefix("failed  The run failed") && lines[2].hasPrefix("reason  no space"))
    #expect(!lines.contains { $0.contains(" min left") || $0.contains(" s left") || $0.contains("to sample") })
  }

  @Test func `a failed run's report begins with the banner, also in the page's answer`() throws {
    let html = Report.html(
      RunHistory(parsing: MadeUpRun(stepCount: 5).metrics()), summary: .null, settings: [],
      progress: RunProgress(stepCount: 30, condition: .ended(Self.ending), path: "/runs/demo"))
    let before = try #require(html.split(separator: "<h1>").first)
    for words in ["class=\"banner\"", "learner exited with 1", "no space is left", "5 of 30 steps done"] {
      #expect(before.contains(words), "\(words)")
    }
    var view = RunView()
    (view.stepCount, view.ending) = (240, Self.ending)
    let answer = PageAnswers.run(view, digest(of: MadeUpRun()), settings: [])
    #expect(answer["banner"]?["reason"]?.string == Self.ending.reason && answer["seconds_left"] == .null)
    #expect(answer["waits_for"]?.string == "nothing: the run failed")
  }
}
