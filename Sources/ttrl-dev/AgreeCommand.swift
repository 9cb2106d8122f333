// AgreeCommand: `ttrl-dev agree`: random cases of batch invariance and of sampler = trainer, bit for bit.
//
// Each case is a function of its seed and can be repeated alone. Not here: what a case is (AgreementCase).

import Base
import Glibc
import Synchronization
import Tensors

enum AgreeCommand {
  static let usage = "agree [--cases N] [--seed S] [--dtype float32|bfloat16] [--length N] [--threads N] [--json]"

  private struct Options {
    var cases: UInt64 = 100
    var seed: UInt64 = 1
    var type = DataType.float32
    var length = 4096
    var threads = 2
    var isJSON = false
  }

  /// - Returns: the exit status: 0 no bit differs, 1 some do or a case failed, 2 usage.
  static func run(_ arguments: [String]) -> Int32 {
    guard let options = parse(arguments) else {
      SimulateCommand.print("usage: ttrl-dev \(usage)\n", to: STDERR_FILENO)
      return 2
    }
    do {
      let tally = try campaign(options)
      SimulateCommand.print((options.isJSON ? json(tally, options) : text(tally)) + "\n", to: STDOUT_FILENO)
      return tally.batchDiffering + tally.trainerDiffering == 0 ? 0 : 1
    } catch {
      SimulateCommand.print("ttrl-dev agree: \(error)\n", to: STDERR_FILENO)
      return 1
    }
  }

  private static func parse(_ arguments: [String]) -> Options? {
    var options = Options()
    var rest = arguments[...]
    while let flag = rest.popFirst() {
      if flag == "--json" {
        options.isJSON = true
        continue
      }
      guard let value = rest.popFirst() else { return nil }
      switch (flag, UInt64(value), DataType(rawValue: value)) {
      case ("--cases", let count?, _): options.cases = count
      case ("--seed", let seed?, _): options.seed = seed
      case ("--length", let length?, _) where (32...1 << 20).contains(length): options.length = Int(length)
      case ("--threads", let threads?, _) where (1...1024).contains(threads): options.threads = Int(threads)
      case ("--dtype", _, let type?): options.type = type
      default: return nil
      }
    }
    return options.seed <= UInt64.max - options.cases ? options : nil
  }

  /// Cases side by side on all threads; within a case more threads sample.
  private static func campaign(_ options: Options) throws -> AgreementTally {
    let total = Mutex(AgreementTally())
    try inParallel(Int(options.cases), threads: options.threads) { index, _ in
      let seed = options.seed + UInt64(index)
      var trial = try AgreementCase(
        seed: seed, type: options.type, threadsMax: 4, lengthMax: options.length)
      let found = try trial.run()
      if found.batchDiffering + found.trainerDiffering > 0 {
        let replay = "--cases 1 --seed \(seed) --dtype \(options.type.rawValue) --length \(options.length)"
        SimulateCommand.print(
          "seed \(seed) DIFFERS: \(found.batchDiffering) values by company, \(found.trainerDiffering) between sampler "
            + "and trainer; ttrl-dev agree \(replay)\n", to: STDERR_FILENO)
      }
      total.withLock { $0 = $0 + found }
    }
    return total.withLock { $0 }
  }

  private static func text(_ tally: AgreementTally) -> String {
    """
    \(tally.cases) cases, \(tally.tokens) tokens, the longest sequence \(tally.longest)
    batch invariance: \(tally.batchDiffering) of \(tally.batchCompared) values differ
    sampler and trainer: \(tally.trainerDiffering) of \(tally.trainerCompared) values differ
    """
  }

  private static func json(_ tally: AgreementTally, _ options: Options) -> String {
    let members: JSON = [
      "cases": .int(tally.cases), "dtype": .string(options.type.rawValue), "tokens": .int(tally.tokens),
      "longest": .int(tally.longest), "batch_compared": .int(tally.batchCompared),
      "batch_differing": .int(tally.batchDiffering), "trainer_compared": .int(tally.trainerCompared),
      "trainer_differing": .int(tally.trainerDiffering), "arithmetic": .string(Arithmetic.description),
    ]
    return members.text()
  }
}
