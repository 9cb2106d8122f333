// Transformer: computes rows through the layers, for the sampler and for the trainer.
//
// A row is one token of one sequence. Rows of different sequences and positions go through a layer together. A row
// depends on other rows only in attention, where it reads the pages of its own sequence. Sampler and trainer call the
// same three functions, with the same kernels and the same blocks. So a row's bits do not depend on its batch (batch
// invariance), and the sampler's log-probabilities equal the trainer's. The residual stream is float32; the inputs of
// matrix multiplications have the model's type.
//
//   x  ──norm──► q|k|v ──bias, norms, rotation──► attention over pages ──output──► + x   (project, attend)
//   x  ──norm──► gate|up ──silu(gate)·up──► down ──► + x                                 (feedForward)
//
// Not here: where sequences come from (Generator, Backpropagation), the backward pass (BackwardPass).

import Tensors

/// The intermediate results of rows in one layer. The trainer keeps some for the backward pass; the sampler overwrites
/// all of them in the next layer. Every buffer has room for whole blocks (`roundedToBlocks`).
struct LayerBuffers {
  var queryKeyValue: Matrix  // [rows, W]
  /// The inputs of the head norms; only in training, and only if the model has head norms.
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
  /// By thread: scratch for attention.
  private var scores: [Floats] = []
  /// By thread: scratch for distributions.
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

  /// normed[0..<count] = the norms of the first `count` rows of x.
  func norm(_ x: Matrix, count: Int, weight: Floats, into normed: Operand) {
    team.share(count, unit: 8) { range, _ in
      kernels.rmsNorm(
        x[rows: range], weight: weight, epsilon: plan.configuration.normEpsilon, into: normed[rows: range])
    }
  }

  /// The distributions of the first `count` rows of logits; nil for a row that is not finite. The rows are overwritten
  /// with their z values.
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

  /// Computes queries, keys and values of `rows[range]` from the first `range.count` rows of `x`. Keys and values are
  /// stored in the rows' pages; `pageLayer` is the index of the layer there.
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

  /// x[0..<count] += the feed-forward block's output for the input `source`, whose values equal those of `x`.
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

  /// dx = dy · weights.
  func multiplyBackward(
    _ dy: Operand, _ rows: Int, _ weights: PackedWeights, _ dx: Matrix
  ) throws(ModelError) {
    try multiplying { () throws(MultiplicationError) in
      try multiplier.multiplyBackward(dy, rows: rows, by: weights, into: dx)
    }
  }
}
