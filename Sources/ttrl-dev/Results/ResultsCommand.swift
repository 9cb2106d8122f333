// ResultsCommand: lists the runs of the experiment, records what finished ones came to, and makes docs/results.md.
//
// `--plan` prints the command of every run that has no record, and scripts/results runs them. `--add` records the runs
// that are finished. Without either, the records become tables, and each of the paper's claims is confirmed or not. No
// number in the document is typed.

import Commands
import Platform

struct ResultsCommand: DeveloperTool {
  static let usage = RunsOfPage.usage("results", "the experiment's runs, and their figures")

  private let call: RunsOfPage

  init?(_ arguments: inout ToolArguments) {
    guard let call = RunsOfPage(&arguments) else { return nil }
    self.call = call
  }

  func run() throws -> Int32 {
    let planned = Arm.all.flatMap { arm in Arm.seeds.map { arm.run(seed: $0) } }
    return try call.run(planned) { records, page in
      let experiment = try Experiment(records)
      let claims = Claim.all(in: experiment)
      let failures = claims.count { !$0.holds }
      try Files.write(ResultsDocument(experiment: experiment, claims: claims).text, to: page)
      print("\(page): \(failures == 0 ? "every claim is confirmed" : "\(failures) claims are not confirmed")")
      return failures == 0 ? ExitStatus.done : ExitStatus.failed
    }
  }
}

/// What the tools do whose page is made from runs.
struct RunsOfPage {
  private enum Task {
    case plan(runs: String)
    case add(runs: String, commit: String)
    case write(page: String)
  }
  private let task: Task
  private let records: String

  /// - Parameters:
  ///   - name: the tool's.
  ///   - purpose: what the help says about it.
  static func usage(_ name: String, _ purpose: String) -> String {
    "\(name) --plan RUNS RECORDS | \(name) --add RUNS --commit C RECORDS | \(name) RECORDS OUT.md: \(purpose)"
  }

  init?(_ arguments: inout ToolArguments) {
    var (plan, add, commit) = ("", "", "")
    arguments.read("--plan", &plan)
    arguments.read("--add", &add)
    arguments.read("--commit", &commit)
    guard let records = arguments.word() else { return nil }
    self.records = records
    if !plan.isEmpty {
      task = .plan(runs: plan)
    } else if !add.isEmpty {
      guard !commit.isEmpty else { return nil }
      task = .add(runs: add, commit: commit)
    } else {
      guard let page = arguments.word() else { return nil }
      task = .write(page: page)
    }
  }

  /// - Parameters:
  ///   - prepare: called with the runs' directory before the commands are printed.
  ///   - write: makes the page from the records, and returns the exit status.
  func run(
    _ planned: [PlannedRun], prepare: (String) throws -> Void = { _ in },
    write: (RunRecords, String) throws -> Int32
  ) throws -> Int32 {
    var kept = try RunRecords(records)
    switch task {
    case .plan(let runs):
      try prepare(runs)
      try printCommands(of: planned.filter { kept[$0.name] == nil }, below: runs)
    case .add(let runs, let commit):
      let count = try kept.add(planned, in: runs, commit: commit)
      print("\(records): \(count) added, \(planned.count { kept[$0.name] != nil }) of \(planned.count) runs")
    case .write(let page): return try write(kept, page)
    }
    return ExitStatus.done
  }

  /// One command of `ttrl` per line, in the order in which they have to run.
  private func printCommands(of runs: [PlannedRun], below directory: String) throws {
    var printed: [String] = []
    for run in runs {
      let missing = try run.needs.filter { try !Files.exists("\(directory)/\($0.product)") }.map(\.command)
      for command in missing + [run.command] where !printed.contains(command) {
        print(command.replacing("\(PlannedRun.runs)/", with: "\(directory)/"))
        printed.append(command)
      }
    }
  }
}
