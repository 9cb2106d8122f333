// Ceilings: the most that this machine can do, measured together with every figure.
//
// A figure alone says little: machines differ, and one machine differs from hour to hour. So every benchmark also
// measures its limit, in the same process and with the same number of threads. `ttrl train` shows how much of the limit
// a run uses.

package import Base
import CCeilings
import Platform
import Tensors

/// Seconds that `body` takes.
package func elapsed(_ body: () throws -> Void) rethrows -> Double {
  let start = MonotonicClock.now()
  try body()
  return MonotonicClock.now().since(start).seconds
}

/// The middle value; of an even number of values, the upper one of the middle two; 0 if there are none.
package func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  return sorted.isEmpty ? 0 : sorted[sorted.count / 2]
}

package enum Ceilings {
  /// Multiply-adds in registers, on all threads at the same time, in 10⁹ floating-point operations per second; the best
  /// of several measurements. nil if the processor has no such instruction: bfloat16 without AVX-512 BF16.
  package static func multiplyAdds(_ type: DataType, threads: Int) throws -> Double? {
    guard type == .float32 || ttrl_multiply_add_bfloat16(1) > 0 else { return nil }
    let rounds: Int64 = 4_000_000
    let run: @Sendable (Int64) -> Int64 = {
      type == .float32 ? ttrl_multiply_add_float32($0) : ttrl_multiply_add_bfloat16($0)
    }
    let operations = Double(run(1)) * Double(rounds) * Double(threads)
    let best = try (0..<5).map { _ in
      try elapsed { try inParallel(threads, threads: threads) { _, _ in _ = run(rounds) } }
    }.min()
    return operations / (best ?? .infinity) / 1e9
  }

  /// The peak of the instructions that compute a bfloat16 product in an order with the best kernels, in 10⁹
  /// floating-point operations per second of one thread; the best of many short measurements.
  package static func peak(_ order: ProductOrder) -> Double {
    switch (order, Kernels.best.name) {
    case (.tile, "amx"): peak(rounds: 500, ttrl_multiply_add_tiles)
    case (.pair, "avx512_bf16"): peak(rounds: 2000, ttrl_multiply_add_bfloat16)
    default: peak(rounds: 2000, ttrl_multiply_add_float32)
    }
  }

  private static func peak(rounds: Int64, _ run: (Int64) -> Int64) -> Double {
    let operations = Double(run(rounds))
    let best = (0..<2000).map { _ in elapsed { _ = run(rounds) } }.min()
    return operations / (best ?? .infinity) / 1e9
  }

  /// Reading memory, on all threads at the same time, in 10⁹ bytes per second; the best of several measurements.
  package static func memoryReads(threads: Int) throws -> Double {
    let count = 32 << 20
    // Written once, so that the system has assigned memory to it.
    let parts = (0..<threads).map { _ in Floats(count: count) }
    for part in parts { part.fill(1) }
    let best = try (0..<5).map { _ in
      try elapsed {
        try inParallel(threads, threads: threads) { _, thread in
          parts[thread].withUnsafeBuffer { buffer in
            if let base = buffer.baseAddress, ttrl_read_floats(base, Int64(buffer.count)) < 0 {
              preconditionFailure("a sum of ones is negative")
            }
          }
        }
      }
    }.min()
    return Double(4 * count * threads) / (best ?? .infinity) / 1e9
  }
}
