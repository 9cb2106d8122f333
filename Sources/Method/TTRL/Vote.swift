// Vote: which answer a group agrees on, and what agreeing is worth.
//
// The same keys decide the vote, the reward and the metrics. The reference votes by string and rewards by a lenient
// grader, so one response can be counted in one class and rewarded by another (docs/algorithm.md, D4); keys that were
// made by its rule do the same here.
// Not here: when a vote is certain before all have voted (EarlyStop), rewards that need no label (Estimators).

package import Answers
import Base
package import Records

/// The outcome of one group's vote.
package struct Vote: Sendable, Equatable {
  /// The pseudo-label: the answer with the most votes, or nil if there was none or the group abstains.
  package var label: AnswerKey?
  /// How many samples gave the label; 0 without one.
  package var votes: Int
  /// Another answer has as many votes as the leading one.
  package var isTie: Bool
  /// How many different answers were given.
  package var answerCount: Int
  /// Why there is no label although answers were given.
  package var abstention: Abstention?
}

/// Votes by answer, and who gave each first.
struct Tally: Sendable {
  private(set) var counts = SortedMap<AnswerKey, (votes: Int, first: Int)>()

  /// Samples may come in any order.
  mutating func count(_ answer: AnswerKey, of sample: Int) {
    let isKnown: Void? = counts.update(answer) { count in
      count = (count.votes + 1, min(count.first, sample))
    }
    if isKnown == nil { counts[answer] = (1, sample) }
  }

  /// The answer with the most votes, of these the one with the lowest first sample.
  var leader: (label: AnswerKey, votes: Int, first: Int)? {
    var leader: (label: AnswerKey, votes: Int, first: Int)?
    for (label, count) in counts {
      if let best = leader, (best.votes, -best.first) >= (count.votes, -count.first) { continue }
      leader = (label, count.votes, count.first)
    }
    return leader
  }
}

/// The plurality answer of a group. Samples without an answer do not vote, so no answer never wins.
///
/// - Parameters:
///   - answers: by sample index.
///   - ties: what becomes of a tie. First: the answer whose first voter has the lowest index wins.
///   - needed: the votes that a label needs; with fewer there is none.
package func majority(of answers: [AnswerKey?], ties: TieRule = .first, needed: Int = 1) -> Vote {
  var tally = Tally()
  for (sample, answer) in answers.enumerated() {
    if let answer { tally.count(answer, of: sample) }
  }
  guard let leader = tally.leader else { return Vote(label: nil, votes: 0, isTie: false, answerCount: 0) }
  let isTie = tally.counts.contains { $0.0 != leader.label && $0.1.votes == leader.votes }
  let abstention: Abstention? =
    leader.votes < needed ? .share : isTie && ties == .abstain ? .tie : nil
  return Vote(
    label: abstention == nil ? leader.label : nil, votes: abstention == nil ? leader.votes : 0, isTie: isTie,
    answerCount: tally.counts.count, abstention: abstention)
}

/// The fewest votes whose share of N is at least this; at least 1, since no answer never wins.
///
/// A quotient of integers is correctly rounded, so 3 of 30 is exactly the 0.1 that the setting says.
func votesNeeded(forShare share: Double, of count: Int) -> Int {
  var needed = max(1, Int(share * Double(count)))
  while needed > 1, Double(needed - 1) / Double(count) >= share { needed -= 1 }
  while Double(needed) / Double(count) < share { needed += 1 }
  return needed
}

/// [N] 1 where the answer agrees with the label, 0 elsewhere. Without a label everything is 0.
package func agreement(of answers: [AnswerKey?], with label: AnswerKey?) -> [Float] {
  answers.map { $0.agrees(with: label) ? 1 : 0 }
}

/// [N] rewards of the random control: 1 with probability one half, a function of seed, step, prompt and sample.
func coinFlips(count: Int, step: UInt32, prompt: UInt32, seed: UInt64) -> [Float] {
  var coins = RandomSequence(seed: seed, purpose: .randomLabels, stream: SIMD3(step, prompt, 0))
  return (0..<count).map { _ in coins.uniform() < 0.5 ? 1 : 0 }
}

/// Which m of a group's N trajectories are trained on: fixed by the seed, whatever the answers are.
package func trainedSamples(of count: Int, step: UInt32, prompt: UInt32, method: Method) -> [Int] {
  let kept = min(method.trainSamples, count)
  switch method.selection {
  case .first: return Array(0..<kept)
  case .random:
    var sequence = RandomSequence(seed: method.seed, purpose: .trainedSubset, stream: SIMD3(step, prompt, 0))
    return sequence.permutation(of: count).prefix(kept).sorted()
  }
}

/// Where these samples stand among a group's trajectories, which need not be all.
///
/// - Parameters:
///   - samples: indices, ascending.
///   - trajectories: in sample order.
func places(of samples: [Int], among trajectories: [Trajectory]) -> [Int] {
  var wanted = samples[...]
  return trajectories.indices.filter { place in
    let sample = Int(trajectories[place].slot.sample)
    while let first = wanted.first, first < sample { wanted.removeFirst() }
    return wanted.first == sample
  }
}
