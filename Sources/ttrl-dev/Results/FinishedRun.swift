// FinishedRun: the figures of one run that docs/results.md needs, read from the run's files.

import Base
import Platform
import Records

/// The figures of one finished run.
struct FinishedRun {
  let seed: Int
  private let summary: JSON
  private let steps: [StepReport]
  private let evaluations: [JSON]

  /// - Throws: if the directory has no finished run.
  init(_ path: String, seed: Int) throws {
    self.seed = seed
    summary = try JSON.parse(try Files.read(path + "/summary.json"))
    let rows = try Files.readText(path + "/metrics.jsonl").split(separator: "\n").map {
      try MetricsRow.parse(String($0))
    }
    steps = try rows.filter { $0["kind"] == "step" }.map { try StepReport($0) }.sorted { $0.step < $1.step }
    evaluations = rows.filter { $0["kind"] == "evaluation" }
  }

  func figure(_ end: String, _ set: String, _ name: String) -> Double { summary[end]?[set]?[name]?.double ?? .nan }
  var wallSeconds: Double { summary["wall_seconds"]?.double ?? .nan }
  var weights: String { summary["weights_sha256"]?.string ?? "" }
  var arithmetic: String { summary["versions"]?["arithmetic"]?.string ?? "" }
  var stepCount: Int { steps.count }
  /// In the training steps, without evaluations.
  var sampledTokens: Double { steps.reduce(0) { $0 + ($1.figures[.sampledTokens] ?? 0) } }

  /// The change in pass@1 on the training prompts: mean and standard error over the prompts.
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

  /// The prompts of all steps, and how many of them break the identities. With a right label every reward is right.
  /// With a wrong label, the number of right rewards is samples − label votes − right answers.
  var identities: (prompts: Int, wrongLabels: Int, broken: Int) {
    var result = (prompts: 0, wrongLabels: 0, broken: 0)
    for (prompt, truth) in judgedPrompts(ofSteps: steps.count) {
      result.prompts += 1
      if truth.isLabelRight {
        result.broken += truth.rightRewards == prompt.samples ? 0 : 1
      } else {
        result.wrongLabels += 1
        let wrong = Int(prompt.samples) - Int(prompt.labelVotes) - Int(truth.right)
        result.broken += Int(truth.rightRewards) == wrong ? 0 : 1
      }
    }
    return result
  }

  /// Mean reward accuracy over the prompts with a wrong label in the first steps: the paper's lucky hits.
  func luckyHits(ofFirst count: Int) -> (prompts: Int, rewardAccuracy: Double) {
    let wrong = judgedPrompts(ofSteps: count).filter { !$0.truth.isLabelRight }
    let sum = wrong.reduce(0) { $0 + Double($1.truth.rightRewards) / Double($1.prompt.samples) }
    return (wrong.count, sum / Double(wrong.count))
  }

  /// The prompts of the first steps whose question has an answer.
  private func judgedPrompts(ofSteps count: Int) -> [(prompt: PromptReport, truth: PromptReport.Truth)] {
    steps.prefix(count).flatMap(\.prompts).compactMap { prompt in prompt.truth.map { (prompt, $0) } }
  }

  /// Unneeded samples, as a share of all slots of the training steps.
  var unneededShare: Double {
    let prompts = steps.flatMap(\.prompts)
    let unneeded = prompts.reduce(0) { $0 + Int($1.unneeded) }
    let samples = prompts.reduce(0) { $0 + Int($1.samples) }
    return Double(unneeded) / Double(max(samples + unneeded, 1))
  }

  /// The highest share of right responses among the samples of one step.
  var highestPass: Double { steps.compactMap { $0.figures[.groundTruthRatio] }.max() ?? .nan }

  /// The named figures of steps 0, `stride`, 2 · `stride`, and so on.
  func course(_ names: [FigureName], every stride: Int) -> [(step: Int, values: [Double])] {
    Swift.stride(from: 0, to: steps.count, by: stride).map { step in
      (step, names.map { steps[step].figures[$0] ?? .nan })
    }
  }

  /// The policy that the run delivered, and the guard's alarm that ended the run, if one did.
  var delivered: (policy: Int, alarm: String?) {
    let delivered = summary["delivered"]
    return (delivered?["policy"]?.int ?? stepCount, delivered?["collapse"]?["alarm"]?.string)
  }

  func meanOfSteps(_ name: FigureName, _ range: Range<Int>) -> Double {
    let values = steps[range.clamped(to: 0..<steps.count)].compactMap { $0.figures[name] }
    return values.reduce(0, +) / Double(max(values.count, 1))
  }

  /// The evaluations on the training prompts, in order: policy, pass@1, maj@16.
  var curve: [(policy: Int, pass: Double, majority: Double)] {
    evaluations.filter { $0["set"] == "train" }
      .map { ($0["policy"]?.int ?? 0, $0["pass@1"]?.double ?? .nan, $0["maj@16"]?.double ?? .nan) }
      .sorted { $0.0 < $1.0 }
  }
}
