// CoursesCommand: lists the runs that compare courses of training, records what finished ones came to, and makes
// docs/courses.md. Runs without a record are left out of the page, so it can be made at any time.

import Commands
import Platform

struct CoursesCommand: DeveloperTool {
  static let usage = RunsOfPage.usage("courses", "the runs that compare courses of training, and their figures")

  private let call: RunsOfPage

  init?(_ arguments: inout ToolArguments) {
    guard let call = RunsOfPage(&arguments) else { return nil }
    self.call = call
  }

  func run() throws -> Int32 {
    // Whole seeds first, so that a page of fewer seeds can be made early.
    let planned = Arm.seeds.flatMap { seed in CourseQuestion.all.flatMap { $0.runs(seed: seed) } }
    return try call.run(planned) { directory in
      try CourseQuestion.prepare(in: directory)
    } write: { records, page in
      let comparison = CoursesDocument(records)
      try Files.write(comparison.text, to: page)
      print("\(page): \(comparison.finished) of \(planned.count) runs")
      return ExitStatus.done
    }
  }
}
