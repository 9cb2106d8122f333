// AgreementCase: one random case of the two promises about log-probabilities, as a function of a seed.
//
// E1: a sample does not depend on the rest of its batch, on batch size, order or threads. E2: what the trainer computes
// for given tokens equals what was recorded during sampling, for every division into micro-batches and every end of the
// prompt. A case draws a model, prompts, sampling settings and lengths, samples in several ways, scores in several
// ways, and counts values whose bits differ. There must be none.

import Base
import LanguageModel
import Records
import Tensors

/// The sums over cases.
struct AgreementTally {
  var cases = 0
  var tokens = 0
  /// Tokens of the longest sequence, prompt included.
  var longest = 0
  /// Values that were compared, and those that differ in a bit. A token that differs counts too.
  var batchCompared = 0
  var batchDiffering = 0
  var trainerCompared = 0
  var trainerDiffering = 0

  static func + (left: Self, right: Self) -> Self {
    Self(
      cases: left.cases + right.cases, tokens: left.tokens + right.tokens, longest: max(left.longest, right.longest),
      batchCompared: left.batchCompared + right.batchCompared,
      batchDiffering: left.batchDiffering + right.batchDiffering,
      trainerCompared: left.trainerCompared + right.trainerCompared,
      trainerDiffering: left.trainerDiffering + right.trainerDiffering)
  }
}

struct AgreementCase {
  private let seed: UInt64
  private var random: RandomSequence
  private let plan: TransformerPlan
  private let model: PreparedModel
  private let requests: [GenerationRequest]
  private let sampling: Sampling
  private let threadsMax: Int

  /// - Parameters:
  ///   - seed: determines the case.
  ///   - lengthMax: tokens of the longest sequence; one case in sixteen is that long.
  init(seed: UInt64, type: DataType, products: ProductOrder, threadsMax: Int, lengthMax: Int) throws {
    self.seed = seed
    self.threadsMax = threadsMax
    var random = RandomSequence(seed: seed, purpose: .questions, stream: SIMD3(11, 0, 0))
    let isLong = random.index(below: 16) == 0
    let length = isLong ? lengthMax : 16 + random.index(below: 120)
    let configuration = Self.configuration(&random, positions: length)
    let adapter = try Self.adapter(seed, of: configuration)
    plan = TransformerPlan(configuration, type: type, products: products, adapter: adapter)
    let parameters = initialParameters(
      configuration, scales: InitialScales(embedding: 0.7, head: 1), seed: seed)
    for tensor in plan.layout.tensors where tensor.shape.count == 1 {
      for index in tensor.range { parameters[index] += Float(random.uniform() - 0.5) * 0.6 }
    }
    let base = PreparedModel(plan: plan, parameters: parameters)
    model =
      adapter.map { PreparedModel(adapting: base, parameters: ParameterSource(Self.parameters(of: $0, seed))) } ?? base
    let promptMax = max(1, isLong ? length * 2 / 3 : length / 2)
    requests = (0..<1 + random.index(below: isLong ? 2 : 4)).map { prompt in
      let count = 1 + random.index(below: promptMax)
      return GenerationRequest(
        prompt: (0..<count).map { _ in Int32(random.index(below: configuration.vocabularySize)) },
        round: .train(step: 3), promptIndex: UInt32(prompt),
        samples: (0..<UInt32(1 + random.index(below: isLong ? 3 : 20))).map { 3 * $0 + UInt32(prompt) })
    }
    sampling = Sampling(
      temperature: [0.6, 1, 1.7, 0][random.index(below: 4)], topP: [1, 0.9][random.index(below: 2)],
      topK: [0, 5][random.index(below: 2)], maxNewTokens: Int32(max(1, length - promptMax)),
      stopTokens: isLong ? [] : [2])
    self.random = random
  }

  private static func configuration(_ random: inout RandomSequence, positions: Int) -> ModelConfiguration {
    func pick<Value>(_ values: [Value]) -> Value { values[random.index(below: values.count)] }
    let family = pick(ModelConfiguration.Family.allCases)
    let groups = pick([1, 2])
    let heads = groups * pick([1, 2, 3])
    let dimension = pick([6, 8, 16, 24, 64])
    var configuration = ModelConfiguration(
      family: family, vocabularySize: 17 + random.index(below: 180), hiddenSize: pick([20, 32, 48, 96]),
      feedForwardSize: pick([33, 48, 160]), layerCount: 1 + random.index(below: 3), headCount: heads,
      keyValueHeadCount: groups, headDimension: dimension, ropeTheta: 1000, maxPositions: positions,
      hasTiedEmbeddings: random.index(below: 2) == 0, hasAttentionBias: family == .qwen2,
      queryKeyNorm: family == .qwen35 ? .head : nil)
    if [.phi3, .qwen35].contains(family) { configuration.rotatedDimension = 2 * pick([1, 2, 3]) }
    if ![.qwen2, .qwen3, .qwen35].contains(family) {
      configuration.ropeScaling = scaling(&random, positions: positions, pairs: configuration.rotatedDimension / 2)
    }
    if family == .ministral3 {
      configuration.queryScaling = QueryScaling(beta: 0.3, originalMaxPositions: pick([7, 32]))
    }
    if random.index(below: 3) == 0 {
      configuration.windowRotary = .init(theta: 50, scaling: random.index(below: 2) == 0 ? nil : .linear(factor: 3))
    }
    let hasReaches = random.index(below: 4) != 0
    configuration.layerKinds = configuration.layerKinds.map { _ in
      if family == .qwen35, random.index(below: 3) != 0 { return .deltaRule }
      return .attention(hasReaches ? reach(&random, positions: positions) : .whole)
    }
    drawBlocks(&configuration, &random)
    guard family == .qwen35 else { return configuration }
    let keyHeads = pick([1, 2, 3])
    configuration.deltaHeads = DeltaHeads(
      key: keyHeads, value: keyHeads * pick([1, 2]), keyDimension: pick([5, 16, 40]),
      valueDimension: pick([6, 16, 70]))
    configuration.hasOutputGates = true
    return configuration
  }

  /// Draws what blocks compute. The arithmetic follows from these switches alone, so families need not have them.
  private static func drawBlocks(_ configuration: inout ModelConfiguration, _ random: inout RandomSequence) {
    func pick<Choice>(_ choices: [Choice]) -> Choice { choices[random.index(below: choices.count)] }
    configuration.normPlacement = pick([.before, .before, .after, .both])
    configuration.gateActivation = pick([.silu, .silu, .geluTanh])
    configuration.embeddingScale = pick([.factor(1), .factor(1), .factor(2.25), .rootOfWidth])
    configuration.attentionScale = pick([nil, nil, 0.0625, 0.3])
    configuration.residualScale = pick([1, 1, 0.22])
    configuration.logitDivisor = pick([1, 1, 3])
    configuration.hasZeroCentredNorms = pick([false, true])
    // Queries with gates between them have norms of their own.
    guard configuration.family != .qwen35 else { return }
    configuration.queryKeyNorm = pick([nil, .head, .allHeads])
  }

  /// Half the cases have an adapter.
  private static func adapter(_ seed: UInt64, of configuration: ModelConfiguration) throws -> AdapterLayout? {
    var random = RandomSequence(seed: seed, purpose: .questions, stream: SIMD3(12, 0, 0))
    guard random.index(below: 2) == 0 else { return nil }
    let model = ParameterLayout(configuration)
    let targets = AdapterTargets.all.names(in: model).filter { _ in random.index(below: 3) != 0 }
    let all = AdapterTargets.allCases[random.index(below: AdapterTargets.allCases.count)].names(in: model)
    let adapter = AdapterConfiguration(
      rank: 1 + random.index(below: 40), alpha: 0.5 + 16 * random.uniform(),
      isRankStabilized: random.index(below: 2) == 0,
      targets: targets.isEmpty || random.index(below: 2) == 0 ? all : targets)
    return try AdapterLayout(adapter, of: model)
  }

  /// A as a new adapter has it, B random.
  private static func parameters(of adapter: AdapterLayout, _ seed: UInt64) -> Floats {
    let parameters = initialAdapter(adapter, seed: seed)
    var random = RandomSequence(seed: seed, purpose: .questions, stream: SIMD3(13, 0, 0))
    for index in 0..<parameters.count where parameters[index] == 0 {
      parameters[index] = Float(random.uniform() - 0.5) * 0.2
    }
    return parameters
  }

  /// Windows within a page, of whole pages, and longer than most sequences; and layers without positions.
  private static func reach(_ random: inout RandomSequence, positions: Int) -> ModelConfiguration.Reach {
    let windows = [nil, 1, 5, 16, 17, 32, 50, positions / 2]
    return .init(window: windows[random.index(below: windows.count)], isRotated: random.index(below: 4) != 0)
  }

  private static func scaling(_ random: inout RandomSequence, positions: Int, pairs: Int) -> RotaryScaling {
    let original = max(8, positions / 4)
    let factors = (0..<pairs).map { 1 + Double($0) / 4 }
    let all: [RotaryScaling] = [
      .linear(factor: 2.5), .dynamic(factor: 2), .yarn(YaRNScaling(factor: 4, originalMaxPositions: original)),
      .llama3(
        Llama3Scaling(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: original)),
      .longRoPE(
        LongRoPEScaling(
          shortFactors: factors, longFactors: factors, originalMaxPositions: original, longMaxPositions: positions)),
    ]
    return all[random.index(below: all.count)]
  }

  /// Samples and scores in several ways and compares.
  mutating func run() throws -> AgreementTally {
    var tally = AgreementTally()
    tally.cases = 1
    let alone = try requests.flatMap { try generate([$0], batchRows: 1 + random.index(below: 40)) }
    tally.tokens = alone.reduce(0) { $0 + $1.tokens.count }
    tally.longest = alone.map { requests[Int($0.slot.prompt)].prompt.count + $0.tokens.count }.max() ?? 0
    let order = random.permutation(of: requests.count).map { requests[$0] }
    let together = try generate(
      order, batchRows: 1 + random.index(below: 64), team: 1 + random.index(below: threadsMax))
    compare(together, alone, &tally)
    let threads = 1 + random.index(below: threadsMax)
    let threaded = try sampleAll(
      order, model: model, policy: PolicyVersion(3), seed: seed, sampling: sampling, threads: threads)
    compare(threaded, alone, &tally)
    try scoreMicroBatches(alone, &tally)
    try scoreSplits(alone, &tally)
    return tally
  }

  private func generate(_ requests: [GenerationRequest], batchRows: Int, team: Int = 1) throws -> [Trajectory] {
    let generator = Generator(
      model: model, policy: PolicyVersion(3), seed: seed, sampling: sampling, batchRows: batchRows, team: Team(team))
    for request in requests { try generator.add(request) }
    var trajectories: [Trajectory] = []
    while generator.hasWork { trajectories += try generator.advance() }
    return trajectories.sorted { $0.slot < $1.slot }
  }

  private func compare(_ found: [Trajectory], _ expected: [Trajectory], _ tally: inout AgreementTally) {
    tally.batchCompared += expected.reduce(0) { $0 + 2 * $1.tokens.count + 1 }
    guard found.map(\.slot) == expected.map(\.slot) else {
      tally.batchDiffering += expected.count
      return
    }
    for (one, other) in zip(found, expected) {
      tally.batchDiffering += abs(one.tokens.count - other.tokens.count)
      tally.batchDiffering += zip(one.tokens, other.tokens).count { $0 != $1 }
      tally.batchDiffering += zip(one.logprobs, other.logprobs).count { $0.bitPattern != $1.bitPattern }
      tally.batchDiffering += one.entropySum.bitPattern != other.entropySum.bitPattern ? 1 : 0
    }
  }

  /// Random micro-batches of all trajectories, forward and backward.
  private mutating func scoreMicroBatches(_ trajectories: [Trajectory], _ tally: inout AgreementTally) throws {
    let trainer = Backpropagation(
      plan, team: Team(1 + random.index(below: threadsMax)),
      activationBytesMax: random.index(below: 2) == 0 ? .max : 0)
    let gradient = Floats(count: plan.trained.count)
    let order = random.permutation(of: trajectories.count)
    var start = 0
    while start < order.count {
      let end = min(order.count, start + 1 + random.index(below: 12))
      let members = order[start..<end].map { trajectories[$0] }
      let scored = try trainer.run(
        members.map { sequence($0, promptGrowsBy: 0) }, model: model, distribution: DistributionSettings(sampling),
        gradient: gradient
      ) { _, _, _ in 1 }
      for (one, other) in zip(scored, members) {
        count(one.logprobs, other.logprobs[...], &tally)
        tally.trainerDiffering += one.entropies.reduce(0, +).bitPattern != other.entropySum.bitPattern ? 1 : 0
      }
      start = end
    }
  }

  /// The same sequences with prompts that end somewhere in the response.
  private mutating func scoreSplits(_ trajectories: [Trajectory], _ tally: inout AgreementTally) throws {
    let trainer = Backpropagation(plan)
    let chosen = trajectories.filter { _ in random.index(below: 3) == 0 }
    let cuts = chosen.map { random.index(below: $0.tokens.count) }
    let sequences = zip(chosen, cuts).enumerated().map { index, pair in
      var sequence = sequence(pair.0, promptGrowsBy: pair.1)
      sequence.group = UInt32(index)
      return sequence
    }
    let scored = try trainer.score(sequences, model: model, distribution: DistributionSettings(sampling))
    for (index, one) in scored.enumerated() {
      count(one.logprobs, chosen[index].logprobs[cuts[index]...], &tally)
    }
  }

  private func sequence(_ trajectory: Trajectory, promptGrowsBy count: Int) -> TrainingSequence {
    let prompt = requests[Int(trajectory.slot.prompt)].prompt
    return TrainingSequence(
      prompt: prompt + trajectory.tokens[..<count], response: Array(trajectory.tokens[count...]),
      group: trajectory.slot.prompt)
  }

  private func count(_ found: [Float], _ expected: ArraySlice<Float>, _ tally: inout AgreementTally) {
    tally.trainerCompared += expected.count
    tally.trainerDiffering += abs(found.count - expected.count)
    tally.trainerDiffering += zip(found, expected).count { $0.bitPattern != $1.bitPattern }
  }
}
