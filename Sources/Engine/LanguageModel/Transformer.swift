// Transformer: computes rows through the layers, for the sampler and for the trainer.
//
// A row is one token of one sequence. Rows of different sequences and positions go through a layer together. A row
// depends on other rows only in attention, where it reads the pages of its own sequence. Sampler and trainer call the
// same functions, with the same kernels and the same blocks. So a row's bits do not depend on its batch (batch
// invariance), and the sampler's log-probabilities equal the trainer's. The residual stream is float32; the inputs of
// matrix multiplications have the model's type.
//
//   x  ──norm──► q|k|v ──bias, norms, rotation──► attention over pages ──output──► + x   (project, attend)
//   x  ──norm──► q|k|v|z|b|a ──delta rule, norm, gates──output──► + x                    (DeltaRuleLayer.swift)
//   x  ──norm──► gate|up ──silu(gate)·up──► down ──► + x                                 (feedForward)
//
// In some models, a block's norm is after its last product, or there is one before and one after; or what the block
// computes is multiplied with a number. Then the product goes to a buffer first (add).
//
// Not here: where sequences come from (Generator, Backpropagation), the backward pass (BackwardPass).

import Tensors

/// Computes layers with one team of threads. It owns scratch memory whose contents are not needed afterwards.
final class Transformer {
  let plan: TransformerPlan
  let team: Team
  let multiplier: Multiplier
  let kernels = Kernels.best
  /// How many rows go through a layer at a time.
  let chunkRows: Int
  let normed: Operand  // [chunk, C]
  let activated: Operand  // [chunk, F]
  /// What a block computes, if it is not added as it is: before and after the norm.
  private let product: Matrix  // [chunk, C]
  private let normedProduct: Matrix
  /// By thread: scratch for attention.
  private var scores: [Floats] = []
  /// What `deltaRule` layers need; nil if there are none.
  let delta: DeltaRuleScratch?
  /// What an adapter needs; nil if there is none.
  let adapterScratch: AdapterScratch?
  /// By thread: scratch for distributions.
  private let ranking: [DistributionScratch]

  init(_ plan: TransformerPlan, chunkRows: Int, team: Team) {
    self.plan = plan
    self.team = team
    multiplier = Multiplier(team, order: plan.products)
    self.chunkRows = chunkRows
    let rows = roundedToBlocks(chunkRows)
    normed = Operand(rows: rows, columns: plan.configuration.hiddenSize, type: plan.type)
    activated = Operand(rows: rows, columns: plan.configuration.feedForwardSize, type: plan.type)
    let productRows = plan.configuration.addsBlocksDirectly ? 0 : rows
    product = Matrix(rows: productRows, columns: plan.configuration.hiddenSize)
    normedProduct = Matrix(rows: productRows, columns: plan.configuration.hiddenSize)
    delta = plan.configuration.deltaHeads.map { DeltaRuleScratch($0, rows: rows, threads: team.size) }
    adapterScratch = plan.adapter.map { AdapterScratch($0, rows: rows, type: plan.type) }
    ranking = (0..<team.size).map { _ in DistributionScratch(vocabularySize: plan.configuration.vocabularySize) }
  }

  /// normed[0..<count] = what a block reads: the norms of the first `count` rows of x, or those rows if it has none.
  func norm(_ x: Matrix, count: Int, weight: Floats?, into normed: Operand) {
    team.share(count, unit: 8) { range, _ in
      guard let weight else { return kernels.convert(x[rows: range], into: normed[rows: range]) }
      kernels.rmsNorm(
        x[rows: range], weight: weight, epsilon: plan.configuration.normEpsilon, into: normed[rows: range])
    }
  }

  /// The distributions of the first `count` rows of logits; nil for a row that is not finite. The rows are overwritten
  /// with their z values.
  func distributions(of logits: Matrix, count: Int, _ settings: DistributionSettings) -> [TokenDistribution?] {
    let settings = settings.dividing(by: plan.configuration.logitDivisor)
    return [TokenDistribution?](unsafeUninitializedCapacity: count) { found, initialized in
      team.share(count) { range, part in
        for row in range {
          found.initializeElement(at: row, to: settings.apply(to: logits.row(row), scratch: ranking[part]))
        }
      }
      initialized = count
    }
  }

  /// x += what a layer mixes from the positions of each sequence, for all rows of the list.
  func mix(
    _ model: PreparedModel, layer index: Int, x: Matrix, rows: RowList, buffers: LayerBuffers
  ) throws(ModelError) {
    let layer = model.layers[index]
    let (place, range) = (plan.places[index], 0..<rows.count)
    switch (layer.mixer, buffers.mixer) {
    case (.attention(let weights), .attention(let attention)):
      try project(
        weights, norm: layer.mixerNorms.before, x: x, rows: rows, range: range, buffers: attention, pageLayer: place)
      attend(weights, rows: rows, range: range, buffers: attention, pageLayer: place)
    case (.deltaRule(let weights), .deltaRule(let delta)):
      try project(weights, norm: layer.mixerNorms.before, x: x, count: rows.count, buffers: delta)
      runDeltaRule(weights, rows: rows, place: place, buffers: delta)
      finish(weights, count: rows.count, buffers: delta)
    default: preconditionFailure("the buffers are for another kind of layer")
    }
    try addMixed(model, layer: index, to: x, count: rows.count, buffers: buffers)
  }

  /// x += what the layer's mixer computed.
  func addMixed(
    _ model: PreparedModel, layer index: Int, to x: Matrix, count: Int, buffers: LayerBuffers
  ) throws(ModelError) {
    let layer = model.layers[index]
    try add(
      buffers.mixer.output, layer.mixer.output, norm: layer.mixerNorms.after, product: buffers.blocks.mixerProduct,
      to: x, count: count)
  }

  /// x[0..<count] += what a block computes: the product of `input` and `weights`, its norm if the block has one, and
  /// the model's factor.
  ///
  /// - Parameter product: gets the product before the norm; nil without a norm.
  private func add(
    _ input: Operand, _ weights: LinearWeights, norm weight: Floats?, product kept: Matrix?, to x: Matrix, count: Int
  ) throws(ModelError) {
    if plan.configuration.addsBlocksDirectly { return try multiply(input, count, weights, x) }
    let product = kept ?? product
    try multiply(input, count, weights, product)
    team.share(count, unit: 8) { rows, _ in
      var added = product[rows: rows]
      if let weight {
        added = normedProduct[rows: rows]
        kernels.rmsNorm(
          product[rows: rows], weight: weight, epsilon: plan.configuration.normEpsilon, into: Operand(viewing: added))
      }
      kernels.add(added.values, times: plan.configuration.residualScale, to: x[rows: rows].values)
    }
  }

  /// Computes queries, keys and values of `rows[range]` from the first `range.count` rows of `x`. Keys and values are
  /// stored in the rows' pages; `pageLayer` is the index of the layer there.
  func project(
    _ weights: PreparedAttention, norm inputNorm: Floats?, x: Matrix, rows: RowList, range: Range<Int>,
    buffers: AttentionBuffers, pageLayer: Int
  ) throws(ModelError) {
    let count = range.count
    norm(x, count: count, weight: inputNorm, into: normed)
    try multiply(normed, count, weights.queryKeyValue, buffers.queryKeyValue)
    if let raw = buffers.rawQueryKeyValue {
      raw[rows: 0..<count].values.copy(from: buffers.queryKeyValue[rows: 0..<count].values, team: team)
      if let bias = weights.finish.bias {
        for row in 0..<count { kernels.add(bias, to: raw.row(row)) }
      }
    }
    team.share(count, unit: 8) { part, _ in
      kernels.finishQueryKeyValue(
        buffers.queryKeyValue[rows: part], heads: plan.heads, finish: weights.finish, rows: rows,
        range: range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound, layer: pageLayer)
    }
  }

  /// buffers.output = attention of `rows[range]`. All keys that the rows attend to are in their pages.
  func attend(
    _ weights: PreparedAttention, rows: RowList, range: Range<Int>, buffers: AttentionBuffers, pageLayer: Int
  ) {
    let needed = Kernels.attentionScratch(keys: rows.positionMax + 1)
    if scores.isEmpty || scores[0].count < needed {
      scores = (0..<team.size).map { _ in Floats(count: 2 * needed) }
    }
    team.share(range.count) { part, thread in
      kernels.attention(
        buffers.queryKeyValue[rows: part], heads: plan.heads, window: weights.window, rows: rows,
        range: range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound, layer: pageLayer,
        into: buffers.ungated.map { Operand(viewing: $0[rows: part]) } ?? buffers.output[rows: part],
        statistics: buffers.statistics.map { $0[rows: part] }, scratch: scores[thread])
      if let ungated = buffers.ungated {
        let gates = OutputGates(buffers.queryKeyValue, heads: plan.heads)
        kernels.gate(ungated[rows: part], by: gates[rows: part], into: buffers.output[rows: part])
      }
    }
  }

  /// x[0..<count] += the feed-forward block's output for the input `source`, whose values equal those of `x`.
  func feedForward(
    _ model: PreparedModel, layer index: Int, source: Matrix, x: Matrix, count: Int, buffers: LayerBuffers
  ) throws(ModelError) {
    try gateUp(model, layer: index, source: source, count: count, buffers: buffers)
    team.share(count, unit: 8) { range, _ in
      kernels.gatedUnit(
        buffers.blocks.gateUp[rows: range], plan.configuration.gateActivation, into: activated[rows: range])
    }
    let layer = model.layers[index]
    try add(
      activated, layer.down, norm: layer.feedForwardNorms.after, product: buffers.blocks.feedForwardProduct, to: x,
      count: count)
  }

  /// The first half of the feed-forward block.
  func gateUp(
    _ model: PreparedModel, layer index: Int, source: Matrix, count: Int, buffers: LayerBuffers
  ) throws(ModelError) {
    let layer = model.layers[index]
    norm(source, count: count, weight: layer.feedForwardNorms.before, into: normed)
    try multiply(normed, count, layer.gateUp, buffers.blocks.gateUp)
  }

  /// logits[0..<count] from the last layer's output; `normed` holds the head's input afterwards.
  func logits(_ model: PreparedModel, x: Matrix, count: Int, normed: Operand, into logits: Matrix) throws(ModelError) {
    norm(x, count: count, weight: model.finalNorm, into: normed)
    try multiply(normed, count, model.head, logits)
  }

  func multiply(
    _ x: Operand, _ rows: Int, _ weights: PackedWeights, _ out: Matrix
  ) throws(ModelError) {
    try multiplying { () throws(MultiplicationError) in
      try multiplier.multiply(x, rows: rows, by: weights, into: out)
    }
  }

  /// dx = dy · weights, or += if `adds`.
  func multiplyBackward(
    _ dy: Operand, _ rows: Int, _ weights: PackedWeights, _ dx: Matrix, adds: Bool = false
  ) throws(ModelError) {
    try multiplying { () throws(MultiplicationError) in
      try multiplier.multiplyBackward(dy, rows: rows, by: weights, into: dx, adds: adds)
    }
  }
}
