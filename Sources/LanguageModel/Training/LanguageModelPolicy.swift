// LanguageModelPolicy: a transformer as the Policy that Improve.swift improves.
//
// Float32 masters and their AdamW moments; a `PreparedModel` made from them whenever they change, rounded to the run's
// data type, which is what both samples and is differentiated. An update is the same sequence of float operations on
// every rank: each rank computes the gradients of its share of the micro-batches, sums are exact 64-bit integers, and
// every rank applies the same step to the same masters.

package import Answers
package import Base
package import Records
import Synchronization
package import TTRL
package import Tensors

/// What training needs to know beyond the method.
package struct TrainerOptions: Sendable {
  /// Rows of one forward and backward pass; part of the arithmetic.
  package var microBatchTokens: Int
  /// Sum gradients exactly; otherwise as float32, in rank order of the exchange.
  package var isExact: Bool
  package var threads: Int

  package init(microBatchTokens: Int, isExact: Bool, threads: Int) {
    self.microBatchTokens = microBatchTokens
    self.isExact = isExact
    self.threads = threads
  }
}

/// Why an update failed.
package enum TrainingError: Error, Sendable, CustomStringConvertible {
  /// The trainer's log-probabilities are not the sampler's (E2).
  case disagreement(step: UInt32, gap: Float)

  package var description: String {
    switch self {
    case .disagreement(let step, let gap):
      "step \(step): the trainer's log-probabilities differ from those recorded while sampling, by up to \(gap); they "
        + "must be equal. Do workers and learner run on the same kind of processor with the same libraries? Mixed "
        + "machines can be pinned to a common level with DNNL_MAX_CPU_ISA"
    }
  }
}

package struct LanguageModelPolicy: Policy {
  private let plan: TransformerPlan
  private let options: TrainerOptions
  private let seed: UInt64
  private let exchange: any GradientExchange
  /// The answer that a response gives; set by whoever has the tokenizer.
  private let readAnswer: @Sendable (_ tokens: [Int32], AnswerKind) -> AnswerKey?
  package private(set) var optimizer: AdamW
  package private(set) var model: PreparedModel
  /// Policy 0, where a KL penalty asks for it.
  private let reference: PreparedModel?
  package private(set) var version: PolicyVersion
  /// One per thread; made at the first update.
  private var passes: [ThreadPass] = []

  /// - Parameters:
  ///   - plan: the model's shape and data type.
  ///   - optimizer: masters and moments; the policy owns them from here on.
  ///   - version: of these masters.
  ///   - reference: the parameters of policy 0, if a KL penalty is on; they are copied.
  ///   - options: how to train.
  ///   - seed: the run's, for `sample`.
  ///   - exchange: the other learner ranks.
  ///   - readAnswer: finds the answer in a response's tokens.
  /// - Throws: if the processor cannot multiply the data type.
  package init(
    plan: TransformerPlan, optimizer: AdamW, version: PolicyVersion, reference: Floats? = nil,
    options: TrainerOptions, seed: UInt64, exchange: any GradientExchange = NoExchange(),
    readAnswer: @escaping @Sendable (_ tokens: [Int32], AnswerKind) -> AnswerKey?
  ) throws {
    self.plan = plan
    self.optimizer = optimizer
    self.version = version
    self.options = options
    self.seed = seed
    self.exchange = exchange
    self.readAnswer = readAnswer
    model = try PreparedModel(plan: plan, parameters: optimizer.parameters, forTraining: true)
    self.reference = try reference.map { try PreparedModel(plan: plan, parameters: $0, forTraining: false) }
  }

  /// Samples on this thread, as a worker's thread would.
  package mutating func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) throws -> [Trajectory] {
    guard let first = slots.first else { return [] }
    let generator = Generator(
      model: model, policy: version, seed: seed, sampling: sampling, batchRows: min(256, slots.count))
    try generator.add(
      GenerationRequest(
        prompt: prompt.tokens, round: first.round, promptIndex: prompt.index, samples: slots.map(\.sample)))
    var trajectories: [Trajectory] = []
    while generator.hasWork { trajectories += try generator.advance() }
    return trajectories.sorted { $0.slot < $1.slot }
  }

  package func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey? {
    readAnswer(trajectory.tokens, prompt.kind)
  }

  /// The step is over: its weights are the next version.
  package mutating func publish() { version = version.next }

  /// Every rank scores its share of micro-batches, with the forward pass of an update. What comes of a trajectory does
  /// not depend on its neighbours (E1), so neither the cut nor the number of ranks can be seen in it; the ranks' shares
  /// meet as bit patterns, beside zeroes.
  package mutating func referenceLogprobs(
    of trajectories: [TrainedTrajectory], sampling: Sampling
  ) throws -> [[Float]] {
    guard let reference else { preconditionFailure("a KL penalty is on, and the policy was made without policy 0") }
    let ranges = microBatches(of: trajectories, tokensMax: options.microBatchTokens)
    let mine = ranges.indices.filter { $0 % exchange.size == exchange.rank }
    reservePasses(min(options.threads, mine.count))
    let passes = passes
    let scored = Mutex(trajectories.map { [Float](repeating: 0, count: $0.trajectory.tokens.count) })
    try inParallel(mine.count, threads: passes.count) { index, thread in
      let range = ranges[mine[index]]
      let logprobs = try passes[thread].score(Array(trajectories[range]), model: reference, sampling: sampling)
      scored.withLock { $0.replaceSubrange(range, with: logprobs) }
    }
    let mineScored = scored.withLock { $0 }
    guard exchange.size > 1 else { return mineScored }
    var bits = mineScored.flatMap { $0.map { Int64($0.bitPattern) } }
    try bits.withUnsafeMutableBufferPointer { try exchange.sum($0) }
    var rest = bits[...]
    return trajectories.map { trajectory in
      let own = rest.prefix(trajectory.trajectory.tokens.count)
      rest = rest.dropFirst(own.count)
      return own.map { Float(bitPattern: UInt32(truncatingIfNeeded: $0)) }
    }
  }

  /// Makes engines for `count` threads, at least one.
  private mutating func reservePasses(_ count: Int) {
    while passes.count < max(1, count) { passes.append(ThreadPass(plan)) }
  }

  // MARK: One optimizer step

  package mutating func update(
    _ miniBatch: MiniBatch, method: Method, learningRate: Double
  ) throws -> UpdateReport {
    let members = miniBatch.trajectories
    let ranges = microBatches(of: members, tokensMax: options.microBatchTokens)
    let mine = ranges.indices.filter { $0 % exchange.size == exchange.rank }
    // Float sums depend on their order, so without exact ones a rank's micro-batches take turns.
    let threads = options.isExact ? options.threads : 1
    reservePasses(min(threads, mine.count))
    let total = Mutex(GradientSum(count: plan.layout.count, isExact: options.isExact))
    let (model, passes) = (model, passes.prefix(max(1, threads)))
    try inParallel(mine.count, threads: passes.count) { index, thread in
      let part = members[ranges[mine[index]]]
      let tally = try passes[thread].run(Array(part), model: model, method: method)
      try total.withLock { try $0.add(passes[thread].gradient, tally) }
    }
    return try total.withLock { total in
      try total.exchange(exchange)
      return try apply(&total, miniBatch: miniBatch, learningRate: learningRate)
    }
  }

  private mutating func apply(
    _ total: inout GradientSum, miniBatch: MiniBatch, learningRate: Double
  ) throws -> UpdateReport {
    var report = total.report
    report.tokens = miniBatch.tokenCount
    // Before a step's first update trainer and sampler hold the same weights: anything but equality is a bug (E2).
    if miniBatch.index == 0, report.logprobGap != 0 {
      throw TrainingError.disagreement(step: miniBatch.step, gap: report.logprobGap)
    }
    let gradient = Floats(count: plan.layout.count)
    total.write(to: gradient, scale: 1 / miniBatch.divisor)
    report.gradientNorm = optimizer.apply(gradient, learningRate: Float(learningRate))
    report.isSkipped = !report.gradientNorm.isFinite
    model = try PreparedModel(plan: plan, parameters: optimizer.parameters, forTraining: true)
    return report
  }
}

/// One thread's engine and its gradient.
///
/// `@unchecked Sendable`: `inParallel` gives each thread number to one thread at a time.
private final class ThreadPass: @unchecked Sendable {
  private let engine: Backpropagation
  let gradient: Floats

  init(_ plan: TransformerPlan) {
    engine = Backpropagation(plan)
    gradient = Floats(count: plan.layout.count)
  }

  /// [trajectory][T] log-probabilities of the tokens of a micro-batch.
  func score(_ members: [TrainedTrajectory], model: PreparedModel, sampling: Sampling) throws -> [[Float]] {
    try engine.score(sequences(of: members), model: model, distribution: DistributionSettings(sampling))
      .map(\.logprobs)
  }

  private func sequences(of members: [TrainedTrajectory]) -> [TrainingSequence] {
    members.map { TrainingSequence(prompt: $0.prompt.tokens, response: $0.trajectory.tokens, group: $0.prompt.index) }
  }

  /// Leaves the gradient of a micro-batch's summed loss in `gradient`.
  func run(_ members: [TrainedTrajectory], model: PreparedModel, method: Method) throws -> Tally {
    gradient.fill(0)
    var tally = Tally()
    // The bonus takes entropy off the loss.
    let entropySlopes = method.entropyCoefficient > 0 ? members.map { -method.entropyCoefficient * $0.weight } : []
    try engine.run(
      sequences(of: members), model: model, distribution: DistributionSettings(method.sampling), gradient: gradient,
      entropySlopes: entropySlopes
    ) { index, scored in
      let member = members[index]
      return scored.logprobs.enumerated().map { place, logprob in
        let token = objective(of: member, at: place, logprob: logprob, method: method)
        tally.add(token, gap: abs(logprob - member.trajectory.logprobs[place]))
        return token.slope
      }
    }
    return tally
  }
}

/// What micro-batches report, as integers, so that the order of adding cannot matter.
private struct Tally {
  /// In units of 2^-30.
  var loss: Int64 = 0
  var clipped: Int64 = 0
  var gap: Float = 0

  mutating func add(_ token: SurrogateToken, gap: Float) {
    let scaled = (Double(token.loss) * 0x1p30).rounded()
    // A loss beyond all bounds shows in the gradient; here it must only not trap.
    if abs(scaled) < 0x1p52 { loss &+= Int64(scaled) }
    clipped += token.isClipped ? 1 : 0
    // NaN is a disagreement too.
    self.gap = gap.isNaN ? .infinity : max(self.gap, gap)
  }
}

/// The gradient of a mini-batch on its way: exact integers, or float32 where speed was asked for.
private struct GradientSum {
  private var exact: ExactGradient?
  private var fast: Floats?
  private var tally = Tally()

  init(count: Int, isExact: Bool) {
    if isExact { exact = ExactGradient(count: count) } else { fast = Floats(count: count) }
  }

  mutating func add(_ gradient: Floats, _ part: Tally) throws {
    try exact?.add(gradient)
    fast?.add(gradient)
    tally.loss &+= part.loss
    tally.clipped += part.clipped
    tally.gap = max(tally.gap, part.gap)
  }

  mutating func exchange(_ exchange: any GradientExchange) throws {
    guard exchange.size > 1 else { return }
    if exact != nil { try exact?.values.withUnsafeMutableBufferPointer { try exchange.sum($0) } }
    if let fast { try fast.withUnsafeBuffer { try exchange.sum($0) } }
    var counts: [Int64] = [tally.loss, tally.clipped]
    try counts.withUnsafeMutableBufferPointer { try exchange.sum($0) }
    tally.loss = counts[0]
    tally.clipped = counts[1]
    tally.gap = try exchange.maximum(tally.gap)
  }

  func write(to gradient: Floats, scale: Double) {
    exact?.write(to: gradient, scale: scale)
    if let fast {
      gradient.copy(from: fast)
      gradient.scale(by: Float(scale))
    }
  }

  var report: UpdateReport {
    var report = UpdateReport()
    report.lossSum = Double(tally.loss) * 0x1p-30
    report.clippedTokens = Int(tally.clipped)
    report.logprobGap = tally.gap
    return report
  }
}
