// What the terminal and summary.json say, character by character.

import Base
import Observatory
import Testing

/// A run in which everything is known, in round numbers.
private let known = RunHistory(
  parsing: """
    {"kind":"evaluation","policy":0,"set":"train","pass@1":0.3125,"maj@16":0.4375,"maj@64":0.46875,\
    "majority_ratio":0.34,"no_answer_ratio":0.12,"samples":64,"prompts":2,"pass_by_prompt":[0.25,0.375]}
    {"kind":"evaluation","policy":0,"set":"held_out","pass@1":0.3,"maj@16":0.4,"maj@64":0.41,\
    "majority_ratio":0.33,"no_answer_ratio":0.1,"samples":64,"prompts":100,"pass_by_prompt":[]}
    {"kind":"step","step":0,"label_accuracy":0.625,"reward_accuracy":0.75,"majority_ratio":0.355,\
    "ground_truth_ratio":0.3203,"no_answer_ratio":0.122,"unlabeled_ratio":0,"sampled_tokens":98765,"logprob_gap":0,\
    "skipped_updates":0,"rollout_seconds":8,"train_seconds":4.4,"prompts":[]}
    {"kind":"step","step":1,"label_accuracy":1,"reward_accuracy":1,"majority_ratio":0.9,"ground_truth_ratio":0.9,\
    "no_answer_ratio":0.02,"unlabeled_ratio":0,"sampled_tokens":1200,"logprob_gap":0.0001,"skipped_updates":2,\
    "rollout_seconds":2,"train_seconds":1,"prompts":[]}
    {"kind":"evaluation","policy":2,"set":"train","pass@1":0.5835,"maj@16":0.6,"maj@64":0.6,\
    "majority_ratio":0.81,"no_answer_ratio":0.01,"samples":64,"prompts":2,"pass_by_prompt":[0.5,0.75]}
    {"kind":"evaluation","policy":2,"set":"held_out","pass@1":0.29,"maj@16":0.42,"maj@64":0.41,\
    "majority_ratio":0.7,"no_answer_ratio":0.02,"samples":64,"prompts":100,"pass_by_prompt":[]}

    """)

/// The same kind of run without a single answer to compare with.
private let blind = RunHistory(
  parsing: """
    {"kind":"evaluation","policy":0,"set":"train","pass@1":null,"maj@16":null,"maj@64":null,"majority_ratio":0.34,\
    "no_answer_ratio":0.12,"samples":64,"prompts":32,"pass_by_prompt":[]}
    {"kind":"step","step":0,"label_accuracy":null,"reward_accuracy":null,"majority_ratio":0.36,\
    "ground_truth_ratio":null,"no_answer_ratio":0.05,"unlabeled_ratio":0.1,"prompts":[{"prompt":0}]}
    {"kind":"evaluation","policy":1,"set":"train","pass@1":null,"maj@16":null,"maj@64":null,"majority_ratio":0.81,\
    "no_answer_ratio":0.02,"samples":64,"prompts":32,"pass_by_prompt":[]}

    """)

/// - Parameter truncated: share of the responses that are cut off.
/// - Returns: a run of two steps in which no response gives an answer.
private func silent(truncated: Double) -> RunHistory {
  var history = RunHistory()
  for step in 0..<2 {
    history.add([
      "kind": "step", "step": .int(step), "majority_ratio": 0, "unlabeled_ratio": 1, "no_answer_ratio": 1,
      "truncation_ratio": .double(truncated),
    ])
  }
  return history
}

@Suite struct SentenceTests {
  @Test func `the result names base, final, the base's majority vote and the held-out set`() {
    #expect(
      Outcome(known).sentence(known)
        == "pass@1 rose from 31.3% to 58.4% in 2 steps on 2 questions without their answers, above the base model's "
        + "majority vote (maj@64, 46.9%); held out, it fell from 30.0% to 29.0%.")
  }

  @Test func `without answers it says what could be measured, and that nothing can be compared`() {
    #expect(
      Outcome(blind).sentence(blind)
        == "The majority ratio rose from 34.0% to 81.0% in 1 step on 32 questions without their answers; "
        + "there are no answers to compare with.")
  }

  @Test func `controls are called what they are`() {
    #expect(Outcome(known).sentence(known, labels: .random).contains("on 2 questions with random labels, above"))
    #expect(Outcome(known).sentence(known, labels: .truth).contains("on 2 questions with their true answers, above"))
  }

  @Test func `a run at its beginning promises nothing`() {
    #expect(Outcome(RunHistory()).sentence(RunHistory()) == "No step is done yet.")
    let base = RunHistory(parsing: #"{"kind":"evaluation","policy":0,"set":"train","pass@1":0.25}"#)
    #expect(Outcome(base).sentence(base) == "The base model's pass@1 is 25.0%; no step is done yet.")
  }

  @Test func `a run without evaluations speaks of its own responses`() {
    var history = RunHistory()
    history.add(["kind": "step", "step": 0, "ground_truth_ratio": 0.25, "majority_ratio": 0.5])
    history.add(["kind": "step", "step": 1, "ground_truth_ratio": 0.25, "majority_ratio": 0.6])
    #expect(
      Outcome(history).sentence(history)
        == "The share of right responses stayed at 25.0%, first step to last, in 2 steps without their answers.")
  }

  @Test func `the interval of the change needs eight questions that both ends list`() {
    func run(_ before: [Double], _ after: [Double]) -> Comparison {
      func line(_ policy: Int, _ passes: [Double]) -> JSON {
        [
          "kind": "evaluation", "policy": .int(policy), "set": "train", "pass@1": 0.5,
          "pass_by_prompt": .array(passes.map { .double($0) }),
        ]
      }
      var history = RunHistory()
      history.add(line(0, before))
      history.add(line(9, after))
      return Outcome(history).train
    }
    #expect(run([0, 0.5], [0.5, 0.25]).passChanges == [0.5, -0.25])
    #expect(run([0, 0.5], [0.5]).passChanges.isEmpty)
    let zeros = [Double](repeating: 0, count: 8)
    #expect(run(Array(zeros.dropLast()), [1, 0, 1, 0, 1, 0, 1]).passChangeInterval == nil)
    // Half of eight questions turned: a mean of 0.5, and 95 % of the means of 8 draws lie from 1/8 to 7/8.
    let interval = run(zeros, [1, 0, 1, 0, 1, 0, 1, 0]).passChangeInterval
    #expect(interval == Interval(low: 0.125, high: 0.875))
  }

  @Test func `questions are learned, lost, kept and missed by their majority at both ends`() {
    func line(_ policy: Int, _ right: [Bool?]) -> JSON {
      [
        "kind": "evaluation", "policy": .int(policy), "set": "train", "pass@1": 0.5,
        "by_prompt": .array(
          right.enumerated().map { index, isRight in
            ["prompt": .int(index), "label": "q:1", "label_right": isRight.map { .bool($0) } ?? .null]
          }),
      ]
    }
    var history = RunHistory()
    history.add(line(0, [false, true, true, false, nil, false]))
    history.add(line(9, [true, false, true, false, true, true]))
    var changes = LabelChanges()
    changes.learned = [0, 5]
    changes.lost = [1]
    changes.kept = 1
    changes.missed = 1
    #expect(Outcome(history).train.labelChanges == changes)
    #expect(
      FinalTable.text(history).hasSuffix(
        """
        majority answers: 2 turned right and 1 turned wrong; 1 stayed right, 1 stayed wrong
        turned wrong: #1

        """))
    let summary = Summary.json(
      history, wallSeconds: 0, weightsSHA256: nil, stateSHA256: nil, settings: [:], versions: [:])
    #expect(summary["changes"]?["train"]?["learned"]?.elements?.compactMap(\.int) == [0, 5])
    #expect(summary["changes"]?["train"]?["lost"]?.elements?.compactMap(\.int) == [1])
    #expect(summary["changes"]?["held_out"] == .null)
    history.add(line(9, [true]))
    #expect(Outcome(history).train.labelChanges == nil)
  }
}

@Suite struct FinalTableTests {
  @Test func `before, after and change stand in aligned columns`() {
    #expect(
      FinalTable.text(known) == """
        training questions  before  after  change
          pass@1             31.3%  58.4%   +27.1
          maj@16             43.8%  60.0%   +16.2
          maj@64             46.9%  60.0%   +13.1
          majority ratio     34.0%  81.0%   +47.0
          no answer          12.0%   1.0%   -11.0
        held-out questions
          pass@1             30.0%  29.0%    -1.0
          maj@16             40.0%  42.0%    +2.0
          maj@64             41.0%  41.0%     0.0
          majority ratio     33.0%  70.0%   +37.0
          no answer          10.0%   2.0%    -8.0
        base model's majority vote on the training questions, maj@64: 46.9%
        pass@1 after training is 11.5 points above it

        """)
  }

  @Test func `where only some questions have an answer the table and the sentence say how many`() {
    func line(_ policy: Int, _ pass: Double) -> JSON {
      [
        "kind": "evaluation", "policy": .int(policy), "set": "train", "pass@1": .double(pass), "prompts": 5,
        "pass_by_prompt": [.double(pass), .double(pass)],
      ]
    }
    var history = RunHistory()
    history.add(line(0, 0.25))
    history.add(line(9, 0.5))
    #expect(FinalTable.text(history).hasPrefix("training questions (2 of 5 have an answer)  before  after  change\n"))
    #expect(Outcome(history).sentence(history).hasPrefix("pass@1 (2 of 5 have an answer) rose from 25.0% to 50.0% in"))
  }

  @Test func `without answers only agreement is listed, and the table says why`() {
    #expect(
      FinalTable.text(blind) == """
        training questions  before  after  change
          majority ratio     34.0%  81.0%   +47.0
          no answer          12.0%   2.0%   -10.0
        no answers are known: only agreement could be measured

        """)
  }

  /// `--eval-samples 8`: no maj@16, but answers, and the vote of all samples.
  @Test(arguments: [8, 1]) func `few samples compare with the vote of all of them; answers are not called unknown`(
    samples: Int
  ) {
    func line(_ policy: Int, _ right: [Bool]) -> JSON {
      [
        "kind": "evaluation", "policy": .int(policy), "set": "train", "pass@1": 0.25, "majority_ratio": 0.5,
        "samples": .int(samples), "prompts": .int(right.count),
        "by_prompt": .array(
          right.enumerated().map { ["prompt": .int($0), "label": "q:1", "label_right": .bool($1)] }),
      ]
    }
    var history = RunHistory()
    history.add(line(0, [true, false, false, false]))
    history.add(line(4, [true, true, false, false]))
    let text = FinalTable.text(history)
    #expect(!text.contains("no answers are known"), "\(text)")
    #expect(
      text.contains(
        samples == 8
          ? "base model's majority vote on the training questions, maj@8: 25.0%\npass@1 after training is equal to it\n"
          : "no majority vote of the base model to compare with: it needs --eval-samples 2 or more (this run: 1)\n"),
      "\(text)")
  }

  @Test func `a set without answers is named where another set has some`() {
    var history = blind
    history.add(["kind": "evaluation", "policy": 1, "set": "held_out", "pass@1": 0.5])
    #expect(
      FinalTable.text(history).hasSuffix(
        "no answers are known for the training questions: only agreement could be measured on them\n"))
  }

  @Test func `nothing evaluated is no table`() {
    #expect(FinalTable.text(RunHistory()) == "")
  }

  @Test func `a run without a single answer says what to do, the likelier cause first`() {
    #expect(
      FinalTable.nothingToVoteOn(silent(truncated: 0.75))
        == "nothing could be voted on: no response gave an answer (75.0% were cut off at the token limit: raise "
        + "--max-new-tokens, then ask for its form, for example --suffix 'Put your final answer within \\boxed{}.')")
    #expect(
      FinalTable.nothingToVoteOn(silent(truncated: 0))
        == "nothing could be voted on: no response gave an answer (ask for its form, for example --suffix 'Put your "
        + "final answer within \\boxed{}.', check --template, and read some responses with `ttrl generate`)")
  }

  @Test func `labels that rest on few votes are named, with what to do`() throws {
    var history = RunHistory()
    for (step, share) in [0.9, 0.8].enumerated() {
      history.add(["kind": "step", "step": .int(step), "no_answer_ratio": .double(share), "truncation_ratio": 0.65])
    }
    let text = try #require(FinalTable.fewVotes(history))
    #expect(
      text.hasPrefix("85.0% of the votes stated no answer (65.0% of the responses were cut off at the token limit)"))
    #expect(FinalTable.fewVotes(known) == nil && FinalTable.fewVotes(silent(truncated: 1)) == nil)
    #expect(FinalTable.fewVotes(RunHistory()) == nil)
  }

  @Test func `one answer anywhere is something to vote on, and so is a run not yet begun`() {
    var history = silent(truncated: 0)
    history.add(["kind": "step", "step": 2, "unlabeled_ratio": 0.99])
    #expect(FinalTable.nothingToVoteOn(history) == nil)
    #expect(FinalTable.nothingToVoteOn(RunHistory()) == nil)
  }

  @Test func `a reward that needs no answers has changed the weights`() {
    var history = silent(truncated: 0)
    history.add(["kind": "step", "step": 2, "unlabeled_ratio": 1, "updates": 1])
    #expect(FinalTable.nothingToVoteOn(history) == nil)
  }
}

@Suite struct ProgressLineTests {
  @Test func `a step is one line, with trouble only where there is some`() throws {
    let lines = known.steps.map { ProgressLine.text(for: $0, of: 100, secondsLeft: 3725) }
    #expect(
      lines == [
        "step   0    1 of 100 done  pass  32.0%  label  62.5%  majority  35.5%  no answer  12.2%  12,346 tokens/s  "
          + "12 s  1 h 02 min left",
        "step   1    2 of 100 done  pass  90.0%  label 100.0%  majority  90.0%  logprob gap 1e-4  2 skipped updates  "
          + "600 tokens/s  3.0 s  1 h 02 min left",
      ])
  }

  @Test func `without answers it shows agreement, and the last step has no time left`() throws {
    let step = try #require(blind.steps.first)
    #expect(ProgressLine.text(for: step, of: 1, secondsLeft: 0) == "step 0  1 of 1 done  majority  36.0%")
  }
}

@Suite struct SummaryTests {
  @Test func `a run with answers has both ends, the arrays by step and what it was made with`() {
    let json = Summary.json(
      known, wallSeconds: 61.5, weightsSHA256: "aa", stateSHA256: "bb", settings: ["steps": 2],
      versions: ["ttrl": "1"])
    let train0 =
      #"{"pass@1":0.3125,"maj@16":0.4375,"maj@64":0.46875,"majority_ratio":0.34,"no_answer_ratio":0.12}"#
    let heldOut0 = #"{"pass@1":0.3,"maj@16":0.4,"maj@64":0.41,"majority_ratio":0.33,"no_answer_ratio":0.1}"#
    let train2 = #"{"pass@1":0.5835,"maj@16":0.6,"maj@64":0.6,"majority_ratio":0.81,"no_answer_ratio":0.01}"#
    let heldOut2 = #"{"pass@1":0.29,"maj@16":0.42,"maj@64":0.41,"majority_ratio":0.7,"no_answer_ratio":0.02}"#
    #expect(
      json.text()
        == #"{"steps":2,"wall_seconds":61.5,"before":{"train":\#(train0),"held_out":\#(heldOut0),"transfer":null},"#
        + #""after":{"train":\#(train2),"held_out":\#(heldOut2),"transfer":null},"#
        + #""changes":{"train":null,"held_out":null},"pass_curve":{"train":null,"held_out":null},"#
        + #""vote_samples":null,"delivered":null,"alarms":[],"#
        + #""label_accuracy":[0.625,1.0],"#
        + #""reward_accuracy":[0.75,1.0],"weights_sha256":"aa","state_sha256":"bb","settings":{"steps":2},"#
        + #""versions":{"ttrl":"1"}}"#)
  }

  @Test func `without answers the accuracies are null, and the shape stays`() {
    let json = Summary.json(
      blind, wallSeconds: 1, weightsSHA256: nil, stateSHA256: nil, settings: [:], versions: [:])
    #expect(json["label_accuracy"] == .null && json["reward_accuracy"] == .null && json["weights_sha256"] == .null)
    #expect(json["before"]?["held_out"] == .null)
    #expect(json["after"]?["train"]?["pass@1"] == .null && json["after"]?["train"]?["maj@64"] == .null)
    #expect(json["after"]?["train"]?["majority_ratio"]?.double == 0.81)
  }

  @Test func `an empty run has the same members`() {
    let full = Summary.json(
      known, wallSeconds: 0, weightsSHA256: nil, stateSHA256: nil, settings: [:], versions: [:])
    let empty = Summary.json(
      RunHistory(), wallSeconds: 0, weightsSHA256: nil, stateSHA256: nil, settings: [:], versions: [:])
    #expect(empty.members?.map(\.key) == full.members?.map(\.key))
    #expect(empty["steps"]?.int == 0 && empty["before"]?["train"]?["maj@16"] == .null)
  }
}
