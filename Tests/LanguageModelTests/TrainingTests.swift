// The training of a language model: a tiny transformer is trained with real steps of the method.

import Answers
import Base
import Glibc
import LanguageModel
import Records
import Synchronization
import TTRL
import Tensors
import Testing

/// Learner ranks as threads of this process. They meet and exchange values, as MPI does between processes.
private final class ThreadRanks: Sendable {
  private struct State: Sendable {
    var arrived = 0
    var generation = 0
    var brought: [Int: [Int64]] = [:]
    /// By parity of the generation, because no rank can be two meetings ahead of another.
    var seen: [[[Int64]]] = [[], []]
  }

  let size: Int
  private let state = Mutex(State())

  init(size: Int) { self.size = size }

  /// Brings one rank's values and waits for those of the others. Returns all, by rank.
  func meet(_ rank: Int, _ own: [Int64]) -> [[Int64]] {
    let mine = state.withLock { state in
      let generation = state.generation
      state.brought[rank] = own
      state.arrived += 1
      if state.arrived == size {
        state.seen[generation % 2] = (0..<size).map { state.brought[$0] ?? [] }
        state.arrived = 0
        state.generation += 1
      }
      return generation
    }
    while true {
      if let all = state.withLock({ $0.generation > mine ? $0.seen[mine % 2] : nil }) { return all }
      sched_yield()
    }
  }
}

private struct ThreadRank: Collectives {
  let ranks: ThreadRanks
  let rank: Int
  var size: Int { ranks.size }

  func sum(_ values: UnsafeMutableBufferPointer<Int64>) {
    let all = ranks.meet(rank, Array(values))
    for index in values.indices { values[index] = all.reduce(0) { $0 &+ $1[index] } }
  }

  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]) {
    let all = ranks.meet(rank, Array(values))
    for index in slices[rank] { values[index] = all.reduce(0) { $0 &+ $1[index] } }
  }

  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]) {
    let all = ranks.meet(rank, values.map { Int64($0.bitPattern) })
    for index in slices[rank] {
      values[index] = all.reduce(0) { $0 + Float(bitPattern: UInt32($1[index])) }
    }
  }

  func advanceBuckets() {}
  func finishBuckets() {}

  func beginAllGather(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) {
    let all = ranks.meet(rank, bytes.map { Int64($0) })
    for (other, slice) in slices.enumerated() {
      for index in slice { bytes[index] = UInt8(all[other][index]) }
    }
  }

  func max(_ values: [Double]) -> [Double] {
    let all = ranks.meet(rank, values.map { Int64(bitPattern: $0.bitPattern) })
    return values.indices.map { index in
      all.map { Double(bitPattern: UInt64(bitPattern: $0[index])) }.max() ?? values[index]
    }
  }

  // A trainer calls none of these.
  func sendToAll(_ bytes: [UInt8]) {}
  func receiveFromRoot() -> [UInt8] { [] }
  func copyFromRoot(_ bytes: UnsafeMutableRawBufferPointer) {}
  func gatherToRoot(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) {}
}

/// A method small enough for a test, and prompts to which a random model gives different answers.
private struct TinyTraining {
  var method = Method()
  let prompts: [Prompt]
  /// nil: all parameters are trained.
  var adapterTargets: AdapterTargets?

  init(vocabulary: Int) {
    method.seed = 11
    method.steps = 3
    method.promptsPerStep = 4
    method.votes = 12
    method.trainSamples = 8
    method.miniBatch = 10
    method.learningRate = 1e-2
    // A high temperature, because a tied model repeats itself. Stop tokens, because denominators differ only if lengths
    // do.
    method.sampling = Sampling(temperature: 2, maxNewTokens: 7, stopTokens: [2, 3, 5])
    var random = choices(4)
    prompts = (0..<6).map { index in
      Prompt(index: UInt32(index), tokens: random.tokens(3 + index * 2, below: vocabulary), kind: .string)
    }
  }

  func policy(
    _ type: DataType, threads: Int = 1, ranks: any Collectives = OneRank(), isExact: Bool = true
  ) throws -> LanguageModelPolicy {
    let settings = AdamWSettings(gradientNormMax: 1)
    let (plan, all) = try beginning(type)
    let shards = Shards(count: all.count, size: ranks.size)
    let own = Floats(count: shards.count(of: ranks.rank))
    for (whole, shard) in shards.slices(of: ranks.rank) { own[shard].copy(from: all[whole]) }
    return try LanguageModelPolicy(
      plan: plan,
      optimizer: AdamW(settings, parameters: own), weights: ranks.size > 1 ? all : nil, version: PolicyVersion(0),
      reference: method.klCoefficient > 0 && plan.adapter == nil ? all : nil,
      base: plan.adapter.map { _ in PreparedModel(plan: plan, parameters: TinyModel.qwen2.parameters(seed: 3)) },
      options: TrainerOptions(microBatchTokens: 40, isExact: isExact, threads: threads), seed: method.seed,
      ranks: ranks,
      reader: SumOfTokens())
  }

  /// The model, and what is trained at the beginning.
  func beginning(_ type: DataType) throws -> (plan: TransformerPlan, parameters: Floats) {
    let configuration = TinyModel.qwen2.configuration
    guard let adapterTargets else {
      return (TransformerPlan(configuration, type: type), TinyModel.qwen2.parameters(seed: 3))
    }
    let layout = ParameterLayout(configuration)
    let targets = adapterTargets.names(in: layout)
    let adapter = try AdapterLayout(AdapterConfiguration(rank: 3, alpha: 12, targets: targets), of: layout)
    return (TransformerPlan(configuration, type: type, adapter: adapter), initialAdapter(adapter, seed: method.seed))
  }

  /// The bits of masters and moments after the steps, of the policy's shard.
  func trainShard(_ policy: consuming LanguageModelPolicy) throws -> [[UInt32]] {
    var policy = policy
    var versions = [policy]
    for step in 0..<method.steps {
      let sampler = versions[Int(samplingPolicy(ofStep: step, method: method).number)]
      _ = try improve(&policy, sampler: sampler, step: step, prompts: prompts, method: method)
      versions.append(policy)
    }
    let optimizer = policy.optimizer
    return [optimizer.parameters, optimizer.firstMoment, optimizer.secondMoment].map { $0.array.map(\.bitPattern) }
  }

  /// The bits of masters and moments after the steps.
  func train(_ policy: consuming LanguageModelPolicy) throws -> [UInt32] { try trainShard(policy).flatMap { $0 } }

  /// The same, combined from the shards of several ranks.
  func trainOnRanks(_ size: Int, _ type: DataType, isExact: Bool = true) throws -> [UInt32] {
    let ranks = ThreadRanks(size: size)
    let results = Mutex<[Int: Result<[[UInt32]], any Error>]>([:])
    try inParallel(size, threads: size) { rank, _ in
      let result = Result {
        try trainShard(policy(type, ranks: ThreadRank(ranks: ranks, rank: rank), isExact: isExact))
      }
      results.withLock { $0[rank] = result }
    }
    let shards = Shards(count: try beginning(type).parameters.count, size: size)
    var all = [[UInt32]](repeating: [UInt32](repeating: 0, count: shards.count), count: 3)
    for rank in 0..<size {
      let own = try results.withLock { try #require($0[rank]) }.get()
      for part in 0..<3 {
        for (whole, shard) in shards.slices(of: rank) { all[part].replaceSubrange(whole, with: own[part][shard]) }
      }
    }
    return all.flatMap { $0 }
  }
}

/// A setting that differs from its default. (For clips, see ObjectiveGradientTests.)
struct ChangedSetting: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let method: Method

  init(_ name: String, _ change: (inout Method) -> Void) {
    var method = TinyTraining(vocabulary: TinyModel.qwen2.configuration.vocabularySize).method
    // So that schedules differ.
    method.warmupSteps = 1
    change(&method)
    self.method = method
    testDescription = name
  }

  static let all: [ChangedSetting] = {
    var settings: [ChangedSetting] = []
    func add(_ name: String, _ change: (inout Method) -> Void) { settings.append(ChangedSetting(name, change)) }
    for name in AdvantageEstimator.allCases.dropFirst() { add(name.rawValue) { $0.advantage = name } }
    for name in Denominator.allCases.dropFirst() { add(name.rawValue) { $0.denominator = name } }
    for place in KLPlace.allCases {
      for estimator in KLEstimator.allCases {
        add("\(estimator) in the \(place)") {
          $0.klCoefficient = 0.1
          $0.klEstimator = estimator
          $0.klPlace = place
        }
      }
    }
    add("entropy") { $0.entropyCoefficient = 0.01 }
    add("staleness 1") { $0.staleness = 1 }
    add("staleness 2, KL in the reward, ratios above the cap") {
      $0.staleness = 2
      $0.klCoefficient = 0.1
      $0.klPlace = .reward
      $0.importanceCap = 1
    }
    add("zero-advantage groups") { $0.zeroAdvantageGroups = .train }
    add("cosine from zero") { $0.rateSchedule = .cosineFromZero }
    add("constant rate") { $0.rateSchedule = .constant }
    return settings
  }()
}

struct TrainingTests {
  private let training = TinyTraining(vocabulary: TinyModel.qwen2.configuration.vocabularySize)

  @Test(arguments: DataType.allCases)
  func `the number of threads does not change a bit of masters and moments`(_ type: DataType) throws {
    let one = try training.train(training.policy(type))
    for threads in 2...3 {
      let isSame = try training.train(training.policy(type, threads: threads)) == one
      #expect(isSame, "\(threads) threads")
    }
    let isUntouched = one.starts(with: TinyModel.qwen2.parameters(seed: 3).array.map(\.bitPattern))
    #expect(!isUntouched, "nothing was learned, so the test shows nothing")
  }

  @Test(arguments: DataType.allCases)
  func `the number of learner ranks does not change a bit`(_ type: DataType) throws {
    let alone = try training.train(training.policy(type))
    for size in 2...4 {
      let isSame = try training.trainOnRanks(size, type) == alone
      #expect(isSame, "\(size) ranks")
    }
  }

  @Test(arguments: AdapterTargets.allCases, DataType.allCases)
  func `the numbers of threads and ranks do not change a bit of an adapter`(
    _ targets: AdapterTargets, _ type: DataType
  ) throws {
    var training = training
    training.adapterTargets = targets
    let withoutPenalty = try training.train(training.policy(type))
    training.method.klCoefficient = 0.1
    let alone = try training.train(training.policy(type))
    let (isDifferent, isLearned) = (
      alone != withoutPenalty, !alone.starts(with: try training.beginning(type).parameters.array.map(\.bitPattern))
    )
    #expect(isDifferent && isLearned)
    let isSameOnThreads = try training.train(training.policy(type, threads: 3)) == alone
    #expect(isSameOnThreads)
    for size in 2...4 {
      let isSameOnRanks = try training.trainOnRanks(size, type) == alone
      #expect(isSameOnRanks, "on \(size) ranks")
    }
  }

  @Test(arguments: ChangedSetting.all)
  func `a setting changes the weights, and with it the numbers of ranks and threads do not`(
    _ setting: ChangedSetting
  ) throws {
    var training = training
    training.method = ChangedSetting("none") { _ in }.method
    let before = try training.train(training.policy(.float32))
    training.method = setting.method
    let alone = try training.train(training.policy(.float32))
    let isDifferent = alone != before
    #expect(isDifferent, "it changes nothing")
    let isSameOnThreads = try training.train(training.policy(.float32, threads: 3)) == alone
    #expect(isSameOnThreads)
    for size in 2...3 {
      let isSameOnRanks = try training.trainOnRanks(size, .float32) == alone
      #expect(isSameOnRanks, "on \(size) ranks")
    }
  }

  @Test(arguments: DataType.allCases, [nil, AdapterTargets.all])
  func `policy 0 scores its own trajectories with the recorded bits, also after the policy has changed`(
    _ type: DataType, _ adapterTargets: AdapterTargets?
  ) throws {
    var training = training
    training.adapterTargets = adapterTargets
    training.method.klCoefficient = 0.1
    training.method.entropyCoefficient = 0.1
    training.method.zeroAdvantageGroups = .train
    var policy = try training.policy(type)
    var groups: [Group] = []
    for prompt in training.prompts {
      let slots = (UInt32(0)..<5).map { Slot(round: .train(step: 0), prompt: prompt.index, sample: $0) }
      groups.append(
        Group(
          prompt: prompt.index,
          trajectories: try policy.sample(prompt, slots: slots, sampling: training.method.sampling)))
    }
    let members = groups.flatMap { group in
      group.trajectories.map { TrainedTrajectory(prompt: training.prompts[Int(group.prompt)], trajectory: $0) }
    }
    let recorded = members.map(\.trajectory.logprobs)
    #expect(try policy.referenceLogprobs(of: members, sampling: training.method.sampling) == recorded)
    let lesson = try learn(
      &policy, step: 0, from: groups, prompts: training.prompts, method: training.method)
    #expect(lesson.klToBase == 0)
    let hasMoved = policy.optimizer.parameters.array != (try training.beginning(type)).parameters.array
    #expect(hasMoved)
    #expect(try policy.referenceLogprobs(of: members, sampling: training.method.sampling) == recorded)
  }

  @Test func `another seed trains another model`() throws {
    var other = training
    other.method.seed = 12
    let isSame = try training.train(training.policy(.float32)) == other.train(other.policy(.float32))
    #expect(!isSame)
  }

  @Test func `a recorded log-probability that differs from the trainer's stops the step`() throws {
    var policy = try training.policy(.float32)
    let slots = (0..<4).map { Slot(round: .train(step: 0), prompt: 0, sample: UInt32($0)) }
    var trajectories = try policy.sample(training.prompts[0], slots: slots, sampling: training.method.sampling)
    trajectories[1].logprobs[0] = trajectories[1].logprobs[0].nextUp
    let members = trajectories.map {
      TrainedTrajectory(prompt: training.prompts[0], trajectory: $0, advantage: 0.5)
    }
    let miniBatch = MiniBatch(step: 0, index: 0, trajectories: members)
    #expect(throws: TrainingError.self) {
      try policy.update(miniBatch, method: training.method, learningRate: 0.1)
    }
  }

  @Test func `samples of an older version are trained on with their ratios; without staleness they stop the step`()
    throws
  {
    var training = training
    training.method.staleness = 1
    var policy = try training.policy(.float32)
    let older = policy
    _ = try improve(&policy, step: 0, prompts: training.prompts, method: training.method)
    let trained = try training.prompts.prefix(4).map { prompt in
      let slots = (0..<8).map { Slot(round: .train(step: 1), prompt: prompt.index, sample: UInt32($0)) }
      return Group(
        prompt: prompt.index,
        trajectories: try older.sample(prompt, slots: slots, sampling: training.method.sampling))
    }
    var copy = policy
    let lesson = try learn(&copy, step: 1, from: trained, prompts: training.prompts, method: training.method)
    let figures = try #require(lesson.importance)
    #expect(figures.max > 1 && figures.mean > 0 && figures.mean != 1)
    #expect(lesson.updates.first?.logprobGap == 0)
    let metrics = StepMetrics(step: 1, lesson: lesson, groups: trained, truth: [], method: training.method)
    #expect(metrics.lag == 1 && metrics.importance == figures)
    // Without staleness, the step's own version should have sampled these trajectories.
    training.method.staleness = 0
    #expect(throws: TrainingError.self) {
      try learn(&policy, step: 1, from: trained, prompts: training.prompts, method: training.method)
    }
  }

  @Test func `float32 sums give the same bits with the same number of ranks`() throws {
    let first = try training.train(training.policy(.float32, threads: 3, isExact: false))
    let isSame = try training.train(training.policy(.float32, threads: 1, isExact: false)) == first
    #expect(isSame)
    let isSameOnRanks =
      try training.trainOnRanks(3, .float32, isExact: false) == training.trainOnRanks(3, .float32, isExact: false)
    #expect(isSameOnRanks)
  }

  @Test func `micro-batches cover a mini-batch in order and are not larger than their limit`() {
    var random = choices(8)
    for _ in 0..<200 {
      let tokensMax = 10 + random.index(below: 60)
      let members = (0..<(1 + random.index(below: 30))).map { index in
        let prompt = Prompt(index: UInt32(index / 3), tokens: random.tokens(1 + index / 3, below: 9), kind: .math)
        let tokens = random.tokens(1 + random.index(below: 20), below: 9)
        let trajectory = Trajectory(
          slot: Slot(round: .train(step: 0), prompt: prompt.index, sample: UInt32(index)), policy: PolicyVersion(0),
          tokens: tokens, logprobs: tokens.map { _ in 0 }, entropySum: 0, finish: .length)
        return TrainedTrajectory(prompt: prompt, trajectory: trajectory, advantage: 1)
      }
      let ranges = microBatches(of: members, tokensMax: tokensMax)
      #expect(ranges.flatMap(Array.init) == Array(members.indices))
      for range in ranges where range.count > 1 {
        let prompts = Set(members[range].map(\.prompt.index))
        let rows = members[range].reduce(0) { $0 + $1.trajectory.tokens.count }
        let shared = prompts.reduce(0) { sum, index in sum + Int(index) + 1 }
        #expect(rows + shared <= tokensMax)
      }
    }
  }

  @Test func `parameters can be read back from published bytes`() throws {
    let layout = ParameterLayout(TinyModel.llama.configuration)
    let original = TinyModel.llama.parameters(seed: 1)
    let exact = publishedBytes(of: original, layout: layout.flat, type: .float32)
    #expect(try #require(parameters(ofPublished: exact, layout: layout.flat, type: .float32)).array == original.array)
    let rounded = publishedBytes(of: original, layout: layout.flat, type: .bfloat16)
    let back = try #require(parameters(ofPublished: rounded, layout: layout.flat, type: .bfloat16))
    #expect(publishedBytes(of: back, layout: layout.flat, type: .bfloat16) == rounded)
    #expect(parameters(ofPublished: Array(rounded.dropLast()), layout: layout.flat, type: .bfloat16) == nil)
  }
}
