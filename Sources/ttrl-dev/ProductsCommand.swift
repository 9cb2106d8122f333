// ProductsCommand: `ttrl-dev products`: compares the kernels of all instruction sets of this processor with the
// readable form of the two orders of bfloat16 products, bit for bit, on random factors with zeroes, denormals and
// infinities.
//
// A product is a function of its seed and can be repeated alone.

import Base
import Commands
import Synchronization
import Tensors

struct ProductsCommand: DeveloperTool {
  static let usage = "products [--elements N] [--seed S] [--threads N] [--json]"

  private var elements = 10_000_000
  private var seed: UInt64 = 1
  private var threads = 2
  private let isJSON: Bool

  /// How many products are compared before the elements are counted again.
  private static let productsAtATime = 64

  init?(_ arguments: inout ToolArguments) {
    isJSON = arguments.has("--json")
    arguments.read("--elements", &elements, in: 1...1 << 40)
    arguments.read("--seed", &seed)
    arguments.read("--threads", &threads, in: 1...1024)
    if seed > .max / 2 { return nil }
  }

  /// - Returns: the exit status: 0 if no bit differs, 1 if some do.
  func run() throws -> Int32 {
    let total = Mutex((elements: 0, differing: [String: Int]()))
    var next = seed
    while total.withLock({ $0.elements }) < elements {
      let first = next
      try inParallel(Self.productsAtATime, threads: threads) { index, _ in
        let seed = first + UInt64(index)
        let product = RandomProduct(seed: seed)
        let found = try Self.differing(product)
        for (name, count) in found where count > 0 {
          Command.complain(
            "seed \(seed) DIFFERS: \(count) elements of \(name); ttrl-dev products --elements 1 --seed \(seed)")
        }
        total.withLock { total in
          total.elements += product.rows * product.columns
          for (name, count) in found { total.differing[name, default: 0] += count }
        }
      }
      next += UInt64(Self.productsAtATime)
    }
    let (compared, differing) = total.withLock { $0 }
    let counts = differing.sorted { $0.key < $1.key }
    print(isJSON ? json(compared, counts) : text(compared, counts))
    return counts.allSatisfy { $0.value == 0 } ? ExitStatus.done : ExitStatus.failed
  }

  /// How many results differ from the readable form, by order and kernels. Each element is computed three times: as
  /// part of a forward product, of the gradient of an input, and of the gradient of weights.
  private static func differing(_ product: RandomProduct) throws -> [(name: String, count: Int)] {
    try ProductOrder.allCases.flatMap { order in
      let expected = product.expected(order)
      return try Kernels.available.map { kernels in
        let found = try product.results(kernels, order)
        return (
          "\(order.rawValue) \(kernels.name)", zip(found, expected).reduce(0) { $0 + differences($1.0, $1.1) }
        )
      }
    }
  }

  private func text(_ compared: Int, _ counts: [(key: String, value: Int)]) -> String {
    let lines = counts.map { "\($0.key): \($0.value) differ" }
    return (["\(compared) elements, each in three forms of product"] + lines).joined(separator: "\n")
  }

  private func json(_ compared: Int, _ counts: [(key: String, value: Int)]) -> String {
    let members: JSON = [
      "elements": .int(compared), "differing": .object(counts.map { .init($0.key, .int($0.value)) }),
      "arithmetic": .string(Arithmetic.description),
    ]
    return members.text()
  }
}
