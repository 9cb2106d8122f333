// The training of a language model: a tiny transformer is trained with real steps of the method.

import Answers
import Base
import LanguageModel
import Records
import TTRL
import Tensors
import Testing

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
    add("GSPO") { $0.objective = .gspo }
    add("GSPO, bounds of its own, staleness 1, KL") {
      $0.objective = .gspo
      ($0.clipLow, $0.clipHigh, $0.denominator) = (3e-4, 4e-4, .sequenceMean)
      $0.staleness = 1
      $0.klCoefficient = 0.1
    }
    // A rate at which the critic's values differ from 0 from the second step on.
    for (name, gamma, lambda) in [("PPO", 1.0, 1.0), ("PPO with discounts", 0.9, 0.8)] {
      add(name) {
        $0.objective = .ppo
        ($0.gamma, $0.lambda, $0.criticLearningRate) = (gamma, lambda, 1e-2)
      }
    }
    add("PPO, staleness 1, KL in the reward") {
      $0.objective = .ppo
      $0.criticLearningRate = 1e-2
      ($0.staleness, $0.klCoefficient, $0.klPlace) = (1, 0.1, .reward)
    }
    for update in PrimeUpdate.allCases {
      add("PRIME, \(update)") {
        $0.objective = .prime
        ($0.primeUpdate, $0.primeLearningRate) = (update, 1e-2)
      }
    }
    add("PRIME, staleness 1, KL in the reward") {
      $0.objective = .prime
      $0.primeLearningRate = 1e-2
      ($0.staleness, $0.klCoefficient, $0.klPlace) = (1, 0.1, .reward)
    }
    for weight in NFTPromptWeight.allCases {
      add("NFT, \(weight.rawValue)") {
        $0.objective = .nft
        $0.nftPromptWeight = weight
      }
    }
    add("NFT, staleness 1, KL") {
      $0.objective = .nft
      $0.staleness = 1
      $0.klCoefficient = 0.1
    }
    add("SFT") { $0.objective = .sft }
    add("SFT, mean over sequences, entropy") {
      $0.objective = .sft
      ($0.denominator, $0.entropyCoefficient) = (.sequenceMean, 0.01)
    }
    add("AWR") { $0.objective = .awr }
    add("AWR, other weights") {
      $0.objective = .awr
      ($0.awrTemperature, $0.awrCap) = (0.3, 2)
    }
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
