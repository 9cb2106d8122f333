// RunPhases: what a run's time was spent on, and which failures it had.

/// Seconds by phase, and tokens, summed over the recorded steps.
package struct RunPhases: Sendable, Equatable {
  /// Of the whole run, all its starts together; nil if it is not known.
  package let wall: Double?
  package var sampling = 0.0
  package var training = 0.0
  /// Doubles, because a file can contain any number, and a sum of integers could overflow.
  package var sampledTokens = 0.0
  package var trainedTokens = 0.0

  package init(_ history: RunHistory, wallSeconds: Double?) {
    wall = wallSeconds
    for step in history.steps {
      sampling += step.rolloutSeconds ?? 0
      training += step.trainSeconds ?? 0
      sampledTokens += Double(step.sampledTokens ?? 0)
      trainedTokens += Double(step.trainedTokens ?? 0)
    }
  }

  /// Neither sampling nor training: evaluating, writing, publishing, starting. Not known without `wall`. If a step
  /// waits for an evaluation, that time is part of its sampling.
  package var rest: Double? { wall.map { max(0, $0 - sampling - training) } }

  package var samplingRate: Double? { sampling > 0 ? sampledTokens / sampling : nil }
  package var trainingRate: Double? { training > 0 ? trainedTokens / training : nil }

  /// "3 min (42%)"
  func text(of seconds: Double?) -> String? {
    guard let seconds else { return nil }
    let share = wall.flatMap { $0 > 0 ? " (\(Figures.fixed(seconds / $0 * 100, decimals: 0))%)" : nil } ?? ""
    return Figures.duration(seconds: seconds) + share
  }

  /// Events of connections and failures, by name; one count per run. Events that no run has are left out.
  static func survived(_ events: [[(kind: String, count: Int)]]) -> [(name: String, counts: [Int])] {
    let names = [
      ("worker.joined", "connections of workers"), ("learner.joined", "connections of the learner"),
      ("peer.left", "connections that ended"), ("worker.silent", "workers that stopped answering"),
      ("lease.expired", "leases that expired without progress"),
    ]
    return names.compactMap { kind, name in
      let counts = events.map { run in run.first { $0.kind == kind }?.count ?? 0 }
      return counts.contains { $0 > 0 } ? (name, counts) : nil
    }
  }
}
