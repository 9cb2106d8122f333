// RunCourse: where a run is headed, as far as its own steps decide it: when it ends, and which version is its result.
//
// Written by whoever judges the steps (TTRL's Guard, in the coordinator's process), from nothing but the steps that are
// durable; so a restarted coordinator is told the same course. The machine only follows it.

package import Records

package struct RunCourse: Sendable, Equatable {
  /// The best version so far: it may become the result, so its bytes are kept. nil if none may.
  package var best: PolicyVersion?
  /// The best is the result even of a run that comes to its planned end.
  package var deliversBest: Bool
  /// The run ends with this version instead of the planned one, and the best is its result.
  package var end: PolicyVersion?

  package init(best: PolicyVersion? = nil, deliversBest: Bool = false, end: PolicyVersion? = nil) {
    self.best = best
    self.deliversBest = deliversBest
    self.end = end
  }

  /// The result of a run whose last version is this.
  package func delivered(last: PolicyVersion) -> PolicyVersion {
    guard let best, end != nil || deliversBest else { return last }
    // What step s samples judges version s. Nothing judges the last version but the step that made it, so where that
    // step's own version is the best, the last one is taken for its equal.
    return end == nil && best.next == last ? last : best
  }
}
