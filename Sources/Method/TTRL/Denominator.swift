// Denominator: how much a token's loss counts in the loss of its mini-batch.
//
// The loss is Σ w·L / divisor for every setting of `denominator`, with one weight w per sequence. Weights are relative
// (around 1), so that sums of gradients stay in the range of their fixed-point numbers. The token mean has weights of
// exactly 1. Weights depend on the lengths and on the order in which the seed drew the sequences, never on how the
// engine packs the sequences.

package import Records

/// The weights of a mini-batch's sequences, and the divisor of their weighted sum.
package struct LossScale: Sendable, Equatable {
  /// [S] the weight of each token, by sequence.
  package var weights: [Float]
  package var divisor: Double

  /// - Parameter lengths: [S] response tokens, in the order in which the sequences were drawn.
  package init(lengths: [Int], method: Method) {
    let tokens = Double(max(lengths.reduce(0, +), 1))
    let sequences = Double(max(lengths.count, 1))
    switch method.denominator {
    case .tokenMean:
      weights = lengths.map { _ in 1 }
      divisor = tokens
    case .microBatch:
      let size = method.denominatorSequences
      let pieces = stride(from: 0, to: lengths.count, by: size).map { lengths[$0..<min($0 + size, lengths.count)] }
      weights = pieces.flatMap { piece in
        let share = tokens / Double(pieces.count) / Double(max(piece.reduce(0, +), 1))
        return piece.map { _ in Float(share) }
      }
      divisor = tokens
    case .sequenceMean:
      weights = lengths.map { Float(tokens / sequences / Double(max($0, 1))) }
      divisor = tokens
    case .sequenceSum:
      weights = lengths.map { _ in 1 }
      divisor = sequences
    case .fixedLength:
      weights = lengths.map { _ in 1 }
      divisor = sequences * Double(method.sampling.maxNewTokens)
    }
  }
}
