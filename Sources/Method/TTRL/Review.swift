// Review: what a step made of its groups, computed again from what is recorded, with the functions of the learner.
//
// The ledger has responses, not rewards or advantages, because they follow from the responses. Not here: reading the
// ledger (RunReading).

package import Answers
package import Records

package struct Review: Sendable {
  /// Of the groups, in their order.
  package var judgements: [Judgement]
  /// [B] the trained trajectories with their advantages; nil if those depend on scores of the critic or of policy 0,
  /// which are not recorded.
  package var trained: [TrainedGroup]?
}

/// - Parameters:
///   - groups: of the step, with verdicts, as the learner got them.
///   - prompts: the whole training set, by prompt index.
///   - truth: the true answers, by prompt index. Read only if labels are `.truth`.
///   - history: the labels of all earlier steps.
///   - method: the settings of the run.
///   - answer: the answer that a response states.
package func review(
  _ groups: [Group], step: UInt32, prompts: [Prompt], truth: [AnswerKey?], history: History, method: Method,
  answer: (Trajectory, Prompt) -> AnswerKey?
) -> Review {
  let judgements = judgedGroups(
    groups, step: step, prompts: prompts, truth: truth, history: history, method: method, answer: answer)
  let needsScores = method.hasKL(in: .reward) || [.ppo, .prime].contains(method.objective)
  guard !needsScores else { return Review(judgements: judgements, trained: nil) }
  var trained = trainedGroups(of: groups, judgements, prompts: prompts, method: method)
  assignAdvantages(to: &trained, method: method)
  return Review(judgements: judgements, trained: trained)
}

extension Vote {
  /// The answers of a group with their votes: most votes first, among equals in the order of the keys.
  package static func ballots(of answers: [AnswerKey?]) -> [(answer: AnswerKey, votes: Int)] {
    Tally(of: answers).counts.map { (answer: $0.0, votes: $0.1.votes) }
      .sorted { (-$0.votes, $0.answer) < (-$1.votes, $1.answer) }
  }
}
