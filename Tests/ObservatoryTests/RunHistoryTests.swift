// What is read from metrics.jsonl, whatever state the file is in.

import Base
import Observatory
import Testing

@Suite struct RunHistoryTests {
  @Test func `a step's figures are read by name, and null is nil`() {
    let history = RunHistory(
      parsing: """
        {"kind":"step","step":3,"label_accuracy":null,"majority_ratio":0.5,"sampled_tokens":1000,"rollout_seconds":4,\
        "train_seconds":1,"prompts":[{"prompt":7,"label":"a<b","label_votes":3,"samples":4,"tie":true,\
        "label_right":false,"right":1}]}

        """)
    let step = history.steps.first
    #expect(step?.step == 3 && step?.labelAccuracy == nil && step?.majorityRatio == 0.5)
    #expect(step?.tokensPerSecond == 250 && step?.seconds == 5)
    let prompt = step?.prompts.first
    #expect(prompt?.prompt == 7 && prompt?.label == "a<b" && prompt?.isTie == true && prompt?.isLabelRight == false)
    #expect(prompt?.majorityRatio == 0.75 && prompt?.rightRatio == 0.25)
  }

  @Test func `an evaluation keeps every maj@k it has, by k`() {
    let history = RunHistory(
      parsing: #"{"kind":"evaluation","policy":0,"set":"held_out","pass@1":0.25,"maj@64":0.5,"maj@4":null}"#)
    let evaluation = history.evaluations(on: .heldOut).first
    #expect(evaluation?.passAt1 == 0.25 && evaluation?.majorityCounts == [4, 64])
    #expect(evaluation?.majority(at: 64) == 0.5 && evaluation?.majority(at: 4) == nil)
    #expect(history.evaluations(on: .train).isEmpty)
  }

  @Test func `a history cut at any byte reads as its whole lines`() {
    let text = MadeUpRun(stepCount: 2, questionCount: 2, questionsPerStep: 2).metrics()
    let bytes = Array(text.utf8)
    for length in bytes.indices {
      let history = RunHistory(parsing: Array(bytes[..<length]))
      let whole = bytes[..<length].count { $0 == UInt8(ascii: "\n") }
      // A last line that lacks nothing but its newline is whole, too.
      let isWhole = bytes[length] == UInt8(ascii: "\n")
      #expect(history.steps.count + history.evaluations.count == whole + (isWhole ? 1 : 0), "cut at \(length)")
      #expect(history.unreadableLines.isEmpty, "cut at \(length)")
    }
  }

  @Test func `damaged lines inside the file are counted and the rest is read`() {
    let history = RunHistory(
      parsing: """
        {"kind":"step","step":0,"majority_ratio":0.1}
        {"kind":"step","st{"kind":"step","step":1}

        {"kind":"step"}
        [1, 2]
        {"kind":"step","step":-1}
        {"kind":"evaluation","policy":0,"set":"moon"}
        {"kind":"weather","sun":true}
        {"kind":"step","step":1,"majority_ratio":1e999}

        """)
    #expect(history.steps.map(\.step) == [0, 1])
    #expect(history.unreadableLines == [2, 4, 5, 6, 7])
    #expect(history.steps.last?.majorityRatio == nil, "beyond the range of doubles is no figure")
  }

  @Test func `the last record of a step or an evaluation wins`() {
    let history = RunHistory(
      parsing: """
        {"kind":"step","step":1,"entropy":0.9}
        {"kind":"step","step":0,"entropy":0.8}
        {"kind":"step","step":1,"entropy":0.7}
        {"kind":"evaluation","policy":0,"set":"held_out","pass@1":0.3}
        {"kind":"evaluation","policy":0,"set":"train","pass@1":0.1}
        {"kind":"evaluation","policy":0,"set":"train","pass@1":0.2}

        """)
    #expect(history.steps.map(\.entropy) == [0.8, 0.7])
    #expect(history.evaluations.map(\.set) == [.train, .heldOut])
    #expect(history.evaluations.map(\.passAt1) == [0.2, 0.3])
  }

  @Test func `the time left is the recent pace times the steps to come`() {
    var history = RunHistory()
    #expect(history.secondsLeft(ofSteps: 10) == nil)
    history.add(["kind": "step", "step": 0, "rollout_seconds": 6, "train_seconds": 2])
    history.add(["kind": "step", "step": 1, "rollout_seconds": 3, "train_seconds": 1])
    #expect(history.secondsLeft(ofSteps: 10) == 48)
    #expect(history.secondsLeft(ofSteps: 2) == 0)
  }

  @Test func `figures beyond every bound are read without a trap`() {
    let huge = "9223372036854775807"
    let history = RunHistory(
      parsing: """
        {"kind":"step","step":\(huge),"majority_ratio":1}
        {"kind":"step","step":4294967295,"sampled_tokens":\(huge),"rollout_seconds":1e-300,"majority_ratio":-1e300,\
        "entropy":1e308,"gradient_norm":1e-320,"prompts":[{"prompt":4294967295,"label_votes":\(huge),"samples":1}]}
        {"kind":"step","step":4294967294,"sampled_tokens":\(huge),"skipped_updates":\(huge)}

        """)
    #expect(history.unreadableLines == [1])
    #expect(history.steps.count == 2)
    for step in history.steps { _ = ProgressLine.text(for: step, of: 3, secondsLeft: 1e300) }
    _ = FinalTable.text(history)
    #expect(figuresOfDrawings(in: Report.html(history, summary: [:], settings: [])).isEmpty == false)
  }
}
