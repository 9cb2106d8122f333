// AdapterMerge: a base with an adapter as a model of its own, with the weights W + scale · B·A.
//
// The sum is computed in float32 from the base's stored values, piece by piece, so a model of any size needs little
// memory. Here the change of a weight is rounded together with the weight, so a type with few bits loses small changes.
// That is why ttrl itself samples and trains with the two apart (AdapterPass.swift).
// Not here: writing the files.

package import Tensors

/// Consecutive weights of a merged model.
package struct MergedPiece {
  /// The tensor that they are a part of, as files have it.
  package let tensor: ParameterTensor
  package let values: Floats
  /// The base's values, if the adapter changes the tensor.
  package let base: Floats?
}

extension AdapterLayout {
  /// Floats of a piece, at most: 4 MiB. A row is never cut.
  private static let pieceFloats = 1 << 20

  /// Calls `body` with all weights of the merged model, in the order of the model's layout.
  ///
  /// - Parameters:
  ///   - parameters: the adapter's, [tensors.count].
  ///   - base: the model's.
  ///   - layout: the model's.
  /// - Throws: what `body` throws.
  package func forEachMergedPiece(
    _ parameters: Floats, of base: ParameterSource, _ layout: ParameterLayout, _ body: (MergedPiece) throws -> Void
  ) throws {
    precondition(parameters.count == tensors.count, "\(parameters.count) values for an adapter of \(tensors.count)")
    // Looked up, never iterated.
    let own = Dictionary(tensors.stored.map { ($0.name, $0) }) { first, _ in first }
    for tensor in layout.stored {
      let module = Self.namePrefix + tensor.name.dropLast(".weight".count)
      let down = own[module + Self.downSuffix].map { parameters[$0.range] }
      let up = own[module + Self.upSuffix].map { parameters[$0.range] }
      let (rows, columns) = (tensor.shape[0], tensor.count / tensor.shape[0])
      let step = max(1, Self.pieceFloats / columns)
      for first in stride(from: 0, to: rows, by: step) {
        let range = first..<min(first + step, rows)
        let start = tensor.offset
        let values = base.values(start + range.lowerBound * columns..<start + range.upperBound * columns)
        guard let down, let up else {
          try body(MergedPiece(tensor: tensor, values: values, base: nil))
          continue
        }
        let rank = configuration.rank
        let merged = sum(
          values.rows(of: columns), down: down.rows(of: columns),
          up: up[range.lowerBound * rank..<range.upperBound * rank].rows(of: rank))
        try body(MergedPiece(tensor: tensor, values: merged, base: values))
      }
    }
  }

  /// weights + scale · up·down.
  private func sum(_ weights: Matrix, down: Matrix, up: Matrix) -> Floats {
    let merged = Matrix(rows: weights.rows, columns: weights.columns)
    merged.values.copy(from: weights.values)
    let change = Floats(count: weights.columns)
    for row in 0..<weights.rows {
      change.fill(0)
      for index in 0..<down.rows { Kernels.best.add(down.row(index), times: up.row(row)[index], to: change) }
      Kernels.best.add(change, times: configuration.scale, to: merged.row(row))
    }
    return merged.values
  }
}
