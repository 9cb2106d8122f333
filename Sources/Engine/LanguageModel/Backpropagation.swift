// Backpropagation: the log-probabilities of given tokens, and the gradient of a loss that depends on them.
//
// Forward: the rows of a micro-batch go through the layers like the sampler's rows (Transformer), so the
// log-probabilities equal the recorded ones bit for bit. The loss is the caller's: a function turns a sequence's
// log-probabilities into d loss / d logprob. If the loss depends on entropies, each sequence has one slope for them.
// Backward: the layers in reverse add to a flat gradient. Cheap results are recomputed (norms, activations, logits).
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

  /// Adds the gradient of a loss to `gradient`, which has one value per parameter, in layout order.
  ///
  /// `coefficients` gets a sequence's index and its log-probabilities, and returns d loss / d logprob for each of its
  /// response tokens. It is called once per sequence, in order. `entropySlopes` are d loss / d entropy, one for all
  /// tokens of a sequence; [] if the loss does not depend on entropies. `progress` is called many times during the
  /// backward pass. Its argument is an index of the flat gradient: from there to the end, the gradient is complete.
  /// - Returns: the log-probabilities and entropies of each sequence.
  /// - Throws: `.emptyPrompt`, `.tooLong`, `.tokenOutsideVocabulary`, `.notFinite`, `.multiplication`.
  @discardableResult
  package func run(
    _ sequences: [TrainingSequence], model: PreparedModel, distribution: DistributionSettings, gradient: Floats,
    entropySlopes: [Float] = [], progress: (_ completeFrom: Int) -> Void = { _ in },
    coefficients: (_ sequence: Int, _ scored: ScoredSequence) -> [Float]
  ) throws(ModelError) -> [ScoredSequence] {
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
      complete = layout.layers[layer].offset
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

  /// Log-probabilities and entropies, from the last layer's output.
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

  /// For the tokens that top-k and top-p keep: d logprob(t) / d logit = (1[t] − p) / temperature, and
  /// d entropy / d logit = −p·(log p + entropy) / temperature.
  private func headBackward(
    _ pass: BackwardPass, _ slopes: [[Float]], _ entropySlopes: [Float], _ distribution: DistributionSettings
  ) throws(ModelError) {
    let batch = pass.batch
    let inverseTemperature = distribution.dividing(by: plan.configuration.logitDivisor).inverseTemperature
    try eachHeadChunk(batch, pass.model, distribution) { headRows, distributions throws(ModelError) in
      transformer.team.share(headRows.count) { range, _ in
        for index in range {
          let targets = batch.targets[headRows[headRows.startIndex + index].targets]
          let z = backward.logits.row(index)
          var total: Float = 0
          for target in targets { total += slopes[target.sequence][target.position] }
          let coefficient = -total * inverseTemperature
          if entropySlopes.isEmpty {
            transformer.kernels.scaledProbabilities(z, distributions[index], coefficient: coefficient, into: z)
          } else {
            let slope = targets.reduce(Float(0)) { $0 + entropySlopes[$1.sequence] }
            transformer.kernels.entropyGradient(
              z, distributions[index], coefficient: coefficient,
              entropyCoefficient: -slope * inverseTemperature, into: z)
          }
          for target in targets {
            z[Int(target.token)] += slopes[target.sequence][target.position] * inverseTemperature
          }
        }
      }
      try pass.head(headRows.map(\.row))
    }
  }
}
