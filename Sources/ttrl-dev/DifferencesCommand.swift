// DifferencesCommand: `ttrl-dev differences`: where and why `--recipe ttrl` judges groups otherwise than the reference.
//
// Input are groups of responses with what the reference's code itself answered when it was run. Each group on which
// ours differs is explained by experiment: the reference's defects are mended one by one and together, and the cause is
// the smallest set of mended defects with which its verdict becomes ours. Output are the tables of docs/sources.md.

import Answers
import Base
import Glibc
import Platform
import Records
import TTRL

enum DifferencesCommand {
  static let usage = "differences GROUPS.jsonl"

  /// - Returns: the exit status: 0 all explained, 1 failed or some difference has no cause, 2 usage.
  static func run(_ arguments: [String]) -> Int32 {
    guard arguments.count == 1 else {
      SimulateCommand.print("usage: ttrl-dev \(usage)\n", to: STDERR_FILENO)
      return 2
    }
    do {
      let lines = try Files.read(arguments[0]).split(separator: UInt8(ascii: "\n"))
      let groups = try lines.map { try GroupOfRecord(JSON.parse(Array($0))) }
      SimulateCommand.print(table(groups), to: STDOUT_FILENO)
      return groups.allSatisfy { $0.cause != nil && $0.unlike == nil } ? 0 : 1
    } catch {
      SimulateCommand.print("ttrl-dev differences: \(error)\n", to: STDERR_FILENO)
      return 1
    }
  }

  private static func table(_ groups: [GroupOfRecord]) -> String {
    let unlike = groups.filter { $0.unlike != nil }
    let same = groups.count { $0.cause == [] }
    var text = "`ttrl-reference` gives the recorded rewards and figures on \(groups.count - unlike.count) of "
    text +=
      "\(groups.count) groups" + (unlike.isEmpty ? ".\n" : "; not on \(unlike.map(\.id).joined(separator: ", ")).\n")
    text += "`ttrl` gives the same on \(same); on the others the cause is:\n\n"
    text += "| mended in the reference, its verdict is ours | groups | for example |\n|---|---|---|\n"
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

/// A defect of docs/algorithm.md that can be mended in the reference's judgement, one apart from the others.
private enum Defect: String, CaseIterable {
  /// Label accuracy: the label itself is compared with the truth.
  case labelsReadAgain = "D1"
  /// A response that states no answer neither votes nor is rewarded.
  case silenceVotes = "D2"
  /// Special tokens end an announced answer, and what stands in the box is compared, not its normal form.
  case symbolsDestroyed = "D3/D5"
  /// Spellings of one answer are one answer, to the vote and to the reward.
  case spellingsSplit = "D4"
  /// What the grader takes for equal is also equal.
  case groupingLost = "D6"
}

/// One group: responses, truth, what the reference answered, and why ours differs.
private struct GroupOfRecord {
  let id: String
  /// The smallest set of mended defects that explains our verdict; empty if ours is the reference's; nil if none does.
  let cause: [Defect]?
  /// What `ttrl-reference` answers, if it is not what the reference answered.
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
    cause = subsets.sorted { $0.count < $1.count }.first { Verdict(responses, answer, mending: $0) == ours }
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
  /// For people only.
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

  /// What was recorded.
  init(_ recorded: JSON, count: Int) {
    func number(_ name: String) -> Int { Int(((recorded[name]?.double ?? -1) * Double(count)).rounded()) }
    votes = number("majority_ratio")
    rewards = recorded["rewards"]?.elements?.map { $0.double == 1 } ?? []
    right = number("ground_truth_ratio")
    rightRewards = number("reward_accuracy")
    isLabelRight = recorded["label_accuracy"]?.double == 1
  }

  /// What `ttrl vote` says under a rule.
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

  /// What the reference would say with some of its defects mended. With none it is `.reference`, with all `.exact`.
  init(_ responses: [String], _ answer: String, mending mended: [Defect]) {
    let answers = responses.map { Mended($0, mended) }
    let truth = Mended(truth: answer)
    let classes = answers.map { $0.vote(mended) }
    var winner: (name: String, first: Int, votes: Int)?
    for (index, name) in classes.enumerated() {
      guard let name, classes.firstIndex(of: name) == index else { continue }
      let count = classes.count { $0 == name }
      if count > winner?.votes ?? 0 { winner = (name, index, count) }
    }
    let label = winner.map { answers[$0.first] }
    votes = winner?.votes ?? 0
    rewards = answers.map { answer in label.map { answer.agrees(with: $0, mended) } ?? false }
    right = answers.count { $0.agrees(with: truth, mended) }
    rightRewards = zip(answers, rewards).count { $0.agrees(with: truth, mended) == $1 }
    isLabelRight = label?.isRightLabel(truth, mended) ?? false
  }
}

/// An answer as the reference with some defects mended sees it.
private struct Mended {
  /// By the reference's rule: the text it votes by; nil only where silence is mended.
  var key: AnswerKey?
  /// By ours: of the text that the reference votes by, or of the answer itself.
  var exact: AnswerKey?

  init(_ response: String, _ mended: [Defect]) {
    let ours = AnswerRule.exact.answer(in: response, kind: .math)
    let theirs = AnswerRule.reference.answer(in: response, kind: .math)
    let isSilent = ours == nil && mended.contains(.silenceVotes)
    key = isSilent ? nil : theirs?.key
    let text = mended.contains(.symbolsDestroyed) ? ours?.text ?? theirs?.text : theirs?.text
    exact = isSilent ? nil : text.map { AnswerRule.exact.key(ofTruth: $0, kind: .math) }
  }

  init(truth: String) {
    key = AnswerRule.reference.key(ofTruth: truth, kind: .math)
    exact = AnswerRule.exact.key(ofTruth: truth, kind: .math)
  }

  /// The class that it votes for.
  func vote(_ mended: [Defect]) -> String? { mended.contains(.spellingsSplit) ? exact?.text : key?.text }

  func agrees(with other: Mended, _ mended: [Defect]) -> Bool {
    let isGraded = key.agrees(with: other.key)
    let isEqual = exact.agrees(with: other.exact)
    return switch (mended.contains(.spellingsSplit), mended.contains(.groupingLost)) {
    case (false, false): isGraded
    case (true, false): isGraded || isEqual
    case (false, true): isGraded && isEqual
    case (true, true): isEqual
    }
  }

  func isRightLabel(_ truth: Mended, _ mended: [Defect]) -> Bool {
    if mended.contains(.labelsReadAgain) { return agrees(with: truth, mended) }
    return truth.key.map { key?.isRightLabel(for: $0) ?? false } ?? false
  }
}
