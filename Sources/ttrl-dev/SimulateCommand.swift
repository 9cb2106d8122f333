// SimulateCommand: `ttrl-dev simulate`: runs the simulator for a range of seeds; each is a whole run, checked bit for
// bit.
//
// With --transcript it prints the events of one seed's run. With --enumerate it walks all schedules of a small world.
// Not here: what is simulated and checked (Simulation).

import Base
import Commands
import Simulation

struct SimulateCommand: DeveloperTool {
  static let usage =
    "simulate [--seed S] [--seeds N] [--json] [--transcript]\n"
    + "       simulate --enumerate [--workers W] [--slots N] [--steps S] [--staleness K] [--crashes C] [--json]"

  private var seed: UInt64 = 1
  private var seeds: UInt64 = 1
  private var size = SmallWorldSize()
  private let isJSON: Bool
  private let wantsTranscript: Bool
  private let enumerates: Bool

  init?(_ arguments: inout ToolArguments) {
    isJSON = arguments.has("--json")
    wantsTranscript = arguments.has("--transcript")
    enumerates = arguments.has("--enumerate")
    arguments.read("--seed", &seed)
    arguments.read("--seeds", &seeds, in: 1 ... .max)
    arguments.read("--workers", &size.workers, in: 1...8)
    arguments.read("--slots", &size.slots, in: 1...16)
    arguments.read("--steps", &size.steps, in: 1...8)
    arguments.read("--staleness", &size.staleness, in: 0...8)
    arguments.read("--crashes", &size.crashes, in: 0...8)
    if seed > UInt64.max - seeds { return nil }
  }

  /// - Returns: the exit status: 0 if all seeds hold, 1 if one fails.
  func run() -> Int32 { enumerates ? enumerate() : wantsTranscript ? narrate() : campaign() }

  private func enumerate() -> Int32 {
    let start = ContinuousClock.now
    let walked = Enumeration(size)
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    for step in walked.path { Command.complain(step) }
    if let violation = walked.violation { Command.complain("WRONG: \(violation)") }
    let text =
      isJSON
      ? "{\"worlds\":\(walked.worlds),\"steps\":\(walked.steps),\"schedules\":\(walked.schedules),"
        + "\"longest\":\(walked.longest),\"failures\":\(walked.violation == nil ? 0 : 1),\"seconds\":\(Int(seconds))}"
      : "\(walked.worlds) worlds, \(walked.steps) steps between them, \(walked.schedules) schedules, the longest of "
        + "\(walked.longest) events, \(Int(seconds)) s: \(walked.violation ?? "all hold")"
    print(text)
    return walked.violation == nil ? 0 : 1
  }

  private func narrate() -> Int32 {
    let outcome = simulate(seed: seed, isRecording: true)
    for line in outcome.transcript { print(line) }
    print("seed \(seed): \(outcome.violation ?? "holds"), \(hex(outcome.fingerprint))")
    return outcome.violation == nil ? 0 : 1
  }

  private func campaign() -> Int32 {
    var campaign = Campaign()
    let start = ContinuousClock.now
    var lastReport = start
    for seed in seed..<seed + seeds {
      let outcome = simulate(seed: seed)
      campaign.add(outcome)
      if let violation = outcome.violation { Command.complain("seed \(seed) FAILS: \(violation)") }
      if ContinuousClock.now - lastReport > .seconds(2) {
        lastReport = .now
        Command.complain("\(campaign.seeds) of \(seeds) seeds, \(campaign.failures.count) failed")
      }
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    let rate = Double(campaign.seeds) / max(seconds, 1e-9)
    print(isJSON ? json(campaign, rate) : text(campaign, rate))
    return campaign.failures.isEmpty ? 0 : 1
  }

  private func text(_ campaign: Campaign, _ rate: Double) -> String {
    var lines = campaign.faults.map { "\($0.1)\t\($0.0)" }
    lines.append("\(counted(campaign.seeds, "seed")), \(campaign.failures.count) failed, \(Int(rate)) a second")
    lines += campaign.failures.prefix(20).map { "ttrl-dev simulate --seed \($0.seed) --transcript" }
    return lines.joined(separator: "\n")
  }

  private func json(_ campaign: Campaign, _ rate: Double) -> String {
    let faults = campaign.faults.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",")
    let failed = campaign.failures.prefix(100).map { "\($0.seed)" }.joined(separator: ",")
    return "{\"seeds\":\(campaign.seeds),\"failures\":\(campaign.failures.count),\"faults\":{\(faults)},"
      + "\"seeds_per_second\":\((rate * 10).rounded() / 10),\"first_seed\":\(seed),"
      + "\"failed_seeds\":[\(failed)],\"happenings\":\(campaign.happenings),"
      + "\"simulated_seconds\":\(Int(campaign.simulatedSeconds)),"
      + "\"fingerprint\":\"\(hex(campaign.fingerprint))\"}"
  }

  private func hex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
