// MajorityOdds: maj@k averaged over all ways to draw k of n samples.
//
// Voting on the first 16 of 64 samples is one draw of 16; another draw can elect another answer. Here every draw
// counts: the result is the share of all k-subsets of a prompt's n samples whose plurality answer is right. A tie
// counts as the share of its winners that are right, because in a random order each of them is equally likely to come
// first. Dynamic programming over the classes of answers computes this exactly; nothing is drawn.

#if canImport(Glibc)
  import Glibc
#endif

/// - Parameters:
///   - right: samples that give the right answer.
///   - others: samples of each wrong answer. The rest of `count` gave no answer and does not vote.
///   - count: n, all samples.
///   - drawn: k ≤ n, samples that vote.
/// - Returns: the expected share of right majorities, 0 to 1, exact up to the rounding of some thousand additions.
package func expectedMajority(right: Int, others: [Int], of count: Int, drawing drawn: Int) -> Double {
  precondition(drawn <= count && right + others.reduce(0, +) <= count, "\(drawn) of \(count), \(right) + \(others)")
  guard right > 0, drawn > 0 else { return 0 }
  let draws = Hypergeometric(population: count)
  // ways[j][d][t]: the chance that the right answer has j votes, and that of the wrong answers processed so far, which
  // have d votes together, t have j votes too.
  let top = min(right, drawn)
  var ways = (0...top).map { j -> [[Double]] in
    let chance = j == 0 ? 0 : draws.chance(of: j, in: right, from: count, drawing: drawn)
    return [[chance]] + [[Double]](repeating: [], count: drawn - j)
  }
  var population = count - right
  for size in others {
    // chances[left][x]: the chance that x of the `left` remaining draws are of this class.
    let chances = (0...drawn).map { left in
      left > population
        ? [] : (0...min(size, left)).map { draws.chance(of: $0, in: size, from: population, drawing: left) }
    }
    for j in 1...top {
      var next = [[Double]](repeating: [], count: drawn - j + 1)
      for (used, byTies) in ways[j].enumerated() where !byTies.isEmpty {
        for (votes, chance) in chances[drawn - j - used].enumerated() where votes <= j && chance > 0 {
          let tie = votes == j ? 1 : 0
          let place = used + votes
          while next[place].count < byTies.count + tie { next[place].append(0) }
          for (ties, weight) in byTies.enumerated() { next[place][ties + tie] += weight * chance }
        }
      }
      ways[j] = next
    }
    population -= size
  }
  return ways.reduce(0) { sum, byDraws in
    byDraws.reduce(sum) { $0 + $1.enumerated().reduce(0) { $0 + $1.element / Double($1.offset + 1) } }
  }
}

/// Drawing without replacement. It adds logarithms of factorials, so no count overflows.
private struct Hypergeometric {
  private let logFactorials: [Double]

  init(population: Int) {
    var sum = 0.0
    logFactorials =
      [0]
      + (0..<population).map {
        sum += log(Double($0 + 1))
        return sum
      }
  }

  private func logChoices(_ count: Int, _ chosen: Int) -> Double {
    logFactorials[count] - logFactorials[chosen] - logFactorials[count - chosen]
  }

  /// The chance that `drawn` of `population` samples contain exactly `hits` of the class's `size` samples.
  func chance(of hits: Int, in size: Int, from population: Int, drawing drawn: Int) -> Double {
    guard hits <= min(size, drawn), drawn - hits <= population - size else { return 0 }
    return exp(
      logChoices(size, hits) + logChoices(population - size, drawn - hits) - logChoices(population, drawn))
  }
}
