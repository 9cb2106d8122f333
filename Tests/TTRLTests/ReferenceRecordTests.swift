// ReferenceRecordTests: `ttrl-reference` against the recorded results of the reference's own code, on 80 groups.
//
// The record is shared test material and not part of the project; without it, its test is disabled. The other tests
// show, on small groups, how the two rules differ.

import Answers
import Base
import Foundation
import Records
import TTRL
import Testing

/// One recorded group.
private struct RecordedGroup: Decodable {
  var id: Int
  var responses: [String]
  var answer: String
  var reference: [String: Figure]

  /// A number, or the rewards.
  enum Figure: Decodable {
    case number(Double)
    case list([Float])

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let number = try? container.decode(Double.self) {
        self = .number(number)
      } else {
        self = .list(try container.decode([Float].self))
      }
    }

    var number: Double? { if case .number(let value) = self { value } else { nil } }
  }

  static let all: [RecordedGroup] = {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let named = ProcessInfo.processInfo.environment["TTRL_SHARED"].map { URL(fileURLWithPath: $0) }
    let directory = named ?? package.deletingLastPathComponent().appending(path: "shared")
    guard let data = try? Data(contentsOf: directory.appending(path: "reference/groups.jsonl")) else { return [] }
    return data.split(separator: UInt8(ascii: "\n")).compactMap {
      try? JSONDecoder().decode(RecordedGroup.self, from: Data($0))
    }
  }()
}

/// The judgement and the counts of some responses under a rule.
private func judged(
  _ responses: [String], _ answer: String, _ rule: AnswerRule
) -> (judgement: Judgement, counts: PromptMetrics) {
  let keys = responses.map { rule.answer(in: $0, kind: .math)?.key }
  let judgement = judge(prompt: 0, answers: keys, step: 0, method: Method(), truth: nil)
  let truth = rule.key(ofTruth: answer, kind: .math)
  return (judgement, measure(judgement, of: Group(prompt: 0, trajectories: []), truth: truth))
}

@Suite struct ReferenceRecordTests {
  private static let isPresent = RecordedGroup.all.count == 80

  @Test(.enabled(if: isPresent, "the reference's record is not here; set TTRL_SHARED"))
  func `every recorded group gets the reference's rewards and figures`() {
    for group in RecordedGroup.all {
      let (judgement, counts) = judged(group.responses, group.answer, .reference)
      let samples = Double(group.responses.count)
      guard let known = counts.truth, case .list(let rewards) = group.reference["rewards"] else {
        return #expect(Bool(false), "group \(group.id) has no rewards")
      }
      #expect(judgement.rewards == rewards, "group \(group.id)")
      let figures: [(String, Double)] = [
        ("majority_ratio", Double(counts.votes) / samples), ("label_accuracy", known.isLabelRight ? 1 : 0),
        ("majority_voting_reward", Double(counts.rewarded) / samples),
        ("reward_accuracy", Double(known.rightRewards) / samples),
        ("ground_truth_ratio", Double(known.right) / samples),
        ("pass@\(group.responses.count)", known.right > 0 ? 1 : 0),
      ]
      for (name, value) in figures {
        // 1e-9: both are a count divided by 8, 16 or 32.
        let recorded = group.reference[name]?.number ?? -1
        #expect(abs(recorded - value) < 1e-9, "group \(group.id), \(name): \(value), recorded \(recorded)")
      }
    }
  }

  @Test func `D2: with the reference's rule missing answers win and are rewarded, with the exact rule they are not`() {
    let responses = Array(repeating: "no idea", count: 5) + Array(repeating: "\\boxed{7}", count: 3)
    #expect(judged(responses, "7", .reference).judgement.rewards == [1, 1, 1, 1, 1, 0, 0, 0])
    #expect(judged(responses, "7", .exact).judgement.rewards == [0, 0, 0, 0, 0, 1, 1, 1])
  }

  @Test func `D4: of 3 × 1/2, 3 × 0.5 and 4 × 7, the reference elects 7, and the exact rule elects the half`() {
    let responses = ["\\frac{1}{2}", "0.5", "7"].flatMap { answer in
      Array(repeating: "\\boxed{\(answer)}", count: answer == "7" ? 4 : 3)
    }
    let (reference, exact) = (judged(responses, "1/2", .reference), judged(responses, "1/2", .exact))
    #expect(reference.counts.votes == 4 && reference.counts.truth?.isLabelRight == false)
    #expect(exact.counts.votes == 6 && exact.counts.truth?.isLabelRight == true)
    #expect(exact.counts.truth?.rightRewards == 10)
  }

  @Test func `D1: if all give the right half, all rewards are right, but the reference counts the label as wrong`() {
    let responses = Array(repeating: "\\boxed{\\frac{1}{2}}", count: 5)
    let (reference, exact) = (judged(responses, "\\frac{1}{2}", .reference), judged(responses, "\\frac{1}{2}", .exact))
    #expect(reference.counts.truth?.isLabelRight == false && reference.counts.truth?.rightRewards == 5)
    #expect(exact.counts.truth?.isLabelRight == true && exact.counts.truth?.rightRewards == 5)
  }

  @Test func `under the reference's rule more samples are rewarded than gave the label, so I3 does not hold`() {
    let counts = judged(["\\boxed{0.5}", "\\boxed{0.5}", "\\boxed{\\frac12}"], "0.5", .reference).counts
    #expect(counts.votes == 2 && counts.rewarded == 3)
  }
}
