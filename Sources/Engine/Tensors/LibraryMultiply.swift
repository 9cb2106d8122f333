// LibraryMultiply: the products of MatrixMultiply, computed by oneDNN in blocks of a fixed number of rows, for
// comparison: no run uses them.
//
// oneDNN chooses its code by shape, so a row's last bits can change with the number of rows in the product (they do,
// for bfloat16 on AMX). So every product with weights runs in blocks whose number of rows depends only on the weights'
// shape; a block that is not full is filled with rows of zeroes. Within a block, oneDNN's kernels compute a few rows at
// a time and can treat a remainder differently (AVX2: 6 rows at a time; of 32 rows, the last two got other bits), so
// the number of rows is a multiple of 48. Then a row always goes through the same code, wherever it is in a block and
// whatever the other rows are. A test compares the bits. oneDNN uses only the calling thread (COneDNN); the blocks are
// divided among the threads here.

import Base
import COneDNN
import Synchronization

/// A matrix multiplication that could not be prepared or run.
package enum MultiplicationError: Error, CustomStringConvertible {
  case failed(operation: String, shape: String, status: String)

  package var description: String {
    switch self {
    case .failed(let operation, let shape, let status):
      "\(operation) a matrix multiplication \(shape): oneDNN \(oneDNNVersion) reports \(status). "
        + "Is the machine out of memory? If not, please report this line and the processor"
    }
  }
}

/// The version of the loaded oneDNN library, for example "2.6.3".
package var oneDNNVersion: String { String(cString: ttrl_onednn_version()) }

/// The highest instruction set that oneDNN uses, for example "avx512_core_amx".
package var oneDNNInstructionSet: String { String(cString: ttrl_onednn_isa()) }

/// A multiplication compiled for one shape. Immutable; shared by all threads.
final class CompiledMultiplication: @unchecked Sendable {
  let shape: ttrl_matmul_shape
  let handle: OpaquePointer
  /// A small number, unique in the process: the index of this multiplication in every `LibraryCalls`.
  let index: Int

  private static let cache = Mutex<[CompiledMultiplication]>([])

  private init(_ shape: ttrl_matmul_shape, index: Int) throws(MultiplicationError) {
    var handle: OpaquePointer?
    let status = ttrl_matmul_create(shape, &handle)
    guard status == 0, let handle else {
      throw .failed(operation: "compiling", shape: shape.text, status: statusName(status))
    }
    self.shape = shape
    self.handle = handle
    self.index = index
  }

  deinit { ttrl_matmul_destroy(handle) }

  /// The process has one multiplication of each shape. There are few (a dozen per model), so a list is enough.
  static func shared(_ shape: ttrl_matmul_shape) throws(MultiplicationError) -> CompiledMultiplication {
    try cache.withLock { list throws(MultiplicationError) in
      if let found = list.first(where: { $0.shape.isSame(as: shape) }) { return found }
      let made = try CompiledMultiplication(shape, index: list.count)
      list.append(made)
      return made
    }
  }
}

/// A weight matrix in oneDNN's own layout. Immutable; shared by all threads.
final class LibraryWeights: @unchecked Sendable {
  let multiplication: CompiledMultiplication
  let handle: OpaquePointer

  var inputs: Int { Int(multiplication.shape.inner) }
  var outputs: Int { Int(multiplication.shape.columns) }
  /// Products run in blocks of this many rows.
  var blockRows: Int { Int(multiplication.shape.rows) }

  /// Packs weights. With `isTransposed` they are [outputs, inputs], as a linear layer stores them, else
  /// [inputs, outputs].
  init(
    _ weights: Matrix, isTransposed: Bool, type: DataType, accumulates: Bool = false
  ) throws(MultiplicationError) {
    let inputs = isTransposed ? weights.columns : weights.rows
    let outputs = isTransposed ? weights.rows : weights.columns
    multiplication = try .shared(
      ttrl_matmul_shape(
        rows: Int64(LibraryWeights.blockRows(inputs: inputs, outputs: outputs)), inner: Int64(inputs),
        columns: Int64(outputs), dtype: type.code, is_packed: true, accumulates: accumulates))
    var packed: OpaquePointer?
    let status = ttrl_pack(multiplication.handle, weights.base, isTransposed, &packed)
    guard status == 0, let packed else {
      throw .failed(
        operation: "packing weights for", shape: multiplication.shape.text, status: statusName(status))
    }
    handle = packed
  }

  deinit { ttrl_packed_destroy(handle) }

  /// Small weights stay in the cache from one block to the next, so blocks can be small, which wastes few rows. Large
  /// weights are read from memory for every block, so blocks are larger. Measured on Sapphire Rapids: blocks of 32 rows
  /// reach 95 % of the speed of 128.
  static func blockRows(inputs: Int, outputs: Int) -> Int { inputs * outputs <= 1 << 20 ? 48 : 96 }
}

/// The rows of the largest block. A buffer whose rows are a multiple of this can be multiplied by any weights.
package let blockRowsMax = 96

/// `count` rounded up to whole blocks of any multiplication.
package func roundedToBlocks(_ count: Int) -> Int { (count + blockRowsMax - 1) / blockRowsMax * blockRowsMax }

/// What a team of threads needs to multiply with oneDNN: argument objects and scratch for every thread.
final class LibraryMultiplier {
  private let team: Team
  private let calls: [LibraryCalls]
  private var transposed = Memory(byteCount: 0)

  init(_ team: Team) {
    self.team = team
    calls = (0..<team.size).map { _ in LibraryCalls() }
  }

  /// out[rows] = x[rows] · weights, or += if the weights accumulate. From `rows` to the end of the last block, x's rows
  /// become zero and out's rows are overwritten.
  func multiply(_ x: Operand, rows: Int, by weights: LibraryWeights, into out: Matrix) throws(MultiplicationError) {
    let block = weights.blockRows
    let blocks = (rows + block - 1) / block
    precondition(blocks * block <= x.rows && blocks * block <= out.rows, "no room for whole blocks of \(block) rows")
    x.clear(rows: rows..<blocks * block)
    try onAllThreads(blocks, weights.multiplication) { call, range in
      for index in range {
        let first = index * block
        let status = ttrl_run_packed(
          call, x.base + first * x.columns * x.type.bytes, weights.handle, out.base + first * out.columns)
        if status != 0 { return status }
      }
      return 0
    }
  }

  /// gradient[outputs, inputs] += dyᵀ · x. The inner dimension is always that of a whole chunk.
  func addOuterProduct(
    _ dy: Operand, outputs: Range<Int>, _ x: Operand, rows: Int, to gradient: Matrix
  ) throws(MultiplicationError) {
    let chunk = x.rows
    x.clear(rows: rows..<chunk)
    let byteCount = dy.columns * chunk * dy.type.bytes
    if transposed.byteCount < byteCount { transposed = Memory(byteCount: byteCount) }
    let dyTransposed = Operand(memory: transposed, rows: dy.columns, columns: chunk, type: dy.type)
    Kernels.best.transpose(dy, rows: rows, into: dyTransposed)
    // In pieces that the threads divide among themselves: whole ones, and one for the rest.
    let piece = LibraryMultiplier.outerRows
    let whole = gradient.rows / piece
    for (first, count, rows) in [(0, whole, piece), (whole * piece, 1, gradient.rows % piece)] where count * rows > 0 {
      let multiplication = try CompiledMultiplication.shared(
        ttrl_matmul_shape(
          rows: Int64(rows), inner: Int64(chunk), columns: Int64(x.columns), dtype: x.type.code, is_packed: false,
          accumulates: true))
      let left = dyTransposed.base + (outputs.lowerBound + first) * chunk * dy.type.bytes
      try onAllThreads(count, multiplication) { call, range in
        for index in range {
          let status = ttrl_run_plain(
            call, left + index * rows * chunk * dy.type.bytes, x.base,
            gradient.base + (first + index * rows) * gradient.columns)
          if status != 0 { return status }
        }
        return 0
      }
    }
  }

  /// How many rows of a gradient one thread computes at a time.
  private static let outerRows = 384

  /// Divides 0..<count among the threads. `body` returns oneDNN's status.
  private func onAllThreads(
    _ count: Int, _ multiplication: CompiledMultiplication, _ body: (OpaquePointer, Range<Int>) -> Int32
  ) throws(MultiplicationError) {
    let worst = Atomic<Int32>(0)
    team.share(count) { range, part in
      var status: Int32 = 0
      if let call = calls[part].call(for: multiplication, &status) { status = body(call, range) }
      if status != 0 { worst.store(status, ordering: .relaxed) }
    }
    let status = worst.load(ordering: .relaxed)
    guard status == 0 else {
      throw .failed(operation: "running", shape: multiplication.shape.text, status: statusName(status))
    }
  }
}

/// One thread's argument objects.
private final class LibraryCalls {
  /// By `CompiledMultiplication.index`.
  private var calls: [OpaquePointer?] = []
  /// Keeps alive what the calls point to.
  private var kept: [CompiledMultiplication] = []

  deinit {
    for call in calls {
      if let call { ttrl_call_destroy(call) }
    }
  }

  func call(for multiplication: CompiledMultiplication, _ status: inout Int32) -> OpaquePointer? {
    let index = multiplication.index
    if index < calls.count, let call = calls[index] { return call }
    var made: OpaquePointer?
    status = ttrl_call_create(multiplication.handle, &made)
    guard status == 0, let made else { return nil }
    calls.append(contentsOf: repeatElement(nil, count: max(0, index + 1 - calls.count)))
    calls[index] = made
    kept.append(multiplication)
    return made
  }
}

private func statusName(_ status: Int32) -> String { String(cString: ttrl_status_name(status)) }

extension DataType {
  fileprivate var code: Int32 { self == .float32 ? 0 : 1 }
}

extension ttrl_matmul_shape {
  fileprivate func isSame(as other: ttrl_matmul_shape) -> Bool {
    rows == other.rows && inner == other.inner && columns == other.columns && dtype == other.dtype
      && is_packed == other.is_packed && accumulates == other.accumulates
  }

  fileprivate var text: String { "[\(rows), \(inner)] x [\(inner), \(columns)] \(dtype == 0 ? "float32" : "bfloat16")" }
}
