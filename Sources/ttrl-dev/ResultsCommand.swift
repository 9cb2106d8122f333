// ResultsCommand: docs/results.md from the summaries of runs.
//
// `scripts/results` makes the runs: three seeds of each arm and of the unsolvable questions. Here their summary.json
// and metrics.jsonl become tables, and the paper's claims become pass or fail. No number in the document is typed.

import Base
import Glibc
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

enum ResultsCommand {
  static let usage = "results RUNS OUT.md: RUNS holds vote-0 … truth-2 … random-2 … unsolvable-2"
  private static let seeds = [0, 1, 2]
  /// The paper's headline, the ratio that a reproduction has to reach.
  private static let headline = 2.6

  static func run(_ arguments: [String]) -> Int32 {
    guard arguments.count == 2 else {
      Log.error("results.usage", ["usage": usage])
      return 2
    }
    do {
      let document = try document(arguments[0])
      try Files.write(document.text, to: arguments[1])
      print("\(arguments[1]): \(document.failures == 0 ? "every claim holds" : "\(document.failures) claims fail")")
      return document.failures == 0 ? 0 : 1
    } catch {
      Log.error("results.failed", ["reason": "\(error)"])
      return 1
    }
  }

  // MARK: The document

  private struct Claim {
    var id: String
    var text: String
    var values: [String]
    var holds: Bool
  }

  private static func document(_ runs: String) throws -> (text: String, failures: Int) {
    func load(_ arm: String) throws -> [FinishedRun] {
      try seeds.map { try FinishedRun("\(runs)/\(arm)-\($0)", seed: $0) }
    }
    let vote = try load("vote")
    let truth = try load("truth")
    let random = try load("random")
    let unsolvable = try load("unsolvable")
    let claims = claims(vote, truth, random, unsolvable)
    var lines = [
      "# Results", "",
      "Written by `scripts/results` from the runs' own files; no number here is typed. The built-in example "
        + "([embedded.md](embedded.md)), \(seeds.count) seeds per arm, \(vote[0].stepCount) steps each, on "
        + "\(Machine.coreCount) cores (\(vote[0].arithmetic)). A whole run, evaluation before and after included, took "
        + "\(seconds(vote + truth + random)).", "",
      "pass@1 is the mean of 16 samples, maj@k the majority of k, both at temperature 0.6 and top-p 0.95, on 128 "
        + "training prompts and 128 held-out ones.", "", "## Runs", "",
    ]
    lines += table([("vote", vote), ("truth", truth), ("random", random), ("unsolvable", unsolvable)])
    lines += ["", "## Claims", "", "| claim | | " + seeds.map { "seed \($0)" }.joined(separator: " | ") + " | holds |"]
    lines.append("|---|---|" + seeds.map { _ in "---|" }.joined() + "---|")
    for claim in claims {
      let cells = [claim.id, claim.text] + claim.values + [claim.holds ? "yes" : "**no**"]
      lines.append("| " + cells.joined(separator: " | ") + " |")
    }
    lines += ["", "## Curves", "", "pass@1 / maj@16 on the training prompts after k steps.", ""]
    lines += curves([("vote", vote), ("truth", truth), ("random", random)])
    lines += ["", "## What C10 shows", "", unsolvableText(unsolvable), ""]
    return (lines.joined(separator: "\n"), claims.count { !$0.holds })
  }

  private static func claims(
    _ vote: [FinishedRun], _ truth: [FinishedRun], _ random: [FinishedRun], _ unsolvable: [FinishedRun]
  ) -> [Claim] {
    func claim(_ id: String, _ text: String, _ runs: [FinishedRun], _ value: (FinishedRun) -> (String, Bool)) -> Claim {
      let values = runs.map(value)
      return Claim(id: id, text: text, values: values.map(\.0), holds: values.allSatisfy(\.1))
    }
    func pass(_ run: FinishedRun, _ end: String, _ set: String = "train") -> Double { run.figure(end, set, "pass@1") }
    return [
      claim("C1", "pass@1 rises, by more than 2 standard errors", vote) { run in
        let (mean, error) = run.change
        return ("\(points(mean)) ± \(points(error, sign: false))", mean > 2 * error)
      },
      claim("", "final pass@1 over initial (at least \(headline))", vote) { run in
        let ratio = pass(run, "after") / pass(run, "before")
        return (decimal(ratio) + "×", ratio >= headline)
      },
      claim("C2", "final pass@1 above initial maj@64", vote) { run in
        let (after, majority) = (pass(run, "after"), run.figure("before", "train", "maj@64"))
        return ("\(percent(after)) > \(percent(majority))", after > majority)
      },
      claim("C3", "maj@16 rises", vote) { run in
        let (before, after) = (run.figure("before", "train", "maj@16"), run.figure("after", "train", "maj@16"))
        return ("\(percent(before)) → \(percent(after))", after > before)
      },
      claim("C4", "share of the gap to true labels that is closed (at least 75 %)", vote) { run in
        let oracle = truth.first { $0.seed == run.seed } ?? run
        let share = (pass(run, "after") - pass(run, "before")) / (pass(oracle, "after") - pass(oracle, "before"))
        return (percent(share), share >= 0.75)
      },
      claim("C5", "identities I1 and I2, exactly, for every prompt of every step (broken / checked)", vote) { run in
        let found = run.identities
        return ("\(found.broken) / \(found.prompts), \(found.wrongLabels) of them wrongly labelled", found.broken == 0)
      },
      claim("C5", "reward accuracy over wrongly labelled prompts of the first 3 steps (lucky hits, above 50 %)", vote) {
        let (count, accuracy) = $0.luckyHits(ofFirst: 3)
        return ("\(percent(accuracy)) over \(count)", accuracy > 0.5)
      },
      claim("C7", "held-out pass@1 rises", vote) { run in
        let (before, after) = (pass(run, "before", "held_out"), pass(run, "after", "held_out"))
        return ("\(percent(before)) → \(percent(after))", after > before)
      },
      claim("C10", "questions that the base never solves do not rise (maj@64, pass@1)", unsolvable) { run in
        let (before, after) = (run.figure("before", "train", "maj@64"), run.figure("after", "train", "maj@64"))
        let passes = "\(percent(pass(run, "before"))) → \(percent(pass(run, "after")))"
        let isFlat = after <= before + 0.02 && pass(run, "after") <= pass(run, "before") + 0.02
        return ("\(percent(before)) → \(percent(after)), \(passes)", isFlat)
      },
      claim("C11", "entropy falls (nats per token, first and last 3 steps)", vote) { run in
        let count = run.stepCount
        let (first, last) = (run.meanOfSteps("entropy", 0..<3), run.meanOfSteps("entropy", count - 3..<count))
        return ("\(decimal(first, 3)) → \(decimal(last, 3))", last < first)
      },
      claim("control", "random rewards do not help (pass@1)", random) { run in
        let (before, after) = (pass(run, "before"), pass(run, "after"))
        return ("\(percent(before)) → \(percent(after))", after <= before + 0.02)
      },
    ]
  }

  private static func table(_ arms: [(name: String, runs: [FinishedRun])]) -> [String] {
    var lines = [
      "| labels | seed | pass@1 | maj@16 | maj@64 | held-out pass@1 | held-out maj@16 | seconds | weights |",
      "|---|---|---|---|---|---|---|---|---|",
    ]
    for (name, runs) in arms {
      for run in runs {
        func change(_ set: String, _ figure: String) -> String {
          "\(percent(run.figure("before", set, figure))) → \(percent(run.figure("after", set, figure)))"
        }
        let cells = [
          name, "\(run.seed)", change("train", "pass@1"), change("train", "maj@16"), change("train", "maj@64"),
          change("held_out", "pass@1"), change("held_out", "maj@16"), "\(Int(run.wallSeconds.rounded()))",
          "`\(run.weights.prefix(8))`",
        ]
        lines.append("| " + cells.joined(separator: " | ") + " |")
      }
    }
    return lines
  }

  private static func curves(_ arms: [(name: String, runs: [FinishedRun])]) -> [String] {
    let policies = arms[0].runs[0].curve.map(\.policy)
    var lines = ["| labels | seed | " + policies.map { "\($0)" }.joined(separator: " | ") + " |"]
    lines.append("|---|---|" + policies.map { _ in "---|" }.joined())
    for (name, runs) in arms {
      for run in runs {
        let cells = run.curve.map { "\(percent($0.pass)) / \(percent($0.majority))" }
        lines.append("| \(name) | \(run.seed) | " + cells.joined(separator: " | ") + " |")
      }
    }
    return lines
  }

  private static func unsolvableText(_ runs: [FinishedRun]) -> String {
    func mean(_ end: String, _ set: String, _ name: String) -> Double {
      runs.reduce(0) { $0 + $1.figure(end, set, name) } / Double(runs.count)
    }
    func change(_ set: String, _ name: String) -> String {
      "\(percent(mean("before", set, name))) to \(percent(mean("after", set, name)))"
    }
    return
      "Each of these 64 questions has one multiplication, an operator that the base model has never seen. Trained on "
      + "them alone, the model's majority ratio on them goes from \(change("train", "majority_ratio")) while the share "
      + "of right answers goes from \(change("train", "pass@1")): it becomes certain, of wrong answers. Voting cannot "
      + "make knowledge that is not there. The held-out questions, which have no multiplication, rise all the same, from "
      + "\(change("held_out", "pass@1")): what agreement on the solvable steps teaches carries over."
  }

  // MARK: Numbers as text

  private static func decimal(_ value: Double, _ digits: Int = 2) -> String {
    guard value.isFinite else { return "–" }
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let whole = Int((abs(value) * scale).rounded())
    let fraction = "\(whole % Int(scale))"
    let sign = value < 0 && whole != 0 ? "−" : ""
    return "\(sign)\(whole / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
  }

  private static func percent(_ value: Double) -> String { decimal(value * 100, 1) + " %" }

  private static func points(_ value: Double, sign: Bool = true) -> String {
    (sign && value > 0 ? "+" : "") + decimal(value * 100, 1)
  }

  private static func seconds(_ runs: [FinishedRun]) -> String {
    let sorted = runs.map(\.wallSeconds).sorted()
    return "\(Int(sorted[sorted.count / 2].rounded())) s in the median (\(Int(sorted[0].rounded()))–"
      + "\(Int(sorted[sorted.count - 1].rounded())))"
  }
}
