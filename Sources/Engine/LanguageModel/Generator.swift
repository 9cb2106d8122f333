// Generator: samples many trajectories at a time, each independent of the others.
//
// Continuous batching: every `advance` adds a token to all running samples; finished samples leave the batch and
// waiting ones enter it. A prompt goes through the model once; its samples share its pages and the distribution of
// their first token. A trajectory depends only on its slot, the weights and the sampling settings, because slot and
// position determine the random numbers, and rows do not influence each other (Transformer). So batch size, the other
// samples of the batch and the order do not matter. Many prompts are best distributed to many generators. A team of
// threads computes one generator's samples together. When few samples run, a pass also computes drafted tokens, and a
// sample can get several tokens at once (DraftTexts).
// Not here: how requests are distributed, leases, text.

import Base
package import Records
package import Tensors

/// The samples to draw for one prompt.
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

/// The sampler of one team of threads. Not `Sendable`.
package final class Generator {
  private var recordsCertainty: Bool { sampling.records.contains(.selfCertainty) }

  /// Samples that one thread of a worker runs at a time, at most: enough that reading the weights is shared by many.
  package static let batchRowsMax = 256

  private let model: PreparedModel
  private let policy: PolicyVersion
  private let seed: UInt64
  private let sampling: Sampling
  private let distribution: DistributionSettings
  private let stopStrings: StopStrings
  private let batchRows: Int
  private let keyValueBytesMax: Int
  private let usesDrafts: Bool
  private let configuration: ModelConfiguration

  private let transformer: Transformer
  private let pages: KeyValuePages
  private let rows: RowList
  /// By layer; all layers of one kind share memory.
  private let buffers: [LayerBuffers]
  private let x: Matrix
  private let logits: Matrix

  private var waiting: [GenerationRequest] = []
  /// The first request in `waiting` that still has samples to begin, and its prompt if it has been computed.
  private var nextRequest = 0
  private var opened: OpenedPrompt?
  private var running: [Running] = []

  /// A prompt that has gone through the model, with samples that have not begun.
  private struct OpenedPrompt {
    let table: PageTable
    let siblings: Siblings
    let z: Floats
    let drawnFrom: TokenDistribution
    /// Mean of z, if it is recorded.
    let zMean: Double
    var nextSample = 0
  }

  /// A sample that has begun. Its last token has not gone through the model yet.
  private struct Running {
    let table: PageTable
    let siblings: Siblings
    let tokensMax: Int
    var trajectory: Trajectory
    var stopProgress: StopStrings.Progress
    var hasStopString = false
    /// Sum over the tokens, if it is recorded.
    var certaintySum = 0.0

    var promptCount: Int { siblings.prompt.count }
  }

  /// What the samples of one prompt can be drafted from, besides those that are running.
  private final class Siblings {
    let prompt: [Int32]
    /// The responses that finished last, without their end.
    var finished: [[Int32]] = []

    init(prompt: [Int32]) { self.prompt = prompt }
  }

  /// A row of a pass: the last token of a running sample, or a drafted token `offset` positions after it.
  private struct PassRow {
    let sample: Int
    var offset = 0
    let token: Int32
  }

  /// A sampler of `batchRows` samples at a time. Memory and speed depend on that number, results do not. If `sampling`
  /// has stop strings, `tokenTexts` are those of the model's tokenizer. A sample waits while the keys and values of the
  /// running samples could take more than `keyValueBytesMax` with it; one sample always runs.
  /// Without `drafts`, every pass gives each sample one token; that is for tests.
  package init(
    model: PreparedModel, policy: PolicyVersion, seed: UInt64, sampling: Sampling, batchRows: Int,
    tokenTexts: TokenTexts = .none, keyValueBytesMax: Int = .max, drafts: Bool = true, team: Team = Team(1)
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
    transformer = Transformer(plan, chunkRows: min(2 * blockRowsMax, roundedToBlocks(batchRows)), team: team)
    pages = plan.pages()
    // Drafts that do not count would have changed the states of linear attention.
    usesDrafts = drafts && pages.stateBytes == 0
    self.keyValueBytesMax = keyValueBytesMax
    rows = RowList(pages, capacity: transformer.chunkRows)
    buffers = LayerBuffers.layers(plan, rows: transformer.chunkRows, forTraining: false, areShared: true)
    x = Matrix(rows: transformer.chunkRows, columns: configuration.hiddenSize)
    logits = Matrix(rows: transformer.chunkRows, columns: configuration.vocabularySize)
  }

  /// Queues samples.
  /// - Throws: `.emptyPrompt`, `.tokenOutsideVocabulary`.
  package func add(_ request: GenerationRequest) throws(ModelError) {
    let source = "prompt #\(request.promptIndex)"
    guard !request.prompt.isEmpty else { throw .emptyPrompt(source: source) }
    let vocabulary = 0..<Int32(configuration.vocabularySize)
    if let token = request.prompt.first(where: { !vocabulary.contains($0) }) {
      throw .tokenOutsideVocabulary(token: token, source: source, vocabularySize: configuration.vocabularySize)
    }
    guard !request.samples.isEmpty else { return }
    waiting.append(request)
  }

  /// Drops the unwanted samples that have not finished. Their tokens are lost.
  package func cancel(_ isUnwanted: (Slot) -> Bool) {
    running.removeAll { isUnwanted($0.trajectory.slot) }
    for index in waiting.indices.dropFirst(nextRequest) {
      let request = waiting[index]
      // Samples of the opened prompt that have begun are in `running`.
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

  /// Tokens sampled so far, including those of unfinished samples. It grows as long as there is progress.
  package private(set) var tokenCount = 0

  /// Drafted tokens that went through the model, and those of them that count as sampled.
  package private(set) var draftCounts = (computed: 0, accepted: 0)

  /// Bytes of the key and value pages, and of the states, that are in use.
  package var keyValueBytes: Int { pages.inUse * pages.pageBytes + pages.statesInUse * pages.stateBytes }

  package var keyValuePageBytes: Int { pages.pageBytes }

  /// Bytes of one sequence's states; 0 if the model has none.
  package var stateBytes: Int { pages.stateBytes }

  package var hasWork: Bool { !running.isEmpty || nextRequest < waiting.count }

  /// Lets waiting samples in, then samples a token for every running sample, or several where drafts are right.
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

  /// Lets samples in until the batch is full, and gives each its first token.
  private func admit(_ finished: inout [Trajectory]) throws(ModelError) {
    while running.count < batchRows, nextRequest < waiting.count {
      let request = waiting[nextRequest]
      let tokensMax = min(Int(sampling.maxNewTokens), configuration.maxPositions - request.prompt.count)
      if tokensMax <= 0 {
        finished += request.samples.map { emptyTrajectory(slot(request, $0)) }
        closeRequest()
        continue
      }
      let positions = request.prompt.count + tokensMax
      if opened == nil, !fits(pages: (positions + 15) / 16 + 1, states: 2) { return }
      var prompt = try openedPrompt(request)
      let ownPages = (positions + 15) / 16 - request.prompt.count / 16
      while running.count < batchRows, prompt.nextSample < request.samples.count, fits(pages: ownPages, states: 1) {
        begin(slot(request, request.samples[prompt.nextSample]), prompt, tokensMax)
        prompt.nextSample += 1
      }
      let isDone = prompt.nextSample == request.samples.count
      if isDone { closeRequest() } else { opened = prompt }
      collectFinished(&finished)
      // There will be no room for the others before a running sample ends.
      if !isDone { return }
    }
  }

  /// Whether so many more pages and states would fit if every running sample grew to its greatest length.
  private func fits(pages count: Int, states: Int) -> Bool {
    guard !running.isEmpty else { return true }
    let all = running.reduce(pages.inUse + count) { $0 + $1.table.unlisted }
    return all * pages.pageBytes + (pages.statesInUse + states) * pages.stateBytes <= keyValueBytesMax
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

  /// Computes the whole prompt. The distribution at its last position is that of every sample's first token.
  private func open(_ request: GenerationRequest) throws(ModelError) -> OpenedPrompt {
    let count = request.prompt.count
    let table = PageTable(pages, positions: count)
    var last = 0
    for start in stride(from: 0, to: count, by: transformer.chunkRows) {
      let positions = start..<min(start + transformer.chunkRows, count)
      rows.removeAll()
      for position in positions { rows.append(position: position, table: table) }
      model.embed(Array(request.prompt[positions]), into: x, team: transformer.team)
      try runLayers()
      last = positions.count - 1
    }
    x.row(0).copy(from: x.row(last))
    try transformer.logits(model, x: x, count: 1, normed: transformer.normed, into: logits)
    guard let drawnFrom = transformer.distributions(of: logits, count: 1, distribution)[0] else {
      throw .notFinite(source: "prompt #\(request.promptIndex) with policy \(policy)")
    }
    let z = Floats(count: configuration.vocabularySize)
    z.copy(from: logits.row(0))
    return OpenedPrompt(
      table: table, siblings: siblings(request), z: z, drawnFrom: drawnFrom, zMean: recordsCertainty ? z.mean : 0)
  }

  /// Those of an earlier request for the same prompt, if samples of it are running.
  private func siblings(_ request: GenerationRequest) -> Siblings {
    let running = running.first {
      $0.trajectory.slot.round == request.round && $0.trajectory.slot.prompt == request.promptIndex
        && $0.siblings.prompt == request.prompt
    }
    return running?.siblings ?? Siblings(prompt: request.prompt)
  }

  private func begin(_ slot: Slot, _ prompt: OpenedPrompt, _ tokensMax: Int) {
    let promptCount = prompt.siblings.prompt.count
    let table = PageTable(continuing: prompt.table, after: promptCount, positions: promptCount + tokensMax)
    table.copyEnd(of: prompt.table, count: promptCount)
    var trajectory = emptyTrajectory(slot)
    trajectory.tokens.reserveCapacity(min(tokensMax, 256))
    trajectory.logprobs.reserveCapacity(min(tokensMax, 256))
    running.append(
      Running(
        table: table, siblings: prompt.siblings, tokensMax: tokensMax, trajectory: trajectory,
        stopProgress: stopStrings.beginning))
    let token = drawToken(for: PassRow(sample: running.count - 1, token: 0), z: prompt.z, prompt.drawnFrom)
    append(token, to: running.count - 1, z: prompt.z, prompt.drawnFrom, zMean: prompt.zMean)
  }

  private func collectFinished(_ finished: inout [Trajectory]) {
    running.removeAll { sample in
      guard let end = end(of: sample) else { return false }
      var trajectory = sample.trajectory
      trajectory.finish = end
      if recordsCertainty { trajectory.selfCertainty = Float(sample.certaintySum / Double(trajectory.tokens.count)) }
      finished.append(trajectory)
      if usesDrafts {
        if sample.siblings.finished.count == DraftTexts.responsesMax { sample.siblings.finished.removeFirst() }
        // The token that ends a response is not drafted.
        sample.siblings.finished.append(Array(trajectory.tokens.dropLast(end == .stop ? 1 : 0)))
      }
      return true
    }
  }

  /// How a sample has ended; nil if it has not.
  private func end(of sample: Running) -> FinishReason? {
    guard let last = sample.trajectory.tokens.last else { return nil }
    if sample.hasStopString || sampling.stopTokens.contains(last) { return .stop }
    return sample.trajectory.tokens.count < sample.tokensMax ? nil : .length
  }

  // MARK: One pass

  /// Computes the last tokens of some running samples, with drafted tokens after them, and samples a new token for
  /// each, or several where drafts are right.
  private func decode(_ range: Range<Int>) throws(ModelError) {
    let pass = passRows(range)
    rows.removeAll()
    for row in pass {
      let sample = running[row.sample]
      rows.append(position: sample.promptCount + sample.trajectory.tokens.count - 1 + row.offset, table: sample.table)
    }
    model.embed(pass.map(\.token), into: x, team: transformer.team)
    try runLayers()
    try transformer.logits(model, x: x, count: pass.count, normed: transformer.normed, into: logits)
    let found = transformer.distributions(of: logits, count: pass.count, distribution)
    let tokens = [Int32](unsafeUninitializedCapacity: pass.count) { tokens, initialized in
      transformer.team.share(pass.count) { rows, _ in
        for row in rows { tokens[row] = found[row].map { drawToken(for: pass[row], z: logits.row(row), $0) } ?? 0 }
      }
      initialized = pass.count
    }
    let zMeans = recordsCertainty ? means(ofRows: pass.count) : []
    var counts = true
    for (index, row) in pass.enumerated() {
      // A drafted token counts if the token before it counts, the sample did not end there, and it was drawn there.
      let isDrafted = row.offset > 0
      counts = !isDrafted || counts && tokens[index - 1] == row.token && end(of: running[row.sample]) == nil
      guard counts else { continue }
      guard let drawnFrom = found[index] else {
        throw .notFinite(source: "\(running[row.sample].trajectory.slot) with policy \(policy)")
      }
      append(tokens[index], to: row.sample, z: logits.row(index), drawnFrom, zMean: zMeans.isEmpty ? 0 : zMeans[index])
      if isDrafted { draftCounts.accepted += 1 }
    }
  }

  /// The last token of each sample, and the drafted tokens after it that are worth a row.
  private func passRows(_ range: Range<Int>) -> [PassRow] {
    let drafted = running.count <= DraftTexts.samplesMax ? draft(range) : []
    let counts = worthwhile(drafted)
    var pass: [PassRow] = []
    pass.reserveCapacity(range.count)
    for sample in range {
      pass.append(PassRow(sample: sample, token: running[sample].trajectory.tokens.last ?? 0))
      guard !drafted.isEmpty else { continue }
      let index = sample - range.lowerBound
      for (offset, next) in drafted[index].prefix(counts[index]).enumerated() {
        pass.append(PassRow(sample: sample, offset: offset + 1, token: next.token))
      }
    }
    draftCounts.computed += pass.count - range.count
    return pass
  }

  /// Drafts the next tokens of some running samples, from the responses to the same prompt.
  private func draft(_ range: Range<Int>) -> [[DraftedToken]] {
    guard usesDrafts else { return [] }
    return range.map { index in
      let sample = running[index]
      let others = running.filter { $0.siblings === sample.siblings && $0.trajectory.slot != sample.trajectory.slot }
      let texts = DraftTexts(
        prompt: sample.siblings.prompt,
        responses: [sample.trajectory.tokens] + others.map(\.trajectory.tokens) + sample.siblings.finished.reversed())
      // The token that is drawn after the last drafted one must still be within the limit.
      let room = sample.tokensMax - sample.trajectory.tokens.count - 1
      return texts.draft(after: sample.trajectory.tokens, count: room)
    }
  }

  /// Computes `rows` through all layers, in place in `x`.
  private func runLayers() throws(ModelError) {
    for layer in 0..<configuration.layerCount {
      try transformer.mix(model, layer: layer, x: x, rows: rows, buffers: buffers[layer])
      try transformer.feedForward(model, layer: layer, source: x, x: x, count: rows.count, buffers: buffers[layer])
    }
  }

  private func drawToken(for row: PassRow, z: Floats, _ d: TokenDistribution) -> Int32 {
    guard !distribution.isGreedy else { return transformer.kernels.largest(z) }
    let trajectory = running[row.sample].trajectory
    let position = trajectory.tokens.count + row.offset
    return transformer.kernels.sample(z, d, uniform: trajectory.slot.uniform(at: position, seed: seed))
  }

  /// The means of the first rows of `logits`.
  private func means(ofRows count: Int) -> [Double] {
    [Double](unsafeUninitializedCapacity: count) { means, initialized in
      transformer.team.share(count) { rows, _ in for row in rows { means[row] = logits.row(row).mean } }
      initialized = count
    }
  }

  private func append(_ token: Int32, to index: Int, z: Floats, _ d: TokenDistribution, zMean: Double) {
    tokenCount += 1
    running[index].trajectory.tokens.append(token)
    running[index].trajectory.logprobs.append(d.logprob(z: z[Int(token)]))
    running[index].trajectory.entropySum += d.entropy
    if sampling.records.contains(.entropies) { running[index].trajectory.entropies.append(d.entropy) }
    if recordsCertainty { running[index].certaintySum += Double(d.maximum) + Double(d.logSum) - zMean }
    if stopStrings.isCompleted(by: token, &running[index].stopProgress) { running[index].hasStopString = true }
  }
}
