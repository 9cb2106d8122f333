// Generator: samples trajectories, many at a time, each as if it were alone.
//
// Continuous batching: every `advance` moves all running samples by one token; those that finish leave, waiting ones
// enter. A prompt goes through the model once; its samples share its pages and its first distribution. What a sample
// becomes depends on its slot, the weights and the sampling settings alone: random numbers are named by slot and
// position, and rows do not influence each other (Transformer). So batch size, company and order are free.
// Not here: threads (the caller runs one generator per thread), leases, text.

import Base
package import Records
import Tensors

/// Samples to be drawn from one prompt.
package struct GenerationRequest: Sendable {
  package var prompt: [Int32]
  package var round: RoundID
  package var promptIndex: UInt32
  /// Sample indices, each once.
  package var samples: [UInt32]

  package init(prompt: [Int32], round: RoundID, promptIndex: UInt32, samples: [UInt32]) {
    self.prompt = prompt
    self.round = round
    self.promptIndex = promptIndex
    self.samples = samples
  }
}

/// One thread's sampler. Not `Sendable`.
package final class Generator {
  private let model: PreparedModel
  private let policy: PolicyVersion
  private let seed: UInt64
  private let sampling: Sampling
  private let distribution: DistributionSettings
  private let stopStrings: StopStrings
  private let batchRows: Int
  private let configuration: ModelConfiguration

  private let transformer: Transformer
  private let pages: KeyValuePages
  private let rows: RowList
  private let buffers: LayerBuffers
  private let x: Matrix
  private let logits: Matrix
  private let scratch: DistributionScratch

  private var waiting: [GenerationRequest] = []
  /// The first waiting request that is not finished with, and the prompt it has been prefilled into.
  private var nextRequest = 0
  private var opened: OpenedPrompt?
  private var running: [Running] = []

  /// A prompt that has gone through the model and has samples that have not begun.
  private struct OpenedPrompt {
    let table: PageTable
    let z: Floats
    let distribution: TokenDistribution
    var nextSample = 0
  }

  /// A sample on its way. Its last token has not gone through the model.
  private struct Running {
    let table: PageTable
    let promptCount: Int
    let tokensMax: Int
    var trajectory: Trajectory
    var stopProgress: StopStrings.Progress
    var hasStopString = false
  }

  /// A sampler of `batchRows` samples at a time; memory and speed depend on that number, results do not. Where
  /// `sampling` has stop strings, `tokenTexts` are those of the model's tokenizer.
  package init(
    model: PreparedModel, policy: PolicyVersion, seed: UInt64, sampling: Sampling, batchRows: Int,
    tokenTexts: TokenTexts = .none
  ) {
    precondition(batchRows > 0, "a batch needs at least 1 row, got \(batchRows)")
    self.model = model
    self.policy = policy
    self.seed = seed
    self.sampling = sampling
    self.batchRows = batchRows
    distribution = DistributionSettings(sampling)
    stopStrings = StopStrings(sampling.stopStrings, texts: tokenTexts)
    let plan = model.plan
    configuration = plan.configuration
    transformer = Transformer(plan, chunkRows: min(2 * blockRowsMax, roundedToBlocks(batchRows)))
    pages = KeyValuePages(heads: plan.heads, layers: configuration.layerCount)
    rows = RowList(pages, capacity: transformer.chunkRows)
    buffers = LayerBuffers(plan, rows: transformer.chunkRows, forTraining: false)
    x = Matrix(rows: transformer.chunkRows, columns: configuration.hiddenSize)
    logits = Matrix(rows: transformer.chunkRows, columns: configuration.vocabularySize)
    scratch = DistributionScratch(vocabularySize: configuration.vocabularySize)
  }

  /// Queues samples.
  /// - Throws: `.emptyPrompt`, `.tokenOutsideVocabulary`.
  package func add(_ request: GenerationRequest) throws(ModelError) {
    let source = "prompt \(request.promptIndex)"
    guard !request.prompt.isEmpty else { throw .emptyPrompt(source: source) }
    let vocabulary = 0..<Int32(configuration.vocabularySize)
    if let token = request.prompt.first(where: { !vocabulary.contains($0) }) {
      throw .tokenOutsideVocabulary(token: token, source: source, vocabularySize: configuration.vocabularySize)
    }
    guard !request.samples.isEmpty else { return }
    waiting.append(request)
  }

  /// Drops the samples that nobody wants any more, finished ones aside; what they have come to is lost.
  package func cancel(_ isUnwanted: (Slot) -> Bool) {
    running.removeAll { isUnwanted($0.trajectory.slot) }
    for index in waiting.indices.dropFirst(nextRequest) {
      let request = waiting[index]
      // Those of the opened prompt that have begun are among the running.
      let begun = index == nextRequest ? opened?.nextSample ?? 0 : 0
      waiting[index].samples =
        request.samples.prefix(begun) + request.samples.dropFirst(begun).filter { !isUnwanted(slot(request, $0)) }
    }
    if nextRequest < waiting.count, let opened, opened.nextSample == waiting[nextRequest].samples.count {
      closeRequest()
    }
    waiting = waiting.prefix(nextRequest) + waiting.dropFirst(nextRequest).filter { !$0.samples.isEmpty }
    if nextRequest == waiting.count {
      waiting.removeAll()
      nextRequest = 0
    }
  }

  /// Tokens sampled so far, those of unfinished samples included: it grows as long as there is progress.
  package private(set) var tokenCount = 0

  package var hasWork: Bool { !running.isEmpty || nextRequest < waiting.count }

  /// Samples one token of every running sample, after letting waiting ones in.
  /// - Returns: the trajectories that finished, in no particular order.
  package func advance() throws(ModelError) -> [Trajectory] {
    var finished: [Trajectory] = []
    try admit(&finished)
    for start in stride(from: 0, to: running.count, by: transformer.chunkRows) {
      try decode(start..<min(start + transformer.chunkRows, running.count))
    }
    collectFinished(&finished)
    return finished
  }

  // MARK: Entering and leaving

  /// Lets samples in until the batch is full, giving each its first token.
  private func admit(_ finished: inout [Trajectory]) throws(ModelError) {
    while running.count < batchRows, nextRequest < waiting.count {
      let request = waiting[nextRequest]
      let tokensMax = min(Int(sampling.maxNewTokens), configuration.maxPositions - request.prompt.count)
      if tokensMax <= 0 {
        finished += request.samples.map { emptyTrajectory(slot(request, $0)) }
        closeRequest()
        continue
      }
      var prompt = try openedPrompt(request)
      while running.count < batchRows, prompt.nextSample < request.samples.count {
        begin(slot(request, request.samples[prompt.nextSample]), prompt, request.prompt.count, tokensMax)
        prompt.nextSample += 1
      }
      if prompt.nextSample == request.samples.count { closeRequest() } else { opened = prompt }
      collectFinished(&finished)
    }
  }

  private func closeRequest() {
    opened = nil
    nextRequest += 1
    if nextRequest == waiting.count {
      waiting.removeAll()
      nextRequest = 0
    }
  }

  private func slot(_ request: GenerationRequest, _ sample: UInt32) -> Slot {
    Slot(round: request.round, prompt: request.promptIndex, sample: sample)
  }

  private func emptyTrajectory(_ slot: Slot) -> Trajectory {
    Trajectory(slot: slot, policy: policy, tokens: [], logprobs: [], entropySum: 0, finish: .length)
  }

  private func openedPrompt(_ request: GenerationRequest) throws(ModelError) -> OpenedPrompt {
    if let opened { return opened }
    return try open(request)
  }

  /// The whole prompt through the model; the last position's distribution is that of every first token.
  private func open(_ request: GenerationRequest) throws(ModelError) -> OpenedPrompt {
    let count = request.prompt.count
    let table = PageTable(pages, positions: count)
    var last = 0
    for start in stride(from: 0, to: count, by: transformer.chunkRows) {
      let positions = start..<min(start + transformer.chunkRows, count)
      rows.removeAll()
      for position in positions { rows.append(position: position, table: table) }
      transformer.embed(Array(request.prompt[positions]), model: model, into: x)
      try runLayers()
      last = positions.count - 1
    }
    x.row(0).copy(from: x.row(last))
    try transformer.logits(model, x: x, count: 1, normed: transformer.normed, into: logits)
    let z = Floats(count: configuration.vocabularySize)
    z.copy(from: logits.row(0))
    guard let distribution = distribution.apply(to: z, scratch: scratch) else {
      throw .notFinite(source: "prompt \(request.promptIndex) with policy \(policy)")
    }
    return OpenedPrompt(table: table, z: z, distribution: distribution)
  }

  private func begin(_ slot: Slot, _ prompt: OpenedPrompt, _ promptCount: Int, _ tokensMax: Int) {
    let table = PageTable(continuing: prompt.table, after: promptCount, positions: promptCount + tokensMax)
    table.copyLastPage(of: prompt.table, count: promptCount)
    var trajectory = emptyTrajectory(slot)
    trajectory.tokens.reserveCapacity(min(tokensMax, 256))
    trajectory.logprobs.reserveCapacity(min(tokensMax, 256))
    running.append(
      Running(
        table: table, promptCount: promptCount, tokensMax: tokensMax, trajectory: trajectory,
        stopProgress: stopStrings.beginning))
    drawToken(for: running.count - 1, z: prompt.z, prompt.distribution)
  }

  private func collectFinished(_ finished: inout [Trajectory]) {
    running.removeAll { sample in
      guard let last = sample.trajectory.tokens.last else { return false }
      var trajectory = sample.trajectory
      if sample.hasStopString || sampling.stopTokens.contains(last) {
        trajectory.finish = .stop
      } else if trajectory.tokens.count < sample.tokensMax {
        return false
      }
      finished.append(trajectory)
      return true
    }
  }

  // MARK: One token

  /// The last token of some running samples through the model, and a new token for each.
  private func decode(_ range: Range<Int>) throws(ModelError) {
    rows.removeAll()
    for index in range {
      let sample = running[index]
      rows.append(position: sample.promptCount + sample.trajectory.tokens.count - 1, table: sample.table)
    }
    transformer.embed(range.map { running[$0].trajectory.tokens.last ?? 0 }, model: model, into: x)
    try runLayers()
    try transformer.logits(model, x: x, count: range.count, normed: transformer.normed, into: logits)
    for index in range {
      let z = logits.row(index - range.lowerBound)
      guard let distribution = distribution.apply(to: z, scratch: scratch) else {
        throw .notFinite(source: "\(running[index].trajectory.slot) with policy \(policy)")
      }
      drawToken(for: index, z: z, distribution)
    }
  }

  /// `rows` through all layers, in place in `x`.
  private func runLayers() throws(ModelError) {
    let range = 0..<rows.count
    for layer in 0..<configuration.layerCount {
      try transformer.project(
        model, layer: layer, x: x, rows: rows, range: range, buffers: buffers, pageLayer: layer)
      try transformer.attend(
        model, layer: layer, x: x, rows: rows, range: range, buffers: buffers, pageLayer: layer)
      try transformer.feedForward(model, layer: layer, source: x, x: x, count: rows.count, buffers: buffers)
    }
  }

  private func drawToken(for index: Int, z: Floats, _ d: TokenDistribution) {
    let position = running[index].trajectory.tokens.count
    let token: Int32
    if distribution.isGreedy {
      token = transformer.kernels.largest(z)
    } else {
      let uniform = running[index].trajectory.slot.uniform(at: position, seed: seed)
      token = transformer.kernels.sample(z, d, uniform: uniform)
    }
    tokenCount += 1
    running[index].trajectory.tokens.append(token)
    running[index].trajectory.logprobs.append(d.logprob(z: z[Int(token)]))
    running[index].trajectory.entropySum += d.entropy
    if stopStrings.isCompleted(by: token, &running[index].stopProgress) { running[index].hasStopString = true }
  }
}
