// Critic: PPO's advantages, and the critic's loss.
//
// The critic is a second model, whose head gives one number per position: the value V, an estimate of the rewards that
// are still to come. V_t is the value before token t of a response; after its last token it is 0, also if the token
// limit cut the response off. With the reward r_t of each token (the response's reward belongs to its last token):
//
//   δ_t = r_t + γ·V_{t+1} − V_t                     how much better a token was than expected
//   A_t = δ_t + γ·λ·A_{t+1}                         generalized advantage estimation
//   R_t = A_t + V_t                                 the return, which the critic is trained towards
//
// Then the advantages are whitened over all trained tokens of the step. All V are those of before the step's first
// update. With γ = λ = 1, A_t = (rewards from t on) − V_t.
// The critic's loss, averaged over the tokens of a mini-batch, where v is the value now and V the old one:
//
//   L = ½ · max((v − R)², (clip(v, V − c, V + c) − R)²)
//
// Source: PPO, arXiv 1707.06347; GAE, arXiv 1506.02438; TTRL `core_algos.py` and its PPO script.

import Records

/// Sets the critic's values of a step's trained trajectories.
func addValues<P: Policy>(to groups: inout [TrainedGroup], by policy: inout P, method: Method) throws {
  let values = try policy.values(of: groups.flatMap(\.members), sampling: method.sampling)
  distribute(values, to: &groups) { $0.values = $1 }
}

/// Sets the returns and the advantages of a step's trained trajectories, from their values.
func assignCriticAdvantages(to groups: inout [TrainedGroup], method: Method) {
  let advantages = groups.map { $0.members.map { generalizedAdvantages(of: $0, method: method) } }
  for (group, members) in whitened(advantages).enumerated() {
    for (place, row) in members.enumerated() {
      let values = groups[group].members[place].values
      groups[group].members[place].returns = zip(advantages[group][place], values).map { Float($0 + Double($1)) }
      groups[group].members[place].advantages = row.map(Float.init)
    }
  }
}

/// [T] A_t of a trajectory, in Double.
private func generalizedAdvantages(of member: TrainedTrajectory, method: Method) -> [Double] {
  let outcome = member.outcome(method)
  var advantages = [Double](repeating: 0, count: member.values.count)
  var (later, next) = (0.0, 0.0)
  for place in member.values.indices.reversed() {
    let isLast = place == member.values.count - 1
    let reward = Double(outcome.tokenRewards[place]) + (isLast ? Double(outcome.reward) : 0)
    let value = Double(member.values[place])
    later = reward + method.gamma * next - value + method.gamma * method.lambda * later
    advantages[place] = later
    next = value
  }
  return advantages
}

/// The critic's loss at one token. `slope` is its derivative with respect to the value.
///
/// - Parameters:
///   - value: under the critic in training.
///   - old: under the critic that the step began with.
///   - target: the return.
///   - clip: the bound on the distance between the two values; 0 is off.
package func valueLoss(value: Float, old: Float, target: Float, clip: Float) -> SurrogateToken {
  let distance = Double(value) - Double(target)
  let plain = distance * distance / 2
  let bounded = min(max(Double(value), Double(old) - Double(clip)), Double(old) + Double(clip)) - Double(target)
  let clipped = bounded * bounded / 2
  if clip > 0, clipped > plain { return SurrogateToken(loss: Float(clipped), slope: 0, isClipped: true) }
  return SurrogateToken(loss: Float(plain), slope: Float(distance), isClipped: false)
}

/// How the critic's part of an update went.
package struct CriticReport: Sendable, Equatable {
  package var tokens = 0
  /// Over the mini-batch's response tokens.
  package var lossSum = 0.0
  package var clippedTokens = 0
  /// Before clipping.
  package var gradientNorm = 0.0
  package var isSkipped = false

  package init() {}

  fileprivate init(_ report: UpdateReport) {
    (tokens, lossSum, clippedTokens) = (report.tokens, report.lossSum, report.clippedTokens)
    (gradientNorm, isSkipped) = (report.gradientNorm, report.isSkipped)
  }
}

extension UpdateReport {
  /// The report of an update of a critic.
  package var asCritic: CriticReport { CriticReport(self) }
}
