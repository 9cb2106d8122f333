// AnswerCommands: how the method judges answers, without a run: extract, grade, vote.

import Answers
import Base
import Commands
import Records
import TTRL

extension Command {
  static func extract(_ rule: AnswerRule) throws -> Int32 {
    try JSONLines.transform { line in
      let answer = rule.answer(in: try line.text("response"), kind: try kind(of: line))
      return [
        [
          "answer": .optional(answer?.text), "key": .optional(answer?.key.text),
          "budget_exhausted": .bool(answer?.key.isExhausted ?? false),
        ]
      ]
    }
  }

  static func grade(_ rule: AnswerRule) throws -> Int32 {
    try JSONLines.transform { line in
      let kind = try kind(of: line)
      let key = rule.key(ofTruth: try line.answer("answer"), kind: kind)
      let referenceKey = rule.key(ofTruth: try line.answer("reference"), kind: kind)
      return [
        [
          "equivalent": .bool(AnswerKey?.some(key).agrees(with: referenceKey)), "answer_key": .string(key.text),
          "reference_key": .string(referenceKey.text),
          "budget_exhausted": .bool(key.isExhausted || referenceKey.isExhausted),
        ]
      ]
    }
  }

  /// One group per line: its label, votes and rewards; with an answer also how often they are right.
  static func vote(_ rule: AnswerRule) throws -> Int32 {
    try JSONLines.transform { line in
      let kind = try kind(of: line)
      guard let responses = line["responses"]?.elements else {
        throw UserError("\"responses\" is missing or not a list")
      }
      let texts = try responses.map { element in
        guard let text = element.string else {
          throw UserError("\"responses\" has \(element.summary), expected strings")
        }
        return text
      }
      let answers = texts.map { rule.answer(in: $0, kind: kind) }
      return [verdict(answers, truth: try truth(of: line, rule).map { rule.key(ofTruth: $0, kind: kind) })]
    }
  }

  /// The true answer of a line. `null` and a text without content (`""`) say that it is not known.
  private static func truth(of line: JSON, _ rule: AnswerRule) throws -> String? {
    guard let member = line["answer"], !member.isNull else { return nil }
    let text = try line.answer("answer")
    // To the reference, the empty text is an answer.
    return rule == .reference || hasContent(text) ? text : nil
  }

  private static func verdict(_ answers: [(text: String, key: AnswerKey)?], truth: AnswerKey?) -> JSON {
    let keys = answers.map { $0?.key }
    var method = Method()
    method.votes = keys.count
    method.trainSamples = keys.count
    let judgement = judge(prompt: 0, answers: keys, step: 0, method: method, truth: nil)
    let group = Group(prompt: 0, trajectories: [])
    let metrics = measure(judgement, of: group, truth: truth)
    let count = Double(max(keys.count, 1))
    // The label, as in the first response that gave it.
    let label = answers.first { $0 != nil && $0?.key == judgement.vote.label }??.text
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
        "\"kind\" is \"\(name)\", expected \(AnswerKind.names)")
    }
    return kind
  }
}
