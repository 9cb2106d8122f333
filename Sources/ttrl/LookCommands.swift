// LookCommands: `ttrl explain`, `ttrl diff` and `ttrl report`: they show runs that exist already.
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
      throw LedgerError.missing(path: directory.ledger)
    }
    let prompt = try prompt(settings.prompt, ledger)
    let track = watch.digest.prompts[prompt.index]
    let step = settings.step > 0 ? settings.step - 1 : track?.visits.last.map { Int($0.step) }
    var views: [ResponseView] = []
    if let step {
      let reader = ResponseReader(directory, runSettings)
      views = try ledger.responses(
        to: UInt32(prompt.index), in: .train(step: UInt32(step)), from: 0, limit: PageAnswers.responsesMax
      ).map(reader.view)
    }
    if call.isJSON {
      print(Explanation.json(prompt, track, step: step, views).text())
      return ExitStatus.done
    }
    var size = winsize()
    let isKnown = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 20
    print(Explanation.text(prompt, track, step: step, views, columns: isKnown ? Int(size.ws_col) : 100))
    return ExitStatus.done
  }

  /// A training prompt by its index, or by the id that its file gives it.
  private static func prompt(_ name: String, _ ledger: Ledger) throws -> PromptText {
    let count = try ledger.promptCount(of: .training)
    if let index = Int(name), (0..<count).contains(index),
      let found = try ledger.prompts(of: .training, from: index, limit: 1).first
    {
      return PromptText(found)
    }
    if let found = try ledger.prompts(of: .training, from: 0, limit: count).first(where: { $0.id == name }) {
      return PromptText(found)
    }
    throw UserError(
      "there is no training prompt \"\(name)\". Give an index from 0 to \(count - 1), or an id of the question file")
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
      print(json.text())
    } else {
      print(difference.text)
    }
    return difference.isEmpty ? ExitStatus.done : ExitStatus.failed
  }

  // MARK: report

  @Sendable static func report(_ settings: LookSettings, _ call: CallSettings) throws -> Int32 {
    let given = directories(settings)
    if given.count == 1, let directory = given.first {
      let run = try Run(opening: directory)
      let ledger = try Ledger(path: directory.ledger, mode: .readOnly)
      try RunSummary.writeReport(run, ledger: ledger)
      let files = EventFileWriter(directory)
      while try files.refresh(ledger) {}
      show(directory.report, call)
      return ExitStatus.done
    }
    let path = ThisProcess.absolute(settings.out)
    try Files.write(ReportComparison.html(try given.map(RunSummary.comparable)), to: path)
    show(path, call)
    return ExitStatus.done
  }

  private static func show(_ report: String, _ call: CallSettings) {
    print(call.isJSON ? (["report": .string(report)] as JSON).text() : report)
  }
}
