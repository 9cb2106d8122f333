// AgreementTests: batch invariance, and that sampler and trainer agree, in random trials.

import Base
import LanguageModel
import Records
import Tensors
import Testing

/// One random trial: a model, prompts, samples per prompt, sampling settings.
private struct Trial {
  let configuration: ModelConfiguration
  let requests: [GenerationRequest]
  let sampling: Sampling
  let plan: TransformerPlan
  let model: PreparedModel

  init(seed: UInt64, tiny: TinyModel, type: DataType) throws {
    var random = choices(seed)
    configuration = tiny.configuration
    let vocabulary = configuration.vocabularySize
    requests = (0..<3).map { prompt in
      GenerationRequest(
        prompt: random.tokens(1 + random.index(below: 50), below: vocabulary), round: .train(step: 3),
        promptIndex: UInt32(prompt), samples: (0..<UInt32(1 + random.index(below: 9))).map { 2 * $0 })
    }
    sampling = Sampling(
      temperature: [0.6, 1, 1.7][random.index(below: 3)], topP: [1, 0.9][random.index(below: 2)],
      topK: [0, 5][random.index(below: 2)], maxNewTokens: 40, stopTokens: [2, 5])
    plan = TransformerPlan(configuration, type: type)
    model = PreparedModel(plan: plan, parameters: tiny.parameters(seed: seed))
  }

  func sequence(_ trajectory: Trajectory) -> TrainingSequence {
    let prompt = trajectory.slot.prompt
    return TrainingSequence(prompt: requests[Int(prompt)].prompt, response: trajectory.tokens, group: prompt)
  }
}

@Suite struct `Sampler and trainer` {
  @Test(arguments: TinyModel.allCases, DataType.allCases)
  func `a trajectory does not depend on the batch size or on other samples`(
    _ tiny: TinyModel, _ type: DataType
  ) throws {
    for seed in UInt64(1)...4 {
      let trial = try Trial(seed: seed, tiny: tiny, type: type)
      let together = try generate(trial.requests, model: trial.model, sampling: trial.sampling, batchRows: 64)
      for batchRows in [1, 3, 17] {
        let other = try generate(
          trial.requests.reversed(), model: trial.model, sampling: trial.sampling, batchRows: batchRows)
        #expect(other == together, "seed \(seed), \(batchRows) rows")
      }
      for request in trial.requests {
        let alone = try generate([request], model: trial.model, sampling: trial.sampling, batchRows: 64)
        #expect(alone == together.filter { $0.slot.prompt == request.promptIndex }, "seed \(seed)")
      }
    }
  }

  @Test(arguments: TinyModel.allCases, DataType.allCases)
  func `recomputed log-probabilities equal the recorded ones in every bit`(_ tiny: TinyModel, _ type: DataType) throws {
    for seed in UInt64(11)...16 {
      let trial = try Trial(seed: seed, tiny: tiny, type: type)
      let trajectories = try generate(trial.requests, model: trial.model, sampling: trial.sampling, batchRows: 7)
      let trainer = Backpropagation(trial.plan)
      var random = choices(seed + 100)
      let order = random.permutation(of: trajectories.count)
      let gradient = Floats(count: trial.plan.layout.count)
      let scored = try trainer.run(
        order.map { trial.sequence(trajectories[$0]) }, model: trial.model,
        distribution: DistributionSettings(trial.sampling), gradient: gradient
      ) { _, _, _ in 1 }
      for (place, index) in order.enumerated() {
        let same = zip(scored[place].logprobs, trajectories[index].logprobs).allSatisfy {
          $0.bitPattern == $1.bitPattern
        }
        #expect(
          same && scored[place].logprobs.count == trajectories[index].tokens.count, "seed \(seed), sample \(index)")
        #expect(scored[place].entropies.reduce(0, +) == trajectories[index].entropySum, "seed \(seed), sample \(index)")
      }
    }
  }

  @Test(arguments: TinyModel.allCases, DataType.allCases)
  func `a score does not depend on where the prompt ends or on what shares it`(
    _ tiny: TinyModel, _ type: DataType
  ) throws {
    var random = choices(77)
    let configuration = tiny.configuration
    let plan = TransformerPlan(configuration, type: type)
    let model = PreparedModel(plan: plan, parameters: tiny.parameters(seed: 8))
    let ids = random.tokens(75, below: configuration.vocabularySize)
    let trainer = Backpropagation(plan)
    let whole = try trainer.score([TrainingSequence(ids: ids, group: 0)], model: model, distribution: .plain)[0]
    for cut in [2, 15, 16, 17, 31, 32, 40, 74] {
      let prompt = Array(ids[..<cut])
      let sequences = [
        TrainingSequence(prompt: prompt, response: random.tokens(9, below: configuration.vocabularySize), group: 1),
        TrainingSequence(prompt: prompt, response: Array(ids[cut...]), group: 1),
      ]
      let part = try trainer.score(sequences, model: model, distribution: .plain)[1]
      #expect(part.logprobs == Array(whole.logprobs[(cut - 1)...]), "cut at \(cut)")
    }
  }

  @Test func `a micro-batch gives the same gradient, whatever the trainer computed before`() throws {
    let trial = try Trial(seed: 21, tiny: .qwen3, type: .float32)
    let trajectories = try generate(trial.requests, model: trial.model, sampling: trial.sampling, batchRows: 7)
    let sequences = trajectories.map { trial.sequence($0) }
    func gradient(_ trainer: Backpropagation, _ sequences: [TrainingSequence]) throws -> [Float] {
      let gradient = Floats(count: trial.plan.layout.count)
      try trainer.run(sequences, model: trial.model, distribution: .plain, gradient: gradient) { index, _, _ in
        Float(index) - 1.5
      }
      return gradient.array
    }
    let used = Backpropagation(trial.plan)
    _ = try gradient(used, sequences.reversed() + sequences)
    let part = Array(sequences.prefix(2))
    #expect(try gradient(used, part) == gradient(Backpropagation(trial.plan), part))
  }
}
