// AgreeCommand: `ttrl-dev agree`: checks in random cases, bit for bit, that a result does not depend on its batch and
// that sampler and trainer agree.
//
// A case is a function of its seed and can be repeated alone. Not here: what a case is (AgreementCase).

import Base
import Commands
import Synchronization
import Tensors

struct AgreeCommand: DeveloperTool {
  static let usage =
    "agree [--cases N] [--seed S] [--dtype float32|bfloat16] [--products tile|pair] [--length N] [--threads N] [--json]"

  private var cases: UInt64 = 100
  private var seed: UInt64 = 1
  private var type = DataType.float32
  private var products = ProductOrder.pair
  private var length = 4096
  private var threads = 2
  private let isJSON: Bool

  init?(_ arguments: inout ToolArguments) {
    isJSON = arguments.has("--json")
    arguments.read("--cases", &cases)
    arguments.read("--seed", &seed)
    arguments.read("--dtype", &type)
    arguments.read("--products", &products)
    arguments.read("--length", &length, in: 32...1 << 20)
    arguments.read("--threads", &threads, in: 1...1024)
    if seed > UInt64.max - cases { return nil }
  }

  /// - Returns: the exit status: 0 if no bit differs, 1 if some do.
  func run() throws -> Int32 {
    let tally = try campaign()
    print(isJSON ? json(tally) : text(tally))
    return tally.batchDiffering + tally.trainerDiffering == 0 ? ExitStatus.done : ExitStatus.failed
  }

  /// Runs cases in parallel on all threads. Within a case, more threads sample.
  private func campaign() throws -> AgreementTally {
    let total = Mutex(AgreementTally())
    try inParallel(Int(cases), threads: threads) { index, _ in
      let seed = seed + UInt64(index)
      var trial = try AgreementCase(
        seed: seed, type: type, products: products, threadsMax: 4, lengthMax: length)
      let found = try trial.run()
      if found.batchDiffering + found.trainerDiffering > 0 {
        let replay =
          "--cases 1 --seed \(seed) --dtype \(type.rawValue) --products \(products.rawValue) --length \(length)"
        Command.complain(
          "seed \(seed) DIFFERS: \(found.batchDiffering) values depend on the batch, \(found.trainerDiffering) differ "
            + "between sampler and trainer; ttrl-dev agree \(replay)")
      }
      total.withLock { $0 = $0 + found }
    }
    return total.withLock { $0 }
  }

  private func text(_ tally: AgreementTally) -> String {
    """
    \(tally.cases) cases, \(tally.tokens) tokens, the longest sequence \(tally.longest)
    batch invariance: \(tally.batchDiffering) of \(tally.batchCompared) values differ
    sampler and trainer: \(tally.trainerDiffering) of \(tally.trainerCompared) values differ
    """
  }

  private func json(_ tally: AgreementTally) -> String {
    let members: JSON = [
      "cases": .int(tally.cases), "dtype": .string(type.text(products)), "tokens": .int(tally.tokens),
      "longest": .int(tally.longest), "batch_compared": .int(tally.batchCompared),
      "batch_differing": .int(tally.batchDiffering), "trainer_compared": .int(tally.trainerCompared),
      "trainer_differing": .int(tally.trainerDiffering), "arithmetic": .string(Arithmetic.description),
    ]
    return members.text()
  }
}
