// MicroBatches: cuts a mini-batch into micro-batches, the units of training's work and arithmetic.
//
// A rule cuts a mini-batch into micro-batches of bounded size. The rule does not depend on threads or learner ranks.
// Each micro-batch's gradient is one fixed sequence of float operations, and the sums over micro-batches are exact. So
// any number of ranks and threads gives the same bits (E4).

import Records
package import TTRL

/// Cuts a mini-batch into micro-batches.
///
/// - Parameters:
///   - trajectories: ascending by slot, so that one prompt's trajectories are adjacent and share its prefix.
///   - tokensMax: the most rows that one pass can have. A prompt counts once per micro-batch. A single trajectory that
///     is longer is its own micro-batch.
/// - Returns: ranges of `trajectories`, in order.
package func microBatches(of trajectories: [TrainedTrajectory], tokensMax: Int) -> [Range<Int>] {
  var ranges: [Range<Int>] = []
  var start = 0
  var tokens = 0
  for (index, member) in trajectories.enumerated() {
    let sharesPrompt = index > start && trajectories[index - 1].prompt.index == member.prompt.index
    var added = member.trajectory.tokens.count + (sharesPrompt ? 0 : member.prompt.tokens.count)
    if index > start, tokens + added > tokensMax {
      ranges.append(start..<index)
      start = index
      tokens = 0
      added = member.trajectory.tokens.count + member.prompt.tokens.count
    }
    tokens += added
  }
  if start < trajectories.count { ranges.append(start..<trajectories.count) }
  return ranges
}
