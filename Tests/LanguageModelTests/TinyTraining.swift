// TinyTraining: real steps of the method on a tiny transformer, on one rank or several.

import Answers
import Base
import LanguageModel
import Records
import Synchronization
import TTRL
import Tensors
import Testing

/// A method small enough for a test, and prompts to which a random model gives different answers.
struct TinyTraining {
  var method = Method()
  let prompts: [Prompt]
  /// nil: all parameters are trained.
  var adapterTargets: AdapterTargets?
  var model = TinyModel.qwen2
  /// nil: the model's.
  var vocabulary: Int?
  var isStreamed = false
  var microBatchTokens = 40
  var gradientNormMax = 1.0

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
    let settings = AdamWSettings(gradientNormMax: gradientNormMax)
    var options = TrainerOptions(microBatchTokens: microBatchTokens, isExact: isExact, threads: threads)
    options.isStreamed = isStreamed
    let (plan, all) = try beginning(type)
    let shards = Shards(count: all.count, size: ranks.size)
    let own = Floats(count: shards.count(of: ranks.rank))
    for (whole, shard) in shards.slices(of: ranks.rank) { own[shard].copy(from: all[whole]) }
    return try LanguageModelPolicy(
      plan: plan,
      optimizer: AdamW(settings, parameters: own), critic: critic(of: plan, settings, all, ranks),
      version: PolicyVersion(0),
      reference: method.needsReference && plan.adapter == nil ? all : nil,
      base: plan.adapter.map { _ in PreparedModel(plan: plan, parameters: initialParameters) },
      options: options, seed: method.seed,
      ranks: ranks,
      reader: SumOfTokens())
  }

  /// The critic's shape; nil if the objective has none.
  private func criticPlan(of policy: TransformerPlan) -> TransformerPlan? {
    method.objective.hasCritic ? method.objective == .ppo ? TransformerPlan(criticOf: policy) : policy : nil
  }

  /// A critic that begins as the policy, with a value head of zeroes if it has one.
  private func critic(
    of policy: TransformerPlan, _ settings: AdamWSettings, _ all: Floats, _ ranks: any Collectives
  ) -> (plan: TransformerPlan, optimizer: AdamW)? {
    guard let plan = criticPlan(of: policy) else { return nil }
    let whole = Floats(count: plan.trained.count)
    let shared = 0..<plan.sharedWithPolicy
    whole[shared].copy(from: all[shared])
    let shards = Shards(count: whole.count, size: ranks.size)
    let own = Floats(count: shards.count(of: ranks.rank))
    for (place, shard) in shards.slices(of: ranks.rank) { own[shard].copy(from: whole[place]) }
    return (plan, AdamW(settings, parameters: own))
  }

  private var configuration: ModelConfiguration {
    var configuration = model.configuration
    if let vocabulary { configuration.vocabularySize = vocabulary }
    return configuration
  }

  /// Of the model.
  private var initialParameters: Floats {
    vocabulary == nil
      ? model.parameters(seed: 3)
      : LanguageModel.initialParameters(configuration, scales: InitialScales(embedding: 0.7, head: 1), seed: 3)
  }

  /// The model, and what is trained at the beginning.
  func beginning(_ type: DataType) throws -> (plan: TransformerPlan, parameters: Floats) {
    let configuration = configuration
    guard let adapterTargets else { return (TransformerPlan(configuration, type: type), initialParameters) }
    let layout = ParameterLayout(configuration)
    let targets = adapterTargets.names(in: layout)
    let adapter = try AdapterLayout(AdapterConfiguration(rank: 3, alpha: 12, targets: targets), of: layout)
    return (TransformerPlan(configuration, type: type, adapter: adapter), initialAdapter(adapter, seed: method.seed))
  }

  /// Three responses, with rewards and log-probabilities, for objectives that learn given ones.
  func given(_ prompt: UInt32, inStep step: UInt32) -> [Trajectory] {
    var random = choices(UInt64(100 * step + prompt))
    return (0..<UInt32(3)).map { sample in
      let tokens = random.tokens(1 + Int(sample + prompt) % 7, below: configuration.vocabularySize)
      var trajectory = Trajectory(
        slot: Slot(round: .train(step: step), prompt: prompt, sample: sample), policy: PolicyVersion(step),
        tokens: tokens, logprobs: tokens.map { _ in -3 }, entropySum: 0, finish: .stop)
      trajectory.verdict = Verdict(reward: Float(sample % 2))
      return trajectory
    }
  }

  /// The bits of masters and moments after the steps, of the policy's shard and of its critic's.
  func trainShard(_ policy: consuming LanguageModelPolicy) throws -> [[UInt32]] {
    var policy = policy
    var versions = [policy]
    for step in 0..<method.steps {
      let sampler = versions[Int(samplingPolicy(ofStep: step, method: method).number)]
      _ = try improve(
        &policy, sampler: sampler, step: step, prompts: prompts, method: method, given: { given($0, inStep: step) })
      versions.append(policy)
    }
    return policy.optimizers.flatMap { [$0.parameters, $0.firstMoment, $0.secondMoment] }.map {
      $0.array.map(\.bitPattern)
    }
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
    let plan = try beginning(type).plan
    let plans = [plan] + [criticPlan(of: plan)].compactMap { $0 }
    // Three arrays of each model.
    let shards = plans.flatMap { [Shards](repeating: Shards(count: $0.trained.count, size: size), count: 3) }
    var all = shards.map { [UInt32](repeating: 0, count: $0.count) }
    for rank in 0..<size {
      let own = try results.withLock { try #require($0[rank]) }.get()
      for (part, shards) in shards.enumerated() {
        for (whole, shard) in shards.slices(of: rank) { all[part].replaceSubrange(whole, with: own[part][shard]) }
      }
    }
    return all.flatMap { $0 }
  }
}
