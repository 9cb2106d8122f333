// Experiment: all finished runs of all arms.

/// Runs by arm. Every arm of `Arm.all` has one run per seed, in the order of `Arm.seeds`.
struct Experiment {
  private var runs: [(name: String, runs: [FinishedRun])] = []

  /// - Throws: if a run of an arm is missing or not finished.
  init(in directory: String) throws {
    runs = try Arm.all.map { arm in
      (arm.name, try Arm.seeds.map { try FinishedRun("\(directory)/\(arm.name)-\($0)", seed: $0) })
    }
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
