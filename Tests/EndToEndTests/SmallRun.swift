// SmallRun: the built-in model on a few of its questions, a run of some seconds that uses every mechanism: two workers,
// two MPI ranks, four steps. Two hashes identify its result.

import Foundation
import Testing

/// The result of a run: equal if the bits of weights, masters and optimizer state are equal.
struct Fingerprint: Equatable {
  let weights: String
  let state: String
}

enum SmallRun {
  static let steps = 4
  static let settings = settings(steps: steps)

  static func settings(steps: Int) -> [String] {
    [
      "--steps", "\(steps)", "--votes", "32", "--train-samples", "8", "--prompts-per-step", "8", "--mini-batch", "32",
      "--eval", "none",
    ]
  }

  /// The undisturbed run: two workers, two learner ranks, seed 0. It is made once, for all tests.
  static let undisturbed: Fingerprint? = {
    do {
      return try finish(in: undisturbedDirectory)
    } catch {
      Issue.record("the undisturbed run failed: \(error)")
      return nil
    }
  }()
  static let undisturbedDirectory = Scratch.shared.file("undisturbed")

  static func start(
    _ extra: [String] = [], in directory: String, environment: [String: String] = [:]
  ) throws -> Running {
    try Running(["train", "--run", directory] + settings + extra, environment: environment)
  }

  /// Runs to the end; the exit status must be 0.
  static func finish(
    _ extra: [String] = [], in directory: String, environment: [String: String] = [:]
  ) throws -> Fingerprint {
    let outcome = try start(extra, in: directory, environment: environment).wait()
    try #require(outcome.status == 0, "\(outcome.errors)")
    return try fingerprint(of: directory)
  }

  static func fingerprint(of directory: String) throws -> Fingerprint {
    let summary = try summary(of: directory)
    return Fingerprint(
      weights: try #require(summary["weights_sha256"] as? String),
      state: try #require(summary["state_sha256"] as? String))
  }

  static func summary(of directory: String) throws -> [String: Any] {
    let data = try #require(FileManager.default.contents(atPath: directory + "/summary.json"))
    return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  /// The number of steps whose result is durable.
  static func stepsDone(in directory: String) -> Int {
    textOfFile(directory + "/metrics.jsonl").split(separator: "\n").count { $0.contains("\"kind\":\"step\"") }
  }

  /// Waits until a run is in the middle: the first step is done and the last is not.
  static func awaitMiddle(of run: Running, in directory: String) {
    #expect(eventually { stepsDone(in: directory) >= 1 || !run.isRunning }, "no step came to an end\n\(run.errors)")
  }
}
