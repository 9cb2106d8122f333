// CriticFigures: how well a critic knows what it is asked, before it learns from the step.
//
//   explained variance = 1 − Var(R − V) / Var(R)     PPO, over the step's trained tokens: 1 is perfect; a constant has
//                                                    0; below 0 is worse than a constant
//   accuracy = share of the trained responses for which β·Σ q > 0 says whether the reward is 1        PRIME
//
// V are the values and R the returns with which the advantages are computed. PRIME's q are those that reward the
// step's tokens, so with `prime-update before` the critic has already learned from them.
// Source: verl, `critic/vf_explained_var` and PRIME's `reward_model/acc`.

import Records

package struct CriticFigures: Sendable, Equatable {
  /// PPO's; nil if all returns are equal.
  package var explainedVariance: Double?
  /// PPO's, per token.
  package var returnMean: Double?
  /// PRIME's.
  package var accuracy: Double?
  /// Trained responses.
  package var responses = 0
}

/// - Parameter groups: with what `assignAdvantages` sets; also those that have nothing to teach.
/// - Returns: nil without a critic, and if nothing is trained.
func criticFigures(of groups: [TrainedGroup], method: Method) -> CriticFigures? {
  guard method.objective.hasCritic else { return nil }
  let members = groups.flatMap(\.members)
  guard !members.isEmpty else { return nil }
  var figures = CriticFigures(responses: members.count)
  if method.objective == .prime {
    let known = members.count { (processLogit(of: $0, logprobs: $0.values) > 0) == ($0.reward > 0.5) }
    figures.accuracy = Double(known) / Double(members.count)
    return figures
  }
  let returns = members.flatMap(\.returns).map(Double.init)
  let errors = zip(returns, members.flatMap(\.values)).map { $0 - Double($1) }
  let variance = populationVariance(of: returns)
  figures.returnMean = returns.reduce(0, +) / Double(max(returns.count, 1))
  if variance > 0 { figures.explainedVariance = 1 - populationVariance(of: errors) / variance }
  return figures
}

private func populationVariance(of values: [Double]) -> Double {
  let count = Double(max(values.count, 1))
  let mean = values.reduce(0, +) / count
  return values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
}

extension StepMetrics {
  private var criticTokens: Double { Double(max(criticUpdates.reduce(0) { $0 + $1.tokens }, 1)) }

  /// Mean of the critic's loss: per token, or, under PRIME, whose loss is one of whole responses, per response. nil
  /// without an update of a critic; likewise the next two.
  package var criticLoss: Double? {
    guard !criticUpdates.isEmpty else { return nil }
    let count = critic?.accuracy == nil ? criticTokens : Double(critic?.responses ?? 1)
    return criticUpdates.reduce(0) { $0 + $1.lossSum } / count
  }
  /// Under PPO only: nothing is clipped in PRIME's loss.
  package var criticClippedShare: Double? {
    guard !criticUpdates.isEmpty, critic?.accuracy == nil else { return nil }
    return Double(criticUpdates.reduce(0) { $0 + $1.clippedTokens }) / criticTokens
  }
  package var criticGradientNorm: Double? {
    criticUpdates.isEmpty
      ? nil : criticUpdates.reduce(0) { $0 + $1.gradientNorm } / Double(criticUpdates.count)
  }
}
