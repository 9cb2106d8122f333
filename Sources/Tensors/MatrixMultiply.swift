// MatrixMultiply: products whose rows do not depend on each other, bit for bit.
//
// oneDNN chooses its code by shape, so a row's last bits may change with the number of rows beside it (they do, for
// bfloat16 on AMX). Here every product with weights runs in blocks of a fixed number of rows, a function of the
// weights' shape alone; a block that is not full is filled with rows of zeroes. Within a block, oneDNN's kernels work
// on a few rows at a time and treat a remainder differently (AVX2: 6 rows; of 32, the last two got other bits), so
// blocks are multiples of 48. Then a row always goes through the same code, wherever it stands and whatever it is
// multiplied together with. A test compares the bits. Not here: which thread multiplies what. oneDNN uses the calling
// thread only (COneDNN).

package import Base
import COneDNN
import Synchronization

/// A matrix multiplication that could not be prepared or run.
package enum MultiplicationError: Error, CustomStringConvertible {
  /// oneDNN has no bfloat16 code for this processor.
  case bfloat16Unsupported(isa: String)
  case failed(operation: String, shape: String, status: String)

  package var description: String {
    switch self {
    case .bfloat16Unsupported(let isa):
      "preparing bfloat16 matrix multiplications: oneDNN \(oneDNNVersion) has none for this processor (\(isa)); "
        + "expected AVX-512. Use --dtype float32"
    case .failed(let operation, let shape, let status):
      "\(operation) a matrix multiplication \(shape): oneDNN \(oneDNNVersion) says \(status). "
        + "Is the machine out of memory? Otherwise please report this line, with the processor and the oneDNN version"
    }
  }
}

/// The version of the oneDNN that is loaded, as "2.6.3".
package var oneDNNVersion: String { String(cString: ttrl_onednn_version()) }

/// The instruction set oneDNN uses at most, as "avx512_core_amx".
package var oneDNNInstructionSet: String { String(cString: ttrl_onednn_isa()) }

/// A multiplication compiled for one shape. Immutable; shared by all threads.
package final class CompiledMultiplication: @unchecked Sendable {
  let shape: ttrl_matmul_shape
  let handle: OpaquePointer
  /// A small number, unique in the process: the place of this multiplication in every `Multiplier`.
  let index: Int

  private static let cache = Mutex<[CompiledMultiplication]>([])

  private init(_ shape: ttrl_matmul_shape, index: Int) throws(MultiplicationError) {
    var handle: OpaquePointer?
    let status = ttrl_matmul_create(shape, &handle)
    guard status == 0, let handle else {
      if shape.dtype == DataType.bfloat16.code && statusName(status).contains("not implemented") {
        throw .bfloat16Unsupported(isa: oneDNNInstructionSet)
      }
      throw .failed(operation: "compiling", shape: shape.text, status: statusName(status))
    }
    self.shape = shape
    self.handle = handle
    self.index = index
  }

  deinit { ttrl_matmul_destroy(handle) }

  /// The process has one of each shape. They are few (a dozen per model), so a list is searched.
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
package final class PackedWeights: @unchecked Sendable {
  let multiplication: CompiledMultiplication
  let handle: OpaquePointer

  package var inputs: Int { Int(multiplication.shape.inner) }
  package var outputs: Int { Int(multiplication.shape.columns) }
  package var byteCount: Int { ttrl_packed_bytes(handle) }
  /// Products run in blocks of this many rows.
  package var blockRows: Int { Int(multiplication.shape.rows) }

  /// Packs [outputs, inputs] as a linear layer stores it, or, not `isTransposed`, [inputs, outputs]. In bfloat16 the
  /// values are rounded to nearest even. If it `accumulates`, products are added to what the result held.
  package init(
    _ weights: Matrix, isTransposed: Bool, type: DataType, accumulates: Bool = false
  ) throws(MultiplicationError) {
    let inputs = isTransposed ? weights.columns : weights.rows
    let outputs = isTransposed ? weights.rows : weights.columns
    multiplication = try .shared(
      ttrl_matmul_shape(
        rows: Int64(PackedWeights.blockRows(inputs: inputs, outputs: outputs)), inner: Int64(inputs),
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

  /// Small weights stay in the cache between blocks, and small blocks waste little; large ones are read from memory for
  /// every block, so blocks are larger. Measured on Sapphire Rapids: 32 rows reach 95 % of the speed of 128.
  package static func blockRows(inputs: Int, outputs: Int) -> Int { inputs * outputs <= 1 << 20 ? 48 : 96 }
}

/// No product runs in larger blocks: buffers with rows for a multiple of this can be multiplied by any weights.
package let blockRowsMax = 96

/// `count` rounded up to whole blocks of any multiplication.
package func roundedToBlocks(_ count: Int) -> Int { (count + blockRowsMax - 1) / blockRowsMax * blockRowsMax }

/// What one thread needs to multiply: oneDNN's argument objects and scratch. Not `Sendable`: one per thread.
package final class Multiplier {
  /// By `CompiledMultiplication.index`.
  private var calls: [OpaquePointer?] = []
  /// Keeps what the calls point to.
  private var kept: [CompiledMultiplication] = []

  package init() {}

  deinit {
    for call in calls {
      if let call { ttrl_call_destroy(call) }
    }
  }

  /// out[rows] = x[rows] · weights, or += where the weights accumulate.
  ///
  /// Both must have room for the last block (`roundedToBlocks`): x's rows from `rows` to the block's end become zero,
  /// out's are overwritten.
  package func multiply(
    _ x: Operand, rows: Int, by weights: PackedWeights, into out: Matrix
  ) throws(MultiplicationError) {
    let multiplication = weights.multiplication
    let block = weights.blockRows
    let blocks = (rows + block - 1) / block
    precondition(x.type.code == multiplication.shape.dtype, "weights and their input differ in type")
    precondition(x.columns == weights.inputs && out.columns == weights.outputs, "weights do not fit input or output")
    precondition(blocks * block <= x.rows && blocks * block <= out.rows, "no room for whole blocks of \(block) rows")
    x.clear(rows: rows..<blocks * block)
    let call = try call(for: multiplication)
    for index in 0..<blocks {
      let first = index * block
      let status = ttrl_run_packed(
        call, x.base + first * x.columns * x.type.bytes, weights.handle, out.base + first * out.columns)
      guard status == 0 else { throw failure(multiplication, status) }
    }
  }

  /// gradient[outputs, inputs] += dyᵀ · x for one chunk of rows: the gradient of a linear layer's weights.
  ///
  /// `dyTransposed` is [outputs, chunk], `x` [chunk, inputs]; rows beyond those in use must be zero in one of the two
  /// and finite in the other.
  package func addOuterProduct(
    _ dyTransposed: Operand, _ x: Operand, to gradient: Matrix
  ) throws(MultiplicationError) {
    precondition(dyTransposed.type == x.type, "the two factors differ in type")
    precondition(dyTransposed.columns == x.rows, "the two factors differ in their number of rows")
    precondition(
      gradient.rows == dyTransposed.rows && gradient.columns == x.columns,
      "the gradient does not have the product's shape")
    let multiplication = try CompiledMultiplication.shared(
      ttrl_matmul_shape(
        rows: Int64(gradient.rows), inner: Int64(x.rows), columns: Int64(x.columns), dtype: x.type.code,
        is_packed: false, accumulates: true))
    let status = ttrl_run_plain(try call(for: multiplication), dyTransposed.base, x.base, gradient.base)
    guard status == 0 else { throw failure(multiplication, status) }
  }

  private func call(for multiplication: CompiledMultiplication) throws(MultiplicationError) -> OpaquePointer {
    let index = multiplication.index
    if index < calls.count, let call = calls[index] { return call }
    var made: OpaquePointer?
    let status = ttrl_call_create(multiplication.handle, &made)
    guard status == 0, let made else { throw failure(multiplication, status) }
    calls.append(contentsOf: repeatElement(nil, count: max(0, index + 1 - calls.count)))
    calls[index] = made
    kept.append(multiplication)
    return made
  }

  private func failure(_ multiplication: CompiledMultiplication, _ status: Int32) -> MultiplicationError {
    .failed(operation: "running", shape: multiplication.shape.text, status: statusName(status))
  }
}

private func statusName(_ status: Int32) -> String { String(cString: ttrl_status_name(status)) }

extension DataType {
  /// The types that oneDNN can multiply on this processor. bfloat16 needs AVX-512.
  package static let supported = allCases.filter { type in
    let weights = Matrix(rows: 16, columns: 16)
    return (try? PackedWeights(weights, isTransposed: true, type: type)) != nil
  }

  var code: Int32 { self == .float32 ? 0 : 1 }
}

extension ttrl_matmul_shape {
  fileprivate func isSame(as other: ttrl_matmul_shape) -> Bool {
    rows == other.rows && inner == other.inner && columns == other.columns && dtype == other.dtype
      && is_packed == other.is_packed && accumulates == other.accumulates
  }

  fileprivate var text: String { "[\(rows), \(inner)] x [\(inner), \(columns)] \(dtype == 0 ? "float32" : "bfloat16")" }
}
