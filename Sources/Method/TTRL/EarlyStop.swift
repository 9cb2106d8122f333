// EarlyStop: decides a vote before all samples have voted.
//
// The samples of a group count in a fixed order: first those that are trained on (the seed chose them before anything
// was sampled), by index, then the others, by index. The vote is decided at the shortest prefix of that order which
// includes all trained samples and after which the label cannot change, whatever the remaining samples answer. Samples
// after the prefix do not vote, do not train and do not enter figures, even if they have been sampled already; so the
// outcome does not depend on a clock. The label is the one that all N samples would elect, so the rewards of the
// trained samples and the weights are the same as without early stop, bit for bit.
//
// With `early-stop bayes` a vote is also decided at the first such prefix at which a leading answer is likely enough to
// be the policy's most frequent one (BayesStop). Then the label can be another than that of all N samples.
//
// The fleet adds answers to a `RunningVote` as trajectories arrive, in any order. `improve` adds them by sample index.
// Not here: how sampling is stopped (Fleet.Coordinator).

package import Answers
import Base
package import Records

/// The vote of one group while it is being sampled.
package struct RunningVote: Sendable {
  /// Samples in the order in which they count, and by sample its place in that order.
  private let order: [Int]
  private let places: [Int]
  private let trainedCount: Int
  private let ties: TieRule
  private let needed: Int
  /// The largest chance of a wrong label; nil if there must be none.
  private let errorMax: Double?
  /// By place: whether the sample is here, and its answer.
  private var isHere: [Bool]
  private var answers: [AnswerKey?]
  /// The length of the prefix that has been counted.
  private var counted = 0
  private var tally = Tally()
  private var isDecided = false

  /// The vote on a prompt in a step, before any sample.
  package init(step: UInt32, prompt: UInt32, method: Method) {
    let count = method.votes
    let trained = trainedSamples(of: count, step: step, prompt: prompt, method: method)
    var isTrained = [Bool](repeating: false, count: count)
    for sample in trained { isTrained[sample] = true }
    order = trained + (0..<count).filter { !isTrained[$0] }
    var places = [Int](repeating: 0, count: count)
    for (place, sample) in order.enumerated() { places[sample] = place }
    self.places = places
    trainedCount = trained.count
    ties = method.ties
    errorMax = method.earlyStop == .bayes ? method.earlyStopError : nil
    needed = votesNeeded(forShare: method.minimumShare, of: count)
    isHere = [Bool](repeating: false, count: count)
    answers = [AnswerKey?](repeating: nil, count: count)
  }

  /// Adds one sample's answer. Samples can come in any order. A sample that was added before, or that does not exist,
  /// changes nothing.
  ///
  /// - Returns: the samples that do not count, ascending, possibly none, if this answer decides the vote; else nil.
  package mutating func add(_ answer: AnswerKey?, of sample: Int) -> [Int]? {
    guard places.indices.contains(sample), !isDecided, !isHere[places[sample]] else { return nil }
    isHere[places[sample]] = true
    answers[places[sample]] = answer
    while counted < order.count, isHere[counted] {
      if let answer = answers[counted] { tally.count(answer, of: order[counted]) }
      counted += 1
      if counted >= trainedCount, isCertain || isLikelyEnough {
        isDecided = true
        return order[counted...].sorted()
      }
    }
    return nil
  }

  /// Whether the result, a label or none, is the same for all possible answers of the remaining samples.
  private var isCertain: Bool {
    let left = order.count - counted
    guard left > 0 else { return true }
    guard let leader = tally.leader else { return left < needed }
    if leader.votes + left < needed { return true }
    // The remaining samples can all give no answer, so the leader must have enough votes already.
    guard leader.votes >= needed else { return false }
    // They can also all give the same answer: a new one, or one that was given before.
    let rest = (votes: 0, first: order[counted])
    return !canCatchUp(rest, with: left, leader.votes, leader.first)
      && !tally.counts.contains { label, count in
        label != leader.label
          && canCatchUp((count.votes, min(count.first, rest.first)), with: left, leader.votes, leader.first)
      }
  }

  private var isLikelyEnough: Bool {
    guard let errorMax, let leader = tally.leader, leader.votes >= needed else { return false }
    let others = tally.counts.filter { $0.0 != leader.label }.map(\.1.votes)
    return errorOfLeader(votes: leader.votes, others: others, upTo: errorMax) <= errorMax
  }

  /// Whether an answer that gets all remaining votes would win, or would tie if a tie gives no label.
  private func canCatchUp(
    _ challenger: (votes: Int, first: Int), with left: Int, _ leaderVotes: Int, _ leaderFirst: Int
  ) -> Bool {
    let votes = challenger.votes + left
    guard votes == leaderVotes else { return votes > leaderVotes }
    return ties == .abstain || challenger.first < leaderFirst
  }
}

/// The samples of a complete group that count, ascending: all of them, or with early stop those up to the decision.
///
/// - Parameter answers: [N] by sample.
package func countedSamples(of answers: [AnswerKey?], step: UInt32, prompt: UInt32, method: Method) -> [Int] {
  let all = Array(answers.indices)
  guard method.stopsEarly else { return all }
  var vote = RunningVote(step: step, prompt: prompt, method: method)
  for sample in all {
    if let unneeded = vote.add(answers[sample], of: sample) {
      return all.filter { !unneeded.contains($0) }
    }
  }
  return all
}

/// A prompt whose vote is decided.
package struct VoteDecision: Sendable, Equatable {
  package var round: RoundID
  package var prompt: UInt32
  /// Samples that do not count, ascending.
  package var unneeded: [UInt32]
}

/// The votes of all training rounds that are being sampled. The coordinator has one.
///
/// It is derived from trajectories alone: after a restart they are added again.
package struct VoteBook: Sendable {
  private let method: Method
  private var votes = SortedMap<RoundID, SortedMap<UInt32, RunningVote>>()

  package init(method: Method) { self.method = method }

  /// Adds a durable trajectory's answer. `answer` is called only with early stop, and only for rounds of training.
  package mutating func add(_ slot: Slot, answer: () -> AnswerKey?) -> VoteDecision? {
    guard method.stopsEarly, slot.round.purpose == .train else { return nil }
    if !votes.contains(slot.round) { begin(slot.round) }
    let unneeded =
      votes.update(slot.round) { round in
        if !round.contains(slot.prompt) {
          round[slot.prompt] = RunningVote(step: slot.round.step, prompt: slot.prompt, method: method)
        }
        return round.update(slot.prompt) { $0.add(answer(), of: Int(slot.sample)) } ?? nil
      } ?? nil
    return unneeded.map {
      VoteDecision(round: slot.round, prompt: slot.prompt, unneeded: $0.map { UInt32($0) })
    }
  }

  /// Starts the round of step s, and drops the rounds that are complete. With staleness K, version s − K samples this
  /// round. That version exists only after step s − K − 1, so that step's round is complete, and so are all before it.
  private mutating func begin(_ round: RoundID) {
    votes[round] = SortedMap()
    for (other, _) in votes where other.step + method.staleness < round.step { votes[other] = nil }
  }
}
