// Vote: which answer a group agrees on, and what agreeing is worth.
//
// The same keys decide the vote, the reward and the metrics. The reference votes by string and rewards by a lenient
// grader, so one response can be counted in one class and rewarded by another (docs/algorithm.md, D4); keys that were
// made by its rule do the same here.

package import Answers
import Base
import Records

/// The outcome of one group's vote.
package struct Vote: Sendable, Equatable {
  /// The pseudo-label: the answer with the most votes, or nil if there was none.
  package var label: AnswerKey?
  /// How many samples gave the label.
  package var votes: Int
  /// Another answer has as many votes; the label is the one that a lower sample index gave first.
  package var isTie: Bool
  /// How many different answers were given.
  package var answerCount: Int
}

/// The plurality answer of a group. Samples without an answer do not vote, so no answer never wins.
///
/// - Parameter answers: by sample index; a tie goes to the answer whose first voter has the lowest index.
package func majority(of answers: [AnswerKey?]) -> Vote {
  var counts = SortedMap<AnswerKey, (votes: Int, first: Int)>()
  for (index, answer) in answers.enumerated() {
    guard let answer else { continue }
    if counts.update(answer, { $0.votes += 1 }) == nil { counts[answer] = (1, index) }
  }
  var winner: (label: AnswerKey, votes: Int, first: Int)?
  for (label, count) in counts {
    if let best = winner, (best.votes, -best.first) >= (count.votes, -count.first) { continue }
    winner = (label, count.votes, count.first)
  }
  guard let winner else { return Vote(label: nil, votes: 0, isTie: false, answerCount: 0) }
  let isTie = counts.contains { $0.0 != winner.label && $0.1.votes == winner.votes }
  return Vote(label: winner.label, votes: winner.votes, isTie: isTie, answerCount: counts.count)
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
func trainedSamples(of count: Int, step: UInt32, prompt: UInt32, method: Method) -> [Int] {
  let kept = min(method.trainSamples, count)
  switch method.selection {
  case .first: return Array(0..<kept)
  case .random:
    var sequence = RandomSequence(seed: method.seed, purpose: .trainedSubset, stream: SIMD3(step, prompt, 0))
    return sequence.permutation(of: count).prefix(kept).sorted()
  }
}
