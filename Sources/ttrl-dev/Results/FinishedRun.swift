// FinishedRun: what a run's own files say of it, as far as docs/results.md needs it.

import Base
import Platform

/// One finished run, as far as the claims need it.
struct FinishedRun {
  let seed: Int
  private let summary: JSON
  private let steps: [JSON]
  private let evaluations: [JSON]

  /// - Throws: if the directory holds no finished run.
  init(_ path: String, seed: Int) throws {
    self.seed = seed
    summary = try JSON.parse(try Files.read(path + "/summary.json"))
    let rows = try Files.readText(path + "/metrics.jsonl").split(separator: "\n").map { try JSON.parse(String($0)) }
    steps = rows.filter { $0["kind"] == "step" }.sorted { ($0["step"]?.int ?? 0) < ($1["step"]?.int ?? 0) }
    evaluations = rows.filter { $0["kind"] == "evaluation" }
  }

  func figure(_ end: String, _ set: String, _ name: String) -> Double { summary[end]?[set]?[name]?.double ?? .nan }
  var wallSeconds: Double { summary["wall_seconds"]?.double ?? .nan }
  var weights: String { summary["weights_sha256"]?.string ?? "" }
  var arithmetic: String { summary["versions"]?["arithmetic"]?.string ?? "" }
  var stepCount: Int { steps.count }
  /// In the training steps, evaluations left out.
  var sampledTokens: Double { steps.reduce(0) { $0 + ($1["sampled_tokens"]?.double ?? 0) } }

  /// Mean and standard error over prompts of the change in pass@1 on the training prompts.
  var change: (mean: Double, error: Double) {
    func byPrompt(_ policy: Int) -> [Double] {
      let row = evaluations.first { $0["set"] == "train" && $0["policy"]?.int == policy }
      return row?["pass_by_prompt"]?.elements?.compactMap(\.double) ?? []
    }
    let changes = zip(byPrompt(0), byPrompt(stepCount)).map { $1 - $0 }
    let count = Double(changes.count)
    let mean = changes.reduce(0, +) / count
    let variance = changes.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)
    return (mean, (variance / count).squareRoot())
  }

  /// Per-prompt counts of all steps, and how many of them break the identities: a right label makes every reward right,
  /// a wrong one leaves samples − votes − right answers of them right.
  var identities: (prompts: Int, wrongLabels: Int, broken: Int) {
    var result = (prompts: 0, wrongLabels: 0, broken: 0)
    for prompt in prompts(ofSteps: steps.count) {
      result.prompts += 1
      if prompt.isLabelRight {
        result.broken += prompt.rightRewards == prompt.samples ? 0 : 1
      } else {
        result.wrongLabels += 1
        result.broken += prompt.rightRewards == prompt.samples - prompt.votes - prompt.right ? 0 : 1
      }
    }
    return result
  }

  /// Mean reward accuracy over the wrongly labelled prompts of the first steps: the paper's lucky hits.
  func luckyHits(ofFirst count: Int) -> (prompts: Int, rewardAccuracy: Double) {
    let wrong = prompts(ofSteps: count).filter { !$0.isLabelRight }
    let sum = wrong.reduce(0) { $0 + Double($1.rightRewards) / Double($1.samples) }
    return (wrong.count, sum / Double(wrong.count))
  }

  private struct PromptCounts {
    var samples, votes, right, rightRewards: Int
    var isLabelRight: Bool
  }

  private func prompts(ofSteps count: Int) -> [PromptCounts] {
    steps.prefix(count).flatMap { $0["prompts"]?.elements ?? [] }.compactMap { row in
      guard let samples = row["samples"]?.int, let votes = row["votes"]?.int, let right = row["right"]?.int,
        let rightRewards = row["right_rewards"]?.int, let isLabelRight = row["label_right"]?.bool
      else { return nil }
      return PromptCounts(
        samples: samples, votes: votes, right: right, rightRewards: rightRewards, isLabelRight: isLabelRight)
    }
  }

  /// Samples that a vote did not need, as a share of all slots of the training steps.
  var savedShare: Double {
    let counts = steps.flatMap { $0["prompts"]?.elements ?? [] }
    let sampled = counts.reduce(0) { $0 + ($1["samples"]?.int ?? 0) }
    let saved = steps.reduce(0) { $0 + ($1["samples_saved"]?.int ?? 0) }
    return Double(saved) / Double(max(sampled + saved, 1))
  }

  /// The highest share of right responses that a step sampled.
  var highestPass: Double { steps.compactMap { $0["ground_truth_ratio"]?.double }.max() ?? .nan }

  /// Each of the named figures of the steps that are a multiple of `stride`, from 0.
  func course(_ names: [String], every stride: Int) -> [(step: Int, values: [Double])] {
    Swift.stride(from: 0, to: steps.count, by: stride).map { step in
      (step, names.map { steps[step][$0]?.double ?? .nan })
    }
  }

  /// The policy that the run delivered, and the guard's alarm that ended it.
  var delivered: (policy: Int, alarm: String?) {
    let delivered = summary["delivered"]
    return (delivered?["policy"]?.int ?? stepCount, delivered?["collapse"]?["alarm"]?.string)
  }

  func meanOfSteps(_ name: String, _ range: Range<Int>) -> Double {
    let values = steps[range.clamped(to: 0..<steps.count)].compactMap { $0[name]?.double }
    return values.reduce(0, +) / Double(max(values.count, 1))
  }

  /// Evaluations on the training prompts in order: policy, pass@1, maj@16.
  var curve: [(policy: Int, pass: Double, majority: Double)] {
    evaluations.filter { $0["set"] == "train" }
      .map { ($0["policy"]?.int ?? 0, $0["pass@1"]?.double ?? .nan, $0["maj@16"]?.double ?? .nan) }
      .sorted { $0.0 < $1.0 }
  }
}
