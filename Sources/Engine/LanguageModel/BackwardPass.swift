// BackwardPass: the layers in reverse, for one micro-batch.
//
// `dx` is the gradient of the residual stream. Each block reads it as the gradient of its output and adds the gradient
// of its input. Linear layers y = x·Wᵀ give dW += dyᵀ·x and dx = dy·W, in chunks of a fixed number of rows. Factors
// have the model's type, sums are float32. Letters as in CKernels.h.
// Not here: layers of linear attention (DeltaRuleBackward.swift).

import Base
import Tensors

/// The scratch memory of one team.
final class BackwardScratch {
  let dy: Operand  // [chunk, widest output]
  let dactivated: Matrix  // [chunk, F]
  let dgateUp: Operand  // [chunk, 2F]
  let dnormed: Matrix  // [chunk, C]
  /// The gradient of what a block computes, if that is not added to the residual stream as it is.
  let dproduct: Matrix  // [chunk, C]
  /// How many rows of the head are processed at a time.
  let headRows: Int
  let headInput: Matrix  // [headRows, C]
  let headInputGradient: Matrix
  let headNormed: Operand
  let logits: Matrix  // [headRows, V]
  let dlogits: Operand
  /// The gradient of a mixer's output before it is projected, where gates follow the mixer.
  let dgated: Matrix  // [chunk, widest]
  var dx: Matrix  // [rows, C]
  /// The gradient of a mixer's projections: q|k|v, or those of linear attention.
  private var dprojected: Matrix  // [rows, widest]
  /// The gradient of a mixer's result.
  private var dmixed: Matrix  // [rows, widest]
  /// One number per norm of a chunk.
  let inverses: Floats
  /// By thread: scratch for the mixers' backward passes.
  var mixer: [Floats] = []
  /// What an adapter needs; nil if there is none.
  let adapter: AdapterBackwardScratch?
  /// Gradients of frozen tensors, which some kernels compute with others and which nothing reads: those of a matrix,
  /// and those of a vector. A thread adds to the same elements of all vectors.
  fileprivate let unreadMatrix, unreadVector: Floats

  init(_ plan: TransformerPlan) {
    let c = plan.configuration
    let chunk = Backpropagation.chunkRows
    inverses = Floats(count: chunk * max(1, c.deltaHeads?.value ?? 0))
    dy = Operand(rows: chunk, columns: max(c.projectedWidthMax, c.hiddenSize), type: plan.type)
    dactivated = Matrix(rows: chunk, columns: c.feedForwardSize)
    dgateUp = Operand(rows: chunk, columns: 2 * c.feedForwardSize, type: plan.type)
    dnormed = Matrix(rows: chunk, columns: max(c.hiddenSize, plan.heads.queryWidth))
    dproduct = Matrix(rows: c.addsBlocksDirectly ? 0 : chunk, columns: c.hiddenSize)
    adapter = plan.adapter.map { AdapterBackwardScratch($0, type: plan.type) }
    let isFrozen = plan.adapter != nil
    unreadMatrix = Floats(
      count: isFrozen ? c.deltaHeads.map { $0.convolvedWidth * DeltaHeads.convolutionTaps } ?? 0 : 0)
    unreadVector = Floats(count: isFrozen ? c.projectedWidthMax : 0)
    let isGated = plan.heads.hasGates || c.deltaHeads != nil
    dgated = Matrix(rows: isGated ? chunk : 0, columns: c.mixedWidthMax)
    headRows = chunk
    headInput = Matrix(rows: headRows, columns: c.hiddenSize)
    headInputGradient = Matrix(rows: headRows, columns: c.hiddenSize)
    headNormed = Operand(rows: headRows, columns: c.hiddenSize, type: plan.type)
    logits = Matrix(rows: headRows, columns: plan.headWidth)
    switch plan.type {
    case .float32: dlogits = Operand(viewing: logits)
    case .bfloat16: dlogits = Operand(rows: headRows, columns: plan.headWidth, type: .bfloat16)
    }
    dx = Matrix(rows: 0, columns: c.hiddenSize)
    dprojected = Matrix(rows: 0, columns: c.projectedWidthMax)
    dmixed = Matrix(rows: 0, columns: c.mixedWidthMax)
  }

  func reserve(rows: Int, mixerFloats: Int, threads: Int) {
    if dx.rows < rows {
      dx = Matrix(rows: rows, columns: dx.columns)
      dprojected = Matrix(rows: rows, columns: dprojected.columns)
      dmixed = Matrix(rows: rows, columns: dmixed.columns)
    }
    if mixer.isEmpty || mixer[0].count < mixerFloats {
      mixer = (0..<threads).map { _ in Floats(count: mixerFloats) }
    }
  }

  func dprojected(width: Int) -> Matrix { dprojected.values[0..<dprojected.rows * width].rows(of: width) }

  func dmixed(width: Int) -> Matrix { dmixed.values[0..<dmixed.rows * width].rows(of: width) }
}

/// The factors of the head's gradient, for a head that is made slice by slice. They take less memory than a whole head
/// if a micro-batch has few rows.
final class HeadFactors {
  private(set) var chunks: [(dlogits: Operand, normed: Operand, rows: Int)] = []

  /// Keeps copies, because the operands are those of the next chunk as well, unless there is only one.
  func keep(_ dlogits: Operand, _ normed: Operand, rows: Int, isOnly: Bool) {
    func kept(_ operand: Operand) -> Operand {
      guard !isOnly else { return operand }
      let copy = Operand(rows: rows, columns: operand.columns, type: operand.type)
      operand.copy(columns: 0..<operand.columns, rows: rows, to: copy)
      return copy
    }
    chunks.append((kept(dlogits), kept(normed), rows))
  }

  func forget() { chunks = [] }

  /// Bytes of the factors of a micro-batch.
  static func bytes(_ plan: TransformerPlan, rows: Int) -> Int {
    rows * (plan.headWidth + plan.configuration.hiddenSize) * plan.type.bytes
  }
}

/// The backward pass of one micro-batch.
struct BackwardPass {
  let forward: ForwardPass
  let scratch: BackwardScratch
  /// Of the layer that is computed, or of the last norm.
  var gradient: GradientPart
  /// Of the head; nil if that is added slice by slice, from the factors.
  let headGradient: GradientPart?
  let headFactors: HeadFactors

  var batch: TrainingBatch { forward.batch }
  var model: PreparedModel { forward.model }
  var transformer: Transformer { forward.transformer }
  private var activations: Activations { forward.activations }
  var plan: TransformerPlan { model.plan }
  var kernels: Kernels { transformer.kernels }
  var team: Team { transformer.team }
  var epsilon: Float { plan.configuration.normEpsilon }

  /// The gradient of a tensor of the model; nil if it is frozen.
  func tensor(_ index: Int) -> Floats? { plan.adapter == nil ? gradient[plan.layout.tensors[index].range] : nil }

  /// The same for kernels that always compute it.
  func computedTensor(_ index: Int) -> Floats {
    if let tensor = tensor(index) { return tensor }
    let tensor = plan.layout.tensors[index]
    return (tensor.shape.count > 1 ? scratch.unreadMatrix : scratch.unreadVector)[0..<tensor.count]
  }

  /// Sets the gradients of the residual stream to zero.
  func begin() {
    let attention = Kernels.attentionBackwardScratch(plan.heads, keys: batch.keysMax)
    let rows = batch.segments.map(\.own.count).max() ?? 0
    let delta = plan.configuration.deltaHeads?.backwardScratchFloats(rows: rows) ?? 0
    scratch.reserve(rows: activations.rows, mixerFloats: max(attention, delta), threads: team.size)
    scratch.dx[rows: 0..<batch.tokens.count].values.fill(0, team: team)
  }

  // MARK: Head and embedding

  /// From d logits (in `scratch.logits`) of a chunk of head rows to dx of their rows.
  func head(_ headRows: [Int32]) throws(ModelError) {
    let count = headRows.count
    let dnormed = scratch.dnormed.values[0..<scratch.headRows * plan.configuration.hiddenSize].rows(
      of: plan.configuration.hiddenSize)
    if plan.type != .float32 { convert(scratch.logits[rows: 0..<count], into: scratch.dlogits) }
    if let headGradient, let head = plan.trainedHead {
      try addOuterProduct(
        scratch.dlogits, outputs: 0..<plan.headWidth, scratch.headNormed, rows: count,
        to: headGradient[head].rows(of: plan.configuration.hiddenSize))
    } else if plan.trainedHead != nil {
      headFactors.keep(
        scratch.dlogits, scratch.headNormed, rows: count, isOnly: batch.headRows.count <= scratch.headRows)
    }
    try transformer.multiplyBackward(scratch.dlogits, count, model.head, dnormed)
    scratch.headInputGradient.values.fill(0, team: team)
    kernels.rmsNormBackward(
      scratch.headInput[rows: 0..<count], weight: model.finalNorm, epsilon: epsilon, dy: dnormed,
      dx: scratch.headInputGradient, dweight: tensor(plan.layout.finalNorm), inverses: scratch.inverses, team: team)
    kernels.scatterAdd(scratch.headInputGradient[rows: 0..<count], headRows, to: scratch.dx)
  }

  /// Adds the gradient of a slice of the head. Each element's terms come in the same order as in `head`.
  func addHead(_ slice: Range<Int>, to part: GradientPart) throws(ModelError) {
    let columns = plan.configuration.hiddenSize
    let start = slice.lowerBound - (plan.trainedHead?.lowerBound ?? 0)
    let tokens = start / columns..<(start + slice.count) / columns
    for chunk in headFactors.chunks {
      try addOuterProduct(
        chunk.dlogits, outputs: tokens, chunk.normed, rows: chunk.rows, to: part[slice].rows(of: columns))
    }
  }

  /// Adds dx of the first layer's input to the gradients of the tokens' embeddings.
  func addEmbeddings(to embeddings: EmbeddingGradient) {
    if plan.embeddingFactor != 1 {
      let dx = scratch.dx[rows: 0..<batch.tokens.count].values
      kernels.scale(dx, by: plan.embeddingFactor, into: dx)
    }
    kernels.scatterAdd(scratch.dx[rows: 0..<batch.tokens.count], embeddings.places, to: embeddings.rows)
  }

  // MARK: Layers

  /// From dx of a layer's output to dx of its input. `pause` is called between pieces of the work.
  func layer(_ index: Int, pause: () -> Void) throws(ModelError) {
    if activations.areRecomputed { try forward.recompute(index) }
    switch (model.layers[index].mixer, plan.layout.layers[index].mixer, activations.buffers(index).mixer) {
    case (.attention(let weights), .attention(let names), .attention(let kept)):
      try layer(index, AttentionBackward(pass: self, weights: weights, names: names, kept: kept), pause)
    case (.deltaRule(let weights), .deltaRule(let names), .deltaRule(let kept)):
      try layer(index, DeltaRuleBackward(pass: self, weights: weights, names: names, kept: kept), pause)
    default: preconditionFailure("the buffers are for another kind of layer")
    }
  }

  private func layer(_ index: Int, _ mixer: some MixerBackward, _ pause: () -> Void) throws(ModelError) {
    let chunks = activations.chunks(of: batch.tokens.count)
    scratch.dprojected(width: mixer.projectedWidth)[rows: 0..<batch.tokens.count].values.fill(
      0, team: team)
    for chunk in chunks {
      pause()
      try feedForward(index, chunk.rows, chunk.room)
      pause()
      let dy = product(
        chunk.rows, norm: model.layers[index].mixerNorms.after, plan.layout.layers[index].mixerNorms.after,
        of: activations.buffers(index).blocks.mixerProduct)
      try mixer.output(dy, chunk.rows, chunk.room)
    }
    pause()
    mixer.mix()
    for chunk in chunks {
      pause()
      mixer.finish(chunk.rows)
      try projection(index, mixer, chunk.rows, chunk.room)
    }
  }

  private func feedForward(_ index: Int, _ rows: Range<Int>, _ room: Range<Int>) throws(ModelError) {
    let layer = model.layers[index]
    let names = plan.layout.layers[index]
    let blocks = activations.buffers(index).blocks
    let dy = product(
      rows, norm: layer.feedForwardNorms.after, names.feedForwardNorms.after, of: blocks.feedForwardProduct)
    let dh = try inputGradient(dy, rows.count, layer.down, scratch.dactivated)
    let gateUp = blocks.gateUp[rows: rows]
    team.share(rows.count, unit: 8) { part, _ in
      kernels.gatedUnitBackward(
        gateUp[rows: part], plan.configuration.gateActivation, dactivated: scratch.dactivated[rows: part],
        into: scratch.dgateUp[rows: part], activated: transformer.activated[rows: part])
    }
    try weights(dy, dh, rows.count, x: transformer.activated, layer.down, [names.down])
    let middle = activations.middle(index)[rows: rows]
    transformer.norm(middle, count: rows.count, weight: layer.feedForwardNorms.before, into: transformer.normed)
    let dnormed = scratch.dnormed.values[0..<room.count * middle.columns].rows(of: middle.columns)
    let dhGateUp = try inputGradient(scratch.dgateUp, rows.count, layer.gateUp, dnormed)
    try weights(
      scratch.dgateUp, dhGateUp, rows.count, x: transformer.normed, layer.gateUp, [names.gate, names.up])
    addInput(rows, middle, norm: layer.feedForwardNorms.before, names.feedForwardNorms.before, dnormed)
  }

  /// The gradient of what a block computes, from that of the residual stream, as a factor of a product.
  ///
  /// - Parameters:
  ///   - weight: the norm after the product, if there is one.
  ///   - name: its tensor.
  ///   - product: its input, of all rows.
  private func product(
    _ rows: Range<Int>, norm weight: Floats?, _ name: Int?, of product: Matrix?
  ) -> Operand {
    let dx = scratch.dx[rows: rows]
    if plan.configuration.addsBlocksDirectly { return operand(of: dx) }
    let scale = plan.configuration.residualScale
    let dproduct = scratch.dproduct[rows: 0..<rows.count]
    guard let weight, let name, let product else {
      kernels.scale(dx.values, by: scale, into: dproduct.values)
      return operand(of: dproduct)
    }
    let dnormed = scratch.dnormed.values[0..<dx.values.count].rows(of: dx.columns)
    kernels.scale(dx.values, by: scale, into: dnormed.values)
    dproduct.values.fill(0, team: team)
    kernels.rmsNormBackward(
      product[rows: rows], weight: weight, epsilon: epsilon, dy: dnormed, dx: dproduct, dweight: tensor(name),
      inverses: scratch.inverses, team: team)
    return operand(of: dproduct)
  }

  /// dx += the gradient of a block's input `x`, from that of what the block reads: the norms of x, or x.
  private func addInput(_ rows: Range<Int>, _ x: Matrix, norm weight: Floats?, _ name: Int?, _ dread: Matrix) {
    let dx = scratch.dx[rows: rows]
    guard let weight, let name else { return kernels.add(dread[rows: 0..<rows.count].values, to: dx.values) }
    kernels.rmsNormBackward(
      x, weight: weight, epsilon: epsilon, dy: dread, dx: dx, dweight: tensor(name), inverses: scratch.inverses,
      team: team)
  }

  /// From the gradient of a mixer's projections to that of the layer's input.
  private func projection(
    _ index: Int, _ mixer: some MixerBackward, _ rows: Range<Int>, _ room: Range<Int>
  ) throws(ModelError) {
    let (norm, name) = (model.layers[index].mixerNorms.before, plan.layout.layers[index].mixerNorms.before)
    let dy = operand(of: scratch.dprojected(width: mixer.projectedWidth)[rows: rows])
    let x = activations.inputs[index][rows: rows]
    transformer.norm(x, count: rows.count, weight: norm, into: transformer.normed)
    let dnormed = scratch.dnormed.values[0..<room.count * x.columns].rows(of: x.columns)
    let dh = try inputGradient(dy, rows.count, mixer.projection, dnormed)
    try weights(dy, dh, rows.count, x: transformer.normed, mixer.projection, mixer.projections)
    addInput(rows, x, norm: norm, name, dnormed)
  }

  // MARK: Linear layers

  /// A gradient, converted to the model's type as a factor of a product.
  func operand(of gradient: Matrix) -> Operand {
    let dy = scratch.dy.reshaped(rows: Backpropagation.chunkRows, columns: gradient.columns)
    convert(gradient, into: dy)
    return dy
  }

  private func convert(_ x: Matrix, into out: Operand) {
    team.share(x.rows, unit: 8) { range, _ in kernels.convert(x[rows: range], into: out[rows: range]) }
  }

  /// The gradients of what is trained of linear layers that share the input x: dW += dyᵀ · x for their weights, in the
  /// order of dy's columns, or those of their adapter.
  ///
  /// - Parameter dh: what `inputGradient` returned for the same layers.
  func weights(
    _ dy: Operand, _ dh: Operand?, _ rows: Int, x: Operand, _ weights: LinearWeights, _ indices: [Int]
  ) throws(ModelError) {
    if let adapter = weights.adapter, let dh { return try adapterGradients(dy, dh, rows, x: x, adapter) }
    guard plan.adapter == nil else { return }
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

  func addOuterProduct(
    _ dy: Operand, outputs: Range<Int>, _ x: Operand, rows: Int, to target: Matrix
  ) throws(ModelError) {
    try multiplying { () throws(MultiplicationError) in
      try transformer.multiplier.addOuterProduct(dy, outputs: outputs, x, rows: rows, to: target)
    }
  }
}

/// The backward pass of the part of a layer that mixes positions, between the projections before and after it.
protocol MixerBackward {
  /// The width of the projections' rows, their packed weights, and their tensors in the layout.
  var projectedWidth: Int { get }
  var projection: LinearWeights { get }
  var projections: [Int] { get }

  /// From the gradient of the mixer's output product to that of the mixer's result, and to that of its gates, for one
  /// chunk.
  func output(_ dy: Operand, _ rows: Range<Int>, _ room: Range<Int>) throws(ModelError)
  /// From there to the gradient of the projected rows of the whole batch, which is zero before.
  func mix()
  /// What is done with that gradient before it is multiplied, for one chunk.
  func finish(_ rows: Range<Int>)
}
