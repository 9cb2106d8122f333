// Backpropagation: the log-probabilities of given tokens, and the gradient of a loss that depends on them.
//
// Forward: the rows of a micro-batch go through the layers like the sampler's rows (Transformer), so the
// log-probabilities equal the recorded ones bit for bit. The loss is the caller's: a function turns a token's
// log-probability into d loss / d logprob. If the loss depends on entropies, each sequence has one slope for them.
// Backward: the head, a chunk of rows at a time, while their logits are there; then the layers in reverse. All add to a
// flat gradient. Cheap results are recomputed (norms, activations).
// Expensive ones are kept (q|k|v, attention, gate|up) if there is enough memory (ForwardPass). The threads of a team
// divide rows and columns but never a sum, so a micro-batch's gradient depends only on its sequences.
// Not here: which sequences make a micro-batch, sums over micro-batches (ExactGradient), the loss (TTRL).

import Base
package import Tensors

/// The model's log-probabilities and entropies for a response.
package struct ScoredSequence: Sendable, Equatable {
  /// [T] log-probabilities of the response's tokens, natural log.
  package var logprobs: [Float]
  /// [T] entropies, in nats, of the distributions that the tokens were drawn from.
  package var entropies: [Float]
}

/// The trainer of one team of threads. Not `Sendable`. Its memory grows to the largest micro-batch and is then kept.
package final class Backpropagation {
  let plan: TransformerPlan
  let transformer: Transformer
  let pages: KeyValuePages
  private let activationBytesMax: Int
  private var activations: Activations
  private let backward: BackwardScratch

  /// Rows per chunk, which is also the inner dimension of the products that give weight gradients. It is part of the
  /// arithmetic: a different number changes the last bits of the gradient.
  static let chunkRows = 3 * blockRowsMax

  /// If a micro-batch's activations would take more than `activationBytesMax`, only the layers' inputs are kept and the
  /// rest is recomputed: slower, with the same bits.
  package init(_ plan: TransformerPlan, team: Team = Team(1), activationBytesMax: Int = .max) {
    self.plan = plan
    self.activationBytesMax = activationBytesMax
    transformer = Transformer(plan, chunkRows: Backpropagation.chunkRows, team: team)
    pages = KeyValuePages(heads: plan.heads, layers: 1)
    activations = Activations(plan, rows: 0, areRecomputed: false)
    backward = BackwardScratch(plan)
  }

  /// Bytes of activations that `run` keeps per row. A row is a token of the micro-batch; a shared prompt counts once.
  package static func bytesPerRow(_ plan: TransformerPlan, areRecomputed: Bool = false) -> Int {
    Activations.bytesPerRow(plan, areRecomputed: areRecomputed)
  }

  /// Teacher-forced scoring: the log-probability of every response token.
  package func score(
    _ sequences: [TrainingSequence], model: PreparedModel, distribution: DistributionSettings
  ) throws(ModelError) -> [ScoredSequence] {
    let batch = try TrainingBatch(sequences, configuration: plan.configuration, pages: pages)
    _ = try forward(batch, model, isForTraining: false)
    return try scores(of: batch, sequences, model, distribution)
  }

  /// Adds the gradient of a loss to `gradient`, which has one value per trained parameter, in layout order.
  ///
  /// `slope` gets a sequence's index, a position in its response and the log-probability there, and returns d loss /
  /// d logprob. It is called once per response token, with the sequences' tokens in no order that callers may rely on.
  /// `entropySlopes` are d loss / d entropy, one for all tokens of a sequence; [] if the loss does not depend on
  /// entropies. `tokenEntropySlopes`, [] or [sequence][T], are added to them. `progress` is called many times during the
  /// backward pass. Its argument is an index of the flat gradient: from there to the end, the gradient is complete.
  /// - Returns: the log-probabilities and entropies of each sequence.
  /// - Throws: `.emptyPrompt`, `.tooLong`, `.tokenOutsideVocabulary`, `.notFinite`, `.multiplication`. Then part of the
  ///   gradient may have been added.
  @discardableResult
  package func run(
    _ sequences: [TrainingSequence], model: PreparedModel, distribution: DistributionSettings, gradient: Floats,
    entropySlopes: [Float] = [], tokenEntropySlopes: [[Float]] = [],
    progress: @escaping (_ completeFrom: Int) -> Void = { _ in },
    slope: (_ sequence: Int, _ position: Int, _ logprob: Float) -> Float
  ) throws(ModelError) -> [ScoredSequence] {
    precondition(
      gradient.count == plan.trained.count, "\(gradient.count) gradients for \(plan.trained.count) parameters")
    return try run(
      sequences, model: model, distribution: distribution,
      receiver: FlatGradient(gradient, plan: plan, progress: progress), entropySlopes: entropySlopes,
      tokenEntropySlopes: tokenEntropySlopes, slope: slope)
  }

  /// The same for a gradient that is taken piece by piece.
  func run(
    _ sequences: [TrainingSequence], model: PreparedModel, distribution: DistributionSettings,
    receiver: any GradientReceiver, entropySlopes: [Float], tokenEntropySlopes: [[Float]],
    slope: (_ sequence: Int, _ position: Int, _ logprob: Float) -> Float
  ) throws(ModelError) -> [ScoredSequence] {
    precondition([0, sequences.count].contains(entropySlopes.count), "one entropy slope per sequence, or none")
    precondition(
      [0, sequences.count].contains(tokenEntropySlopes.count), "entropy slopes of all sequences, or of none")
    let batch = try TrainingBatch(sequences, configuration: plan.configuration, pages: pages)
    let forward = try forward(batch, model, isForTraining: true)
    let head = plan.trainedHead.map { _ in receiver.headRoom(rows: batch.headRows.count) } ?? nil
    var pass = BackwardPass(
      forward: forward, scratch: backward, gradient: receiver.room(for: plan.trainedNorm), headGradient: head,
      headFactors: HeadFactors())
    pass.begin()
    let scored = try scores(of: batch, sequences, model, distribution) { chunk, scored throws(ModelError) in
      let slopes = batch.targets[chunk.targets].map {
        slope($0.sequence, $0.position, scored[$0.sequence].logprobs[$0.position])
      }
      let entropySlopes =
        entropySlopes.isEmpty && tokenEntropySlopes.isEmpty
        ? []
        : batch.targets[chunk.targets].map {
          (entropySlopes.isEmpty ? 0 : entropySlopes[$0.sequence])
            + (tokenEntropySlopes.isEmpty ? 0 : tokenEntropySlopes[$0.sequence][$0.position])
        }
      try headBackward(pass, chunk, slopes, entropySlopes, distribution)
    }
    receiver.complete(plan.trainedNorm)
    let embeddings = plan.trainedEmbedding.map { _ in receiver.embeddings(of: batch.tokens) }
    for slice in plan.trainedHeadSlices {
      if head == nil { try pass.addHead(slice, to: receiver.room(for: slice)) }
      receiver.completeHead(slice)
    }
    pass.headFactors.forget()
    for layer in (0..<plan.configuration.layerCount).reversed() {
      let piece = plan.trainedPiece(ofLayer: layer)
      pass.gradient = receiver.room(for: piece)
      try pass.layer(layer) { receiver.pause() }
      receiver.complete(piece)
    }
    if let embeddings { pass.addEmbeddings(to: embeddings) }
    receiver.completeEmbeddings()
    return scored
  }

  // MARK: Forward

  private func forward(
    _ batch: TrainingBatch, _ model: PreparedModel, isForTraining: Bool
  ) throws(ModelError) -> ForwardPass {
    let count = batch.tokens.count
    // Scoring needs no backward pass, so it uses the memory that there is, in either form.
    let recomputes =
      isForTraining
      ? count * Backpropagation.bytesPerRow(plan) > activationBytesMax
      : activations.rows < count || activations.areRecomputed
    if activations.rows < count || activations.areRecomputed != recomputes {
      // Free the old ones before the new ones are allocated.
      activations = Activations(plan, rows: 0, areRecomputed: recomputes)
      activations = Activations(plan, rows: count, areRecomputed: recomputes)
    }
    let pass = ForwardPass(batch: batch, model: model, transformer: transformer, activations: activations)
    try pass.run()
    return pass
  }

  // MARK: Head

  /// Log-probabilities and entropies, from the last layer's output, a chunk of rows at a time. `body` is called after
  /// each chunk, when its z values are in `backward.logits`.
  private func scores(
    of batch: TrainingBatch, _ sequences: [TrainingSequence], _ model: PreparedModel,
    _ distribution: DistributionSettings,
    body: (HeadChunk, [ScoredSequence]) throws(ModelError) -> Void = { _, _ in }
  ) throws(ModelError) -> [ScoredSequence] {
    var scored = sequences.map { sequence in
      let zeroes = [Float](repeating: 0, count: sequence.response.count)
      return ScoredSequence(logprobs: zeroes, entropies: zeroes)
    }
    for start in stride(from: 0, to: batch.headRows.count, by: backward.headRows) {
      let end = min(start + backward.headRows, batch.headRows.count)
      let chunk = try headChunk(batch, start..<end, model, distribution)
      for (index, headRow) in chunk.rows.enumerated() {
        let z = backward.logits.row(index)
        let d = chunk.distributions[index]
        for target in batch.targets[headRow.targets] {
          scored[target.sequence].logprobs[target.position] = d.logprob(z: z[Int(target.token)])
          scored[target.sequence].entropies[target.position] = d.entropy
        }
      }
      try body(chunk, scored)
    }
    return scored
  }

  /// Gathers rows that reach the head into `backward.headInput` and computes their z values.
  private func headChunk(
    _ batch: TrainingBatch, _ range: Range<Int>, _ model: PreparedModel, _ distribution: DistributionSettings
  ) throws(ModelError) -> HeadChunk {
    let rows = batch.headRows[range]
    let x = activations.inputs[plan.configuration.layerCount]
    transformer.kernels.gather(x, rows.map(\.row), into: backward.headInput)
    try transformer.logits(
      model, x: backward.headInput, count: rows.count, normed: backward.headNormed, into: backward.logits)
    let found = transformer.distributions(of: backward.logits, count: rows.count, distribution)
    if let index = found.firstIndex(where: { $0 == nil }) {
      throw .notFinite(source: "sequence \(batch.targets[rows[range.lowerBound + index].targets.lowerBound].sequence)")
    }
    return HeadChunk(rows: rows, distributions: found.compactMap { $0 })
  }

  /// For the tokens that top-k and top-p keep: d logprob(t) / d logit = (1[t] − p) / temperature, and
  /// d entropy / d logit = −p·(log p + entropy) / temperature.
  ///
  /// - Parameters:
  ///   - pass: the backward pass.
  ///   - chunk: the rows.
  ///   - slopes: d loss / d logprob of the chunk's targets, in their order.
  ///   - entropySlopes: d loss / d entropy of the same; [] if the loss does not depend on entropies.
  ///   - distribution: how logits become probabilities.
  private func headBackward(
    _ pass: BackwardPass, _ chunk: HeadChunk, _ slopes: [Float], _ entropySlopes: [Float],
    _ distribution: DistributionSettings
  ) throws(ModelError) {
    let batch = pass.batch
    let inverseTemperature = distribution.dividing(by: plan.configuration.logitDivisor).inverseTemperature
    transformer.team.share(chunk.rows.count) { range, _ in
      for index in range {
        let places = chunk.rows[chunk.rows.startIndex + index].targets
        let z = backward.logits.row(index)
        var total: Float = 0
        for place in places { total += slopes[place - chunk.targets.lowerBound] }
        let coefficient = -total * inverseTemperature
        if entropySlopes.isEmpty {
          transformer.kernels.scaledProbabilities(z, chunk.distributions[index], coefficient: coefficient, into: z)
        } else {
          let slope = places.reduce(Float(0)) { $0 + entropySlopes[$1 - chunk.targets.lowerBound] }
          transformer.kernels.entropyGradient(
            z, chunk.distributions[index], coefficient: coefficient,
            entropyCoefficient: -slope * inverseTemperature, into: z)
        }
        for place in places {
          z[Int(batch.targets[place].token)] += slopes[place - chunk.targets.lowerBound] * inverseTemperature
        }
      }
    }
    try pass.head(chunk.rows.map(\.row))
  }
}

/// Some rows that reach the head, and their distributions.
private struct HeadChunk {
  let rows: ArraySlice<HeadRow>
  let distributions: [TokenDistribution]

  /// What the rows predict: adjacent indices into the batch's targets.
  var targets: Range<Int> { (rows.first?.targets.lowerBound ?? 0)..<(rows.last?.targets.upperBound ?? 0) }
}
