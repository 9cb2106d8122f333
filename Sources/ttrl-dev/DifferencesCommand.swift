// DifferencesCommand: `ttrl-dev differences` shows where and why `--recipe ttrl` judges groups differently from the
// reference.
//
// The input is groups of responses, with the results of the reference's own code on them. If `ttrl` judges a group
// differently, an experiment finds the cause: the reference's defects are fixed, one by one and together. The cause is
// the smallest set of fixed defects with which the reference's verdict becomes that of `ttrl`. The output is the tables
// of docs/sources.md.

import Answers
import Base
import Commands
import Platform
import Records
import TTRL

struct DifferencesCommand: DeveloperTool {
  static let usage = "differences GROUPS.jsonl"

  private let path: String

  init?(_ arguments: inout ToolArguments) {
    guard let path = arguments.word() else { return nil }
    self.path = path
  }

  /// - Returns: the exit status: 0 if all differences are explained, 1 if one is not.
  func run() throws -> Int32 {
    let lines = try Files.read(path).split(separator: UInt8(ascii: "\n"))
    let groups = try lines.map { try GroupOfRecord(JSON.parse(Array($0))) }
    print(table(groups), terminator: "")
    return groups.allSatisfy { $0.cause != nil && $0.isReproduced } ? ExitStatus.done : ExitStatus.failed
  }

  private func table(_ groups: [GroupOfRecord]) -> String {
    let others = groups.filter { !$0.isReproduced }
    let same = groups.count { $0.cause == [] }
    var text = "`ttrl-reference` gives the recorded rewards and figures on \(groups.count - others.count) of "
    text +=
      "\(groups.count) groups" + (others.isEmpty ? ".\n" : "; not on \(others.map(\.id).joined(separator: ", ")).\n")
    text += "`ttrl` gives the same on \(same); on the others the cause is:\n\n"
    text += "| defects of the reference that explain it | groups | example |\n|---|---|---|\n"
    var causes: [(cause: String, groups: [GroupOfRecord])] = []
    for group in groups where group.cause != [] {
      let cause = group.cause?.map(\.rawValue).joined(separator: " and ") ?? "**nothing**"
      if let index = causes.firstIndex(where: { $0.cause == cause }) {
        causes[index].groups.append(group)
      } else {
        causes.append((cause, [group]))
      }
    }
    for (cause, members) in causes.sorted(by: { ($1.groups.count, $0.cause) < ($0.groups.count, $1.cause) }) {
      let ids = members.map(\.id).joined(separator: ", ")
      text += "| \(cause) | \(members.count): \(ids) | \(members[0].example) |\n"
    }
    return text
  }
}

/// A defect of docs/algorithm.md. Each can be fixed separately in the reference's judgement; the comments say how.
private enum Defect: String, CaseIterable {
  /// Fixed: for the label accuracy, the label itself is compared with the truth.
  case labelsReadAgain = "D1"
  /// Fixed: a response without an answer does not vote and is not rewarded.
  case missingAnswersVote = "D2"
  /// Fixed: special tokens end an announced answer, and the answer itself is compared, not its normal form.
  case symbolsDestroyed = "D3/D5"
  /// Fixed: spellings of one answer are one answer, in the vote and in the reward.
  case spellingsSplit = "D4"
  /// Fixed: two answers that the grader regards as equal must also have equal keys.
  case groupingLost = "D6"
}

/// One group of the record, and why the verdict of `ttrl` differs.
private struct GroupOfRecord {
  let id: String
  /// The smallest set of fixed defects that gives the verdict of `ttrl`. Empty if the verdicts are equal; nil if no set
  /// gives it.
  let cause: [Defect]?
  /// Whether `ttrl-reference` gives the recorded verdict.
  let isReproduced: Bool
  let example: String

  init(_ json: JSON) throws(GroupError) {
    guard let id = json["id"]?.int, let answer = json["answer"]?.string,
      let responses = json["responses"]?.elements?.compactMap(\.string), let recorded = json["reference"]
    else { throw GroupError() }
    let reference = Verdict(responses, answer, .reference)
    let exact = Verdict(responses, answer, .exact)
    self.id = "\(id)"
    isReproduced = reference == Verdict(recorded, count: responses.count)
    let subsets = (0..<(1 << Defect.allCases.count)).map { bits in
      Defect.allCases.enumerated().filter { bits >> $0.offset & 1 == 1 }.map(\.element)
    }
    cause = subsets.sorted { $0.count < $1.count }.first { Verdict(responses, answer, fixing: $0) == exact }
    example =
      "label `\(reference.label)` with \(reference.votes) votes; `ttrl`: `\(exact.label)` with \(exact.votes)"
  }
}

private struct GroupError: Error, CustomStringConvertible {
  var description: String {
    "a line has no id, answer, responses or reference; expected groups as in the reference's record"
  }
}

/// The rewards and figures of a group, as counts.
private struct Verdict: Equatable {
  /// For the example only. Not compared, because the two rules write labels differently.
  var label = ""
  var votes = 0
  var rewards: [Bool] = []
  var right = 0
  var rightRewards = 0
  var isLabelRight = false

  static func == (left: Verdict, right: Verdict) -> Bool {
    left.votes == right.votes && left.rewards == right.rewards && left.right == right.right
      && left.rightRewards == right.rightRewards && left.isLabelRight == right.isLabelRight
  }

  /// The recorded verdict.
  init(_ recorded: JSON, count: Int) {
    func number(_ name: String) -> Int { Int(((recorded[name]?.double ?? -1) * Double(count)).rounded()) }
    votes = number("majority_ratio")
    rewards = recorded["rewards"]?.elements?.map { $0.double == 1 } ?? []
    right = number("ground_truth_ratio")
    rightRewards = number("reward_accuracy")
    isLabelRight = recorded["label_accuracy"]?.double == 1
  }

  /// The verdict of `ttrl` under a rule.
  init(_ responses: [String], _ answer: String, _ rule: AnswerRule) {
    let answers = responses.map { rule.answer(in: $0, kind: .math) }
    let judgement = judge(prompt: 0, answers: answers.map { $0?.key }, step: 0, method: Method(), truth: nil)
    let counts = measure(
      judgement, of: Group(prompt: 0, trajectories: []), truth: rule.key(ofTruth: answer, kind: .math))
    label = answers.first { $0 != nil && $0?.key == judgement.vote.label }??.text ?? "none"
    votes = counts.votes
    rewards = judgement.rewards.map { $0 == 1 }
    right = counts.truth?.right ?? -1
    rightRewards = counts.truth?.rightRewards ?? -1
    isLabelRight = counts.truth?.isLabelRight ?? false
  }

  /// The verdict of the reference with some of its defects fixed. With none, it is that of `.reference`; with all, that
  /// of `.exact`.
  init(_ responses: [String], _ answer: String, fixing fixed: [Defect]) {
    let answers = responses.map { PartlyFixedAnswer($0, fixed) }
    let truth = PartlyFixedAnswer(truth: answer)
    let classes = answers.map { $0.vote(fixed) }
    var winner: (name: String, first: Int, votes: Int)?
    for (index, name) in classes.enumerated() {
      guard let name, classes.firstIndex(of: name) == index else { continue }
      let count = classes.count { $0 == name }
      if count > winner?.votes ?? 0 { winner = (name, index, count) }
    }
    let label = winner.map { answers[$0.first] }
    votes = winner?.votes ?? 0
    rewards = answers.map { answer in label.map { answer.agrees(with: $0, fixed) } ?? false }
    right = answers.count { $0.agrees(with: truth, fixed) }
    rightRewards = zip(answers, rewards).count { $0.agrees(with: truth, fixed) == $1 }
    isLabelRight = label?.isRightLabel(truth, fixed) ?? false
  }
}

/// An answer as the reference sees it with some defects fixed.
private struct PartlyFixedAnswer {
  /// The key by the reference's rule; nil only for a missing answer, if D2 is fixed.
  var key: AnswerKey?
  /// The key by the exact rule, of the text by which the reference votes, or of the answer itself.
  var exact: AnswerKey?

  init(_ response: String, _ fixed: [Defect]) {
    let exactAnswer = AnswerRule.exact.answer(in: response, kind: .math)
    let referenceAnswer = AnswerRule.reference.answer(in: response, kind: .math)
    let isMissing = exactAnswer == nil && fixed.contains(.missingAnswersVote)
    key = isMissing ? nil : referenceAnswer?.key
    let text =
      fixed.contains(.symbolsDestroyed) ? exactAnswer?.text ?? referenceAnswer?.text : referenceAnswer?.text
    exact = isMissing ? nil : text.map { AnswerRule.exact.key(ofTruth: $0, kind: .math) }
  }

  init(truth: String) {
    key = AnswerRule.reference.key(ofTruth: truth, kind: .math)
    exact = AnswerRule.exact.key(ofTruth: truth, kind: .math)
  }

  /// The class that it votes for.
  func vote(_ fixed: [Defect]) -> String? { fixed.contains(.spellingsSplit) ? exact?.text : key?.text }

  func agrees(with other: PartlyFixedAnswer, _ fixed: [Defect]) -> Bool {
    let isGraded = key.agrees(with: other.key)
    let isEqual = exact.agrees(with: other.exact)
    return switch (fixed.contains(.spellingsSplit), fixed.contains(.groupingLost)) {
    case (false, false): isGraded
    case (true, false): isGraded || isEqual
    case (false, true): isGraded && isEqual
    case (true, true): isEqual
    }
  }

  func isRightLabel(_ truth: PartlyFixedAnswer, _ fixed: [Defect]) -> Bool {
    if fixed.contains(.labelsReadAgain) { return agrees(with: truth, fixed) }
    return truth.key.map { key?.isRightLabel(for: $0) ?? false } ?? false
  }
}
