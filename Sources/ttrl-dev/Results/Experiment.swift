// Experiment: all runs of all arms.

/// Runs by arm. Every arm of `Arm.all` has one run per seed, in the order of `Arm.seeds`.
struct Experiment {
  private var runs: [(name: String, runs: [FinishedRun])] = []
  let commits: [String]

  /// - Throws: if a run of an arm has no record.
  init(_ records: RunRecords) throws {
    runs = try Arm.all.map { arm in
      (arm.name, try Arm.seeds.map { try records.require(arm.run(seed: $0).name) })
    }
    commits = records.commits
  }

  subscript(name: String) -> [FinishedRun] { runs.first { $0.name == name }?.runs ?? [] }

  var all: [FinishedRun] { runs.flatMap(\.runs) }

  /// The mean over the seeds.
  func mean(_ arm: Arm, _ value: (FinishedRun) -> Double) -> Double {
    let values = self[arm.name].map(value)
    return values.reduce(0, +) / Double(values.count)
  }

  func mean(_ arm: Arm, _ end: String, _ set: String, _ name: String) -> Double {
    mean(arm) { $0.figure(end, set, name) }
  }
}
