// RunCourse: when a run ends and which version is its result, as far as the run's own steps decide it.
//
// The judge of the steps (TTRL's Guard, in the coordinator's process) computes it only from steps that are durable, so
// a restarted coordinator gets the same course. The state machine only follows it.

package import Records

package struct RunCourse: Sendable, Equatable {
  /// The best version so far. It can become the result, so its bytes are kept. nil if no version can.
  package var best: PolicyVersion?
  /// The newest version that a step has judged: the version that sampled the last step's batch.
  package var judged: PolicyVersion?
  /// The best version is the result even if the run reaches its planned end.
  package var deliversBest: Bool
  /// The run ends with this version instead of the planned one, and the best version is its result.
  package var end: PolicyVersion?

  package init(
    best: PolicyVersion? = nil, judged: PolicyVersion? = nil, deliversBest: Bool = false, end: PolicyVersion? = nil
  ) {
    self.best = best
    self.judged = judged
    self.deliversBest = deliversBest
    self.end = end
  }

  /// The result of a run that ends with the version `last`.
  package func delivered(last: PolicyVersion) -> PolicyVersion {
    guard let best, end != nil || deliversBest else { return last }
    // A version is judged by what it samples. Nothing judges the last version; with staleness, the versions just before
    // it are not judged either. So if the newest judged version is the best, the last version counts as equally good.
    return end == nil && best == judged ? last : best
  }
}
