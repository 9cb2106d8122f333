// Pretraining: how the built-in base model is made.
//
// It is next-token training on worked solutions (RunningSums), in stages: short questions without slips until the model
// has learned the format and the addition tables, then all lengths, then more and more slips, until majority voting can
// find something. (docs/embedded.md describes this window.) The order and the amounts are the result of a search;
// docs/log.md says what did not work.
//
// It is exactly reproducible: every batch is a function of seed and step, and gradients are summed exactly over the
// micro-batches, so the number of threads changes nothing.

import Base
import LanguageModel
import Records
import Synchronization
package import Tensors

/// A stage of pretraining, with its own learning rates.
package struct PretrainingStage: Sendable {
  package var name: String
  package var steps: Int
  package var batch: Int
  /// Terms per question, drawn uniformly.
  package var lengths: ClosedRange<Int>
  /// The probability that a step of a solution slips.
  package var slipRate: Double
  /// The learning rate falls linearly from the upper bound, at the stage's beginning, to the lower bound, at its end.
  package var rate: ClosedRange<Double>

  static let recipe: [PretrainingStage] = [
    PretrainingStage(name: "short, clean", steps: 500, batch: 128, lengths: 1...3, slipRate: 0, rate: 1.5e-3...3e-3),
    PretrainingStage(name: "all, clean", steps: 300, batch: 64, lengths: 1...10, slipRate: 0, rate: 1e-3...2e-3),
    PretrainingStage(name: "slips 0.43", steps: 150, batch: 64, lengths: 1...10, slipRate: 0.43, rate: 1e-3...1e-3),
    PretrainingStage(name: "slips 0.62", steps: 100, batch: 64, lengths: 1...10, slipRate: 0.62, rate: 5e-4...1e-3),
    PretrainingStage(name: "slips 0.78", steps: 100, batch: 64, lengths: 1...10, slipRate: 0.78, rate: 5e-5...5e-4),
  ]
}

/// The figures of one step of pretraining.
package struct PretrainingStep: Sendable {
  package var stage: String
  package var step: Int
  package var stepCount: Int
  /// Mean cross-entropy per solution token, nats.
  package var loss: Double
  /// Share of the solutions in which the model gives every token a probability above one half.
  package var exactShare: Double
}

package struct Pretraining {
  private let plan: TransformerPlan
  private let seed: UInt64
  private let threads: Int
  private let tokenizer: Tokenizer
  private var optimizer: AdamW
  private var passes: [PretrainingPass] = []
  /// Sequences per micro-batch. It does not depend on the number of threads.
  private static let microBatch = 32

  /// - Parameters:
  ///   - seed: determines the initial weights and all texts.
  ///   - threads: how many threads compute. This does not change the result.
  /// - Throws: only if the built-in tokenizer is malformed.
  package init(seed: UInt64, threads: Int) throws {
    plan = TransformerPlan(BaseModel.configuration, type: .float32)
    self.seed = seed
    self.threads = threads
    tokenizer = try Tokenizer(file: BaseModel.tokenizerFile)
    optimizer = AdamW(
      AdamWSettings(beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.01, gradientNormMax: 1),
      parameters: initialParameters(BaseModel.configuration, seed: seed))
  }

  package var parameters: Floats { optimizer.parameters }

  /// Runs all stages.
  ///
  /// - Parameters:
  ///   - recipe: the stages; nil: those that made the built-in model.
  ///   - report: is called after every step.
  /// - Throws: if training diverges.
  package mutating func run(
    _ recipe: [PretrainingStage]? = nil, report: (PretrainingStep) throws -> Void
  ) throws {
    let recipe = recipe ?? PretrainingStage.recipe
    let total = recipe.reduce(0) { $0 + $1.steps }
    var done = 0
    for stage in recipe {
      for step in 0..<stage.steps {
        let progress = Double(step) / Double(max(stage.steps - 1, 1))
        let warmup = min(1, Double(done + 1) / 50)
        let rate = warmup * (stage.rate.upperBound + (stage.rate.lowerBound - stage.rate.upperBound) * progress)
        let figures = try self.step(stage, number: done, rate: rate)
        done += 1
        try report(
          PretrainingStep(
            stage: stage.name, step: done, stepCount: total, loss: figures.loss, exactShare: figures.exact))
      }
    }
  }

  private mutating func step(
    _ stage: PretrainingStage, number: Int, rate: Double
  ) throws -> (loss: Double, exact: Double) {
    let texts = batch(stage, number: number)
    let model = PreparedModel(plan: plan, parameters: optimizer.parameters)
    let count = (texts.count + Self.microBatch - 1) / Self.microBatch
    while passes.count < max(1, min(threads, count)) { passes.append(PretrainingPass(plan)) }
    let sum = Mutex((gradient: ExactGradient(count: plan.layout.count), loss: Int64(0), exact: 0))
    let passes = passes
    try inParallel(count, threads: passes.count) { index, thread in
      let part = Array(texts[index * Self.microBatch..<min((index + 1) * Self.microBatch, texts.count)])
      let (loss, exact) = try passes[thread].run(part, model: model)
      try sum.withLock { sum in
        try sum.gradient.add(passes[thread].gradient)
        sum.loss += loss
        sum.exact += exact
      }
    }
    let tokens = texts.reduce(0) { $0 + $1.response.count }
    let gradient = Floats(count: plan.layout.count)
    let (loss, exact) = sum.withLock { sum in
      sum.gradient.write(to: gradient, scale: 1 / Double(tokens))
      return (Double(sum.loss) * 0x1p-30 / Double(tokens), Double(sum.exact) / Double(texts.count))
    }
    _ = optimizer.apply(gradient, learningRate: Float(rate))
    return (loss, exact)
  }

  /// The texts of one step: a function of seed and step number.
  private func batch(_ stage: PretrainingStage, number: Int) -> [TrainingSequence] {
    var random = RandomSequence(seed: seed, purpose: .questions, stream: SIMD3(2, UInt32(number), 0))
    return (0..<stage.batch).map { index in
      let length = stage.lengths.lowerBound + random.index(below: stage.lengths.count)
      let sum = RunningSum(length: length, from: &random)
      let solution = sum.solution(slipRate: stage.slipRate, from: &random)
      // As the template `plain` asks.
      return TrainingSequence(
        prompt: tokenizer.encode(sum.question + "\n"),
        response: tokenizer.encode(solution) + [BaseModel.endToken], group: UInt32(index))
    }
  }
}

/// One thread's engine and gradient.
///
/// `@unchecked Sendable`: `inParallel` gives each thread number to one thread at a time.
private final class PretrainingPass: @unchecked Sendable {
  private let engine: Backpropagation
  let gradient: Floats

  init(_ plan: TransformerPlan) {
    engine = Backpropagation(plan)
    gradient = Floats(count: plan.layout.count)
  }

  /// Computes the gradient of the summed cross-entropy into `gradient`. Returns the cross-entropy, in units of 2^-30,
  /// and the number of sequences whose tokens all have a probability above one half.
  func run(_ sequences: [TrainingSequence], model: PreparedModel) throws -> (loss: Int64, exact: Int) {
    gradient.fill(0)
    var loss: Int64 = 0
    var exact = 0
    let scored = try engine.run(
      sequences, model: model, distribution: .plain, gradient: gradient, slope: { _, _, _ in -1 })
    for sequence in scored {
      for logprob in sequence.logprobs { loss -= Int64((Double(logprob) * 0x1p30).rounded()) }
      exact += sequence.logprobs.allSatisfy { $0 > -0.6931 } ? 1 : 0
    }
    return (loss, exact)
  }
}
