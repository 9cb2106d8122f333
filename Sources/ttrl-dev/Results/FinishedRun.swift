// FinishedRun: the figures of one run that the pages need, read from the run's files or from its record.
//
// A record is one line of JSON, some kilobytes. It is kept in docs/results, so that a page can be made again without
// the runs, and runs can be added later and on other machines.

import Base
import Platform
import Records

/// The figures of one finished run.
struct FinishedRun {
  let seed: Int
  /// The commit of the program that made it.
  let commit: String
  /// SHA-256 of the last weights, in hexadecimal.
  let weights: String
  let arithmetic: String
  /// The prompts of all steps, and how many of them break the identities. With a right label every reward is right.
  /// With a wrong label, the number of right rewards is samples − label votes − right answers.
  let identities: (prompts: Int, wrongLabels: Int, broken: Int)
  /// Mean reward accuracy over the prompts with a wrong label in the first steps: the paper's lucky hits. NaN if there
  /// is no such prompt.
  let luckyHits: (prompts: Int, rewardAccuracy: Double)
  /// Unneeded samples, as a share of all slots of the training steps.
  let unneededShare: Double
  /// The change in pass@1 on the training prompts: mean and standard error over the prompts.
  let change: (mean: Double, error: Double)
  /// The policy that the run delivered, and the guard's alarm that ended the run, if one did.
  let delivered: (policy: Int, alarm: String?)
  /// The evaluations on the training prompts, in order.
  let curve: [(policy: Int, pass: Double, majority: Double)]
  /// "before" and "after": by set, its figures.
  private let ends: JSON
  /// [figure][step]; NaN where a step does not have it. Parallel to `keptFigures`.
  private let steps: [[Double]]

  /// How many steps `luckyHits` looks at.
  static let luckySteps = 3
  private static let keptFigures: [FigureName] = [
    .groundTruthRatio, .majorityRatio, .labelAccuracy, .overturnRatio, .entropy, .sampledTokens,
  ]

  var stepCount: Int { steps[0].count }
  /// In the training steps, without evaluations.
  var sampledTokens: Double { values(.sampledTokens).filter(\.isFinite).reduce(0, +) }
  /// The highest share of right responses among the samples of one step.
  var highestPass: Double { values(.groundTruthRatio).filter(\.isFinite).max() ?? .nan }

  func figure(_ end: String, _ set: String, _ name: String) -> Double { ends[end]?[set]?[name]?.double ?? .nan }

  /// The named figures of steps 0, `stride`, 2 · `stride`, and so on.
  func course(_ names: [FigureName], every stride: Int) -> [(step: Int, values: [Double])] {
    Swift.stride(from: 0, to: stepCount, by: stride).map { step in (step, names.map { values($0)[step] }) }
  }

  func meanOfSteps(_ name: FigureName, _ range: Range<Int>) -> Double {
    let values = values(name)[range.clamped(to: 0..<stepCount)].filter(\.isFinite)
    return values.reduce(0, +) / Double(max(values.count, 1))
  }

  /// - Returns: [step] NaN where a step does not have the figure.
  private func values(_ name: FigureName) -> [Double] {
    guard let index = Self.keptFigures.firstIndex(of: name) else { preconditionFailure("\(name) is not kept") }
    return steps[index]
  }
}

// MARK: - From a run

extension FinishedRun {
  /// Reads a run directory.
  ///
  /// - Throws: if the directory has no finished run.
  init(_ path: String, seed: Int, commit: String) throws {
    let summary = try JSON.parse(try Files.read(path + "/summary.json"))
    let rows = try Files.readText(path + "/metrics.jsonl").split(separator: "\n").map {
      try MetricsRow.parse(String($0))
    }
    let reports = try rows.filter { $0["kind"] == "step" }.map { try StepReport($0) }.sorted { $0.step < $1.step }
    let evaluations = rows.filter { $0["kind"] == "evaluation" && $0["set"] == "train" }
    let prompts = reports.flatMap(\.prompts)
    self.seed = seed
    self.commit = commit
    weights = summary["weights_sha256"]?.string ?? ""
    arithmetic = summary["versions"]?["arithmetic"]?.string ?? ""
    identities = Self.identities(of: prompts)
    luckyHits = Self.luckyHits(of: reports.prefix(Self.luckySteps).flatMap(\.prompts))
    let unneeded = prompts.reduce(0) { $0 + Int($1.unneeded) }
    unneededShare = Double(unneeded) / Double(max(1, unneeded + prompts.reduce(0) { $0 + Int($1.samples) }))
    change = Self.change(evaluations, to: reports.count)
    let end = summary["delivered"]
    delivered = (end?["policy"]?.int ?? reports.count, end?["collapse"]?["alarm"]?.string)
    curve = evaluations.map {
      ($0["policy"]?.int ?? 0, $0["pass@1"]?.double ?? .nan, $0["maj@16"]?.double ?? .nan)
    }.sorted { $0.0 < $1.0 }
    ends = .object(
      ["before", "after"].map { end in
        let sets = summary[end]?.members ?? []
        return JSON.Member(
          end, .object(sets.map { JSON.Member($0.key, .object(($0.value.members ?? []).filter(\.isNumber))) }))
      })
    steps = Self.keptFigures.map { name in reports.map { $0.figures[name] ?? .nan } }
  }

  private static func change(_ evaluations: [JSON], to last: Int) -> (mean: Double, error: Double) {
    func byPrompt(_ policy: Int) -> [Double] {
      let row = evaluations.first { $0["policy"]?.int == policy }
      return row?["pass_by_prompt"]?.elements?.compactMap(\.double) ?? []
    }
    let changes = zip(byPrompt(0), byPrompt(last)).map { $1 - $0 }
    let count = Double(changes.count)
    let mean = changes.reduce(0, +) / count
    let variance = changes.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)
    return (mean, (variance / count).squareRoot())
  }

  private static func identities(of prompts: [PromptReport]) -> (prompts: Int, wrongLabels: Int, broken: Int) {
    var result = (prompts: 0, wrongLabels: 0, broken: 0)
    for prompt in prompts {
      guard let truth = prompt.truth else { continue }
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

  private static func luckyHits(of prompts: [PromptReport]) -> (prompts: Int, rewardAccuracy: Double) {
    let shares = prompts.compactMap { prompt in
      prompt.truth.flatMap { $0.isLabelRight ? nil : Double($0.rightRewards) / Double(prompt.samples) }
    }
    return (shares.count, shares.reduce(0, +) / Double(shares.count))
  }
}

extension JSON.Member {
  fileprivate var isNumber: Bool { value.double != nil }
}

// MARK: - The record

extension FinishedRun {
  /// One line of a file of records.
  func record(named name: String) -> JSON {
    [
      "run": .string(name), "seed": .int(seed), "commit": .string(commit),
      "weights_sha256": .string(weights), "arithmetic": .string(arithmetic),
      "identities": [.int(identities.prompts), .int(identities.wrongLabels), .int(identities.broken)],
      "lucky_hits": [.int(luckyHits.prompts), .double(luckyHits.rewardAccuracy)],
      "unneeded_share": .double(unneededShare), "change": [.double(change.mean), .double(change.error)],
      "delivered": [.int(delivered.policy), .optional(delivered.alarm)],
      "curve": .array(curve.map { [.int($0.policy), .double($0.pass), .double($0.majority)] }), "ends": ends,
      "steps": .object(
        zip(Self.keptFigures, steps).map { JSON.Member($0.rawValue, .array($1.map(JSON.double))) }),
    ]
  }

  /// - Returns: nil if the record is not one of this form.
  init?(record: JSON) {
    func numbers(_ json: JSON?, _ count: Int) -> [Double]? {
      guard let values = json?.elements?.map({ $0.double ?? .nan }), values.count == count else { return nil }
      return values
    }
    guard let seed = record["seed"]?.int, let commit = record["commit"]?.string,
      let weights = record["weights_sha256"]?.string, let arithmetic = record["arithmetic"]?.string,
      let identities = numbers(record["identities"], 3), let luckyHits = numbers(record["lucky_hits"], 2),
      let change = numbers(record["change"], 2), let delivered = record["delivered"]?.elements,
      let policy = delivered.first?.int, let rows = record["curve"]?.elements, let ends = record["ends"]
    else { return nil }
    let curve = rows.compactMap { numbers($0, 3) }
    let steps = Self.keptFigures.compactMap { name in
      record["steps"]?[name.rawValue]?.elements?.map { $0.double ?? .nan }
    }
    guard curve.count == rows.count, steps.count == Self.keptFigures.count, Set(steps.map(\.count)).count == 1
    else { return nil }
    self.seed = seed
    self.commit = commit
    self.weights = weights
    self.arithmetic = arithmetic
    self.identities = (Int(identities[0]), Int(identities[1]), Int(identities[2]))
    self.luckyHits = (Int(luckyHits[0]), luckyHits[1])
    unneededShare = record["unneeded_share"]?.double ?? .nan
    self.change = (change[0], change[1])
    self.delivered = (policy, delivered.last?.string)
    self.curve = curve.map { (Int($0[0]), $0[1], $0[2]) }
    self.ends = ends
    self.steps = steps
  }
}
