// MatrixShapes: how long the products of a model take alone.
//
// Almost all of a model's arithmetic is matrix products of a few shapes, so the time that the matrix library takes for
// them alone is the limit for everything else. Each shape is timed in two ways: with the library and exactly these rows
// (what is possible), and with the engine (what is used). There are so many copies of the weights that they do not fit
// in a cache, because a layer also reads its weights from memory.

import Base
import COneDNN
import Ceilings
import LanguageModel
import Platform
import Tensors

/// What computes a product.
enum MatrixPath: Sendable {
  /// The library, with weights in its own layout and exactly these rows.
  case library
  /// The library, with both factors plain, as for the gradient of weights.
  case plain
  /// The engine, with packed weights.
  case engine
}

extension MatrixShape {
  /// The number of copies of the weights: together larger than the caches, but not more than the model has.
  func copies(_ type: DataType) -> Int { max(1, min(uses, (64 << 20) / (inner * columns * type.bytes))) }

  /// Seconds for one product with `rows` rows on each of `threads` threads at the same time; the median of several
  /// rounds.
  ///
  /// - Throws: if the processor cannot multiply the type.
  func seconds(_ path: MatrixPath, rows: Int, type: DataType, threads: Int) throws -> Double {
    switch path {
    case .engine: try timed(try engineRuns(rows, type, threads), rows)
    case .library: try timed(try libraryRuns(rows, type, threads, isPacked: true), rows)
    case .plain: try timed(try libraryRuns(rows, type, threads, isPacked: false), rows)
    }
  }

  /// Seconds per product. A round takes a few milliseconds and uses the copies of the weights in turn.
  private func timed(_ runs: [@Sendable () throws -> Void], _ rows: Int) throws -> Double {
    let products = productsOfRound(rows)
    let round: @Sendable (Int, Int) throws -> Void = { _, thread in
      for _ in 0..<products { try runs[thread]() }
    }
    try inParallel(runs.count, threads: runs.count, round)
    let times = try (0..<5).map { _ in try elapsed { try inParallel(runs.count, threads: runs.count, round) } }
    return median(times) / Double(products)
  }

  private func productsOfRound(_ rows: Int) -> Int {
    let flops = 2 * Double(inner) * Double(columns) * Double(rows)
    return max(2, min(2000, Int(5e8 / flops)))
  }

  private func engineRuns(
    _ rows: Int, _ type: DataType, _ threads: Int
  ) throws -> [@Sendable () throws -> Void] {
    let weights = try (0..<copies(type)).map { _ in
      try PackedWeights(Matrix(rows: columns, columns: inner), type: type)
    }
    return (0..<threads).map { _ in
      let state = EngineRun(
        weights, x: Operand(rows: roundedToBlocks(rows), columns: inner, type: type),
        out: Matrix(rows: roundedToBlocks(rows), columns: columns), rows: rows)
      return { try state.next() }
    }
  }

  private func libraryRuns(
    _ rows: Int, _ type: DataType, _ threads: Int, isPacked: Bool
  ) throws -> [@Sendable () throws -> Void] {
    // On processors without an instruction for it, oneDNN multiplies bfloat16 slowly or not at all. There the limit is
    // that of float32.
    let library = Machine.instructionSet.hasSuffix("bf16") ? type : .float32
    let shape = ttrl_matmul_shape(
      rows: Int64(rows), inner: Int64(inner), columns: Int64(columns), dtype: library == .float32 ? 0 : 1,
      is_packed: isPacked, accumulates: false)
    let product = try LibraryProduct(shape, weights: isPacked ? copies(library) : 1)
    return try (0..<threads).map { _ in
      let call = try product.call(x: Floats(count: rows * inner), out: Floats(count: rows * columns))
      return { try call.next() }
    }
  }
}

/// One thread's products with the engine.
///
/// `@unchecked Sendable`: each object belongs to one thread.
private final class EngineRun: @unchecked Sendable {
  private let multiplier: Multiplier
  private let weights: [PackedWeights]
  private let x: Operand
  private let out: Matrix
  private let rows: Int
  private var turn = 0

  init(_ weights: [PackedWeights], x: Operand, out: Matrix, rows: Int) {
    multiplier = Multiplier(order: Arithmetic.fastestOrder)
    self.weights = weights
    self.x = x
    self.out = out
    self.rows = rows
  }

  func next() throws {
    try multiplier.multiply(x, rows: rows, by: weights[turn], into: out)
    turn = (turn + 1) % weights.count
  }
}

/// A product of the matrix library, called directly.
///
/// `@unchecked Sendable`: it is compiled once and then only read.
final class LibraryProduct: @unchecked Sendable {
  private let handle: OpaquePointer
  /// The copies in the library's layout; empty if weights are plain.
  private var packed: [OpaquePointer] = []
  private let plain: Floats

  init(_ shape: ttrl_matmul_shape, weights: Int) throws {
    var made: OpaquePointer?
    try check(ttrl_matmul_create(shape, &made))
    guard let made else { throw LibraryError(status: "no product") }
    handle = made
    plain = Floats(count: Int(shape.inner * shape.columns))
    guard shape.is_packed else { return }
    for _ in 0..<weights {
      var copy: OpaquePointer?
      try check(
        plain.withUnsafeBuffer { buffer in
          buffer.baseAddress.map { ttrl_pack(handle, $0, true, &copy) } ?? 0
        })
      if let copy { packed.append(copy) }
    }
  }

  deinit {
    for copy in packed { ttrl_packed_destroy(copy) }
    ttrl_matmul_destroy(handle)
  }

  func call(x: Floats, out: Floats) throws -> Call {
    var made: OpaquePointer?
    try check(ttrl_call_create(handle, &made))
    guard let made else { throw LibraryError(status: "no call") }
    return Call(self, made, x: x, out: out)
  }

  /// One thread's calls. `@unchecked Sendable`: each object belongs to one thread.
  final class Call: @unchecked Sendable {
    private let product: LibraryProduct
    private let handle: OpaquePointer
    private let x: Floats
    private let out: Floats
    private var turn = 0

    init(_ product: LibraryProduct, _ handle: OpaquePointer, x: Floats, out: Floats) {
      self.product = product
      self.handle = handle
      self.x = x
      self.out = out
    }

    deinit { ttrl_call_destroy(handle) }

    func next() throws {
      try x.withUnsafeBuffer { x in
        try out.withUnsafeBuffer { out in
          guard let x = x.baseAddress, let out = out.baseAddress else { return }
          if product.packed.isEmpty {
            try product.plain.withUnsafeBuffer { b in
              if let b = b.baseAddress { try check(ttrl_run_plain(handle, x, b, out)) }
            }
          } else {
            try check(ttrl_run_packed(handle, x, product.packed[turn], out))
            turn = (turn + 1) % product.packed.count
          }
        }
      }
    }
  }
}

/// The matrix library reported an error.
package struct LibraryError: Error, CustomStringConvertible {
  var status: String
  package var description: String { "measuring the matrix library: it reports \(status)" }
}

private func check(_ status: Int32) throws {
  if status != 0 { throw LibraryError(status: String(cString: ttrl_status_name(status))) }
}
