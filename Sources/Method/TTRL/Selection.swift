// Selection: which of a group's samples are trained on.
//
// `random` and `first` do not look at the answers, so these samples are known before anything is sampled, and early
// stop can rely on them. `balanced` is DDRL's (arXiv 2604.21327; `select_top_k_per_prompt_cnt` in its code): samples
// are ordered by how many samples gave the same answer. The most frequent are kept, as many as voted for the label but
// at most ⌊m/2⌋, and from the other end as many as are missing to m. What lies between is left out: it is neither
// clearly right nor clearly wrong.

package import Answers
import Base
package import Records

/// Which m of a group's N samples are trained on, ascending.
///
/// - Parameters:
///   - count: N.
///   - step: the step that trains.
///   - prompt: its index.
///   - method: the settings of the run.
///   - answers: by sample; only `balanced` reads them.
package func trainedSamples(
  of count: Int, step: UInt32, prompt: UInt32, method: Method, answers: [AnswerKey?] = []
) -> [Int] {
  let kept = min(method.trainSamples, count)
  switch method.selection {
  case .first: return Array(0..<kept)
  case .random:
    var sequence = RandomSequence(seed: method.seed, purpose: .trainedSubset, stream: SIMD3(step, prompt, 0))
    return sequence.permutation(of: count).prefix(kept).sorted()
  case .balanced: return balancedSamples(kept, of: count, answers: answers)
  }
}

/// Among samples whose answers are equally frequent, the order is that of their indices. No answer has frequency 0.
private func balancedSamples(_ kept: Int, of count: Int, answers: [AnswerKey?]) -> [Int] {
  let tally = Tally(of: answers)
  let frequencies = (0..<count).map { sample -> Int in
    guard answers.indices.contains(sample), let answer = answers[sample] else { return 0 }
    return tally.counts[answer]?.votes ?? 0
  }
  let order = (0..<count).sorted { (-frequencies[$0], $0) < (-frequencies[$1], $1) }
  let frequent = min(tally.leader?.votes ?? 0, kept / 2)
  return (order.prefix(frequent) + order.suffix(kept - frequent)).sorted()
}
