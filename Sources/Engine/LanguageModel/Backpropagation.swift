// Backpropagation: log-probabilities of given tokens, and the gradient of a loss of them.
//
// Forward: the rows of a micro-batch go through the layers as the sampler's rows do (Transformer), so the log-
// probabilities equal the recorded ones bit for bit. The loss lives outside: a function turns a sequence's log-
// probabilities into d loss / d logprob; a loss of entropies has one slope per sequence. Backward: the layers in
// reverse, adding to a flat gradient. What is cheap is computed again (norms, activations, logits), what is dear is
// kept (q|k|v, attention, gate|up) as long as there is memory (ForwardPass). A team of threads shares rows and columns,
// never a sum, so a micro-batch's gradient is a function of its sequences. Not here: which sequences make a
// micro-batch, sums over micro-batches (ExactGradient), the loss (TTRL).

import Base
package import Tensors

/// What the model thinks of a response.
package struct ScoredSequence: Sendable, Equatable {
  /// [T] natural-log probabilities of the response's tokens.
  package var logprobs: [Float]
  /// [T] entropies in nats of the distributions they were drawn from.
  package var entropies: [Float]
}

/// One team's trainer. Not `Sendable`; its memory grows to the largest micro-batch and stays.
package final class Backpropagation {
  let plan: TransformerPlan
  let transformer: Transformer
  let pages: KeyValuePages
  private let activationBytesMax: Int
  private var activations: Activations
  private let backward: BackwardScratch

  /// Rows per chunk, and the inner dimension of the products that make weight gradients. A part of the arithmetic:
  /// another number gives other last bits of the gradient.
  static let chunkRows = 3 * blockRowsMax

  /// A micro-batch whose activations would take more than `activationBytesMax` keeps the layers' inputs only and
  /// computes the rest again: slower, to the same bits.
  package init(_ plan: TransformerPlan, team: Team = Team(1), activationBytesMax: Int = .max) {
    self.plan = plan
    self.activationBytesMax = activationBytesMax
    transformer = Transformer(plan, chunkRows: Backpropagation.chunkRows, team: team)
    pages = KeyValuePages(heads: plan.heads, layers: 1)
    activations = Activations(plan, rows: 0, areRecomputed: false)
    backward = BackwardScratch(plan)
  }

  /// Bytes of activations that `run` keeps for each row (each token of a micro-batch, shared prompts once).
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

  /// Adds the gradient of a loss to `gradient`, which has one value per parameter, in layout order.
  ///
  /// `coefficients` is given a sequence's index and what the model thinks of it, and returns d loss / d logprob for
  /// each of its response tokens. It is called once per sequence, in order. `entropySlopes` are d loss / d entropy, the
  /// same for all tokens of a sequence; [] if the loss has no entropies in it. `progress` is called many times on the
  /// way back, with the first of those parameters at the end of the layout whose gradient is complete.
  /// - Returns: what the model thinks of each sequence.
  /// - Throws: `.emptyPrompt`, `.tooLong`, `.tokenOutsideVocabulary`, `.notFinite`, `.multiplication`.
  @discardableResult
  package func run(
    _ sequences: [TrainingSequence], model: PreparedModel, distribution: DistributionSettings, gradient: Floats,
    entropySlopes: [Float] = [], progress: (_ completeFrom: Int) -> Void = { _ in },
    coefficients: (_ sequence: Int, _ scored: ScoredSequence) -> [Float]
  ) throws(ModelError) -> [ScoredSequence] {
    precondition(model.isForTraining, "the model was prepared without what the backward pass needs")
    precondition(gradient.count == plan.layout.count, "\(gradient.count) gradients for \(plan.layout.count) parameters")
    precondition([0, sequences.count].contains(entropySlopes.count), "one entropy slope per sequence, or none")
    let batch = try TrainingBatch(sequences, configuration: plan.configuration, pages: pages)
    let forward = try forward(batch, model, isForTraining: true)
    let scored = try scores(of: batch, sequences, model, distribution)
    var slopes: [[Float]] = []
    for (index, sequence) in scored.enumerated() {
      slopes.append(coefficients(index, sequence))
      precondition(slopes[index].count == sequence.logprobs.count, "sequence \(index): one coefficient per token")
    }
    let pass = BackwardPass(
      forward: forward, gradient: gradient, scratch: backward)
    pass.begin()
    try headBackward(pass, slopes, entropySlopes, distribution)
    let layout = plan.layout
    var complete = layout.tensors[layout.finalNorm].offset
    progress(complete)
    for layer in (0..<plan.configuration.layerCount).reversed() {
      try pass.layer(layer) { progress(complete) }
      complete = layout.tensors[layout.layers[layer].inputNorm].offset
      progress(complete)
    }
    pass.embedding()
    progress(0)
    return scored
  }

  // MARK: Forward

  private func forward(
    _ batch: TrainingBatch, _ model: PreparedModel, isForTraining: Bool
  ) throws(ModelError) -> ForwardPass {
    let count = batch.tokens.count
    // Scoring takes what is there.
    let recomputes =
      isForTraining
      ? count * Backpropagation.bytesPerRow(plan) > activationBytesMax
      : activations.rows < count || activations.areRecomputed
    if activations.rows < count || activations.areRecomputed != recomputes {
      // Let go of the old ones first.
      activations = Activations(plan, rows: 0, areRecomputed: recomputes)
      activations = Activations(plan, rows: count, areRecomputed: recomputes)
    }
    let pass = ForwardPass(batch: batch, model: model, transformer: transformer, activations: activations)
    try pass.run()
    return pass
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
    try eachHeadChunk(batch, model, distribution) { headRows, distributions throws(ModelError) in
      for (index, headRow) in headRows.enumerated() {
        let z = backward.logits.row(index)
        let d = distributions[index]
        for target in batch.targets[headRow.targets] {
          scored[target.sequence].logprobs[target.position] = d.logprob(z: z[Int(target.token)])
          scored[target.sequence].entropies[target.position] = d.entropy
        }
      }
    }
    return scored
  }

  /// Gathers rows that reach the head into `backward.headInput` and computes their z values, a chunk at a time.
  private func eachHeadChunk(
    _ batch: TrainingBatch, _ model: PreparedModel, _ distribution: DistributionSettings,
    _ body: (ArraySlice<HeadRow>, [TokenDistribution]) throws(ModelError) -> Void
  ) throws(ModelError) {
    let x = activations.inputs[plan.configuration.layerCount]
    for start in stride(from: 0, to: batch.headRows.count, by: backward.headRows) {
      let headRows = batch.headRows[start..<min(start + backward.headRows, batch.headRows.count)]
      transformer.kernels.gather(x, headRows.map(\.row), into: backward.headInput)
      try transformer.logits(
        model, x: backward.headInput, count: headRows.count, normed: backward.headNormed, into: backward.logits)
      let found = transformer.distributions(of: backward.logits, count: headRows.count, distribution)
      if let index = found.firstIndex(where: { $0 == nil }) {
        let headRow = headRows[headRows.startIndex + index]
        throw .notFinite(source: "sequence \(batch.targets[headRow.targets.lowerBound].sequence)")
      }
      try body(headRows, found.compactMap { $0 })
    }
  }

  // MARK: Head, backward

  /// d logprob(t) / d logit = (1[t] − p) / temperature, d entropy / d logit = −p·(log p + entropy) / temperature, over
  /// the tokens that were kept.
  private func headBackward(
    _ pass: BackwardPass, _ slopes: [[Float]], _ entropySlopes: [Float], _ distribution: DistributionSettings
  ) throws(ModelError) {
    let batch = pass.batch
    try eachHeadChunk(batch, pass.model, distribution) { headRows, distributions throws(ModelError) in
      transformer.team.share(headRows.count) { range, _ in
        for index in range {
          let targets = batch.targets[headRows[headRows.startIndex + index].targets]
          let z = backward.logits.row(index)
          var total: Float = 0
          for target in targets { total += slopes[target.sequence][target.position] }
          let coefficient = -total * distribution.inverseTemperature
          if entropySlopes.isEmpty {
            transformer.kernels.scaledProbabilities(z, distributions[index], coefficient: coefficient, into: z)
          } else {
            let slope = targets.reduce(Float(0)) { $0 + entropySlopes[$1.sequence] }
            transformer.kernels.entropyGradient(
              z, distributions[index], coefficient: coefficient,
              entropyCoefficient: -slope * distribution.inverseTemperature, into: z)
          }
          for target in targets {
            z[Int(target.token)] += slopes[target.sequence][target.position] * distribution.inverseTemperature
          }
        }
      }
      try pass.head(headRows.map(\.row))
    }
  }
}
