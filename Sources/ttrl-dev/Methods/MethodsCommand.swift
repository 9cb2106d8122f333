// MethodsCommand: lists the runs that compare the methods, records what finished ones came to, and makes
// docs/methods.md. Runs without a record are left out of the page, so it can be made at any time.

import Commands
import Platform
import Pretraining

struct MethodsCommand: DeveloperTool {
  static let usage = RunsOfPage.usage("methods", "the runs that compare methods, and their figures")

  private let call: RunsOfPage

  init?(_ arguments: inout ToolArguments) {
    guard let call = RunsOfPage(&arguments) else { return nil }
    self.call = call
  }

  /// Of the regime `weak`, as many as the built-in training set has.
  private static let questionCount = 128

  func run() throws -> Int32 {
    // Whole seeds first, so that a page of fewer seeds can be made early.
    let planned = Arm.seeds.flatMap { seed in
      Regime.all.flatMap { regime in ComparedMethod.all.map { regime.run($0, seed: seed) } }
    }
    return try call.run(planned) { directory in
      let questions = QuestionSets.long(count: Self.questionCount, seed: 1)
      try Files.createDirectory(directory)
      try Files.write(BaseModelDirectory.fileText(of: questions, "long"), to: "\(directory)/\(Regime.longQuestions)")
    } write: { records, page in
      let comparison = MethodsDocument(records)
      try Files.write(comparison.text, to: page)
      print("\(page): \(comparison.finished) of \(planned.count) runs")
      return ExitStatus.done
    }
  }
}
