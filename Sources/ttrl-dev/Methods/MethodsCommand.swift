// MethodsCommand: lists the runs that compare the methods, and makes docs/methods.md from their files.
//
// `--plan` prints the command of every run that is not finished, and scripts/methods runs them. Without it, the
// finished runs become tables. Missing runs are left out, so the page can be made at any time.

import Base
import Commands
import Platform
import Pretraining

struct MethodsCommand: DeveloperTool {
  static let usage = "methods --plan RUNS | methods RUNS OUT.md: the runs that compare methods, and their figures"

  private var plan = ""
  private var runs = ""
  private var page = ""

  init?(_ arguments: inout ToolArguments) {
    arguments.read("--plan", &plan)
    guard plan.isEmpty else { return }
    guard let runs = arguments.word(), let page = arguments.word() else { return nil }
    (self.runs, self.page) = (runs, page)
  }

  func run() throws -> Int32 {
    guard plan.isEmpty else {
      try printPlan()
      return ExitStatus.done
    }
    let comparison = try MethodsDocument(in: runs)
    try Files.write(comparison.text, to: page)
    print("\(page): \(comparison.finished) of \(comparison.planned) runs")
    return ExitStatus.done
  }

  /// The page's number of questions, as many as the built-in training set has.
  private static let questionCount = 128

  private func printPlan() throws {
    let questions = QuestionSets.long(count: Self.questionCount, seed: 1)
    try Files.createDirectory(plan)
    try Files.write(BaseModelDirectory.fileText(of: questions, "long"), to: "\(plan)/\(Regime.longQuestions)")
    // Whole seeds first, so that a page of fewer seeds can be made early.
    for seed in Arm.seeds {
      for regime in Regime.all(below: plan) {
        for method in ComparedMethod.all
        where try !Files.exists("\(regime.directory(method, seed: seed, below: plan))/summary.json") {
          print(regime.command(method, seed: seed, below: plan))
        }
      }
    }
  }
}
