// NegativeAware: the loss of NFT, which is supervised: trajectories that agree with the label are made likelier, and so
// is, for the others, an implicit policy that has only what the label rejects.
//
//   q  = share of the group's trained trajectories that agree, at least 0.02, at most 0.98
//   ρ  = exp(min(lp − lp_old, 10))
//   L  = −w·log ρ                                 for a trajectory that agrees
//   L  = −w·log max(R, 1),  R = (1 − q·ρ) / (1 − q)    for one that does not
//
// R is what is left of the old policy if q parts of the new one are taken away. Where it is below its bound of 1, the
// loss is that at the bound, and the slope is straight-through: that of log R with 1 in place of R in the denominator.
// w is the prompt's weight. A group that is unanimous has nothing to teach. A trajectory's advantage is w or −w, which
// says whether it agrees, so that a unanimous group is one whose advantages are all 0.
// Source: NFT, arXiv 2505.18116; NVlabs/NFT `dp_actor.py`.

import Records

#if canImport(Glibc)
  import Glibc
#endif

/// The bounds of q. Beyond them, 1 / (1 − q) and the weights would be too large.
private let agreementBounds = 0.02...0.98
/// The largest lp − lp_old, so that exp stays in range.
private let distanceMax = 10.0
/// The smallest R. The paper has a small positive number, its script 1.
private let remainderMin = 1.0

/// The loss of one token, and its derivative with respect to the token's log-probability.
///
/// - Parameters:
///   - logprob: of the token under the weights in training, natural log.
///   - old: of the token under the weights that the step began with.
///   - advantage: the prompt's weight; negative for a trajectory that does not agree with the label.
///   - agreement: q.
package func negativeAware(logprob: Float, old: Float, advantage: Float, agreement: Float) -> SurrogateToken {
  let distance = Double(logprob) - Double(old)
  let (bounded, isFar) = (min(distance, distanceMax), distance > distanceMax)
  let (weight, q) = (Double(abs(advantage)), Double(agreement))
  guard advantage != 0 else { return SurrogateToken(loss: 0, slope: 0, isClipped: false) }
  guard advantage < 0 else {
    return SurrogateToken(loss: Float(-weight * bounded), slope: isFar ? 0 : -advantage, isClipped: isFar)
  }
  let taken = q * exp(bounded)
  let remainder = (1 - taken) / (1 - q)
  let kept = max(remainder, remainderMin)
  return SurrogateToken(
    loss: Float(-weight * log(kept)), slope: isFar ? 0 : Float(weight * taken / ((1 - q) * kept)),
    isClipped: isFar || remainder < remainderMin)
}

/// Sets q and the signed weights of a step's trained trajectories. Rewards are 0 or 1.
func assignAgreement(to groups: inout [TrainedGroup], method: Method) {
  for group in groups.indices {
    let rewards = groups[group].members.map(\.reward)
    let agreeing = rewards.count { $0 > 0 }
    let share = Double(agreeing) / Double(max(rewards.count, 1))
    let q = min(max(share, agreementBounds.lowerBound), agreementBounds.upperBound)
    let isUnanimous = agreeing == 0 || agreeing == rewards.count
    let weight: Double =
      switch method.nftPromptWeight {
      case _ where isUnanimous: 0
      case .one: 1
      case .drGRPO: 1 - q
      case .grpo: ((1 - q) / q).squareRoot()
      }
    for member in groups[group].members.indices {
      let advantage = Float(rewards[member] > 0 ? weight : -weight)
      groups[group].members[member].agreement = Float(q)
      let tokens = groups[group].members[member].advantages.count
      groups[group].members[member].advantages = [Float](repeating: advantage, count: tokens)
    }
  }
}
