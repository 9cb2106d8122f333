// GeneratorTests: how responses end, what is refused, and that the number of threads has no influence.

import Base
import LanguageModel
import Records
import Tensors
import Testing

#if canImport(Glibc)
  import Glibc
#endif

private func request(_ prompt: [Int32], index: UInt32 = 0, samples: [UInt32] = [0]) -> GenerationRequest {
  GenerationRequest(prompt: prompt, round: .train(step: 3), promptIndex: index, samples: samples)
}

private func model(_ tiny: TinyModel, _ type: DataType = .float32) -> PreparedModel {
  PreparedModel(plan: TransformerPlan(tiny.configuration, type: type), parameters: tiny.parameters(seed: 8))
}

@Suite struct `The generator` {
  @Test func `a response ends with its first stop token or at its limit`() throws {
    let sampling = Sampling(temperature: 1, maxNewTokens: 12, stopTokens: [1, 4, 9])
    let prompts = [request([3, 1, 4], samples: Array(0..<40)), request([7], index: 1, samples: Array(0..<40))]
    let trajectories = try generate(prompts, model: model(.llama), sampling: sampling, batchRows: 16)
    #expect(trajectories.map(\.slot.sample) == Array(0..<40) + Array(0..<40))
    for trajectory in trajectories {
      let stop = trajectory.tokens.firstIndex { sampling.stopTokens.contains($0) }
      #expect(trajectory.finish == (stop == nil ? .length : .stop))
      #expect(trajectory.tokens.count == (stop.map { $0 + 1 } ?? 12))
      #expect(trajectory.logprobs.count == trajectory.tokens.count && trajectory.policy == PolicyVersion(3))
      #expect(trajectory.logprobs.allSatisfy { $0 < 0 && $0.isFinite })
    }
    #expect(Set(trajectories.map(\.finish)) == [.stop, .length])
    #expect(Set(trajectories.map(\.tokens)).count > 40, "samples of a prompt differ")
  }

  /// At different times, so that samples that are running, of the opened prompt, or waiting are cancelled.
  @Test(arguments: 0..<8) func `cancelled samples are dropped, and the others do not change`(_ moment: Int) throws {
    let sampling = Sampling(temperature: 1, maxNewTokens: 9, stopTokens: [1])
    let requests = (UInt32(0)..<3).map { request([3, 1, Int32($0)], index: $0, samples: Array(0..<5)) }
    let prepared = model(.llama)
    let whole = try generate(requests, model: prepared, sampling: sampling, batchRows: 4)
    let isUnwanted: (Slot) -> Bool = { $0.prompt == 1 || ($0.prompt + $0.sample) % 3 == 1 }
    let generator = Generator(
      model: prepared, policy: PolicyVersion(3), seed: 5, sampling: sampling, batchRows: 4)
    for request in requests { try generator.add(request) }
    var found: [Trajectory] = []
    for _ in 0..<moment where generator.hasWork { found += try generator.advance() }
    generator.cancel(isUnwanted)
    let before = found.count
    while generator.hasWork { found += try generator.advance() }
    #expect(!found[before...].contains { isUnwanted($0.slot) })
    let wanted = whole.filter { !isUnwanted($0.slot) }
    #expect(found.filter { !isUnwanted($0.slot) }.sorted { $0.slot < $1.slot } == wanted)
    generator.cancel { _ in true }
    #expect(!generator.hasWork)
  }

  /// Entropies and self-certainty against the logits that the trainer's forward pass gives, by the formulas in Double.
  @Test(arguments: [TinyModel.llama, .qwen2]) func `records of tokens are those of the distributions that were sampled`(
    _ tiny: TinyModel
  ) throws {
    var sampling = Sampling(temperature: 0.7, maxNewTokens: 11, stopTokens: [1])
    let prompts = (UInt32(0)..<2).map { request([3, 1, Int32($0)], index: $0, samples: Array(0..<3)) }
    let prepared = model(tiny)
    let plain = try generate(prompts, model: prepared, sampling: sampling, batchRows: 2)
    sampling.records = .all
    let recorded = try generate(prompts, model: prepared, sampling: sampling, batchRows: 2)
    let again = try generate(prompts, model: prepared, sampling: sampling, batchRows: 16)
    let engine = Backpropagation(TransformerPlan(tiny.configuration, type: .float32))
    #expect(recorded == again)
    for (one, other) in zip(plain, recorded) {
      #expect(one.has([]) && other.has(.all) && !one.has(.all))
      #expect(other.entropies.reduce(0, +) == other.entropySum)
      var bare = other
      bare.entropies = []
      bare.selfCertainty = nil
      #expect(bare == one)
      // From the log-probabilities of all tokens of the vocabulary: minus their mean is log Σ exp z − mean z.
      let prompt = prompts[Int(other.slot.prompt)].prompt
      var certainty = 0.0
      for place in other.tokens.indices {
        let begun = Array(other.tokens[..<place])
        let scored = try engine.score(
          (0..<Int32(tiny.configuration.vocabularySize)).map { token in
            TrainingSequence(prompt: prompt, response: begun + [token], group: 0)
          }, model: prepared, distribution: DistributionSettings(sampling))
        let logprobs = scored.map { Double($0.logprobs[place]) }
        certainty -= logprobs.reduce(0, +) / Double(logprobs.count)
        let entropy = -logprobs.reduce(0) { $0 + exp($1) * $1 }
        #expect(abs(Double(other.entropies[place]) - entropy) < 1e-5, "\(other.slot), token \(place)")
      }
      let wanted = certainty / Double(other.tokens.count)
      #expect(abs(Double(other.selfCertainty ?? 0) - wanted) < 1e-5, "\(other.slot)")
    }
  }

  @Test func `a response ends if the model has no more positions`() throws {
    let positions = TinyModel.llama.configuration.maxPositions
    for count in [positions - 3, positions - 1, positions, positions + 5] {
      let prompt = [Int32](repeating: 2, count: count)
      let found = try generate(
        [request(prompt)], model: model(.llama), sampling: Sampling(temperature: 1, maxNewTokens: 9, stopTokens: []),
        batchRows: 2)
      #expect(found.count == 1 && found[0].tokens.count == max(0, positions - count) && found[0].finish == .length)
    }
  }

  @Test func `a limit on keys and values makes samples wait, and changes nothing else`() throws {
    let prepared = model(.llama)
    let sampling = Sampling(temperature: 1, maxNewTokens: 24, stopTokens: [1])
    let requests = (0..<3).map { request([3, 1, 4, Int32($0)], index: UInt32($0), samples: Array(0..<10)) }
    let free = try generate(requests, model: prepared, sampling: sampling, batchRows: 64)
    func bounded(pages: Int) throws -> (found: [Trajectory], highest: Int) {
      let probe = Generator(model: prepared, policy: PolicyVersion(3), seed: 5, sampling: sampling, batchRows: 64)
      let generator = Generator(
        model: prepared, policy: PolicyVersion(3), seed: 5, sampling: sampling, batchRows: 64,
        keyValueBytesMax: pages * probe.keyValuePageBytes)
      for request in requests { try generator.add(request) }
      var (found, highest) = ([Trajectory](), 0)
      while generator.hasWork {
        found += try generator.advance()
        highest = max(highest, generator.keyValueBytes / probe.keyValuePageBytes)
      }
      return (found.sorted { $0.slot < $1.slot }, highest)
    }
    let unbounded = try bounded(pages: 10_000)
    for pages in [1, 5, 12] {
      let (found, highest) = try bounded(pages: pages)
      // One sample with its prompt needs three pages.
      #expect(highest <= max(pages, 3) && highest < unbounded.highest, "\(pages) pages")
      #expect(found == unbounded.found && found.map(\.slot) == free.map(\.slot), "\(pages) pages")
    }
  }

  @Test func `states count against the limit on keys and values, and waiting changes nothing`() throws {
    let prepared = model(.qwen35)
    let sampling = Sampling(temperature: 1, maxNewTokens: 24, stopTokens: [1])
    let requests = (0..<3).map { request([3, 1, 4, Int32($0)], index: UInt32($0), samples: Array(0..<10)) }
    let free = try generate(requests, model: prepared, sampling: sampling, batchRows: 64)
    let one = MemoryPlan.keyValueBytes(prepared.plan, positions: 28)
    var highest: [Int] = []
    for limit in [1, 5 * one, 12 * one, .max] {
      let generator = Generator(
        model: prepared, policy: PolicyVersion(3), seed: 5, sampling: sampling, batchRows: 64, keyValueBytesMax: limit)
      for request in requests { try generator.add(request) }
      var (found, most) = ([Trajectory](), 0)
      while generator.hasWork {
        found += try generator.advance()
        most = max(most, generator.keyValueBytes)
      }
      #expect(found.sorted { $0.slot < $1.slot } == free, "a limit of \(limit) bytes")
      // One sample and its prompt always run; until the sample has begun, the prompt has a state of its own.
      #expect(most <= max(limit, one + generator.stateBytes) && generator.stateBytes > 0, "a limit of \(limit) bytes")
      highest.append(most)
    }
    #expect(highest == highest.sorted() && highest[0] < highest[1] && highest[1] < highest[2])
  }

  @Test func `greedy takes the most probable token and records its plain log-probability`() throws {
    let prepared = model(.qwen2)
    let sampling = Sampling(temperature: 0, topP: 0.5, topK: 2, maxNewTokens: 10, stopTokens: [])
    let prompt: [Int32] = [3, 1, 4, 1, 5]
    let found = try generate([request(prompt)], model: prepared, sampling: sampling, batchRows: 1)[0]
    let trainer = Backpropagation(prepared.plan)
    for position in 0..<10 {
      let context = prompt + found.tokens[..<position]
      let all = (0..<Int32(prepared.plan.configuration.vocabularySize)).map {
        TrainingSequence(prompt: context, response: [$0], group: 0)
      }
      let logprobs = try trainer.score(all, model: prepared, distribution: .plain).map { $0.logprobs[0] }
      #expect(logprobs.max() == found.logprobs[position])
      #expect(logprobs[Int(found.tokens[position])] == found.logprobs[position])
    }
  }

  @Test func `samples follow the distribution with which they are scored`() throws {
    let prepared = model(.qwen3)
    let count = 4000
    let sampling = Sampling(temperature: 3, topP: 0.9, maxNewTokens: 1, stopTokens: [])
    let found = try generate(
      [request([6, 2], samples: Array(0..<UInt32(count)))], model: prepared, sampling: sampling, batchRows: 64)
    var counts = [Int32: Int]()
    for trajectory in found { counts[trajectory.tokens[0], default: 0] += 1 }
    #expect(counts.count > 3)
    for trajectory in found {
      let p = Double(Float.exponential(trajectory.logprobs[0]))
      let share = Double(counts[trajectory.tokens[0], default: 0]) / Double(count)
      #expect(abs(share - p) < 5 * (p * (1 - p) / Double(count)).squareRoot(), "token \(trajectory.tokens[0])")
    }
  }

  @Test func `tokens are counted when they are sampled, not when a sample ends`() throws {
    let generator = Generator(
      model: model(.llama), policy: PolicyVersion(0), seed: 1,
      sampling: Sampling(temperature: 1, maxNewTokens: 40, stopTokens: []), batchRows: 4)
    try generator.add(request([1, 2]))
    var before = generator.tokenCount
    for _ in 0..<10 {
      #expect(try generator.advance().isEmpty)
      #expect(generator.tokenCount > before)
      before = generator.tokenCount
    }
  }

  @Test func `prompts that cannot be run are refused by name`() throws {
    let generator = Generator(
      model: model(.llama), policy: PolicyVersion(0), seed: 1,
      sampling: Sampling(temperature: 1, maxNewTokens: 4, stopTokens: []), batchRows: 4)
    #expect(throws: ModelError.self) { try generator.add(request([])) }
    #expect(throws: ModelError.self) { try generator.add(request([1, 37])) }
    #expect(throws: ModelError.self) { try generator.add(request([-1])) }
    #expect(!generator.hasWork)
  }

  @Test func `damaged weights give an error, not a sample`() throws {
    let plan = TransformerPlan(TinyModel.llama.configuration, type: .float32)
    let parameters = TinyModel.llama.parameters(seed: 8)
    parameters[plan.layout.tensors[plan.layout.finalNorm].offset] = .nan
    let damaged = PreparedModel(plan: plan, parameters: parameters)
    #expect(throws: ModelError.self) {
      try generate(
        [request([1, 2])], model: damaged, sampling: Sampling(temperature: 1, maxNewTokens: 4, stopTokens: []),
        batchRows: 4)
    }
  }

  @Test(arguments: DataType.allCases)
  func `four threads sample the same as one`(_ type: DataType) async throws {
    let prepared = model(.qwen2, type)
    let sampling = Sampling(temperature: 1, maxNewTokens: 30, stopTokens: [2])
    var random = choices(31)
    let requests = (0..<4).map {
      request(random.tokens(3 + 9 * $0, below: 23), index: UInt32($0), samples: Array(0..<20))
    }
    let one = try generate(requests, model: prepared, sampling: sampling, batchRows: 80)
    let four = try await withThrowingTaskGroup(of: [Trajectory].self) { group in
      for request in requests {
        group.addTask { try generate([request], model: prepared, sampling: sampling, batchRows: 7) }
      }
      var all: [Trajectory] = []
      for try await part in group { all += part }
      return all.sorted { $0.slot < $1.slot }
    }
    #expect(four == one)
  }
}

@Suite struct `New parameters` {
  @Test func `are a function of the seed, with the documented deviations`() {
    let configuration = TinyModel.llama.configuration
    let layout = ParameterLayout(configuration)
    let parameters = initialParameters(configuration, seed: 1)
    #expect(parameters.array == initialParameters(configuration, seed: 1).array)
    #expect(parameters.array != initialParameters(configuration, seed: 2).array)
    func deviation(_ index: Int) -> Float {
      let values = parameters[layout.tensors[index].range].array
      return (values.reduce(0) { $0 + $1 * $1 } / Float(values.count)).squareRoot()
    }
    let inputs = Float(configuration.hiddenSize)
    #expect(abs(deviation(layout.embedding) - 1) < 0.1)
    #expect(abs(deviation(layout.head) - 0.3 / inputs.squareRoot()) < 0.01)
    if case .attention(let names) = layout.layers[0].mixer {
      #expect(abs(deviation(names.query) - 1 / inputs.squareRoot()) < 0.02)
    } else {
      Issue.record("Llama has attention")
    }
    #expect(abs(deviation(layout.layers[1].mixer.output) - 0.5 / inputs.squareRoot()) < 0.01)
    #expect(parameters[layout.tensors[layout.finalNorm].range].array.allSatisfy { $0 == 1 })
  }
}

extension Float {
  fileprivate static func exponential(_ x: Float) -> Float {
    let out = Floats(count: 1)
    Kernels.best.exponential(Floats([x]), into: out)
    return out[0]
  }
}
