// RunCourse: where a run is headed, as far as its own steps decide it: when it ends, and which version is its result.
//
// Written by the judge of the steps (TTRL's Guard, in the coordinator's process), from nothing but the steps that are
// durable; so a restarted coordinator is told the same course. The machine only follows it.

package import Records

package struct RunCourse: Sendable, Equatable {
  /// The best version so far: it may become the result, so its bytes are kept. nil if none may.
  package var best: PolicyVersion?
  /// The newest version that a step has judged: the one that sampled the last step's batch.
  package var judged: PolicyVersion?
  /// The best is the result even of a run that comes to its planned end.
  package var deliversBest: Bool
  /// The run ends with this version instead of the planned one, and the best is its result.
  package var end: PolicyVersion?

  package init(
    best: PolicyVersion? = nil, judged: PolicyVersion? = nil, deliversBest: Bool = false, end: PolicyVersion? = nil
  ) {
    self.best = best
    self.judged = judged
    self.deliversBest = deliversBest
    self.end = end
  }

  /// The result of a run whose last version is this.
  package func delivered(last: PolicyVersion) -> PolicyVersion {
    guard let best, end != nil || deliversBest else { return last }
    // What a version samples judges it. Nothing judges the last version, nor with staleness those just before it, so
    // where the newest that was judged is the best, the last one is taken for its equal.
    return end == nil && best == judged ? last : best
  }
}
