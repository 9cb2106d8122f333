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

/// One thread's way through the layers: scratch that nobody needs afterwards.
final class Transformer {
  let plan: TransformerPlan
  let multiplier = Multiplier()
  let kernels = Kernels.best
  /// Rows that go through a layer at a time.
  let chunkRows: Int
  let normed: Operand  // [chunk, C]
  let activated: Operand  // [chunk, F]
  private var scores: Floats

  init(_ plan: TransformerPlan, chunkRows: Int) {
    self.plan = plan
    self.chunkRows = chunkRows
    let rows = roundedToBlocks(chunkRows)
    normed = Operand(rows: rows, columns: plan.configuration.hiddenSize, type: plan.type)
    activated = Operand(rows: rows, columns: plan.configuration.feedForwardSize, type: plan.type)
    scores = Floats(count: 1024)
  }

  /// x[i] = the embedding of tokens[i].
  func embed(_ tokens: [Int32], model: PreparedModel, into x: Matrix) {
    kernels.gather(model.embedding, tokens, into: x)
  }

  /// Queries, keys and values of `rows[range]`, from as many rows of `x`; keys and values go to the rows'
  /// pages, where `pageLayer` is the layer's place.
  func project(
    _ model: PreparedModel, layer index: Int, x: Matrix, rows: RowList, range: Range<Int>, buffers: LayerBuffers,
    pageLayer: Int
  ) throws(ModelError) {
    let layer = model.layers[index]
    let count = range.count
    kernels.rmsNorm(
      x[rows: 0..<count], weight: layer.inputNorm, epsilon: plan.configuration.normEpsilon, into: normed)
    try multiply(normed, count, layer.queryKeyValue.forward, buffers.queryKeyValue)
    if let raw = buffers.rawQueryKeyValue {
      raw[rows: 0..<count].values.copy(from: buffers.queryKeyValue[rows: 0..<count].values)
      if let bias = layer.finish.bias {
        for row in 0..<count { kernels.add(bias, to: raw.row(row)) }
      }
    }
    kernels.finishQueryKeyValue(
      buffers.queryKeyValue, heads: plan.heads, finish: layer.finish, rows: rows, range: range, layer: pageLayer)
  }

  /// x += attention's output for `rows[range]`. All keys that the rows attend to are in their pages.
  func attend(
    _ model: PreparedModel, layer index: Int, x: Matrix, rows: RowList, range: Range<Int>, buffers: LayerBuffers,
    pageLayer: Int
  ) throws(ModelError) {
    let needed = Kernels.attentionScratch(keys: rows.positionMax + 1)
    if scores.count < needed { scores = Floats(count: 2 * needed) }
    kernels.attention(
      buffers.queryKeyValue, heads: plan.heads, rows: rows, range: range, layer: pageLayer, into: buffers.attention,
      statistics: buffers.statistics, scratch: scores)
    try multiply(buffers.attention, range.count, model.layers[index].attentionOutput.forward, x)
  }

  /// x[0..<count] += the feed-forward block's output for its input `source`, which equals `x` before.
  func feedForward(
    _ model: PreparedModel, layer index: Int, source: Matrix, x: Matrix, count: Int, buffers: LayerBuffers
  ) throws(ModelError) {
    let layer = model.layers[index]
    kernels.rmsNorm(
      source[rows: 0..<count], weight: layer.feedForwardNorm, epsilon: plan.configuration.normEpsilon, into: normed)
    try multiply(normed, count, layer.gateUp.forward, buffers.gateUp)
    kernels.swiGLU(buffers.gateUp[rows: 0..<count], into: activated)
    try multiply(activated, count, layer.down.forward, x)
  }

  /// logits[0..<count] of rows that have left the last layer; `normed` keeps the head's input.
  func logits(_ model: PreparedModel, x: Matrix, count: Int, normed: Operand, into logits: Matrix) throws(ModelError) {
    kernels.rmsNorm(
      x[rows: 0..<count], weight: model.finalNorm, epsilon: plan.configuration.normEpsilon, into: normed)
    try multiply(normed, count, model.head, logits)
  }

  func multiply(
    _ x: Operand, _ rows: Int, _ weights: PackedWeights, _ out: Matrix
  ) throws(ModelError) {
    try multiplying { () throws(MultiplicationError) in
      try multiplier.multiply(x, rows: rows, by: weights, into: out)
    }
  }
}
