// SimulateCommand: `ttrl-dev simulate`: a range of seeds, each a whole run, judged bit for bit.
//
// With --transcript one seed is lived through in the open; with --enumerate a small world's schedules are walked, all
// of them. Not here: what is simulated and judged (Simulation).

import Base
import Glibc
import Simulation

enum SimulateCommand {
  static let usage =
    "simulate [--seed S] [--seeds N] [--json] [--transcript]\n"
    + "       simulate --enumerate [--workers W] [--slots N] [--steps S] [--staleness K] [--crashes C] [--json]"

  private struct Options {
    var seed: UInt64 = 1
    var seeds: UInt64 = 1
    var isJSON = false
    var wantsTranscript = false
    var enumerates = false
    var size = SmallWorldSize()
  }

  /// - Returns: the exit status: 0 all seeds held, 1 some failed, 2 usage.
  static func run(_ arguments: [String]) -> Int32 {
    guard let options = parse(arguments) else {
      print("usage: ttrl-dev \(usage)\n", to: STDERR_FILENO)
      return 2
    }
    if options.enumerates { return enumerate(options) }
    return options.wantsTranscript ? narrate(options.seed) : campaign(options)
  }

  private static func parse(_ arguments: [String]) -> Options? {
    var options = Options()
    var rest = arguments[...]
    while let flag = rest.popFirst() {
      switch flag {
      case "--json": options.isJSON = true
      case "--transcript": options.wantsTranscript = true
      case "--enumerate": options.enumerates = true
      default:
        guard let text = rest.popFirst(), let value = UInt64(text), take(value, flag, &options) else { return nil }
      }
    }
    guard options.seeds > 0, options.seed <= UInt64.max - options.seeds else { return nil }
    return options
  }

  private static func take(_ value: UInt64, _ flag: String, _ options: inout Options) -> Bool {
    switch flag {
    case "--seed": options.seed = value
    case "--seeds": options.seeds = value
    case "--workers" where (1...8).contains(value): options.size.workers = Int(value)
    case "--slots" where (1...16).contains(value): options.size.slots = UInt32(value)
    case "--steps" where (1...8).contains(value): options.size.steps = UInt32(value)
    case "--staleness" where value <= 8: options.size.staleness = UInt32(value)
    case "--crashes" where value <= 8: options.size.crashes = Int(value)
    default: return false
    }
    return true
  }

  private static func enumerate(_ options: Options) -> Int32 {
    let start = ContinuousClock.now
    let walked = Enumeration(options.size)
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    for step in walked.path { print(step + "\n", to: STDERR_FILENO) }
    if let violation = walked.violation { print("WRONG: \(violation)\n", to: STDERR_FILENO) }
    let text =
      options.isJSON
      ? "{\"worlds\":\(walked.worlds),\"steps\":\(walked.steps),\"schedules\":\(walked.schedules),"
        + "\"longest\":\(walked.longest),\"failures\":\(walked.violation == nil ? 0 : 1),\"seconds\":\(Int(seconds))}\n"
      : "\(walked.worlds) worlds, \(walked.steps) steps between them, \(walked.schedules) schedules, the longest of "
        + "\(walked.longest) events, \(Int(seconds)) s: \(walked.violation ?? "all hold")\n"
    print(text, to: STDOUT_FILENO)
    return walked.violation == nil ? 0 : 1
  }

  private static func narrate(_ seed: UInt64) -> Int32 {
    let outcome = simulate(seed: seed, isRecording: true)
    for line in outcome.transcript { print(line + "\n", to: STDOUT_FILENO) }
    print("seed \(seed): \(outcome.violation ?? "holds"), \(hex(outcome.fingerprint))\n", to: STDOUT_FILENO)
    return outcome.violation == nil ? 0 : 1
  }

  private static func campaign(_ options: Options) -> Int32 {
    var campaign = Campaign()
    let start = ContinuousClock.now
    var lastReport = start
    for seed in options.seed..<options.seed + options.seeds {
      let outcome = simulate(seed: seed)
      campaign.add(outcome)
      if let violation = outcome.violation {
        print("seed \(seed) FAILS: \(violation)\n", to: STDERR_FILENO)
      }
      if ContinuousClock.now - lastReport > .seconds(2) {
        lastReport = .now
        print("\(campaign.seeds) of \(options.seeds) seeds, \(campaign.failures.count) failed\n", to: STDERR_FILENO)
      }
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    let rate = Double(campaign.seeds) / max(seconds, 1e-9)
    print(options.isJSON ? json(campaign, options, rate) : text(campaign, rate), to: STDOUT_FILENO)
    return campaign.failures.isEmpty ? 0 : 1
  }

  private static func text(_ campaign: Campaign, _ rate: Double) -> String {
    var lines = campaign.faults.map { "\($0.1)\t\($0.0)" }
    lines.append("\(campaign.seeds) seeds, \(campaign.failures.count) failed, \(Int(rate)) a second")
    lines += campaign.failures.prefix(20).map { "ttrl-dev simulate --seed \($0.seed) --transcript" }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func json(_ campaign: Campaign, _ options: Options, _ rate: Double) -> String {
    let faults = campaign.faults.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",")
    let failed = campaign.failures.prefix(100).map { "\($0.seed)" }.joined(separator: ",")
    return "{\"seeds\":\(campaign.seeds),\"failures\":\(campaign.failures.count),\"faults\":{\(faults)},"
      + "\"seeds_per_second\":\((rate * 10).rounded() / 10),\"first_seed\":\(options.seed),"
      + "\"failed_seeds\":[\(failed)],\"happenings\":\(campaign.happenings),"
      + "\"simulated_seconds\":\(Int(campaign.simulatedSeconds)),"
      + "\"fingerprint\":\"\(hex(campaign.fingerprint))\"}\n"
  }

  private static func hex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// Writes all of a text, whatever the descriptor takes at a time.
  static func print(_ text: String, to descriptor: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      guard written > 0 else { return }
      rest = rest.dropFirst(written)
    }
  }
}
