// MatrixMultiply: products whose rows do not depend on each other, bit for bit.
//
// A linear layer y = x·Wᵀ needs three products: y itself, dx = dy·W and dW = dyᵀ·x. The project's own kernels
// (CKernels/multiply.h) add the terms of each element in a fixed order. So its bits depend only on its row and the
// weights, and are the same on every processor. One packed copy of the weights serves the forward and the backward
// pass. bfloat16 products have the order of an instruction, AMX's or vdpbf16ps's (`ProductOrder`); a processor that
// does not have the instruction widens the values and computes the same bits in float32. Not here: oneDNN's products,
// with which ours are compared (LibraryMultiply.swift).

package import Base
import CKernels
import COneDNN

/// What computes products: the project's own kernels, or, for comparison, oneDNN.
package enum MultiplicationMethod: Sendable {
  case kernels, library
}

/// The weights of a linear layer, laid out for multiplication. Immutable; shared by all threads.
package final class PackedWeights: Sendable {
  enum Form: Sendable {
    case kernels(Memory)
    /// `backward` is nil if the weights were not packed for training.
    case library(forward: LibraryWeights, backward: LibraryWeights?)
  }

  package let inputs: Int
  package let outputs: Int
  package let type: DataType
  /// Whether forward products are added to the previous contents of the result.
  package let accumulates: Bool
  let form: Form

  private init(outputs: Int, inputs: Int, type: DataType, accumulates: Bool, form: Form) {
    self.outputs = outputs
    self.inputs = inputs
    self.type = type
    self.accumulates = accumulates
    self.form = form
  }

  /// Packs [outputs, inputs]; in bfloat16 the values are rounded to nearest even.
  ///
  /// - Parameters:
  ///   - spare: memory for the packed weights, where it has a piece of the right size.
  ///   - rows: gives consecutive rows of the weights, a megabyte at a time.
  package convenience init(
    outputs: Int, inputs: Int, type: DataType, accumulates: Bool = false, team: Team? = nil,
    spare: SpareMemory? = nil, rows: (Range<Int>) -> Matrix
  ) {
    let bytes = PackedWeights.byteCount(inputs: inputs, outputs: outputs, type: type)
    let memory = spare?.take(byteCount: bytes) ?? Memory(byteCount: bytes)
    // Whole panels.
    let rowsAtATime = max(1, PackedWeights.valuesAtATime / max(1, inputs) / 16) * 16
    for start in stride(from: 0, to: outputs, by: rowsAtATime) {
      let part = rows(start..<min(start + rowsAtATime, outputs))
      share((part.rows + 15) / 16, team, unit: 1) { panels, _ in
        Kernels.best.pack(part, at: start, of: outputs, panels: panels, into: memory, type: type)
      }
    }
    self.init(outputs: outputs, inputs: inputs, type: type, accumulates: accumulates, form: .kernels(memory))
  }

  /// Packs [outputs, inputs] for the project's own kernels, or for oneDNN.
  ///
  /// - Parameter isForTraining: whether oneDNN's `multiplyBackward` will be called.
  /// - Throws: if oneDNN fails.
  package convenience init(
    _ weights: Matrix, type: DataType, accumulates: Bool = false, isForTraining: Bool = false,
    method: MultiplicationMethod = .kernels, team: Team? = nil, spare: SpareMemory? = nil
  ) throws(MultiplicationError) {
    switch method {
    case .kernels:
      self.init(
        outputs: weights.rows, inputs: weights.columns, type: type, accumulates: accumulates, team: team, spare: spare
      ) { weights[rows: $0] }
    case .library:
      self.init(
        outputs: weights.rows, inputs: weights.columns, type: type, accumulates: accumulates,
        form: .library(
          forward: try LibraryWeights(weights, isTransposed: true, type: type, accumulates: accumulates),
          backward: isForTraining ? try LibraryWeights(weights, isTransposed: false, type: type) : nil))
    }
  }

  /// Weights that were packed earlier, for the project's own kernels.
  package convenience init(
    packed memory: Memory, outputs: Int, inputs: Int, type: DataType, accumulates: Bool = false
  ) {
    let expected = PackedWeights.byteCount(inputs: inputs, outputs: outputs, type: type)
    precondition(memory.byteCount == expected, "\(memory.byteCount) bytes for \(outputs)x\(inputs) packed weights")
    self.init(outputs: outputs, inputs: inputs, type: type, accumulates: accumulates, form: .kernels(memory))
  }

  /// The packed form of the project's own kernels. It is the same on every processor and for both orders of products.
  package var memory: Memory {
    guard case .kernels(let memory) = form else { preconditionFailure("oneDNN's layout is not known") }
    return memory
  }

  /// How many values are read before they are packed: 1 MiB, so that a copy stays in the cache.
  private static let valuesAtATime = 1 << 18

  /// Bytes of the packed form that the project's own kernels use.
  package static func byteCount(inputs: Int, outputs: Int, type: DataType) -> Int {
    let unit = type == .bfloat16 ? 32 : 16
    return (inputs + unit - 1) / unit * unit * ((outputs + 15) / 16 * 16) * type.bytes
  }

  /// The memory of some weights, for others. Weights that are still used elsewhere keep theirs; so do those that are
  /// views of a file.
  package static func spare(of weights: [PackedWeights]) -> SpareMemory {
    SpareMemory(
      weights.compactMap { weights in
        guard case .kernels(let memory) = weights.form, memory.isWritable else { return nil }
        return memory
      })
  }

  /// The weights as the kernels read them: [inputs, outputs], or transposed.
  fileprivate func right(_ layout: ttrl_layout) -> ttrl_right {
    guard case .kernels(let memory) = form else { preconditionFailure("oneDNN has no products of columns") }
    let sides = layout == TTRL_PACKED ? (inputs, outputs) : (outputs, inputs)
    return ttrl_right(values: memory.base, inner: Int64(sides.0), columns: Int64(sides.1), layout: layout)
  }

  /// out = row `index` of the packed weights.
  package func copyRow(_ index: Int, to out: Floats) {
    guard case .kernels(let memory) = form else { preconditionFailure("oneDNN's layout is not known") }
    precondition(index >= 0 && index < outputs && out.count == inputs, "row \(index) of \(outputs) weights")
    Kernels.best.unpackRow(index, of: memory, weights: self, into: out)
  }
}

/// Weights that are multiplied with some columns of an input, and give some columns of a result.
package struct ColumnWeights: Sendable {
  package let weights: PackedWeights
  package let inputs: Range<Int>
  package let outputs: Range<Int>

  package init(_ weights: PackedWeights, inputs: Range<Int>, outputs: Range<Int>) {
    precondition(
      weights.inputs == inputs.count && weights.outputs == outputs.count, "the columns are not those of the weights")
    self.weights = weights
    self.inputs = inputs
    self.outputs = outputs
  }
}

/// Computes products with a team of threads and its scratch. Not `Sendable`: one per team.
package final class Multiplier {
  package let team: Team
  private let kernels: Kernels
  private let order: ProductOrder
  private let scratch: [Floats]
  private lazy var library = LibraryMultiplier(team)

  /// Of each thread of the team.
  package static let scratchBytes = 4 * Int(TTRL_MULTIPLY_SCRATCH)

  /// - Parameter order: of bfloat16 products.
  package init(_ team: Team = Team(1), kernels: Kernels = .best, order: ProductOrder) {
    self.team = team
    self.kernels = kernels
    self.order = order
    scratch = (0..<team.size).map { _ in Floats(count: Int(TTRL_MULTIPLY_SCRATCH)) }
  }

  /// out[rows] = x[rows] · weightsᵀ, or += if the weights accumulate.
  ///
  /// Both have room for the whole last block (`roundedToBlocks`). Rows from `rows` to its end can be overwritten.
  package func multiply(
    _ x: Operand, rows: Int, by weights: PackedWeights, into out: Matrix
  ) throws(MultiplicationError) {
    check(x, rows, weights.type, inputs: weights.inputs, out, outputs: weights.outputs)
    switch weights.form {
    case .library(let forward, _): try library.multiply(x, rows: rows, by: forward, into: out)
    case .kernels:
      multiply(x, rows, weights.right(TTRL_PACKED), out, adds: weights.accumulates)
    }
  }

  /// dx[rows] = dy[rows] · weights, or += if `adds`: the gradient of a linear layer's input.
  package func multiplyBackward(
    _ dy: Operand, rows: Int, by weights: PackedWeights, into dx: Matrix, adds: Bool = false
  ) throws(MultiplicationError) {
    check(dy, rows, weights.type, inputs: weights.outputs, dx, outputs: weights.inputs)
    switch weights.form {
    case .library(_, let backward):
      guard let backward, !adds else { preconditionFailure("the weights were not packed for this product") }
      try library.multiply(dy, rows: rows, by: backward, into: dx)
    case .kernels:
      multiply(dy, rows, weights.right(TTRL_PACKED_TRANSPOSED), dx, adds: adds)
    }
  }

  /// out[rows, outputs] += x[rows, inputs] · weightsᵀ, for each part. No column of `out` is in two parts.
  package func addColumns(_ x: Operand, rows: Int, by parts: [ColumnWeights], into out: Matrix) {
    multiplyColumns(x, rows, parts.map { ($0.inputs, $0.weights, $0.outputs) }, TTRL_PACKED, out, adds: true)
  }

  /// dx[rows, inputs] = dy[rows, outputs] · weights, for each part. No column of `dx` is in two parts.
  package func multiplyColumnsBackward(_ dy: Operand, rows: Int, by parts: [ColumnWeights], into dx: Matrix) {
    multiplyColumns(
      dy, rows, parts.map { ($0.outputs, $0.weights, $0.inputs) }, TTRL_PACKED_TRANSPOSED, dx, adds: false)
  }

  /// For each part, the product of columns of `factor`, `from`, and the weights: the columns `to` of `out`.
  private func multiplyColumns(
    _ factor: Operand, _ rows: Int, _ parts: [(from: Range<Int>, weights: PackedWeights, to: Range<Int>)],
    _ layout: ttrl_layout, _ out: Matrix, adds: Bool
  ) {
    precondition(rows <= factor.rows && rows <= out.rows, "factor or result has fewer than \(rows) rows")
    let products = parts.map { part in
      precondition(part.weights.type == factor.type, "the types of weights and factor differ")
      precondition(
        part.from.lowerBound >= 0 && part.from.upperBound <= factor.columns && part.to.lowerBound >= 0
          && part.to.upperBound <= out.columns, "the weights' columns are outside the factor or the result")
      return Product(
        left: ttrl_left(
          values: factor.base + part.from.lowerBound * factor.type.bytes, stride: Int64(factor.columns),
          is_transposed: false),
        right: part.weights.right(layout), out: out.base + part.to.lowerBound)
    }
    multiply(products, rows, stride: out.columns, adds: adds, factor.type)
  }

  /// gradient[outputs, inputs] += dyᵀ · x of the first `rows` rows of one chunk: the gradient of a linear layer's
  /// weights.
  ///
  /// The layer's outputs are the columns `outputs` of `dy`. Rows beyond `rows` must be finite; they can be overwritten.
  package func addOuterProduct(
    _ dy: Operand, outputs: Range<Int>, _ x: Operand, rows: Int, to gradient: Matrix,
    method: MultiplicationMethod = .kernels
  ) throws(MultiplicationError) {
    precondition(dy.type == x.type, "the types of the two factors differ")
    precondition(dy.rows == x.rows && rows <= x.rows, "the numbers of rows of the two factors differ")
    precondition(
      gradient.rows == outputs.count && gradient.columns == x.columns && outputs.upperBound <= dy.columns
        && outputs.lowerBound >= 0, "the gradient does not have the product's shape")
    if method == .library {
      return try library.addOuterProduct(dy, outputs: outputs, x, rows: rows, to: gradient)
    }
    let right = ttrl_right(
      values: x.base, inner: Int64(rows), columns: Int64(x.columns), layout: TTRL_ROW_MAJOR)
    let (panels, rowsAtATime) = ((x.columns + 15) / 16, 48)
    func multiply(_ rows: Range<Int>, _ panels: Range<Int>, _ part: Int) {
      let left = ttrl_left(
        values: dy.base + (outputs.lowerBound + rows.lowerBound) * dy.type.bytes, stride: Int64(dy.columns),
        is_transposed: true)
      kernels.multiply(
        left, right, rows: rows.count, panels: panels, out: gradient.base + rows.lowerBound * gradient.columns,
        stride: gradient.columns, adds: true, order: x.type == .bfloat16 ? order : nil, scratch: scratch[part])
    }
    // Few outputs (an adapter's) do not keep the threads busy.
    if (gradient.rows + rowsAtATime - 1) / rowsAtATime < team.size, panels > gradient.rows {
      team.share(panels, unit: 2) { multiply(0..<gradient.rows, $0, $1) }
    } else {
      team.share(gradient.rows, unit: rowsAtATime) { multiply($0, 0..<panels, $1) }
    }
  }

  private func multiply(_ x: Operand, _ rows: Int, _ right: ttrl_right, _ out: Matrix, adds: Bool) {
    let left = ttrl_left(values: x.base, stride: Int64(x.columns), is_transposed: false)
    team.share((out.columns + 15) / 16, unit: 2) { panels, part in
      kernels.multiply(
        left, right, rows: rows, panels: panels, out: out.base, stride: out.columns, adds: adds,
        order: x.type == .bfloat16 ? order : nil, scratch: scratch[part])
    }
  }

  /// One of several products that the team computes together.
  private struct Product {
    var left: ttrl_left
    var right: ttrl_right
    var out: UnsafeMutablePointer<Float>

    var panels: Int { (Int(right.columns) + 15) / 16 }
  }

  /// The threads share the panels of all products.
  private func multiply(_ products: [Product], _ rows: Int, stride: Int, adds: Bool, _ type: DataType) {
    team.share(products.reduce(0) { $0 + $1.panels }, unit: 2) { range, part in
      var first = 0
      for product in products {
        let panels = range.clamped(to: first..<first + product.panels)
        if !panels.isEmpty {
          kernels.multiply(
            product.left, product.right, rows: rows, panels: panels.lowerBound - first..<panels.upperBound - first,
            out: product.out, stride: stride, adds: adds, order: type == .bfloat16 ? order : nil,
            scratch: scratch[part])
        }
        first += product.panels
      }
    }
  }

  private func check(
    _ x: Operand, _ rows: Int, _ type: DataType, inputs: Int, _ out: Matrix, outputs: Int
  ) {
    precondition(x.type == type, "the types of weights and input differ")
    precondition(x.columns == inputs && out.columns == outputs, "weights do not fit input or output")
    precondition(rows <= x.rows && rows <= out.rows, "input or output has fewer than \(rows) rows")
  }
}
