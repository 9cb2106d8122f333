// LookCommands: `ttrl explain`, `ttrl diff`, `ttrl report` and `ttrl runs`: they show runs that exist already.
//
// They read ledgers through connections that cannot write, of finished and of unfinished runs. Here the rows are read;
// Observatory makes the texts.

import Base
import Commands
import Foundation
import Ledger
import Observatory
import Platform
import Records
import RunReading
import Runs
import Settings

extension Command {
  /// The directories that were given, one or several.
  private static func directories(_ settings: LookSettings) -> [RunDirectory] {
    settings.run.split(separator: "\n").map { RunDirectory(ThisProcess.absolute(String($0))) }
  }

  private static func one(_ settings: LookSettings, _ command: String) throws -> RunDirectory {
    let given = directories(settings)
    guard given.count == 1, let directory = given.first else {
      throw SettingsError(problems: ["\(command) takes one run directory; \(given.count) are given"])
    }
    return directory
  }

  // MARK: explain

  @Sendable static func explain(_ settings: LookSettings, _ call: CallSettings) throws -> Int32 {
    let directory = try one(settings, "explain")
    let watch = RunWatch(directory)
    while watch.refresh() {}
    guard let ledger = watch.ledger, let runSettings = watch.settings else {
      _ = try RunManifest(reading: directory)
      _ = try Ledger(path: directory.ledger, mode: .readOnly)
      throw LedgerError.missing(path: directory.ledger)
    }
    let prompt = try prompt(settings.prompt, ledger)
    let track = watch.digest.prompts[prompt.index]
    let step = settings.step ?? track?.visits.last.map { Int($0.step) }
    var views: [ResponseView] = []
    if let step {
      let reader = ResponseReader(directory, runSettings)
      views = try reader.responses(
        ledger, to: UInt32(prompt.index), inStep: UInt32(step), from: 0,
        visit: track?.visits.last { Int($0.step) == step })
      if let problem = reader.problem { complain(problem) }
    }
    if call.isJSON {
      showJSON(Explanation.json(prompt, track, step: step, views).text())
      return ExitStatus.done
    }
    var size = winsize()
    let isKnown = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 20
    show(Explanation.text(prompt, track, step: step, views, columns: isKnown ? Int(size.ws_col) : 100))
    return ExitStatus.done
  }

  /// A training prompt by its id, or by its index as "#12". A number without the sign is an id if there is such an id,
  /// and else an index; standard error says which.
  private static func prompt(_ name: String, _ ledger: Ledger) throws -> PromptText {
    func at(_ number: String) throws -> PromptText? {
      guard let index = Int(number), index >= 0 else { return nil }
      return try ledger.prompts(of: .training, from: index, limit: 1).first { Int($0.index) == index }
        .map { PromptText($0) }
    }
    if name.hasPrefix("#"), let found = try at(String(name.dropFirst())) { return found }
    if let found = try ledger.prompt(of: .training, id: name).map({ PromptText($0) }) {
      if let index = Int(name), index != found.index {
        complain("\(name) is the id of prompt #\(found.index); '#\(name)' is an index")
      }
      return found
    }
    if let found = try at(name) {
      complain("no prompt has the id \(name); showing the one with the index #\(name)")
      return found
    }
    let count = try ledger.promptCount(of: .training)
    throw UserError(
      "there is no training prompt \"\(name.visible)\". The run has \(counted(count, "prompt")): give an id of the "
        + "question file, or an index from '#0' to '#\(max(0, count - 1))'")
  }

  // MARK: diff

  @Sendable static func diff(_ settings: LookSettings, _ call: CallSettings) throws -> Int32 {
    let given = directories(settings)
    guard given.count == 2 else {
      throw SettingsError(problems: ["diff compares two runs (ttrl diff RUN RUN); \(given.count) are given"])
    }
    let difference = try RunComparison(given[0], given[1]).difference()
    if call.isJSON {
      let json: JSON = [
        "same": .bool(difference.isEmpty), "settings": .array(difference.settings.map { .string($0.name) }),
        "facts": .array(difference.facts.map { .string($0.name) }), "response": .optional(difference.response),
        "step": difference.step.map { .int($0.step) } ?? .null,
        "figures": .array((difference.step?.figures ?? []).map { .string($0) }),
        "policy": difference.policy.map { .int($0) } ?? .null, "equal_responses": .int(difference.equalResponses),
        "equal_steps": .int(difference.equalSteps), "equal_policies": .int(difference.equalPolicies),
      ]
      showJSON(json.text())
    } else {
      show(difference.text)
    }
    return difference.isEmpty ? ExitStatus.done : ExitStatus.failed
  }

  // MARK: report

  @Sendable static func report(_ settings: LookSettings, _ call: CallSettings) throws -> Int32 {
    let given = directories(settings)
    if given.count == 1, let directory = given.first {
      try OwnedDirectory.require(directory.path)
      if let course = try course(in: directory) {
        for run in course.begun where try Files.exists(run.ledger) { try report(of: run) }
        try course.writeReport(now: WallClock.seconds())
        show(course.report, call)
        return ExitStatus.done
      }
      try report(of: directory)
      show(directory.report, call)
      return ExitStatus.done
    }
    let path = ThisProcess.absolute(settings.out)
    try Files.write(ReportComparison.html(try given.map(RunSummary.comparable)), to: path)
    show(path, call)
    return ExitStatus.done
  }

  // MARK: runs

  @Sendable static func runs(_ settings: LookSettings, _ call: CallSettings) throws -> Int32 {
    var runs: [ListedRun] = []
    var isWhole = true
    for directory in directories(settings) {
      let count = RunFinder.forEachRun(at: directory.path) { found in
        switch found {
        case .run(let run):
          if call.isJSON { showJSON(run.json.text()) } else { runs.append(run) }
        case .damaged(let other):
          isWhole = false
          if call.isJSON { showJSON(other.json.text()) }
          complain("\(other.path.visible): \(other.problem)")
        }
      }
      if count == 0 {
        isWhole = false
        complain("\(directory.path.visible): no run is at or below it. A run has a settings.json")
      }
    }
    if !runs.isEmpty { show(RunList.text(runs)) }
    return isWhole ? ExitStatus.done : ExitStatus.failed
  }

  private static func report(of directory: RunDirectory) throws {
    // The model need not be on this machine.
    let manifest = try RunManifest(reading: directory)
    let ledger = try Ledger(path: directory.ledger, mode: .readOnly)
    try RunSummary.writeReport(directory, manifest.settings, ledger: ledger)
    let files = EventFileWriter(directory)
    while try files.refresh(ledger) {}
  }

  private static func show(_ report: String, _ call: CallSettings) {
    if call.isJSON { showJSON((["report": .string(report)] as JSON).text()) } else { show(report.visible) }
  }
}
