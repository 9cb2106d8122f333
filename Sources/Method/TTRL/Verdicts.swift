// Verdicts: what the verdicts of a reward command do to a group's vote, rewards and trained samples.
//
//   not valid (said so, or no answer of the program): the sample does not vote and is not trained on
//   vote_weight w: its answer counts w times in the vote (T³RL, arXiv 2603.02203); the label is the answer with the
//       largest sum of weights
//   reward r: its reward is r, whatever the estimator says
//
// A missing verdict is never a reward of 0. Not here: how the program is asked (CoordinatorRole).

package import Answers
import Base
package import Records

/// What a group's verdicts say about its samples, in their order.
struct Testimony {
  /// Samples that neither vote nor are trained on.
  let excluded: [Bool]
  /// Of those, the samples about which the program gave no answer.
  let faults: Int
  private let weights: [Double]
  private let rewards: [Float?]

  /// - Returns: nil if no reward command judges.
  init?(_ trajectories: [Trajectory], method: Method) {
    guard method.isJudged else { return nil }
    let verdicts = trajectories.map { $0.verdict ?? Verdict(.ended) }
    excluded = verdicts.map { !$0.isValid }
    faults = verdicts.count { $0.fault != nil }
    weights = verdicts.map { $0.isValid ? Double($0.voteWeight ?? 1) : 0 }
    rewards = verdicts.map(\.reward)
  }

  /// The answers that vote.
  func voting(_ answers: [AnswerKey?]) -> [AnswerKey?] { zip(answers, weights).map { $1 > 0 ? $0 : nil } }

  /// The vote, in which each sample's answer has its weight.
  ///
  /// - Parameter answers: of all samples.
  func vote(_ answers: [AnswerKey?], method: Method) -> Vote {
    majority(of: voting(answers), weights: weights, ties: method.ties, share: method.minimumShare)
  }

  /// The rewards that the program gave, in place of the estimator's. An abstention matters only to a sample whose
  /// reward is the estimator's.
  func correct(_ estimate: inout Estimate) {
    for (sample, reward) in rewards.enumerated() {
      if excluded[sample] { estimate.rewards[sample] = 0 } else if let reward { estimate.rewards[sample] = reward }
    }
    if zip(excluded, rewards).allSatisfy({ $0 || $1 != nil }) { estimate.abstention = nil }
  }
}

/// The label that a reward command is told, before there are verdicts: the truth if labels are `.truth`, else the plain
/// vote's.
///
/// - Parameter answers: of all samples of a prompt, by sample index.
package func provisionalLabel(of answers: [AnswerKey?], truth: AnswerKey?, method: Method) -> AnswerKey? {
  method.labels == .truth
    ? truth
    : majority(
      of: answers, ties: method.ties, needed: votesNeeded(forShare: method.minimumShare, of: answers.count)
    ).label
}
