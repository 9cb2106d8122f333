// ResultsCommand: lists the runs of the experiment, and makes docs/results.md from their files.
//
// `--plan` prints the command of every run, and scripts/results runs them. Without `--plan`, the runs' summary.json and
// metrics.jsonl become tables, and each of the paper's claims is confirmed or not. No number in the document is typed.

import Base
import Platform

enum ResultsCommand {
  static let usage = "results --plan RUNS | results RUNS OUT.md: the experiment's runs in RUNS, and their figures"

  static func run(_ arguments: [String]) -> Int32 {
    guard arguments.count == 2 else {
      Log.error("results.usage", ["usage": usage])
      return 2
    }
    if arguments[0] == "--plan" {
      for arm in Arm.all {
        for seed in Arm.seeds { print(arm.command(seed: seed, below: arguments[1])) }
      }
      return 0
    }
    do {
      let experiment = try Experiment(in: arguments[0])
      let claims = Claim.all(in: experiment)
      let failures = claims.count { !$0.holds }
      try Files.write(ResultsDocument(experiment: experiment, claims: claims).text, to: arguments[1])
      print("\(arguments[1]): \(failures == 0 ? "every claim is confirmed" : "\(failures) claims are not confirmed")")
      return failures == 0 ? 0 : 1
    } catch {
      Log.error("results.failed", ["reason": "\(error)"])
      return 1
    }
  }
}
