// DeltaRuleBackward: the backward pass of linear attention by the gated delta rule in one layer.
//
// Threads share the key heads, because their gradients are separate. Within one head, the responses of a prompt add to
// the gradients of the prompt's rows and of its last state in a fixed order. The states are computed again
// (CKernels/delta_backward.h), so a layer keeps nothing but its rows.

import Base
import Tensors

struct DeltaRuleBackward: MixerBackward {
  let pass: BackwardPass
  let weights: PreparedDeltaRule
  let names: ParameterLayout.DeltaRule
  let kept: DeltaRuleBuffers

  private var heads: DeltaHeads { weights.heads }
  private var kernels: Kernels { pass.kernels }
  private var dcore: Matrix { pass.scratch.dmixed(width: heads.valueWidth) }
  private var dprojected: Matrix { pass.scratch.dprojected(width: heads.width) }

  var projectedWidth: Int { heads.width }
  var projection: LinearWeights { weights.projection }
  var projections: [Int] { names.projections }

  /// Through the output projection, the gates and the norms of the value heads.
  func output(_ dy: Operand, _ rows: Range<Int>, _ room: Range<Int>) throws(ModelError) {
    let width = heads.valueWidth
    let dgated = pass.scratch.dgated.values[0..<room.count * width].rows(of: width)
    let dh = try pass.inputGradient(dy, rows.count, weights.output, dgated)
    try pass.weights(dy, dh, rows.count, x: kept.output[rows: room], weights.output, [names.output])
    let (gates, dgates, core) = (OutputGates(kept.projected, heads: heads)[rows: rows], dprojected, kept.core)
    pass.team.share(rows.count, unit: 8) { part, _ in
      let place = rows.lowerBound + part.lowerBound..<rows.lowerBound + part.upperBound
      let normed = pass.transformer.normCore(weights, core[rows: place], place: part)
      kernels.gateBackward(normed, by: gates[rows: part], dy: dgated[rows: part], dgates: dgates[rows: place])
    }
    let dcore = dcore[rows: rows]
    dcore.values.fill(0)
    let dimension = heads.valueDimension
    kernels.rmsNormBackward(
      core[rows: rows].values.rows(of: dimension), weight: weights.norm, epsilon: pass.epsilon,
      dy: dgated.values.rows(of: dimension), dx: dcore.values.rows(of: dimension), dweight: pass.tensor(names.norm),
      inverses: pass.scratch.inverses, team: pass.team)
  }

  func mix() {
    let (dcore, dprojected) = (dcore, dprojected)
    let groups = pass.batch.groups.map { $0.map(\.delta) }
    let gradients = DeltaGradients(
      convolution: pass.computedTensor(names.convolution), decayLog: pass.computedTensor(names.decayLog),
      stepBias: pass.computedTensor(names.stepBias))
    pass.team.share(heads.key) { keyHeads, thread in
      for group in groups {
        kernels.deltaRuleBackward(
          kept.projected, heads: heads, weights: weights.weights, keyHeads: keyHeads, group: group, dout: dcore,
          dprojected: dprojected, gradients: gradients, scratch: pass.scratch.mixer[thread])
      }
    }
  }

  func finish(_ rows: Range<Int>) {}
}
