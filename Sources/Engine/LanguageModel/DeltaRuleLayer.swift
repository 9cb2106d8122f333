// DeltaRuleLayer: a layer of linear attention by the gated delta rule, forward.
//
//   x ──norm──► q|k|v|z|b|a ──convolution, rule──► core ──norm of each head, gates silu(z)──output──► + x
//
// Threads share rows, except for the rule, where they share key heads: it takes a sequence's rows one after the other.
// The sampler has a state for each sequence (KeyValuePages). The trainer has all rows of a sequence at once; it needs
// the state of one prompt and one response at a time.
// Not here: the rule itself (CKernels/delta.h), the backward pass (DeltaRuleBackward.swift).

import Tensors

/// The scratch memory of one team.
final class DeltaRuleScratch {
  /// The normed results of a chunk's rows, before the gates.
  let normedCore: Matrix  // [chunk, H·V]
  /// The trainer's states.
  let states: DeltaStates
  /// By thread: scratch for `deltaRule`.
  fileprivate let rule: [Floats]

  init(_ heads: DeltaHeads, rows: Int, threads: Int) {
    normedCore = Matrix(rows: rows, columns: heads.valueWidth)
    states = DeltaStates(heads)
    rule = (0..<threads).map { _ in Floats(count: heads.scratchFloats) }
  }
}

extension Transformer {
  private var scratch: DeltaRuleScratch {
    guard let delta else { preconditionFailure("the model has no such layers") }
    return delta
  }

  /// The projections of the first `count` rows of `x`.
  func project(
    _ weights: PreparedDeltaRule, norm inputNorm: Floats?, x: Matrix, count: Int, buffers: DeltaRuleBuffers
  ) throws(ModelError) {
    norm(x, count: count, weight: inputNorm, into: normed)
    try multiply(normed, count, weights.projection, buffers.projected)
  }

  /// The rule for the rows of a list, whose sequences have states. `place`: the layer's number among those states.
  func runDeltaRule(_ weights: PreparedDeltaRule, rows: RowList, place: Int, buffers: DeltaRuleBuffers) {
    team.share(weights.heads.key) { keyHeads, thread in
      kernels.deltaRule(
        buffers.projected, heads: weights.heads, weights: weights.weights, keyHeads: keyHeads, rows: rows,
        layer: place, into: buffers.core, scratch: scratch.rule[thread])
    }
  }

  /// The rule for all segments of a batch.
  func runDeltaRule(_ weights: PreparedDeltaRule, segments: [DeltaSegment], buffers: DeltaRuleBuffers) {
    team.share(weights.heads.key) { keyHeads, thread in
      kernels.deltaRule(
        buffers.projected, heads: weights.heads, weights: weights.weights, keyHeads: keyHeads, segments: segments,
        states: scratch.states, into: buffers.core, scratch: scratch.rule[thread])
    }
  }

  /// The norms and gates of the first `count` rows of `buffers`, which has the rule's results.
  func finish(_ weights: PreparedDeltaRule, count: Int, buffers: DeltaRuleBuffers) {
    team.share(count, unit: 8) { part, _ in
      let normed = normCore(weights, buffers.core[rows: part], place: part)
      let gates = OutputGates(buffers.projected, heads: weights.heads)
      kernels.gate(normed, by: gates[rows: part], into: buffers.output[rows: part])
    }
  }

  /// The norms of each value head of some rows, at `place` of the scratch memory.
  func normCore(_ weights: PreparedDeltaRule, _ core: Matrix, place: Range<Int>) -> Matrix {
    let normed = scratch.normedCore[rows: place]
    let dimension = weights.heads.valueDimension
    kernels.rmsNorm(
      core.values.rows(of: dimension), weight: weights.norm, epsilon: plan.configuration.normEpsilon,
      into: Operand(viewing: normed.values.rows(of: dimension)))
    return normed
  }
}
