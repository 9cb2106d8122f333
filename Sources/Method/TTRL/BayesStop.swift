// BayesStop: how likely it is that the leading answer of some samples is not the policy's most frequent one.
//
// A policy gives each answer with an unknown frequency. Of two answers with c and d votes, let θ be the first one's
// share of the two. If nothing is known about θ before the votes (a uniform prior), then after them
//
//   P(θ ≤ 1/2) = P(X ≤ d) for X binomial with c + d + 1 trials and chance 1/2
//
// The sum of this over all other answers that were given, and one that was not (d = 0), is at least the chance that any
// of them is more frequent than the leader. It may be computed after every vote: a posterior does not depend on why the
// sampling stopped. Samples without an answer say nothing about it.
//
// OptPO (arXiv 2512.02882) stops a vote by a Bayesian sequential test at a chosen error; its abstract does not give the
// test. This is the stopping rule of Adaptive-Consistency (arXiv 2305.11860, its Beta criterion), for all answers.

/// The bound above, at most about 1 times the number of answers.
///
/// Additions, multiplications and divisions only: their results are the same on every processor, and a decision may not
/// depend on where it is made.
/// - Parameters:
///   - votes: of the leading answer, at least 1.
///   - others: of each other answer.
///   - limit: beyond it, the sum does not go on.
package func errorOfLeader(votes: Int, others: [Int], upTo limit: Double = .infinity) -> Double {
  var sum = 0.0
  for other in others.sorted(by: >) + [0] {
    sum += lowerTail(upTo: other, of: votes + other + 1)
    if sum > limit { break }
  }
  return sum
}

/// P(X ≤ k) for X binomial with n trials and chance 1/2: Σ C(n, i) / 2ⁿ for i from 0 to k.
private func lowerTail(upTo k: Int, of n: Int) -> Double {
  var (term, sum) = (1.0, 1.0)
  // Halvings that are still to be done. They are exact, and in time, so that no number becomes too large.
  var halvings = n
  for i in 0...k {
    if i > 0 {
      term *= Double(n - i + 1) / Double(i)
      sum += term
    }
    while sum >= 2, halvings > 0 { (term, sum, halvings) = (term / 2, sum / 2, halvings - 1) }
  }
  // Beyond the smallest number there is only 0.
  for _ in 0..<min(halvings, 1100) { sum /= 2 }
  return sum
}
