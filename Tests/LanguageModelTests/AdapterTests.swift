// AdapterTests: models with LoRA adapters: sampler and trainer agree, gradients, initial values, what stays frozen.

import Base
import LanguageModel
import Records
import Tensors
import Testing

/// A tiny model with an adapter.
private struct Adapted {
  let plan: TransformerPlan
  let base: PreparedModel
  /// A and B random.
  let parameters: Floats
  let model: PreparedModel

  init(
    _ tiny: TinyModel, _ type: DataType, seed: UInt64, products: ProductOrder = .pair, rank: Int = 5,
    targets: AdapterTargets = .all, rescales: Bool = true
  ) throws {
    let layout = ParameterLayout(tiny.configuration)
    let configuration = AdapterConfiguration(
      rank: rank, alpha: rescales ? 7 : Double(rank), targets: targets.names(in: layout))
    let adapter = try AdapterLayout(configuration, of: layout)
    plan = TransformerPlan(tiny.configuration, type: type, products: products, adapter: adapter)
    base = PreparedModel(plan: plan, parameters: tiny.parameters(seed: seed))
    parameters = initialAdapter(adapter, seed: seed)
    var random = choices(seed + 1000)
    for tensor in adapter.tensors.stored where tensor.name.hasSuffix("lora_B.weight") {
      for index in tensor.range { parameters[index] = Float(random.uniform() - 0.5) * 0.4 }
    }
    model = PreparedModel(adapting: base, parameters: ParameterSource(parameters))
  }

  func adapted(_ parameters: Floats) -> PreparedModel {
    PreparedModel(adapting: base, parameters: ParameterSource(parameters))
  }
}

/// A small batch of two groups. One shared prompt ends within a page, the other fills its page.
private func batch(_ configuration: ModelConfiguration) -> [TrainingSequence] {
  var random = choices(3)
  let v = configuration.vocabularySize
  let prompts = [random.tokens(5, below: v), random.tokens(16, below: v)]
  return [(0, 7), (1, 20), (0, 1), (0, 14), (1, 3)].map { group, length in
    TrainingSequence(prompt: prompts[group], response: random.tokens(length, below: v), group: UInt32(group))
  }
}

/// d loss / d logprob: different for every token.
private func slope(_ sequence: Int, _ position: Int) -> Float { Float((7 * sequence + 3 * position) % 11) / 10 - 0.4 }

private func bits(_ scored: [ScoredSequence]) -> [[UInt32]] { scored.map { $0.logprobs.map(\.bitPattern) } }

@Suite struct `A model with an adapter` {
  @Test(arguments: TinyModel.allCases, DataType.allCases)
  func `samples what the trainer computes, in every bit, for any batch and order of products`(
    _ tiny: TinyModel, _ type: DataType
  ) throws {
    for (seed, products) in [(UInt64(31), ProductOrder.pair), (32, .tile)] {
      let adapted = try Adapted(tiny, type, seed: seed, products: products)
      var random = choices(seed)
      let requests = (0..<3).map { prompt in
        GenerationRequest(
          prompt: random.tokens(1 + random.index(below: 50), below: tiny.configuration.vocabularySize),
          round: .train(step: 3), promptIndex: UInt32(prompt), samples: Array(0..<UInt32(1 + random.index(below: 9))))
      }
      let sampling = Sampling(temperature: 0.8, topP: 1, topK: 0, maxNewTokens: 40, stopTokens: [2])
      let trajectories = try generate(requests, model: adapted.model, sampling: sampling, batchRows: 7)
      #expect(try generate(requests, model: adapted.model, sampling: sampling, batchRows: 64) == trajectories)
      #expect(try generate(requests, model: adapted.base, sampling: sampling, batchRows: 64) != trajectories)
      let sequences = trajectories.map {
        TrainingSequence(
          prompt: requests[Int($0.slot.prompt)].prompt, response: $0.tokens, group: $0.slot.prompt)
      }
      let (trainer, gradient) = (Backpropagation(adapted.plan), Floats(count: adapted.plan.trained.count))
      let scored = try trainer.run(
        sequences, model: adapted.model, distribution: DistributionSettings(sampling), gradient: gradient
      ) { _, _, _ in 1 }
      #expect(bits(scored) == trajectories.map { $0.logprobs.map(\.bitPattern) }, "seed \(seed)")
    }
  }

  @Test(arguments: TinyModel.allCases, AdapterTargets.allCases)
  func `has the gradient of finite differences in every tensor`(_ tiny: TinyModel, _ targets: AdapterTargets) throws {
    let adapted = try Adapted(tiny, .float32, seed: 4, targets: targets)
    let sequences = batch(tiny.configuration)
    let trainer = Backpropagation(adapted.plan)
    func loss(_ parameters: Floats) throws -> Double {
      var total = 0.0
      let scored = try trainer.score(sequences, model: adapted.adapted(parameters), distribution: .plain)
      for (index, sequence) in scored.enumerated() {
        for (position, logprob) in sequence.logprobs.enumerated() {
          total += Double(slope(index, position)) * Double(logprob)
        }
      }
      return total
    }
    let gradient = Floats(count: adapted.plan.trained.count)
    try trainer.run(
      sequences, model: adapted.model, distribution: .plain, gradient: gradient
    ) { index, place, _ in slope(index, place) }
    var random = choices(5)
    let slopes = gradient.array.map(Double.init)
    for tensor in adapted.plan.trained.stored {
      let found = try DirectionalSlope(tensor.range, adapted.parameters, gradient: slopes, &random, loss: loss)
      #expect(abs(found.measured - found.predicted) < 0.004 * found.scale + 0.001, "\(tensor.name): \(found)")
    }
  }

  @Test(arguments: [1, 2, 3], DataType.allCases)
  func `has the same gradient for any number of threads and with recomputation`(
    _ threads: Int, _ type: DataType
  ) throws {
    for tiny in [TinyModel.qwen2, .qwen35, .gemma] {
      let adapted = try Adapted(tiny, type, seed: 6)
      func gradient(_ trainer: Backpropagation) throws -> [UInt32] {
        let gradient = Floats(count: adapted.plan.trained.count)
        var completed = [adapted.plan.trained.count]
        try trainer.run(
          batch(tiny.configuration), model: adapted.model, distribution: .plain, gradient: gradient,
          progress: { completed.append($0) }
        ) { index, place, _ in slope(index, place) }
        #expect(completed == completed.sorted(by: >) && completed.last == 0)
        return gradient.array.map(\.bitPattern)
      }
      let one = try gradient(Backpropagation(adapted.plan))
      #expect(try gradient(Backpropagation(adapted.plan, team: Team(threads))) == one)
      #expect(try gradient(Backpropagation(adapted.plan, team: Team(threads), activationBytesMax: 0)) == one)
    }
  }

  @Test(arguments: TinyModel.allCases, DataType.allCases)
  func `that is new computes what its base computes, and B has a gradient`(_ tiny: TinyModel, _ type: DataType) throws {
    let adapted = try Adapted(tiny, type, seed: 7)
    let adapter = try #require(adapted.plan.adapter)
    let new = initialAdapter(adapter, seed: 3)
    #expect(initialAdapter(adapter, seed: 3).array == new.array && initialAdapter(adapter, seed: 4).array != new.array)
    for tensor in adapter.tensors.stored {
      let values = new[tensor.range].array
      if tensor.name.hasSuffix("lora_B.weight") {
        #expect(values.allSatisfy { $0 == 0 })
      } else {
        let bound = 1 / Float(tensor.shape[1]).squareRoot()
        #expect(values.allSatisfy { abs($0) <= bound } && values.contains { abs($0) > 0.8 * bound })
        #expect(Set(values).count > values.count * 9 / 10 && abs(values.reduce(0, +)) < bound * Float(values.count) / 4)
      }
    }
    let sequences = batch(tiny.configuration)
    let plain = TransformerPlan(tiny.configuration, type: type)
    let without = try Backpropagation(plain).score(
      sequences, model: PreparedModel(plan: plain, parameters: tiny.parameters(seed: 7)), distribution: .plain)
    let trainer = Backpropagation(adapted.plan)
    // A product of zeroes changes the sign of a zero at most, and no later value depends on that.
    #expect(bits(try trainer.score(sequences, model: adapted.adapted(new), distribution: .plain)) == bits(without))
    #expect(bits(try trainer.score(sequences, model: adapted.base, distribution: .plain)) == bits(without))
    let gradient = Floats(count: adapted.plan.trained.count)
    try trainer.run(sequences, model: adapted.adapted(new), distribution: .plain, gradient: gradient) {
      index, place, _ in
      slope(index, place)
    }
    for tensor in adapter.tensors.stored {
      let isZero = gradient[tensor.range].array.allSatisfy { $0 == 0 }
      #expect(isZero != tensor.name.hasSuffix("lora_B.weight"), "\(tensor.name)")
    }
  }

  @Test(arguments: DataType.allCases)
  func `computes what a model with merged weights computes`(_ type: DataType) throws {
    for tiny in TinyModel.allCases {
      let adapted = try Adapted(tiny, type, seed: 8)
      let adapter = try #require(adapted.plan.adapter)
      let merged = Floats(tiny.parameters(seed: 8).array)
      let tensors = adapter.tensors.stored
      for down in tensors where down.name.hasSuffix("lora_A.weight") {
        let name = String(down.name.dropFirst("base_model.model.".count).dropLast("lora_A.weight".count))
        let up = try #require(tensors.first { $0.name == "base_model.model.\(name)lora_B.weight" })
        let whole = try #require(adapted.plan.layout.stored.first { $0.name == "\(name)weight" })
        let (rank, inputs) = (down.shape[0], down.shape[1])
        for row in 0..<whole.shape[0] {
          for column in 0..<inputs {
            var sum = 0.0
            for k in 0..<rank {
              sum +=
                Double(adapted.parameters[up.offset + row * rank + k])
                * Double(adapted.parameters[down.offset + k * inputs + column])
            }
            merged[whole.offset + row * inputs + column] += Float(sum * 7 / 5)
          }
        }
      }
      var (offset, worstWeight) = (0, Float(0))
      try adapter.forEachMergedPiece(
        adapted.parameters, of: ParameterSource(tiny.parameters(seed: 8)), adapted.plan.layout
      ) { piece in
        for index in 0..<piece.values.count {
          worstWeight = max(worstWeight, abs(piece.values[index] - merged[offset + index]))
        }
        offset += piece.values.count
      }
      #expect(offset == merged.count && worstWeight < 1e-6, "\(tiny): \(worstWeight)")
      let plain = TransformerPlan(tiny.configuration, type: type)
      let sequences = batch(tiny.configuration)
      let one = try Backpropagation(adapted.plan).score(sequences, model: adapted.model, distribution: .plain)
      let other = try Backpropagation(plain).score(
        sequences, model: PreparedModel(plan: plain, parameters: merged), distribution: .plain)
      var (worst, total, count) = (Float(0), Float(0), Float(0))
      for (a, b) in zip(one.flatMap(\.logprobs), other.flatMap(\.logprobs)) {
        worst = max(worst, abs(a - b))
        total += abs(a - b)
        count += 1
      }
      // Merged weights are rounded to bfloat16 once more.
      #expect(type == .float32 ? worst < 1e-4 : total / count < 0.05, "\(tiny): \(worst), mean \(total / count)")
    }
  }

  @Test func `has published bytes that give the same model, and takes the memory of the version before`() throws {
    let adapted = try Adapted(.qwen35, .bfloat16, seed: 9)
    let bytes = publishedBytes(of: adapted.parameters, layout: adapted.plan.trained, type: .bfloat16)
    #expect(bytes.count == 2 * adapted.plan.trained.count)
    let spare = adapted.model.spare
    let pieces = spare.count
    let received = try bytes.withUnsafeBytes { bytes in
      let source = try #require(ParameterSource(published: bytes, layout: adapted.plan.trained, type: .bfloat16))
      return PreparedModel(adapting: adapted.base, parameters: source)
    }
    // Every layer has two projections of the mixer and two of the feed-forward block.
    #expect(pieces > 8 * adapted.plan.configuration.layerCount)
    let sequences = batch(adapted.plan.configuration)
    let trainer = Backpropagation(adapted.plan)
    #expect(
      try trainer.score(sequences, model: received, distribution: .plain)
        == trainer.score(sequences, model: adapted.model, distribution: .plain))
    #expect(
      ParameterSource(published: .init(start: nil, count: 0), layout: adapted.plan.trained, type: .bfloat16) == nil)
  }

  @Test func `needs memory for its own parameters only`() throws {
    let adapted = try Adapted(.llama, .bfloat16, seed: 9)
    let plain = TransformerPlan(adapted.plan.configuration, type: .bfloat16)
    func bytes(_ plan: TransformerPlan, _ name: String) -> Int {
      MemoryPlan.training(
        plan, rank: 0, of: 1, microBatchTokens: 64, sequenceTokens: 64, isExact: true, recomputes: false
      ).items.first { $0.name == name }?.bytes ?? 0
    }
    #expect(bytes(adapted.plan, "gradient") == 12 * adapted.plan.trained.count)
    #expect(bytes(adapted.plan, "master weights") == 4 * adapted.plan.trained.count)
    #expect(bytes(adapted.plan, "weights") > bytes(plain, "weights"))
    #expect(MemoryPlan.weightBytes(plain, versions: 2) == 2 * MemoryPlan.weightBytes(plain))
    let packed = MemoryPlan.weightBytes(adapted.plan, versions: 3) - MemoryPlan.weightBytes(adapted.plan)
    #expect(packed > 0 && packed % 3 == 0)
  }
}
