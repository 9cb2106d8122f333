// Forms: the vote on a question that is asked in several forms, and what the order of the options does to answers.
//
// Every form of a question is a prompt with N samples and a group of its own. The label is elected over groups:
//
//   K orders of the options   all K·N samples vote on one label, by the content of the options (AnswerKey.inFileOrder)
//   co-rewarding              the samples of the other wording vote (Methods/CoRewarding.swift)
//
// Rewards, selection and advantages stay those of one group: responses are compared with responses to the same prompt.
// Not here: how a question's forms are made (QuestionForms), which prompts a step has (Schedule).

package import Answers
import Base
package import Records

/// The answers that elect a group's label, if they are not only the group's own.
///
/// - Parameters:
///   - place: of the group among the step's.
///   - groups: of the step. The forms of a question follow each other.
///   - answers: parallel to `groups`, by sample.
///   - method: the settings of the run.
/// - Returns: in the order of the forms, then of the samples; nil if the group votes for itself.
package func voters(for place: Int, of groups: [Group], _ answers: [[AnswerKey?]], method: Method) -> [AnswerKey?]? {
  guard method.forms > 1 else { return nil }
  let forms = UInt32(method.forms)
  let question = groups[place].prompt / forms
  let first = max(0, place - Int(groups[place].prompt % forms))
  let places = (first..<min(first + method.forms, groups.count)).filter { groups[$0].prompt / forms == question }
  let voting = method.estimator == .coRewarding ? otherWording(of: place, among: places) : places
  return voting.flatMap { answers[$0] }
}

/// The label that voters elect for a group.
///
/// - Returns: `votes` and `answerCount` are those of the group, so that a majority ratio is a share of its own samples;
///   the tie is the voters'.
func election(by voters: [AnswerKey?], in group: [AnswerKey?], method: Method) -> Vote {
  var vote = majority(
    of: voters, ties: method.ties, needed: votesNeeded(forShare: method.minimumShare, of: max(voters.count, 1)))
  vote.votes = vote.label.map { label in group.count { $0 == label } } ?? 0
  vote.answerCount = Tally(of: group).counts.count
  return vote
}

/// How many samples of a step chose the option at each place, where options are shown in several orders.
package struct Positions: Sendable, Equatable {
  /// By place, A first. As many as the question with the most options has.
  package private(set) var votes: [Int] = []
  /// The same if every option of every question had been chosen alike often.
  package private(set) var uniform: [Double] = []

  /// - Returns: nil if no prompt has its options in an order of the run.
  init?(of judgements: [Judgement], prompts: [Prompt]) {
    var isOrdered = false
    for judgement in judgements {
      let order = prompts[Int(judgement.prompt)].order
      guard !order.isEmpty else { continue }
      isOrdered = true
      for case .some(let key) in judgement.answers {
        guard let option = key.choicePlace, let place = order.firstIndex(of: UInt8(option)) else { continue }
        while votes.count < order.count {
          votes.append(0)
          uniform.append(0)
        }
        votes[place] += 1
        for shown in order.indices { uniform[shown] += 1 / Double(order.count) }
      }
    }
    guard isOrdered else { return nil }
  }

  /// The share of the votes that would have to move to other places to make all places alike: half of the sum of the
  /// differences of the shares. 0: all places were chosen equally often. nil without votes.
  package var bias: Double? {
    let total = votes.reduce(0, +)
    guard total > 0 else { return nil }
    return zip(votes, uniform).reduce(0) { $0 + abs(Double($1.0) - $1.1) } / (2 * Double(total))
  }
}
