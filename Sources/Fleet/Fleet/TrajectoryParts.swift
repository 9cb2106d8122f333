// TrajectoryParts: how trajectories are cut into messages of bounded size.
//
// One rule for a worker's deliveries, for the coordinator's batches, which it cuts before it reads them, and for what
// the learner's rank 0 tells the other ranks.

import Base
package import Records

/// Where one message of trajectories ends and the next begins; lengths are enough to tell.
package struct PartCutter {
  private var count = 0
  private var bytes = 0

  package init() {}

  /// Whether the next trajectory, of so many tokens, begins a message. The first one does.
  package mutating func begins(withTokens tokenCount: Int) -> Bool {
    let size = 32 + 8 * tokenCount
    let isFull = count == Limits.trajectoriesPerMessage || bytes + size > Limits.batchPartBytes
    if count == 0 || isFull { (count, bytes) = (0, 0) }
    count += 1
    bytes += size
    return count == 1
  }
}

/// Cuts trajectories into messages, in order.
package func parts(of trajectories: [Trajectory]) -> [[Trajectory]] {
  var parts: [[Trajectory]] = []
  var cutter = PartCutter()
  for trajectory in trajectories {
    if cutter.begins(withTokens: trajectory.tokens.count) { parts.append([]) }
    parts[parts.count - 1].append(trajectory)
  }
  return parts
}
