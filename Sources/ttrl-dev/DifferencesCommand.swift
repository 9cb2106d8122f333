// DifferencesCommand: `ttrl-dev differences`: where and why `--recipe ttrl` judges groups differently from the
// reference.
//
// The input is groups of responses, with the results of the reference's own code. A group on which ttrl differs is
// explained by experiment: the reference's defects are fixed one by one and together, and the cause is the smallest set
// of fixed defects with which its verdict equals ours. The output is the table of docs/sources.md.

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

  /// - Returns: the exit status: 0 if all differences are explained, 1 if one has no known cause.
  func run() throws -> Int32 {
    let lines = try Files.read(path).split(separator: UInt8(ascii: "\n"))
    let groups = try lines.map { try GroupOfRecord(JSON.parse(Array($0))) }
    print(table(groups), terminator: "")
    return groups.allSatisfy { $0.cause != nil && $0.unlike == nil } ? ExitStatus.done : ExitStatus.failed
  }

  private func table(_ groups: [GroupOfRecord]) -> String {
    let unlike = groups.filter { $0.unlike != nil }
    let same = groups.count { $0.cause == [] }
    var text = "`ttrl-reference` gives the recorded rewards and figures on \(groups.count - unlike.count) of "
    text +=
      "\(groups.count) groups" + (unlike.isEmpty ? ".\n" : "; not on \(unlike.map(\.id).joined(separator: ", ")).\n")
    text += "`ttrl` gives the same on \(same); on the others the cause is:\n\n"
    text += "| fixed in the reference, its verdict is ours | groups | for example |\n|---|---|---|\n"
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

/// A defect of docs/algorithm.md that can be fixed in the reference's judgement, independently of the others.
private enum Defect: String, CaseIterable {
  /// Label accuracy: the label itself is compared with the truth.
  case labelsReadAgain = "D1"
  /// A response without an answer neither votes nor is rewarded.
  case missingAnswerVotes = "D2"
  /// Special tokens end an announced answer, and the text in the box is compared, not its normal form.
  case symbolsDestroyed = "D3/D5"
  /// Spellings of one answer are one answer, for the vote and for the reward.
  case spellingsSplit = "D4"
  /// Answers that the grader accepts as equal are equal.
  case groupingLost = "D6"
}

/// One group: responses, truth, the reference's verdict, and why ours differs.
private struct GroupOfRecord {
  let id: String
  /// The smallest set of fixed defects that explains our verdict: empty if ours is the reference's, nil if no set does.
  let cause: [Defect]?
  /// The verdict of `ttrl-reference`, if it is not the reference's.
  let unlike: Verdict?
  let example: String

  init(_ json: JSON) throws(GroupError) {
    guard let id = json["id"]?.int, let answer = json["answer"]?.string,
      let responses = json["responses"]?.elements?.compactMap(\.string), let recorded = json["reference"]
    else { throw GroupError() }
    let reference = Verdict(responses, answer, .reference)
    let ours = Verdict(responses, answer, .exact)
    self.id = "\(id)"
    unlike = reference == Verdict(recorded, count: responses.count) ? nil : reference
    let subsets = (0..<(1 << Defect.allCases.count)).map { bits in
      Defect.allCases.enumerated().filter { bits >> $0.offset & 1 == 1 }.map(\.element)
    }
    cause = subsets.sorted { $0.count < $1.count }.first { Verdict(responses, answer, fixing: $0) == ours }
    example = "label `\(reference.label)` with \(reference.votes) votes, ours `\(ours.label)` with \(ours.votes)"
  }
}

private struct GroupError: Error, CustomStringConvertible {
  var description: String {
    "a line has no id, answer, responses or reference; expected groups as in the reference's record"
  }
}

/// Rewards and figures of a group, in counts.
private struct Verdict: Equatable {
  /// For the table only.
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

  /// The verdict of `ttrl vote` under a rule.
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

  /// The reference's verdict with some of its defects fixed. With none it is `.reference`, with all `.exact`.
  init(_ responses: [String], _ answer: String, fixing fixed: [Defect]) {
    let answers = responses.map { CorrectedAnswer($0, fixed) }
    let truth = CorrectedAnswer(truth: answer)
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

/// An answer as the reference sees it, with some defects fixed.
private struct CorrectedAnswer {
  /// By the reference's rule: the text it votes by; nil only if that defect is fixed and there is no answer.
  var key: AnswerKey?
  /// By ours: of the text that the reference votes by, or of the answer itself.
  var exact: AnswerKey?

  init(_ response: String, _ fixed: [Defect]) {
    let ours = AnswerRule.exact.answer(in: response, kind: .math)
    let theirs = AnswerRule.reference.answer(in: response, kind: .math)
    let hasNoAnswer = ours == nil && fixed.contains(.missingAnswerVotes)
    key = hasNoAnswer ? nil : theirs?.key
    let text = fixed.contains(.symbolsDestroyed) ? ours?.text ?? theirs?.text : theirs?.text
    exact = hasNoAnswer ? nil : text.map { AnswerRule.exact.key(ofTruth: $0, kind: .math) }
  }

  init(truth: String) {
    key = AnswerRule.reference.key(ofTruth: truth, kind: .math)
    exact = AnswerRule.exact.key(ofTruth: truth, kind: .math)
  }

  /// The class that it votes for.
  func vote(_ fixed: [Defect]) -> String? { fixed.contains(.spellingsSplit) ? exact?.text : key?.text }

  func agrees(with other: CorrectedAnswer, _ fixed: [Defect]) -> Bool {
    let isGraded = key.agrees(with: other.key)
    let isEqual = exact.agrees(with: other.exact)
    return switch (fixed.contains(.spellingsSplit), fixed.contains(.groupingLost)) {
    case (false, false): isGraded
    case (true, false): isGraded || isEqual
    case (false, true): isGraded && isEqual
    case (true, true): isEqual
    }
  }

  func isRightLabel(_ truth: CorrectedAnswer, _ fixed: [Defect]) -> Bool {
    if fixed.contains(.labelsReadAgain) { return agrees(with: truth, fixed) }
    return truth.key.map { key?.isRightLabel(for: $0) ?? false } ?? false
  }
}
