// RunPhases: where a run's time went, and what it lived through.

/// Seconds by phase, and tokens, summed over the recorded steps.
package struct RunPhases: Sendable, Equatable {
  /// Of all sittings; nil if it is not known.
  package let wall: Double?
  package var sampling = 0.0
  package var training = 0.0
  /// Doubles: a file may hold any number, and a sum of integers could overflow.
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

  /// What is neither: evaluations that nobody waited behind, storing, publishing, starting. Not known without `wall`.
  /// Sampling of a step includes what it waited behind an evaluation.
  package var rest: Double? { wall.map { max(0, $0 - sampling - training) } }

  package var samplingRate: Double? { sampling > 0 ? sampledTokens / sampling : nil }
  package var trainingRate: Double? { training > 0 ? trainedTokens / training : nil }

  /// "3 min (42%)"
  func told(_ seconds: Double?) -> String? {
    guard let seconds else { return nil }
    let share = wall.flatMap { $0 > 0 ? " (\(Figures.fixed(seconds / $0 * 100, decimals: 0))%)" : nil } ?? ""
    return Figures.duration(seconds: seconds) + share
  }

  /// Events that tell of trouble, or of comings and goings, by name; one count per run. Names that no run has are left
  /// out.
  static func survived(_ events: [[(kind: String, count: Int)]]) -> [(name: String, counts: [Int])] {
    let names = [
      ("worker.joined", "connections of workers"), ("learner.joined", "connections of the learner"),
      ("peer.left", "connections that ended"), ("worker.silent", "workers that fell silent"),
      ("lease.expired", "leases that made no progress"),
    ]
    return names.compactMap { kind, name in
      let counts = events.map { run in run.first { $0.kind == kind }?.count ?? 0 }
      return counts.contains { $0 > 0 } ? (name, counts) : nil
    }
  }
}
