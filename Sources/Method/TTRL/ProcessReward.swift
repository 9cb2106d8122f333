// ProcessReward: the rewards of single tokens under PRIME, and the loss of the critic that gives them.
//
// The critic φ is a language model that begins as policy 0. How much likelier it makes a token than policy 0 does is
// that token's implicit process reward. φ learns it from the rewards of whole responses: the sum over a response, as a
// logit, is its guess of the response's reward. With β = 0.05, and n trained responses of T tokens to a prompt:
//
//   q_t = log π_φ − log π_0
//   p_t = β·q_t, 0 at the last token;  divided by the step's largest |sum of p from a token to the end| + 1e-6
//   process_t = p_t·n / (n − 1) − Σ_j mean_t(p_j) / (n − 1)            leave-one-out, over the prompt's responses j
//   outcome   = r·n / (n − 1) − Σ_j r_j / (n − 1)                       at the last token only
//   A_t = the sum from t to the end of 5·process + 5·outcome, whitened over all trained tokens of the step
//
// The critic's loss is the mean over a mini-batch's responses of the cross-entropy between σ(β·Σ_t q_t) and r.
// Source: PRIME, arXiv 2502.01456; verl `recipe/prime/prime_core_algos.py`, `prime_dp_rm.py`.

import Records

#if canImport(Glibc)
  import Glibc
#endif

private let scale = 0.05
private let processWeight = 5.0
private let outcomeWeight = 5.0
/// A critic that still equals policy 0 has sums of 0, which nothing can be divided by.
private let smallest = 1e-6

extension MiniBatch {
  /// The divisor of the critic's summed loss.
  package var sequenceDivisor: Double { Double(max(trajectories.count, 1)) }
}

/// Sets the critic's log-probabilities of a step's trained trajectories, and trains it on them.
///
/// - Returns: how its updates went.
func addProcessScores<P: Policy>(
  to groups: inout [TrainedGroup], step: UInt32, by policy: inout P, method: Method
) throws -> [CriticReport] {
  func train(_ groups: [TrainedGroup]) throws -> [CriticReport] {
    try miniBatches(of: groups, step: step, method: method).map {
      try policy.updateProcessRewards($0, method: method)
    }
  }
  var reports = method.primeUpdate == .before ? try train(groups) : []
  let scores = try policy.processLogprobs(of: groups.flatMap(\.members), sampling: method.sampling)
  distribute(scores, to: &groups) { $0.values = $1 }
  if method.primeUpdate == .after { reports = try train(groups) }
  return reports
}

/// Sets the advantages of a step's trained trajectories, from their critic's log-probabilities.
func assignProcessAdvantages(to groups: inout [TrainedGroup], method: Method) {
  var process = groups.map { $0.members.map(processRewards) }
  let sums = process.flatMap { $0.flatMap(sumsToEnd) }
  let largest = sums.reduce(0) { max($0, abs($1)) } + smallest
  process = process.map { $0.map { $0.map { $0 / largest } } }
  let advantages = zip(groups, process).map { group, process in
    let means = process.map { $0.reduce(0, +) / Double(max($0.count, 1)) }
    let outcomes = leftOneOut(group.members.map { Double($0.reward) })
    let others = Double(max(process.count - 1, 1))
    let baseline = means.reduce(0, +) / others
    return zip(zip(group.members, process), outcomes).map { member, outcome in
      let (member, rewards) = member
      let penalties = member.outcome(method).tokenRewards
      return sumsToEnd(
        rewards.indices.map { place in
          let isLast = place == rewards.count - 1
          return processWeight * (rewards[place] * Double(process.count) / others - baseline)
            + (isLast ? outcomeWeight * outcome : 0) + Double(penalties[place])
        })
    }
  }
  for (group, members) in whitened(advantages).enumerated() {
    for (place, row) in members.enumerated() { groups[group].members[place].advantages = row.map(Float.init) }
  }
}

/// [T] p_t before the division.
private func processRewards(of member: TrainedTrajectory) -> [Double] {
  let last = member.values.count - 1
  return member.values.indices.map { place in
    place == last ? 0 : scale * (Double(member.values[place]) - Double(member.reference[place]))
  }
}

/// [T] the sum from each value to the end.
private func sumsToEnd(_ values: [Double]) -> [Double] {
  var (sum, sums) = (0.0, values)
  for place in values.indices.reversed() {
    sum += values[place]
    sums[place] = sum
  }
  return sums
}

/// β·Σ q of a response, the logit of its guessed reward. The sum is in Double, in the order of the tokens.
///
/// - Parameters:
///   - member: the response.
///   - logprobs: [T] under the critic in training.
package func processLogit(of member: TrainedTrajectory, logprobs: [Float]) -> Float {
  Float(scale * zip(logprobs, member.reference).reduce(0.0) { $0 + (Double($1.0) - Double($1.1)) })
}

/// The critic's loss at a token: an equal part of its response's. `slope` is the derivative with respect to the token's
/// log-probability.
///
/// - Parameters:
///   - member: the response.
///   - logit: the response's, from `processLogit`.
package func processLoss(of member: TrainedTrajectory, logit: Float) -> SurrogateToken {
  let (logit, reward) = (Double(logit), Double(member.reward))
  // log(1 + exp(x)) − r·x, in a form that does not overflow.
  let loss = max(logit, 0) - reward * logit + log1p(exp(-abs(logit)))
  let guess = 1 / (1 + exp(-logit))
  return SurrogateToken(
    loss: Float(loss / Double(max(member.trajectory.tokens.count, 1))), slope: Float(scale * (guess - reward)),
    isClipped: false)
}
