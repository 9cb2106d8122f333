// Importance: the weight of a token that an older version sampled.
//
// With `staleness` K above 0, step s learns from what version s − K sampled while the versions between were trained.
// Off-policy, two questions separate that coincide on-policy. How far has the step moved the policy? The clipped ratio
// answers it. It compares with π, the version that the step began with, whose log-probabilities the trainer recomputes.
// How likely was the token to be sampled at all? That depends on μ, the version that sampled it, so the token's
// surrogate is multiplied by min(π/μ, C): truncated importance sampling. Source: decoupled PPO, arXiv 2110.00641;
// AReaL, arXiv 2505.24298; truncation: Ionides 2008, and "Your efficient RL framework secretly brings you off-policy RL
// training" (Yao et al. 2025), as in verl's rollout correction and in slime.
//
// A step whose batch was sampled by its own version has no such weights, and computes nothing beyond what it computes
// without staleness.

import Records

#if canImport(Glibc)
  import Glibc
#endif

/// The ratios π/μ of a step's trained tokens, before truncation.
package struct ImportanceFigures: Sendable, Equatable {
  package var mean = 0.0
  package var max = 0.0
  /// Share of the tokens whose ratio is above the cap; nil if the ratios are not used as weights, so that none is
  /// truncated.
  package var truncatedShare: Double? = 0.0
}

/// Adds the log-probabilities of every trained token under the other versions that its loss or reward needs: version 0
/// for a KL penalty, and the version that the step begins with if an older one sampled. Under objective `awr` another
/// model sampled: its ratios are only figures.
func addScores<P: Policy>(to groups: inout [TrainedGroup], step: UInt32, by policy: inout P, method: Method) throws {
  let members = groups.flatMap(\.members)
  if method.needsReference {
    let reference = try policy.referenceLogprobs(of: members, sampling: method.sampling)
    distribute(reference, to: &groups) { $0.reference = $1 }
  }
  let isStale = samplingPolicy(ofStep: step, method: method) != PolicyVersion(step)
  if isStale || method.objective == .awr {
    let starting = try policy.logprobs(of: members, sampling: method.sampling)
    distribute(starting, to: &groups) { member, starting in
      member.starting = starting
      if isStale { member.importance = member.ratios.map { min(Float($0), method.importanceCap) } }
    }
  }
}

func distribute(
  _ scores: [[Float]], to groups: inout [TrainedGroup], _ give: (inout TrainedTrajectory, [Float]) -> Void
) {
  var left = scores[...]
  for group in groups.indices {
    for member in groups[group].members.indices { give(&groups[group].members[member], left.removeFirst()) }
  }
}

extension TrainedTrajectory {
  /// [T] π/μ by token.
  fileprivate var ratios: [Double] { zip(starting, trajectory.logprobs).map { exp(Double($0) - Double($1)) } }
}

/// - Returns: nil if the step's own version sampled, or if nothing is trained on.
func importanceFigures(of groups: [TrainedGroup], method: Method) -> ImportanceFigures? {
  let ratios = groups.flatMap(\.members).flatMap(\.ratios)
  guard !ratios.isEmpty else { return nil }
  return ImportanceFigures(
    mean: ratios.reduce(0, +) / Double(ratios.count), max: ratios.max() ?? 0,
    truncatedShare: method.objective == .awr
      ? nil : Double(ratios.count { Float($0) > method.importanceCap }) / Double(ratios.count))
}
