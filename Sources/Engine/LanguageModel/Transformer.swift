// Transformer: rows through the layers, for the sampler and the trainer alike.
//
// A row is one token of one sequence. Rows of different sequences and positions go through a layer together; they meet
// only in attention, where each reads the pages of its own sequence. Both users call the same three functions with the
// same kernels and the same blocks, so a row's bits do not depend on who asks (batch invariance, and sampler =
// trainer). The residual stream is float32; what a matrix multiplication takes in has the model's type.
//
//   x  ──norm──► q|k|v ──bias, norms, rotation──► attention over pages ──output──► + x   (project, attend)
//   x  ──norm──► gate|up ──silu(gate)·up──► down ──► + x                                 (feedForward)
//
// Not here: where sequences come from (Generator, Backpropagation), the way back (Backpropagation).

import Tensors

/// Where the intermediate results of rows in one layer go. The trainer keeps some, the sampler overwrites all.
/// Every buffer has room for whole blocks (`roundedToBlocks`).
struct LayerBuffers {
  var queryKeyValue: Matrix  // [rows, W]
  /// With head norms and in training only: what the norms were given.
  var rawQueryKeyValue: Matrix?
  var attention: Operand  // [rows, H·D]
  var statistics: Matrix?  // [rows, 2H], training only
  var gateUp: Matrix  // [rows, 2F]

  init(_ plan: TransformerPlan, rows: Int, forTraining: Bool) {
    let heads = plan.heads
    queryKeyValue = Matrix(rows: rows, columns: heads.width)
    let needsRaw = forTraining && plan.configuration.hasQueryKeyNorm
    rawQueryKeyValue = needsRaw ? Matrix(rows: rows, columns: heads.width) : nil
    attention = Operand(rows: rows, columns: heads.queryWidth, type: plan.type)
    statistics = forTraining ? Matrix(rows: rows, columns: 2 * heads.query) : nil
    gateUp = Matrix(rows: rows, columns: 2 * plan.configuration.feedForwardSize)
  }

  subscript(rows range: Range<Int>) -> LayerBuffers {
    var part = self
    part.queryKeyValue = queryKeyValue[rows: range]
    part.rawQueryKeyValue = rawQueryKeyValue.map { $0[rows: range] }
    part.attention = attention[rows: range]
    part.statistics = statistics.map { $0[rows: range] }
    part.gateUp = gateUp[rows: range]
    return part
  }
}

/// One team's way through the layers: scratch that nobody needs afterwards.
final class Transformer {
  let plan: TransformerPlan
  let team: Team
  let multiplier: Multiplier
  let kernels = Kernels.best
  /// Rows that go through a layer at a time.
  let chunkRows: Int
  let normed: Operand  // [chunk, C]
  let activated: Operand  // [chunk, F]
  /// For parts of the rows.
  private var scores: [Floats] = []
  private let ranking: [DistributionScratch]

  init(_ plan: TransformerPlan, chunkRows: Int, team: Team) {
    self.plan = plan
    self.team = team
    multiplier = Multiplier(team)
    self.chunkRows = chunkRows
    let rows = roundedToBlocks(chunkRows)
    normed = Operand(rows: rows, columns: plan.configuration.hiddenSize, type: plan.type)
    activated = Operand(rows: rows, columns: plan.configuration.feedForwardSize, type: plan.type)
    ranking = (0..<team.size).map { _ in DistributionScratch(vocabularySize: plan.configuration.vocabularySize) }
  }

  /// normed[0..<count] = the norm of as many rows of x.
  func norm(_ x: Matrix, count: Int, weight: Floats, into normed: Operand) {
    team.share(count, unit: 8) { range, _ in
      kernels.rmsNorm(
        x[rows: range], weight: weight, epsilon: plan.configuration.normEpsilon, into: normed[rows: range])
    }
  }

  /// The distributions that the first `count` rows of logits give; the rows become z values. nil: not finite.
  func distributions(of logits: Matrix, count: Int, _ settings: DistributionSettings) -> [TokenDistribution?] {
    [TokenDistribution?](unsafeUninitializedCapacity: count) { found, initialized in
      team.share(count) { range, part in
        for row in range {
          found.initializeElement(at: row, to: settings.apply(to: logits.row(row), scratch: ranking[part]))
        }
      }
      initialized = count
    }
  }

  /// Queries, keys and values of `rows[range]`, from as many rows of `x`; keys and values go to the rows'
  /// pages, where `pageLayer` is the layer's place.
  func project(
    _ model: PreparedModel, layer index: Int, x: Matrix, rows: RowList, range: Range<Int>, buffers: LayerBuffers,
    pageLayer: Int
  ) throws(ModelError) {
    let layer = model.layers[index]
    let count = range.count
    norm(x, count: count, weight: layer.inputNorm, into: normed)
    try multiply(normed, count, layer.queryKeyValue, buffers.queryKeyValue)
    if let raw = buffers.rawQueryKeyValue {
      raw[rows: 0..<count].values.copy(from: buffers.queryKeyValue[rows: 0..<count].values)
      if let bias = layer.finish.bias {
        for row in 0..<count { kernels.add(bias, to: raw.row(row)) }
      }
    }
    team.share(count, unit: 8) { part, _ in
      kernels.finishQueryKeyValue(
        buffers.queryKeyValue[rows: part], heads: plan.heads, finish: layer.finish, rows: rows,
        range: range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound, layer: pageLayer)
    }
  }

  /// x += attention's output for `rows[range]`. All keys that the rows attend to are in their pages.
  func attend(
    _ model: PreparedModel, layer index: Int, x: Matrix, rows: RowList, range: Range<Int>, buffers: LayerBuffers,
    pageLayer: Int
  ) throws(ModelError) {
    let needed = Kernels.attentionScratch(keys: rows.positionMax + 1)
    if scores.isEmpty || scores[0].count < needed {
      scores = (0..<team.size).map { _ in Floats(count: 2 * needed) }
    }
    team.share(range.count) { part, thread in
      kernels.attention(
        buffers.queryKeyValue[rows: part], heads: plan.heads, rows: rows,
        range: range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound, layer: pageLayer,
        into: buffers.attention[rows: part], statistics: buffers.statistics.map { $0[rows: part] },
        scratch: scores[thread])
    }
    try multiply(buffers.attention, range.count, model.layers[index].attentionOutput, x)
  }

  /// x[0..<count] += the feed-forward block's output for its input `source`, which equals `x` before.
  func feedForward(
    _ model: PreparedModel, layer index: Int, source: Matrix, x: Matrix, count: Int, buffers: LayerBuffers
  ) throws(ModelError) {
    try gateUp(model, layer: index, source: source, count: count, buffers: buffers)
    team.share(count, unit: 8) { range, _ in kernels.swiGLU(buffers.gateUp[rows: range], into: activated[rows: range]) }
    try multiply(activated, count, model.layers[index].down, x)
  }

  /// The first half of the feed-forward block.
  func gateUp(
    _ model: PreparedModel, layer index: Int, source: Matrix, count: Int, buffers: LayerBuffers
  ) throws(ModelError) {
    let layer = model.layers[index]
    norm(source, count: count, weight: layer.feedForwardNorm, into: normed)
    try multiply(normed, count, layer.gateUp, buffers.gateUp)
  }

  /// logits[0..<count] of rows that have left the last layer; `normed` keeps the head's input.
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

  /// dx = dy · weights.
  func multiplyBackward(
    _ dy: Operand, _ rows: Int, _ weights: PackedWeights, _ dx: Matrix
  ) throws(ModelError) {
    try multiplying { () throws(MultiplicationError) in
      try multiplier.multiplyBackward(dy, rows: rows, by: weights, into: dx)
    }
  }
}
