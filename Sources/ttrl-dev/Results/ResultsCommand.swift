// ResultsCommand: the runs of the experiment, and docs/results.md from what they left behind.
//
// `--plan` prints the command of every run, for scripts/results to execute; without it the runs' summary.json and
// metrics.jsonl become tables, and the paper's claims become pass or fail. No number in the document is typed.

import Base
import Platform

enum ResultsCommand {
  static let usage = "results --plan RUNS | results RUNS OUT.md: the experiment's runs below RUNS, and their figures"

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
      print("\(arguments[1]): \(failures == 0 ? "every claim holds" : "\(failures) claims fail")")
      return failures == 0 ? 0 : 1
    } catch {
      Log.error("results.failed", ["reason": "\(error)"])
      return 1
    }
  }
}
