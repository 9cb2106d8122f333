// Advantage: how much better than its group a trajectory did.

/// Turns the rewards of one group into one advantage per trajectory: distance from the mean, in standard deviations.
///
/// A group whose rewards are all equal has nothing to teach: all advantages are exactly 0.
/// - Parameters:
///   - rewards: [m] of the trained trajectories, in sample order.
///   - normalizesByDeviation: divide by the standard deviation (GRPO); false leaves the distance (Dr. GRPO,
///     arXiv 2503.20783).
/// - Returns: [m], same order. The deviation divides by m − 1 and adds 1e-6, as the reference does.
/// - Source: GRPO, arXiv 2402.03300, outcome supervision; TTRL `core_algos.py:113`.
package func advantages(of rewards: [Float], normalizesByDeviation: Bool) -> [Float] {
  guard let first = rewards.first, rewards.contains(where: { $0 != first }) else {
    return [Float](repeating: 0, count: rewards.count)
  }
  // Double throughout: the only rounding is the last one.
  let count = Double(rewards.count)
  let mean = rewards.reduce(0.0) { $0 + Double($1) } / count
  guard normalizesByDeviation else { return rewards.map { Float(Double($0) - mean) } }
  let squares = rewards.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
  let deviation = (squares / (count - 1)).squareRoot()
  return rewards.map { Float((Double($0) - mean) / (deviation + 1e-6)) }
}
