// MicroBatches: the unit of work of training, and of its arithmetic.
//
// A mini-batch is cut into micro-batches of bounded size by a rule that knows nothing of threads or learner ranks. Each
// micro-batch's gradient is one fixed sequence of float operations; the sums over micro-batches are exact. That is why
// any number of ranks and threads gives the same bits (E4).

import Records
package import TTRL

/// Cuts a mini-batch into micro-batches.
///
/// - Parameters:
///   - trajectories: ascending by slot, so that trajectories of one prompt stand together and share its prefix.
///   - tokensMax: rows that one pass may hold, a prompt counted once per micro-batch. A single longer trajectory is a
///     micro-batch of its own.
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
