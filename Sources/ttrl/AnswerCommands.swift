// AnswerCommands: the method's judgement offline: extract, grade, vote.

import Answers
import Base
import Records
import Settings
import TTRL

extension Command {
  @Sendable static func extract(_ settings: Settings, given: [String]) throws -> Int32 {
    try JSONLines.transform { line in
      let kind = try kind(of: line)
      let answer = extractAnswer(from: try line.text("response"), kind: kind)
      let key = answer.map { answerKey($0, kind: kind) }
      return [
        [
          "answer": .optional(answer), "key": .optional(key?.text),
          "budget_exhausted": .bool(key?.isExhausted ?? false),
        ]
      ]
    }
  }

  @Sendable static func grade(_ settings: Settings, given: [String]) throws -> Int32 {
    try JSONLines.transform { line in
      let kind = try kind(of: line)
      let (answer, reference) = (try line.text("answer"), try line.text("reference"))
      let (key, referenceKey) = (answerKey(answer, kind: kind), answerKey(reference, kind: kind))
      return [
        [
          "equivalent": .bool(key == referenceKey), "answer_key": .string(key.text),
          "reference_key": .string(referenceKey.text),
          "budget_exhausted": .bool(key.isExhausted || referenceKey.isExhausted),
        ]
      ]
    }
  }

  /// One group per line: its label, votes and rewards; with an answer also how right they are.
  @Sendable static func vote(_ settings: Settings, given: [String]) throws -> Int32 {
    try JSONLines.transform { line in
      let kind = try kind(of: line)
      guard let responses = line["responses"]?.elements else { throw UserError("\"responses\" is missing or no list") }
      let texts = try responses.map { element in
        guard let text = element.string else {
          throw UserError("\"responses\" has \(element.summary), expected strings")
        }
        return text
      }
      let answers = texts.map { extractAnswer(from: $0, kind: kind) }
      let truth = line["answer"]?.string.map { answerKey($0, kind: kind) }
      return [verdict(answers, kind: kind, truth: truth)]
    }
  }

  private static func verdict(_ answers: [String?], kind: AnswerKind, truth: AnswerKey?) -> JSON {
    let keys = answers.map { answer in answer.map { answerKey($0, kind: kind) } }
    var method = Method()
    method.votes = keys.count
    method.trainSamples = keys.count
    let judgement = judge(prompt: 0, answers: keys, step: 0, method: method, truth: nil)
    let group = Group(prompt: 0, trajectories: [])
    let metrics = measure(judgement, of: group, truth: truth)
    let count = Double(max(keys.count, 1))
    // The label as its first voter spelled it.
    let label = zip(keys, answers).first { $0.0 != nil && $0.0 == judgement.vote.label }?.1
    var members = [
      JSON.Member("label", .optional(label)), JSON.Member("votes", .int(judgement.vote.votes)),
      JSON.Member("rewards", .array(judgement.rewards.map { .double(Double($0)) })),
      JSON.Member("majority_ratio", .double(Double(metrics.votes) / count)),
      JSON.Member("majority_voting_reward", .double(Double(metrics.rewarded) / count)),
      JSON.Member("tie", .bool(metrics.isTie)), JSON.Member("no_answer", .int(metrics.withoutAnswer)),
      JSON.Member("budget_exhausted", .int(metrics.beyondBudget)),
    ]
    if let known = metrics.truth {
      members += [
        JSON.Member("label_accuracy", .double(known.isLabelRight ? 1 : 0)),
        JSON.Member("reward_accuracy", .double(Double(known.rightRewards) / count)),
        JSON.Member("ground_truth_ratio", .double(Double(known.right) / count)),
        JSON.Member("pass@\(keys.count)", .double(known.right > 0 ? 1 : 0)),
      ]
    }
    return .object(members)
  }

  private static func kind(of line: JSON) throws -> AnswerKind {
    guard let name = line["kind"]?.string else { return .math }
    guard let kind = AnswerKind(rawValue: name) else {
      throw UserError(
        "\"kind\" is \"\(name)\", expected \(AnswerKind.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return kind
  }
}
