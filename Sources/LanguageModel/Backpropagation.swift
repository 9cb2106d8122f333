// Backpropagation: log-probabilities of given tokens, and the gradient of a loss of them.
//
// Forward: the rows of a micro-batch go through the layers as the sampler's rows do (Transformer), so the log-
// probabilities equal the recorded ones bit for bit. The loss lives outside: a function turns a sequence's log-
// probabilities into d loss / d logprob; a loss of entropies has one slope per sequence. Backward: the layers in
// reverse, adding to a flat gradient. What is cheap is computed again (norms, activations, logits), what is dear is kept
// (q|k|v, attention, gate|up).
// Everything runs on the calling thread in one fixed order, so a micro-batch's gradient is a function of its sequences.
// Not here: which sequences make a micro-batch, sums over micro-batches (ExactGradient), the loss (TTRL).

import Base
package import Tensors

/// What the model thinks of a response.
package struct ScoredSequence: Sendable, Equatable {
  /// [T] natural-log probabilities of the response's tokens.
  package var logprobs: [Float]
  /// [T] entropies in nats of the distributions they were drawn from.
  package var entropies: [Float]
}

/// One thread's trainer. Not `Sendable`; its memory grows to the largest micro-batch and stays.
package final class Backpropagation {
  let plan: TransformerPlan
  let transformer: Transformer
  let pages: KeyValuePages
  private let scratch: DistributionScratch
  private var activations: Activations
  private let backward: BackwardScratch

  /// Rows per chunk, and the inner dimension of the products that make weight gradients. A part of the arithmetic:
  /// another number gives other last bits of the gradient.
  static let chunkRows = 3 * blockRowsMax

  package init(_ plan: TransformerPlan) {
    self.plan = plan
    transformer = Transformer(plan, chunkRows: Backpropagation.chunkRows)
    pages = KeyValuePages(heads: plan.heads, layers: 1)
    scratch = DistributionScratch(vocabularySize: plan.configuration.vocabularySize)
    activations = Activations(plan, rows: 0)
    backward = BackwardScratch(plan)
  }

  /// Bytes of activations that `run` keeps for each row (each token of a micro-batch, shared prompts once).
  package static func bytesPerRow(_ plan: TransformerPlan) -> Int { Activations.bytesPerRow(plan) }

  /// Teacher-forced scoring: the log-probability of every response token.
  package func score(
    _ sequences: [TrainingSequence], model: PreparedModel, distribution: DistributionSettings
  ) throws(ModelError) -> [ScoredSequence] {
    let batch = try TrainingBatch(sequences, configuration: plan.configuration, pages: pages)
    try forward(batch, model)
    return try scores(of: batch, sequences, model, distribution)
  }

  /// Adds the gradient of a loss to `gradient`, which has one value per parameter, in layout order.
  ///
  /// `coefficients` is given a sequence's index and what the model thinks of it, and returns d loss / d logprob for
  /// each of its response tokens. It is called once per sequence, in order. `entropySlopes` are d loss / d entropy, the
  /// same for all tokens of a sequence; [] if the loss has no entropies in it.
  /// - Returns: what the model thinks of each sequence.
  /// - Throws: `.emptyPrompt`, `.tooLong`, `.tokenOutsideVocabulary`, `.notFinite`, `.multiplication`.
  @discardableResult
  package func run(
    _ sequences: [TrainingSequence], model: PreparedModel, distribution: DistributionSettings, gradient: Floats,
    entropySlopes: [Float] = [],
    coefficients: (_ sequence: Int, _ scored: ScoredSequence) -> [Float]
  ) throws(ModelError) -> [ScoredSequence] {
    precondition(model.isForTraining, "the model was prepared without what the backward pass needs")
    precondition(gradient.count == plan.layout.count, "\(gradient.count) gradients for \(plan.layout.count) parameters")
    precondition([0, sequences.count].contains(entropySlopes.count), "one entropy slope per sequence, or none")
    let batch = try TrainingBatch(sequences, configuration: plan.configuration, pages: pages)
    try forward(batch, model)
    let scored = try scores(of: batch, sequences, model, distribution)
    var slopes: [[Float]] = []
    for (index, sequence) in scored.enumerated() {
      slopes.append(coefficients(index, sequence))
      precondition(slopes[index].count == sequence.logprobs.count, "sequence \(index): one coefficient per token")
    }
    let pass = BackwardPass(
      batch: batch, model: model, gradient: gradient, transformer: transformer, activations: activations,
      scratch: backward)
    pass.begin()
    try headBackward(pass, slopes, entropySlopes, distribution)
    for layer in (0..<plan.configuration.layerCount).reversed() { try pass.layer(layer) }
    pass.embedding()
    return scored
  }

  // MARK: Forward

  private func forward(_ batch: TrainingBatch, _ model: PreparedModel) throws(ModelError) {
    if activations.rows < batch.tokens.count { activations = Activations(plan, rows: batch.tokens.count) }
    let count = batch.tokens.count
    let kept = activations
    transformer.embed(batch.tokens, model: model, into: kept.inputs[0])
    for layer in 0..<plan.configuration.layerCount {
      for chunk in kept.chunks(of: count) {
        try transformer.project(
          model, layer: layer, x: kept.inputs[layer][rows: chunk.room], rows: batch.rows, range: chunk.rows,
          buffers: kept.layers[layer][rows: chunk.room], pageLayer: 0)
      }
      for segment in batch.segments {
        if let prefix = segment.prefixTable {
          segment.table.copyLastPage(of: prefix, count: segment.prefix.count)
        }
      }
      for chunk in kept.chunks(of: count) {
        let buffers = kept.layers[layer][rows: chunk.room]
        let middle = kept.middles[layer][rows: chunk.room]
        middle.values.copy(from: kept.inputs[layer][rows: chunk.room].values)
        try transformer.attend(
          model, layer: layer, x: middle, rows: batch.rows, range: chunk.rows, buffers: buffers, pageLayer: 0)
        let output = kept.inputs[layer + 1][rows: chunk.room]
        output.values.copy(from: middle.values)
        try transformer.feedForward(
          model, layer: layer, source: middle, x: output, count: chunk.rows.count, buffers: buffers)
      }
    }
  }

  /// Log-probabilities, from the rows that have left the last layer.
  private func scores(
    of batch: TrainingBatch, _ sequences: [TrainingSequence], _ model: PreparedModel,
    _ distribution: DistributionSettings
  ) throws(ModelError) -> [ScoredSequence] {
    var scored = sequences.map { sequence in
      let zeroes = [Float](repeating: 0, count: sequence.response.count)
      return ScoredSequence(logprobs: zeroes, entropies: zeroes)
    }
    try eachHeadChunk(batch, model) { headRows throws(ModelError) in
      for (index, headRow) in headRows.enumerated() {
        let z = backward.logits.row(index)
        let d = try apply(distribution, to: z, batch, headRow)
        for target in batch.targets[headRow.targets] {
          scored[target.sequence].logprobs[target.position] = d.logprob(z: z[Int(target.token)])
          scored[target.sequence].entropies[target.position] = d.entropy
        }
      }
    }
    return scored
  }

  /// Gathers rows that reach the head into `backward.headInput` and computes their logits, a chunk at a time.
  private func eachHeadChunk(
    _ batch: TrainingBatch, _ model: PreparedModel, _ body: (ArraySlice<HeadRow>) throws(ModelError) -> Void
  ) throws(ModelError) {
    let x = activations.inputs[plan.configuration.layerCount]
    for start in stride(from: 0, to: batch.headRows.count, by: backward.headRows) {
      let headRows = batch.headRows[start..<min(start + backward.headRows, batch.headRows.count)]
      transformer.kernels.gather(x, headRows.map(\.row), into: backward.headInput)
      try transformer.logits(
        model, x: backward.headInput, count: headRows.count, normed: backward.headNormed, into: backward.logits)
      try body(headRows)
    }
  }

  private func apply(
    _ distribution: DistributionSettings, to logits: Floats, _ batch: TrainingBatch, _ headRow: HeadRow
  ) throws(ModelError) -> TokenDistribution {
    if let d = distribution.apply(to: logits, scratch: scratch) { return d }
    throw .notFinite(source: "sequence \(batch.targets[headRow.targets.lowerBound].sequence)")
  }

  // MARK: Head, backward

  /// d logprob(t) / d logit = (1[t] − p) / temperature, d entropy / d logit = −p·(log p + entropy) / temperature, over
  /// the tokens that were kept.
  private func headBackward(
    _ pass: BackwardPass, _ slopes: [[Float]], _ entropySlopes: [Float], _ distribution: DistributionSettings
  ) throws(ModelError) {
    let batch = pass.batch
    try eachHeadChunk(batch, pass.model) { headRows throws(ModelError) in
      for (index, headRow) in headRows.enumerated() {
        let z = backward.logits.row(index)
        let d = try apply(distribution, to: z, batch, headRow)
        var total: Float = 0
        for target in batch.targets[headRow.targets] { total += slopes[target.sequence][target.position] }
        let coefficient = -total * distribution.inverseTemperature
        if entropySlopes.isEmpty {
          transformer.kernels.scaledProbabilities(z, d, coefficient: coefficient, into: z)
        } else {
          let slope = batch.targets[headRow.targets].reduce(Float(0)) { $0 + entropySlopes[$1.sequence] }
          transformer.kernels.entropyGradient(
            z, d, coefficient: coefficient, entropyCoefficient: -slope * distribution.inverseTemperature, into: z)
        }
        for target in batch.targets[headRow.targets] {
          z[Int(target.token)] += slopes[target.sequence][target.position] * distribution.inverseTemperature
        }
      }
      try pass.head(headRows.map(\.row))
    }
  }
}

/// What the forward pass keeps for the backward pass.
struct Activations {
  /// Rows there is room for.
  let rows: Int
  /// [layers + 1]: x before each layer, and after the last. [rows, C]
  let inputs: [Matrix]
  /// [layers]: x between attention and feed-forward.
  let middles: [Matrix]
  let layers: [LayerBuffers]

  init(_ plan: TransformerPlan, rows wanted: Int) {
    let chunk = Backpropagation.chunkRows
    let count = (wanted + chunk - 1) / chunk * chunk
    rows = count
    let c = plan.configuration
    inputs = (0...c.layerCount).map { _ in Matrix(rows: count, columns: c.hiddenSize) }
    middles = (0..<c.layerCount).map { _ in Matrix(rows: count, columns: c.hiddenSize) }
    layers = (0..<c.layerCount).map { _ in LayerBuffers(plan, rows: count, forTraining: true) }
  }

  static func bytesPerRow(_ plan: TransformerPlan) -> Int {
    let c = plan.configuration
    let heads = plan.heads
    let kept = heads.width * (c.hasQueryKeyNorm ? 2 : 1) + 2 * heads.query + 2 * c.feedForwardSize + 2 * c.hiddenSize
    return c.layerCount * (kept * 4 + heads.queryWidth * plan.type.bytes) + c.hiddenSize * 4
  }

  /// Chunks of the first `count` rows, each with the room it may write to.
  func chunks(of count: Int) -> [(rows: Range<Int>, room: Range<Int>)] {
    let size = Backpropagation.chunkRows
    return stride(from: 0, to: count, by: size).map { ($0..<min($0 + size, count), $0..<$0 + size) }
  }
}
