// TrajectoryParts: how trajectories are split into messages of bounded size.
//
// The same rule applies to a worker's deliveries, to the coordinator's batches (which are split before they are read),
// and to what the learner's rank 0 tells the other ranks.

import Base
package import Records

/// Where one message of trajectories ends and the next begins. Only the lengths of the trajectories are needed.
package struct PartCutter {
  private var count = 0
  private var bytes = 0
  /// Of a trajectory without tokens, and of a token.
  private let sizes: (fixed: Int, token: Int)

  /// - Parameter records: what the trajectories have besides tokens and log-probabilities.
  package init(records: TokenRecords = []) {
    sizes = (records.isEmpty ? 32 : 40, records.contains(.entropies) ? 12 : 8)
  }

  /// Whether the next trajectory, which has this many tokens, begins a message. The first trajectory does.
  package mutating func begins(withTokens tokenCount: Int) -> Bool {
    let size = sizes.fixed + sizes.token * tokenCount
    let isFull = count == Limits.trajectoriesPerMessage || bytes + size > Limits.batchPartBytes
    if count == 0 || isFull { (count, bytes) = (0, 0) }
    count += 1
    bytes += size
    return count == 1
  }
}

/// Splits trajectories into messages, in order.
package func parts(of trajectories: [Trajectory]) -> [[Trajectory]] {
  var parts: [[Trajectory]] = []
  var cutter = PartCutter(records: trajectories.allSatisfy(\.entropies.isEmpty) ? [] : .entropies)
  for trajectory in trajectories {
    if cutter.begins(withTokens: trajectory.tokens.count) { parts.append([]) }
    parts[parts.count - 1].append(trajectory)
  }
  return parts
}
