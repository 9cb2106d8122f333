// EarlyStop: when a vote is certain before all have voted.
//
// The samples of a group count in a canonical order: those that are trained on first (the seed has chosen them before
// anything was sampled), then the others, each by sample index. The vote is decided at the shortest prefix of that
// order, the trained ones included, after which no answers of the rest could change the label. Samples behind it do not
// vote, do not train and do not enter figures, even if somebody has sampled them already; so the outcome depends on no
// clock. The label is the one that all N would have elected, hence so are the rewards of what is trained on, and the
// weights, bit for bit.
//
// The fleet feeds a `RunningVote` as trajectories arrive, in whatever order; `improve` feeds it in the canonical one.
// Not here: who stops whom (Fleet.Coordinator).

package import Answers
import Base
package import Records

/// The vote of one group while it is being sampled.
package struct RunningVote: Sendable {
  /// Samples in the order in which they count, and the place of each in it.
  private let order: [Int]
  private let places: [Int]
  private let trainedCount: Int
  private let ties: TieRule
  private let needed: Int
  /// By place: whether the sample is here, and its answer.
  private var isHere: [Bool]
  private var answers: [AnswerKey?]
  /// The prefix that has been counted.
  private var counted = 0
  private var tally = Tally()
  private var isDecided = false

  /// The vote on a prompt in a step, with nothing sampled yet.
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
    needed = votesNeeded(forShare: method.minimumShare, of: count)
    isHere = [Bool](repeating: false, count: count)
    answers = [AnswerKey?](repeating: nil, count: count)
  }

  /// Takes one sample's answer, in any order of samples. One that is here already, or does not exist, changes nothing.
  ///
  /// - Returns: when this decides the vote, and only then: the samples that do not count, ascending; possibly none.
  package mutating func add(_ answer: AnswerKey?, of sample: Int) -> [Int]? {
    guard places.indices.contains(sample), !isDecided, !isHere[places[sample]] else { return nil }
    isHere[places[sample]] = true
    answers[places[sample]] = answer
    while counted < order.count, isHere[counted] {
      if let answer = answers[counted] { tally.count(answer, of: order[counted]) }
      counted += 1
      if counted >= trainedCount, isCertain {
        isDecided = true
        return order[counted...].sorted()
      }
    }
    return nil
  }

  /// Whether every way in which the rest may answer leads to the same label, or to none.
  private var isCertain: Bool {
    let left = order.count - counted
    guard left > 0 else { return true }
    guard let leader = tally.leader else { return left < needed }
    if leader.votes + left < needed { return true }
    // The rest may give no answer at all: the leader must have won already.
    guard leader.votes >= needed else { return false }
    // Or all of it the same answer, one that was given before or a new one.
    let rest = (votes: 0, first: order[counted])
    return !canCatchUp(rest, with: left, leader.votes, leader.first)
      && !tally.counts.contains { label, count in
        label != leader.label
          && canCatchUp((count.votes, min(count.first, rest.first)), with: left, leader.votes, leader.first)
      }
  }

  /// Whether an answer that gets all votes which are left would win, or would tie where ties have no label.
  private func canCatchUp(
    _ challenger: (votes: Int, first: Int), with left: Int, _ leaderVotes: Int, _ leaderFirst: Int
  ) -> Bool {
    let votes = challenger.votes + left
    guard votes == leaderVotes else { return votes > leaderVotes }
    return ties == .abstain || challenger.first < leaderFirst
  }
}

/// The samples of a fully sampled group that count, ascending: all of them, or those up to the vote's decision.
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

/// The votes of the training rounds that are being sampled: for whoever collects the trajectories.
///
/// It holds nothing that the trajectories do not say: after a restart they are added again.
package struct VoteBook: Sendable {
  private let method: Method
  private var votes = SortedMap<RoundID, SortedMap<UInt32, RunningVote>>()

  package init(method: Method) { self.method = method }

  /// Takes a durable trajectory's answer, which is read only if it may decide something.
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

  /// A version samples one step's round, and only when the step `staleness` before it is trained: a round that much
  /// older is complete, and so is every one before it.
  private mutating func begin(_ round: RoundID) {
    votes[round] = SortedMap()
    for (other, _) in votes where other.step + method.staleness < round.step { votes[other] = nil }
  }
}
