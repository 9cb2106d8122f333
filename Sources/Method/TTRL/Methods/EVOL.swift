// EVOL-RL: the majority selects, novelty varies, arXiv 2509.15194 (code: YujunZhou/EVOL-RL, `semantic_novelty.py`).
//
// Responses that agree with the label get a reward in [0.5, 1], the others one in [−1, −0.5], and −1 without an answer.
// Within its band a response is placed by its novelty: by how little it resembles the others.
//
//   novelty_i = 1 − (mean similarity to the others of its band + largest similarity to any other) / 2
//   place_i   = (novelty_i − min) / (max − min) over its band;  a half if all are equal
//
// A band of one response has the place 1, and its mean is over all others. Responses without an answer are compared
// with nothing; if fewer than two have one, all rewards are −1.
//
// The authors compare embeddings of the text from a model that runs beside the training. Here the similarity is local:
// the share of runs of three tokens that two responses have in common (Jaccard index). It knows words, not meanings.

import Answers
import Records

func noveltyAware(_ evidence: Evidence, _ method: Method) -> Estimate {
  let agreed = agreement(evidence, method)
  guard agreed.abstention == nil else { return agreed }
  let answered = evidence.answers.indices.filter { evidence.answers[$0] != nil }
  var rewards = evidence.answers.map { _ in Float(-1) }
  guard answered.count > 1 else { return Estimate(rewards: rewards) }
  let similarities = similarities(of: answered.map { evidence.trajectories[$0].tokens })
  let novelties = answered.indices.map { index in
    let others = answered.indices.filter { $0 != index }
    let band = others.filter { agreed.rewards[answered[$0]] == agreed.rewards[answered[index]] }
    let compared = band.isEmpty ? others : band
    let mean = compared.reduce(0.0) { $0 + similarities[index][$1] } / Double(compared.count)
    return 1 - (mean + (others.map { similarities[index][$0] }.max() ?? 0)) / 2
  }
  for (isRight, low) in [(true, 0.5), (false, -1.0)] {
    let band = answered.indices.filter { (agreed.rewards[answered[$0]] > 0) == isRight }
    let range = (low: band.map { novelties[$0] }.min() ?? 0, high: band.map { novelties[$0] }.max() ?? 0)
    for index in band {
      let place =
        band.count == 1 ? 1 : range.low == range.high ? 0.5 : (novelties[index] - range.low) / (range.high - range.low)
      rewards[answered[index]] = Float(low + 0.5 * place)
    }
  }
  return Estimate(rewards: rewards)
}

/// [n][n] the share of common runs of three tokens, 0 to 1; 0 on the diagonal.
private func similarities(of responses: [[Int32]]) -> [[Double]] {
  let runs = responses.map(runs)
  var shares = responses.map { _ in [Double](repeating: 0, count: responses.count) }
  for first in responses.indices {
    for second in (first + 1)..<responses.count {
      let common = commonCount(runs[first], runs[second])
      let all = runs[first].count + runs[second].count - common
      let share = all == 0 ? 1 : Double(common) / Double(all)
      shares[first][second] = share
      shares[second][first] = share
    }
  }
  return shares
}

/// The different runs of three tokens, ascending; of a shorter response, itself. Each is a 64-bit hash: that two runs
/// have the same one is too unlikely to matter, and would be the same on every machine.
private func runs(_ tokens: [Int32]) -> [UInt64] {
  let length = min(3, tokens.count)
  let hashes = (0..<max(tokens.count - length + 1, 1)).map { start in
    // A state of 0 would hide how many tokens came before.
    tokens[start..<start + length].reduce(0xCBF2_9CE4_8422_2325 &+ UInt64(length)) { hash, token in
      let mixed = (hash ^ UInt64(UInt32(bitPattern: token))) &* 0x9E37_79B9_7F4A_7C15
      return mixed ^ mixed >> 32
    }
  }.sorted()
  return hashes.enumerated().filter { $0.offset == 0 || hashes[$0.offset - 1] != $0.element }.map(\.element)
}

/// How many numbers two ascending lists have in common.
private func commonCount(_ first: [UInt64], _ second: [UInt64]) -> Int {
  var (one, other, count) = (0, 0, 0)
  while one < first.count, other < second.count {
    if first[one] == second[other] {
      (one, other, count) = (one + 1, other + 1, count + 1)
    } else if first[one] < second[other] {
      one += 1
    } else {
      other += 1
    }
  }
  return count
}
