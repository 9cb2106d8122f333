// AdapterPass: what an adapter adds to the products of linear layers, forward and backward.
//
// Forward, for the sampler and the trainer alike: first the product with the base's weights, then h, then h·Bᵀ, added
// to the columns of each part. Backward, with dy, the gradient of the outputs, and dh = scale · (dy·B), rounded to the
// model's type: dx = dy·W + dh·A, dA += dhᵀ·x, dB += dyᵀ·h. The base is frozen, so its weights have no gradient. h is
// computed again.

import Base
import Tensors

/// Scratch memory of one team.
final class AdapterScratch {
  private let values: Matrix  // [chunk, widest h]
  private let factor: Operand

  /// - Parameter rows: whole blocks.
  init(_ layout: AdapterLayout, rows: Int, type: DataType) {
    values = Matrix(rows: rows, columns: layout.widthMax)
    factor = Operand(rows: rows, columns: layout.widthMax, type: type)
  }

  func values(width: Int) -> Matrix { values.values[0..<values.rows * width].rows(of: width) }

  func factor(width: Int) -> Operand { factor.reshaped(rows: factor.rows, columns: width) }
}

extension Transformer {
  /// out[0..<rows] = x · weightsᵀ, or += if the weights accumulate, and what the adapter adds.
  func multiply(_ x: Operand, _ rows: Int, _ weights: LinearWeights, _ out: Matrix) throws(ModelError) {
    try multiply(x, rows, weights.packed, out)
    guard let adapter = weights.adapter else { return }
    multiplier.addColumns(try hidden(x, rows, adapter), rows: rows, by: adapter.up, into: out)
  }

  /// h = scale · (x·Aᵀ), valid until the next h.
  func hidden(_ x: Operand, _ rows: Int, _ adapter: PackedAdapter) throws(ModelError) -> Operand {
    guard let scratch = adapterScratch else { preconditionFailure("the plan has no adapter") }
    let values = scratch.values(width: adapter.width)
    try multiply(x, rows, adapter.down, values)
    return scaled(values, rows, by: adapter.scale, into: scratch.factor(width: adapter.width))
  }

  /// The first rows of `values`, multiplied, as a factor. `values` is overwritten.
  func scaled(_ values: Matrix, _ rows: Int, by scale: Float, into factor: Operand) -> Operand {
    let part = values[rows: 0..<rows]
    kernels.scale(part.values, by: scale, into: part.values)
    kernels.convert(part, into: factor)
    return factor
  }
}

/// Scratch memory of one team's backward pass.
final class AdapterBackwardScratch {
  fileprivate let gradient: AdapterScratch
  /// One part's h.
  fileprivate let part: Operand

  init(_ layout: AdapterLayout, type: DataType) {
    let rows = Backpropagation.chunkRows
    gradient = AdapterScratch(layout, rows: rows, type: type)
    part = Operand(rows: rows, columns: layout.configuration.rank, type: type)
  }
}

extension BackwardPass {
  /// dx = the gradient of what linear layers read.
  ///
  /// - Returns: dh, for the gradients of their weights; nil without an adapter. Valid until the next dh.
  func inputGradient(
    _ dy: Operand, _ rows: Int, _ weights: LinearWeights, _ dx: Matrix
  ) throws(ModelError) -> Operand? {
    try transformer.multiplyBackward(dy, rows, weights.packed, dx)
    guard let adapter = weights.adapter, let scratch = scratch.adapter else { return nil }
    let values = scratch.gradient.values(width: adapter.width)
    transformer.multiplier.multiplyColumnsBackward(dy, rows: rows, by: adapter.up, into: values)
    let dh = transformer.scaled(values, rows, by: adapter.scale, into: scratch.gradient.factor(width: adapter.width))
    try transformer.multiplyBackward(dh, rows, adapter.down, dx, adds: true)
    return dh
  }

  /// dA and dB of the adapter of linear layers whose input is x.
  func adapterGradients(
    _ dy: Operand, _ dh: Operand, _ rows: Int, x: Operand, _ adapter: PackedAdapter
  ) throws(ModelError) {
    guard let part = scratch.adapter?.part else { preconditionFailure("the plan has no adapter") }
    let h = try transformer.hidden(x, rows, adapter)
    for (weights, names) in zip(adapter.up, adapter.group.parts) {
      h.copy(columns: weights.inputs, rows: rows, to: part)
      try addOuterProduct(
        dy, outputs: weights.outputs, part, rows: rows, to: gradient[names.up].rows(of: part.columns))
    }
    try addOuterProduct(
      dh, outputs: 0..<adapter.width, x, rows: rows, to: gradient[adapter.group.down].rows(of: x.columns))
  }
}
