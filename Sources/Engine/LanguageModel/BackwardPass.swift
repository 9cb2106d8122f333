// BackwardPass: the layers in reverse, for one micro-batch.
//
// `dx` is the gradient of the residual stream. Each block reads it as the gradient of its output and adds the gradient
// of its input. Linear layers y = x·Wᵀ give dW += dyᵀ·x and dx = dy·W, in chunks of a fixed number of rows. Factors
// have the model's type, sums are float32. Letters as in CKernels.h.

import Base
import Tensors

/// The scratch memory of one team.
final class BackwardScratch {
  let dy: Operand  // [chunk, widest output]
  let dactivated: Matrix  // [chunk, F]
  let dgateUp: Operand  // [chunk, 2F]
  let dnormed: Matrix  // [chunk, C]
  /// How many rows of the head are processed at a time.
  let headRows: Int
  let headInput: Matrix  // [headRows, C]
  let headInputGradient: Matrix
  let headNormed: Operand
  let logits: Matrix  // [headRows, V]
  let dlogits: Operand
  var dx: Matrix  // [rows, C]
  var dqkv: Matrix  // [rows, W]
  var dattention: Matrix  // [rows, H·D]
  /// One number per row of a chunk, for the norms.
  let inverses: Floats
  /// By thread: scratch for `attentionBackward`.
  var attention: [Floats] = []

  init(_ plan: TransformerPlan) {
    let c = plan.configuration
    let chunk = Backpropagation.chunkRows
    inverses = Floats(count: chunk)
    dy = Operand(rows: chunk, columns: max(plan.heads.width, c.hiddenSize), type: plan.type)
    dactivated = Matrix(rows: chunk, columns: c.feedForwardSize)
    dgateUp = Operand(rows: chunk, columns: 2 * c.feedForwardSize, type: plan.type)
    dnormed = Matrix(rows: chunk, columns: max(c.hiddenSize, plan.heads.queryWidth))
    headRows = chunk
    headInput = Matrix(rows: headRows, columns: c.hiddenSize)
    headInputGradient = Matrix(rows: headRows, columns: c.hiddenSize)
    headNormed = Operand(rows: headRows, columns: c.hiddenSize, type: plan.type)
    logits = Matrix(rows: headRows, columns: c.vocabularySize)
    switch plan.type {
    case .float32: dlogits = Operand(viewing: logits)
    case .bfloat16: dlogits = Operand(rows: headRows, columns: c.vocabularySize, type: .bfloat16)
    }
    dx = Matrix(rows: 0, columns: c.hiddenSize)
    dqkv = Matrix(rows: 0, columns: plan.heads.width)
    dattention = Matrix(rows: 0, columns: plan.heads.queryWidth)
  }

  func reserve(rows: Int, attentionFloats: Int, threads: Int) {
    if dx.rows < rows {
      dx = Matrix(rows: rows, columns: dx.columns)
      dqkv = Matrix(rows: rows, columns: dqkv.columns)
      dattention = Matrix(rows: rows, columns: dattention.columns)
    }
    if attention.isEmpty || attention[0].count < attentionFloats {
      attention = (0..<threads).map { _ in Floats(count: attentionFloats) }
    }
  }
}

/// The backward pass of one micro-batch.
struct BackwardPass {
  let forward: ForwardPass
  let gradient: Floats
  let scratch: BackwardScratch

  var batch: TrainingBatch { forward.batch }
  var model: PreparedModel { forward.model }
  private var transformer: Transformer { forward.transformer }
  private var activations: Activations { forward.activations }
  private var plan: TransformerPlan { model.plan }
  private var kernels: Kernels { transformer.kernels }
  private var team: Team { transformer.team }
  private var epsilon: Float { plan.configuration.normEpsilon }

  private func tensor(_ index: Int) -> Floats { gradient[plan.layout.tensors[index].range] }

  /// Sets the gradients of the residual stream to zero.
  func begin() {
    let keys = Kernels.attentionBackwardScratch(plan.heads, keys: batch.keysMax)
    scratch.reserve(rows: activations.rows, attentionFloats: keys, threads: team.size)
    scratch.dx[rows: 0..<batch.tokens.count].values.fill(0)
  }

  // MARK: Head and embedding

  /// From d logits (in `scratch.logits`) of a chunk of head rows to dx of their rows.
  func head(_ headRows: [Int32]) throws(ModelError) {
    let count = headRows.count
    let dnormed = scratch.dnormed.values[0..<scratch.headRows * plan.configuration.hiddenSize].rows(
      of: plan.configuration.hiddenSize)
    if plan.type != .float32 { convert(scratch.logits[rows: 0..<count], into: scratch.dlogits) }
    try addOuterProduct(
      scratch.dlogits, outputs: 0..<plan.configuration.vocabularySize, scratch.headNormed, rows: count,
      to: tensor(plan.layout.head).rows(of: plan.configuration.hiddenSize))
    try transformer.multiplyBackward(scratch.dlogits, count, model.head, dnormed)
    scratch.headInputGradient.values.fill(0)
    kernels.rmsNormBackward(
      scratch.headInput[rows: 0..<count], weight: model.finalNorm, epsilon: epsilon, dy: dnormed,
      dx: scratch.headInputGradient, dweight: tensor(plan.layout.finalNorm), inverses: scratch.inverses, team: team)
    kernels.scatterAdd(scratch.headInputGradient[rows: 0..<count], headRows, to: scratch.dx)
  }

  /// Adds dx of the first layer's input to the gradients of the tokens' embeddings.
  func embedding() {
    let table = tensor(plan.layout.embedding).rows(of: plan.configuration.hiddenSize)
    kernels.scatterAdd(scratch.dx[rows: 0..<batch.tokens.count], batch.tokens, to: table)
  }

  // MARK: Layers

  /// From dx of a layer's output to dx of its input. `pause` is called between pieces of the work.
  func layer(_ index: Int, pause: () -> Void) throws(ModelError) {
    if activations.areRecomputed { try forward.recompute(index) }
    let chunks = activations.chunks(of: batch.tokens.count)
    for chunk in chunks {
      pause()
      try feedForward(index, chunk.rows, chunk.room)
      pause()
      try attentionOutput(index, chunk.rows, chunk.room)
    }
    pause()
    attention(index)
    for chunk in chunks {
      pause()
      try projection(index, chunk.rows, chunk.room)
    }
  }

  private func feedForward(_ index: Int, _ rows: Range<Int>, _ room: Range<Int>) throws(ModelError) {
    let layer = model.layers[index]
    let names = plan.layout.layers[index]
    let dx = scratch.dx[rows: rows]
    let dy = operand(of: dx)
    try transformer.multiplyBackward(dy, rows.count, layer.down, scratch.dactivated)
    let gateUp = activations.buffers(index).gateUp[rows: rows]
    team.share(rows.count, unit: 8) { part, _ in
      kernels.swiGLUBackward(
        gateUp[rows: part], dactivated: scratch.dactivated[rows: part], into: scratch.dgateUp[rows: part],
        activated: transformer.activated[rows: part])
    }
    try weights(dy, rows.count, x: transformer.activated, [names.down])
    let middle = activations.middle(index)[rows: rows]
    transformer.norm(middle, count: rows.count, weight: layer.feedForwardNorm, into: transformer.normed)
    try weights(scratch.dgateUp, rows.count, x: transformer.normed, [names.gate, names.up])
    let dnormed = scratch.dnormed.values[0..<room.count * dx.columns].rows(of: dx.columns)
    try transformer.multiplyBackward(scratch.dgateUp, rows.count, layer.gateUp, dnormed)
    kernels.rmsNormBackward(
      middle, weight: layer.feedForwardNorm, epsilon: epsilon, dy: dnormed, dx: dx,
      dweight: tensor(names.feedForwardNorm), inverses: scratch.inverses, team: team)
  }

  private func attentionOutput(_ index: Int, _ rows: Range<Int>, _ room: Range<Int>) throws(ModelError) {
    let dy = operand(of: scratch.dx[rows: rows])
    let x = activations.buffers(index).attention[rows: room]
    try transformer.multiplyBackward(
      dy, rows.count, model.layers[index].attentionOutput, scratch.dattention[rows: room])
    try weights(dy, rows.count, x: x, [plan.layout.layers[index].attentionOutput])
  }

  private func attention(_ index: Int) {
    let kept = activations.buffers(index)
    guard let statistics = kept.statistics else { return }
    scratch.dqkv[rows: 0..<batch.tokens.count].values.fill(0)
    // Threads share the key/value heads, because their gradients are separate. Within one head, segments add to the
    // gradients of their prefix in a fixed order.
    team.share(plan.heads.keyValue) { groups, thread in
      for segment in batch.segments {
        kernels.attentionBackward(
          kept.queryKeyValue, heads: plan.heads, groups: groups, prefix: segment.prefix, own: segment.own,
          statistics: statistics, dout: scratch.dattention, dqkv: scratch.dqkv, scratch: scratch.attention[thread])
      }
    }
  }

  private func projection(_ index: Int, _ rows: Range<Int>, _ room: Range<Int>) throws(ModelError) {
    let layer = model.layers[index]
    let names = plan.layout.layers[index]
    let dqkv = scratch.dqkv[rows: rows]
    finish(dqkv, rows, layer, names, raw: activations.buffers(index).rawQueryKeyValue.map { $0[rows: rows] })
    addBiases(dqkv, names)
    let dy = operand(of: dqkv)
    let x = activations.inputs[index][rows: rows]
    transformer.norm(x, count: rows.count, weight: layer.inputNorm, into: transformer.normed)
    try weights(dy, rows.count, x: transformer.normed, [names.query, names.key, names.value])
    let dx = scratch.dx[rows: rows]
    let dnormed = scratch.dnormed.values[0..<room.count * dx.columns].rows(of: dx.columns)
    try transformer.multiplyBackward(dy, rows.count, layer.queryKeyValue, dnormed)
    kernels.rmsNormBackward(
      x, weight: layer.inputNorm, epsilon: epsilon, dy: dnormed, dx: dx, dweight: tensor(names.inputNorm),
      inverses: scratch.inverses, team: team)
  }

  /// Undoes rotation and head norms. Threads share the rows, unless there are head norms: all rows add to the gradients
  /// of those.
  private func finish(
    _ dqkv: Matrix, _ rows: Range<Int>, _ layer: PreparedLayer, _ names: ParameterLayout.Layer, raw: Matrix?
  ) {
    let hasNorms = layer.finish.queryNorm != nil
    team.share(rows.count, unit: hasNorms ? rows.count : 8) { part, _ in
      kernels.finishQueryKeyValueBackward(
        dqkv[rows: part], heads: plan.heads, finish: layer.finish, rows: batch.rows,
        range: rows.lowerBound + part.lowerBound..<rows.lowerBound + part.upperBound, raw: raw.map { $0[rows: part] },
        dqueryNorm: names.queryNorm.map(tensor), dkeyNorm: names.keyNorm.map(tensor))
    }
  }

  private func addBiases(_ dqkv: Matrix, _ names: ParameterLayout.Layer) {
    guard let query = names.queryBias, let key = names.keyBias, let value = names.valueBias else { return }
    let sums = Floats(count: dqkv.columns)
    kernels.addColumns(dqkv, to: sums)
    let queryWidth = plan.heads.queryWidth
    let keyWidth = plan.heads.keyWidth
    kernels.add(sums[0..<queryWidth], to: tensor(query))
    kernels.add(sums[queryWidth..<queryWidth + keyWidth], to: tensor(key))
    kernels.add(sums[queryWidth + keyWidth..<queryWidth + 2 * keyWidth], to: tensor(value))
  }

  // MARK: Linear layers

  /// A gradient, converted to the model's type as a factor of a product.
  private func operand(of gradient: Matrix) -> Operand {
    let dy = scratch.dy.reshaped(rows: Backpropagation.chunkRows, columns: gradient.columns)
    convert(gradient, into: dy)
    return dy
  }

  private func convert(_ x: Matrix, into out: Operand) {
    team.share(x.rows, unit: 8) { range, _ in kernels.convert(x[rows: range], into: out[rows: range]) }
  }

  /// dW += dyᵀ · x for the weights that share the input x, in the order of dy's columns.
  private func weights(_ dy: Operand, _ rows: Int, x: Operand, _ indices: [Int]) throws(ModelError) {
    var first = 0
    for run in neighbours(indices) {
      let target = gradient[run].rows(of: x.columns)
      try addOuterProduct(dy, outputs: first..<first + target.rows, x, rows: rows, to: target)
      first += target.rows
    }
  }

  /// The ranges of tensors in the flat gradient; adjacent ranges are joined.
  private func neighbours(_ indices: [Int]) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    for index in indices {
      let range = plan.layout.tensors[index].range
      if let last = runs.last, last.upperBound == range.lowerBound {
        runs[runs.count - 1] = last.lowerBound..<range.upperBound
      } else {
        runs.append(range)
      }
    }
    return runs
  }

  private func addOuterProduct(
    _ dy: Operand, outputs: Range<Int>, _ x: Operand, rows: Int, to target: Matrix
  ) throws(ModelError) {
    try multiplying { () throws(MultiplicationError) in
      try transformer.multiplier.addOuterProduct(dy, outputs: outputs, x, rows: rows, to: target)
    }
  }
}
