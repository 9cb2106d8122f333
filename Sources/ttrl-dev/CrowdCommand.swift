// CrowdCommand: `ttrl-dev crowd` makes the directory of a run that never happened: many steps, many workers.
//
// It shows how status, page and report do with a run that would take too long to make. The ledger is a real one, made
// through the ledger's own functions; its content is made up. There are no weights and no checkpoints, so the run can
// be looked at but not continued.

import Base
import Commands
import Ledger
import Platform
import Records
import Runs
import Settings

enum CrowdCommand {
  static let usage = "crowd DIR [--steps N] [--workers N] [--prompts N] [--responses N]"

  private struct Options {
    var directory = ""
    var steps = 10_000
    var workers = 1000
    var prompts = 1000
    /// Per prompt of a step; all of them vote, and only these are kept.
    var responses = 4
  }

  private static let promptsPerStep = 8

  /// - Returns: the exit status: 0 made, 1 the directory cannot be written, 2 usage.
  static func run(_ arguments: [String]) -> Int32 {
    guard let options = parse(arguments) else {
      Command.complain("usage: ttrl-dev \(usage)")
      return 2
    }
    do {
      try make(options)
      return 0
    } catch {
      Command.complain("ttrl-dev crowd: \(error)")
      return 1
    }
  }

  private static func parse(_ arguments: [String]) -> Options? {
    var options = Options()
    var rest = arguments[...]
    while let word = rest.popFirst() {
      guard word.hasPrefix("--") else {
        options.directory = word
        continue
      }
      guard let value = rest.popFirst().flatMap({ Int($0) }), value > 0, value <= 1 << 20 else { return nil }
      switch word {
      case "--steps": options.steps = value
      case "--workers": options.workers = value
      case "--prompts": options.prompts = value
      case "--responses": options.responses = value
      default: return nil
      }
    }
    return options.directory.isEmpty ? nil : options
  }

  private static func make(_ options: Options) throws {
    let directory = RunDirectory(options.directory)
    try OwnedDirectory.make(directory.path)
    var settings = RunSettings()
    settings.method.steps = UInt32(options.steps)
    settings.model = "builtin"
    let manifest = RunManifest.text(id: "crowd", settings: settings, modelIdentity: "none")
    try Files.write(manifest, to: directory.settings)
    let ledger = try Ledger(path: directory.ledger, mode: .readWrite)
    try ledger.transaction { () throws(LedgerError) in
      for index in 0..<options.prompts {
        try ledger.insert(
          StoredPrompt(set: .training, index: UInt32(index), text: "What is \(index) + \(index)?", tokens: [1]))
      }
      for number in 0..<options.workers {
        _ = try ledger.join(
          name: "worker-\(number)", address: "10.0.\(number / 250).\(number % 250 + 1):7000", instructionSet: "avx2",
          libraries: "oneDNN 2.6.3 avx2", at: 1_700_000_000)
      }
    }
    // Some hundred steps a commit: one each would wait for the disk ten thousand times.
    for first in stride(from: 0, to: options.steps, by: 200) {
      try ledger.transaction { () throws(LedgerError) in
        for step in first..<min(first + 200, options.steps) { try add(step, options, ledger) }
      }
    }
  }

  private static func add(_ step: Int, _ options: Options, _ ledger: Ledger) throws(LedgerError) {
    let round = RoundID.train(step: UInt32(step))
    let time = 1_700_000_000 + Double(step)
    try ledger.open(round, policy: PolicyVersion(round.step), slots: promptsPerStep * options.responses, at: time)
    var report = StepReport(step: round.step)
    for place in 0..<promptsPerStep {
      let prompt = (step * promptsPerStep + place) % options.prompts
      let label = "q:\(2 * prompt + (step + place) % 3 / 2)"
      for sample in 0..<options.responses {
        let worker = Int64((step * 31 + place * options.responses + sample) % options.workers + 1)
        let trajectory = Trajectory(
          slot: Slot(round: round, prompt: UInt32(prompt), sample: UInt32(sample)), policy: PolicyVersion(round.step),
          tokens: [50, 51, 52, 53], logprobs: [-0.1, -0.2, -0.3, -0.4], entropySum: 1, finish: .stop)
        _ = try ledger.insert(trajectory, worker: worker)
      }
      var group = PromptReport(prompt: UInt32(prompt))
      group.label = label
      (group.labelVotes, group.samples) = (UInt32(options.responses / 2 + 1), UInt32(options.responses))
      (group.answerCount, group.rewarded) = (2, 1)
      report.prompts.append(group)
    }
    let progress = Double(step) / Double(options.steps)
    let figures: [(FigureName, Double)] = [
      (.learningRate, 1e-4 * (1 - progress)), (.majorityRatio, 0.2 + 0.7 * progress), (.entropy, 1 - progress),
      (.zeroAdvantageRatio, progress / 2), (.noAnswerRatio, 0), (.truncationRatio, 0), (.responseLengthMean, 4),
      (.responseLengthMax, 4), (.sampledTokens, Double(32 * options.responses)),
      (.trainedTokens, Double(16 * options.responses)), (.gradientNorm, 1 - progress / 2), (.rolloutSeconds, 0.6),
      (.trainSeconds, 0.4), (.logprobGap, 0),
    ]
    for (name, value) in figures { report.figures[name] = value }
    let row = StepRow.json(report, alarms: [])
    try ledger.setMetrics(row.text(), ofStep: UInt32(step))
    try ledger.close(round, at: time + 0.6)
    try ledger.record(event: "worker.joined", "worker-\(step % options.workers)", at: time)
  }
}
