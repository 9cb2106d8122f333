// ProductsBenchmark: bfloat16 products of a model's sizes, in both orders, beside oneDNN's and the processor's limits.
//
// One thread, so that the figures are those of a core. A product is limited by the peak of its order's instruction or,
// with few rows, by reading the weights from memory; each figure says how much of its limit it reaches. The variants
// take turns, and the best of many short measurements counts, because the machine can have other work: what is asked is
// how fast the code is, not how much of the machine is free.

import Base
import COneDNN
import Ceilings
import LanguageModel
import Platform
import Tensors

/// The value is the speed of the training sizes' products in the fastest order, all together.
package func benchmarkProducts(_ options: BenchmarkOptions) throws -> BenchmarkResult {
  let orders = ProductOrder.allCases
  let peaks = Dictionary(uniqueKeysWithValues: orders.map { ($0, Ceilings.peak($0)) })
  let memory = try Ceilings.memoryReads(threads: 1)
  let fastest = Arithmetic.fastestOrder
  var parts: [BenchmarkResult.Part] = []
  var (seconds, flops) = (0.0, 0.0)
  for shape in MatrixShape.all(of: options.model.configuration) {
    for rows in rowsOfDecoding + (shape.isHead ? [] : rowsOfTraining) {
      let isTraining = rows >= rowsOfTraining[0]
      for kind in isTraining ? ProductKind.allCases : [.forward] {
        let work = 2 * Double(shape.inner) * Double(shape.columns) * Double(rows)
        // In a step of decoding, every value of the weights is read from memory once, for all rows.
        let limit = kind == .forward ? memory * 2 * Double(rows) / Double(DataType.bfloat16.bytes) : .infinity
        let variants = try ProductVariants(shape, rows: rows, kind)
        let times = try variants.best(runs: options.runs)
        for (name, time) in times {
          let peak = ProductOrder(rawValue: name).flatMap { peaks[$0] }
          parts.append(
            .init(
              name: "\(name) \(kind.rawValue) \(shape.name) \(rows) x \(shape.inner) x \(shape.columns)",
              seconds: time, gigaflops: work / time / 1e9, ceiling: peak.map { min($0, limit) }))
          if isTraining, name == fastest.rawValue {
            seconds += time
            flops += work
          }
        }
      }
    }
  }
  return BenchmarkResult(
    name: "products", value: flops / seconds / 1e9, unit: "GFLOP/s", ceiling: peaks[fastest] ?? .infinity,
    peakBytes: Machine.peakResidentBytes,
    conditions: [.init("model", .string(options.model.name)), .init("order", .string(fastest.rawValue))],
    parts: parts, times: [seconds],
    limits: orders.map { ("\($0.rawValue)_peak_gflops", peaks[$0]) } + [("memory_gigabytes_per_second", memory)],
    hash: "")
}

private let rowsOfDecoding = [1, 8, 32, 64, 256]
private let rowsOfTraining = [512, 1024, 3072]

/// The three products of a linear layer.
private enum ProductKind: String, CaseIterable {
  case forward, input, weights
}

/// One product, computed in both orders and by oneDNN.
private final class ProductVariants {
  private var runs: [(name: String, run: () throws -> Void)] = []

  init(_ shape: MatrixShape, rows: Int, _ kind: ProductKind) throws {
    let (inner, columns) = (shape.inner, shape.columns)
    let copies = kind == .weights ? 0 : shape.copies(.bfloat16)
    let packed = try (0..<copies).map { _ in
      try PackedWeights(Matrix(rows: columns, columns: inner), type: .bfloat16)
    }
    let x = Operand(rows: rows, columns: inner, type: .bfloat16)
    let dy = Operand(rows: rows, columns: columns, type: .bfloat16)
    let (y, dx) = (Matrix(rows: rows, columns: columns), Matrix(rows: rows, columns: inner))
    let gradient = Matrix(rows: kind == .weights ? columns : 0, columns: inner)
    for order in ProductOrder.allCases {
      let multiplier = Multiplier(order: order)
      var turn = 0
      runs.append(
        (
          order.rawValue,
          {
            switch kind {
            case .forward: try multiplier.multiply(x, rows: rows, by: packed[turn], into: y)
            case .input: try multiplier.multiplyBackward(dy, rows: rows, by: packed[turn], into: dx)
            case .weights: try multiplier.addOuterProduct(dy, outputs: 0..<columns, x, rows: rows, to: gradient)
            }
            turn = copies == 0 ? 0 : (turn + 1) % copies
          }
        ))
    }
    let sizes =
      switch kind {
      case .forward: (rows, inner, columns)
      case .input: (rows, columns, inner)
      case .weights: (columns, rows, inner)
      }
    let product = ttrl_matmul_shape(
      rows: Int64(sizes.0), inner: Int64(sizes.1), columns: Int64(sizes.2), dtype: 1, is_packed: kind != .weights,
      accumulates: false)
    // On a processor without instructions for it, oneDNN may not multiply bfloat16.
    guard let library = try? LibraryProduct(product, weights: copies) else { return }
    // oneDNN's factors are bfloat16; the memory is larger than they need.
    let call = try library.call(x: Floats(count: sizes.0 * sizes.1), out: Floats(count: sizes.0 * sizes.2))
    runs.append(("onednn", { try call.next() }))
  }

  /// The shortest time of each variant, in turns.
  func best(runs rounds: Int) throws -> [(name: String, seconds: Double)] {
    var best = runs.map { ($0.name, Double.infinity) }
    let start = MonotonicClock.now()
    var round = 0
    while round < max(2, rounds) || MonotonicClock.now().since(start).seconds < secondsPerProduct {
      for index in runs.indices { best[index].1 = min(best[index].1, try elapsed { try runs[index].run() }) }
      round += 1
    }
    return best
  }

  private let secondsPerProduct = 0.15
}
