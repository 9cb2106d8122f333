// Vote: the answer that most samples of a group give, and which samples agree with it.
//
// The same keys decide the vote, the reward and the metrics. The reference votes by string and rewards with a lenient
// grader, so it can count a response in one class and reward it as if it were in another (docs/algorithm.md, D4). Keys
// that were made by the reference's rule (`AnswerRule.reference`) do the same here.
// Not here: when a vote is decided before all samples have voted (EarlyStop), rewards that need no label (Estimators),
// which samples are trained on (Selection).

package import Answers
import Base
package import Records

/// The outcome of one group's vote.
package struct Vote: Sendable, Equatable {
  /// The pseudo-label: the answer with the most votes, or nil if there was none or the group abstains.
  package var label: AnswerKey?
  /// How many samples gave the label; 0 without one.
  package var votes: Int
  /// Whether another answer has as many votes as the leading one.
  package var isTie: Bool
  /// How many different answers were given.
  package var answerCount: Int
  /// Why there is no label although answers were given.
  package var abstention: Abstention?
}

/// The votes of each answer, and the lowest sample index that gave it.
struct Tally: Sendable {
  private(set) var counts = SortedMap<AnswerKey, (votes: Int, first: Int)>()

  init() {}

  /// - Parameter answers: by sample index.
  init(of answers: [AnswerKey?]) {
    for (sample, answer) in answers.enumerated() {
      if let answer { count(answer, of: sample) }
    }
  }

  /// Samples can come in any order.
  mutating func count(_ answer: AnswerKey, of sample: Int) {
    let isKnown: Void? = counts.update(answer) { count in
      count = (count.votes + 1, min(count.first, sample))
    }
    if isKnown == nil { counts[answer] = (1, sample) }
  }

  /// The answer with the most votes. Among equals, the one whose first sample has the lowest index.
  var leader: (label: AnswerKey, votes: Int, first: Int)? {
    var leader: (label: AnswerKey, votes: Int, first: Int)?
    for (label, count) in counts {
      if let best = leader, (best.votes, -best.first) >= (count.votes, -count.first) { continue }
      leader = (label, count.votes, count.first)
    }
    return leader
  }
}

/// The plurality vote of a group. Samples without an answer do not vote, so "no answer" never wins.
///
/// - Parameters:
///   - answers: by sample index.
///   - ties: what a tie gives. `.first`: the answer whose first voter has the lowest index wins.
///   - needed: the votes that a label needs. If the leading answer has fewer, there is no label.
package func majority(of answers: [AnswerKey?], ties: TieRule = .first, needed: Int = 1) -> Vote {
  let tally = Tally(of: answers)
  guard let leader = tally.leader else { return Vote(label: nil, votes: 0, isTie: false, answerCount: 0) }
  let isTie = tally.counts.contains { $0.0 != leader.label && $0.1.votes == leader.votes }
  let abstention: Abstention? =
    leader.votes < needed ? .share : isTie && ties == .abstain ? .tie : nil
  return Vote(
    label: abstention == nil ? leader.label : nil, votes: abstention == nil ? leader.votes : 0, isTie: isTie,
    answerCount: tally.counts.count, abstention: abstention)
}

/// The plurality vote of a group whose votes have weights.
///
/// - Parameters:
///   - answers: [N] by sample index; nil does not vote.
///   - weights: [N] parallel to `answers`, 0 or larger.
///   - ties: what equal sums give; as in `majority`.
///   - share: the share of all weights that a label needs.
/// - Returns: `votes` is the number of samples that gave the label, whatever their weights, so that a majority ratio
///   stays a share of samples.
func majority(
  of answers: [AnswerKey?], weights: [Double], ties: TieRule = .first, share: Double = 0
) -> Vote {
  var sums = SortedMap<AnswerKey, (weight: Double, votes: Int, first: Int)>()
  var total = 0.0
  for (sample, answer) in answers.enumerated() {
    total += weights[sample]
    guard let answer else { continue }
    let isKnown: Void? = sums.update(answer) { $0 = ($0.weight + weights[sample], $0.votes + 1, $0.first) }
    if isKnown == nil { sums[answer] = (weights[sample], 1, sample) }
  }
  // The largest sum; among equals, the one whose first sample has the lowest index.
  let leader = sums.max { left, right in (left.1.weight, -left.1.first) < (right.1.weight, -right.1.first) }
  guard let (label, lead) = leader else { return Vote(label: nil, votes: 0, isTie: false, answerCount: 0) }
  let isTie = sums.contains { $0.0 != label && $0.1.weight == lead.weight }
  let abstention: Abstention? = lead.weight < share * total ? .share : isTie && ties == .abstain ? .tie : nil
  return Vote(
    label: abstention == nil ? label : nil, votes: abstention == nil ? lead.votes : 0, isTie: isTie,
    answerCount: sums.count, abstention: abstention)
}

/// The smallest number of votes whose share of N is at least `share`; at least 1, because a label needs a vote.
///
/// A quotient of integers is correctly rounded, so 3 of 30 is exactly the 0.1 that the setting says.
func votesNeeded(forShare share: Double, of count: Int) -> Int {
  var needed = max(1, Int(share * Double(count)))
  while needed > 1, Double(needed - 1) / Double(count) >= share { needed -= 1 }
  while Double(needed) / Double(count) < share { needed += 1 }
  return needed
}

/// [N] 1 where the answer agrees with the label, else 0. Without a label all are 0.
package func agreement(of answers: [AnswerKey?], with label: AnswerKey?) -> [Float] {
  answers.map { $0.agrees(with: label) ? 1 : 0 }
}

/// [N] rewards of the random control: 1 with probability one half. A function of seed, step, prompt and sample.
func coinFlips(count: Int, step: UInt32, prompt: UInt32, seed: UInt64) -> [Float] {
  var coins = RandomSequence(seed: seed, purpose: .randomLabels, stream: SIMD3(step, prompt, 0))
  return (0..<count).map { _ in coins.uniform() < 0.5 ? 1 : 0 }
}

/// The indices of these samples' trajectories in a group that does not have to be complete.
///
/// - Parameters:
///   - samples: sample numbers, ascending.
///   - trajectories: in sample order.
func indices(of samples: [Int], among trajectories: [Trajectory]) -> [Int] {
  var wanted = samples[...]
  return trajectories.indices.filter { index in
    let sample = Int(trajectories[index].slot.sample)
    while let first = wanted.first, first < sample { wanted.removeFirst() }
    return wanted.first == sample
  }
}
