// LanguageModelPolicy: a transformer as the Policy that Improve.swift improves.
//
// Float32 masters and their AdamW moments; a `PreparedModel` made from them whenever they change, rounded to the run's
// data type, which is what both samples and is differentiated. An update is the same sequence of float operations on
// every rank: each rank computes the gradients of its share of the micro-batches, sums are exact 64-bit integers, and
// every rank applies the same step to the same masters.

package import Answers
package import Base
package import Records
package import TTRL
package import Tensors

/// What training needs to know beyond the method.
package struct TrainerOptions: Sendable {
  /// Rows of one forward and backward pass; part of the arithmetic.
  package var microBatchTokens: Int
  /// Sum gradients exactly; otherwise as float32, in rank order of the exchange.
  package var isExact: Bool
  package var threads: Int
  /// Activations that would take more are computed twice instead; not part of the arithmetic.
  package var activationBytesMax: Int

  package init(microBatchTokens: Int, isExact: Bool, threads: Int, activationBytesMax: Int = .max) {
    self.microBatchTokens = microBatchTokens
    self.isExact = isExact
    self.threads = threads
    self.activationBytesMax = activationBytesMax
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
  /// nil only while the next one is made: two need not fit.
  private var prepared: PreparedModel?
  /// Policy 0, where a KL penalty asks for it.
  private let reference: PreparedModel?
  package private(set) var version: PolicyVersion
  private var pass: TeamPass?

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
    prepared = try PreparedModel(plan: plan, parameters: optimizer.parameters, forTraining: true)
    self.reference = try reference.map { try PreparedModel(plan: plan, parameters: $0, forTraining: false) }
  }

  package var model: PreparedModel {
    guard let prepared else { preconditionFailure("a policy whose update failed has no model") }
    return prepared
  }

  /// Samples as a worker would.
  package mutating func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) throws -> [Trajectory] {
    guard let first = slots.first else { return [] }
    let generator = Generator(
      model: model, policy: version, seed: seed, sampling: sampling, batchRows: min(256, slots.count),
      team: Team(options.threads))
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
    let pass = madePass()
    var mineScored = trajectories.map { [Float](repeating: 0, count: $0.trajectory.tokens.count) }
    for index in mine {
      let range = ranges[index]
      let logprobs = try pass.score(Array(trajectories[range]), model: reference, sampling: sampling)
      mineScored.replaceSubrange(range, with: logprobs)
    }
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

  private mutating func madePass() -> TeamPass {
    let made = pass ?? TeamPass(plan, options)
    pass = made
    return made
  }

  // MARK: One optimizer step

  package mutating func update(
    _ miniBatch: MiniBatch, method: Method, learningRate: Double
  ) throws -> UpdateReport {
    let members = miniBatch.trajectories
    let ranges = microBatches(of: members, tokensMax: options.microBatchTokens)
    let mine = ranges.indices.filter { $0 % exchange.size == exchange.rank }
    let pass = madePass()
    pass.total.begin(isOne: mine.count == 1 && exchange.size == 1)
    for index in mine {
      let tally = try pass.run(Array(members[ranges[index]]), model: model, method: method)
      try pass.total.take(tally)
    }
    try pass.total.exchange(exchange)
    return try apply(pass, miniBatch: miniBatch, learningRate: learningRate)
  }

  private mutating func apply(
    _ pass: TeamPass, miniBatch: MiniBatch, learningRate: Double
  ) throws -> UpdateReport {
    var report = pass.total.report
    report.tokens = miniBatch.tokenCount
    // Before a step's first update trainer and sampler hold the same weights: anything but equality is a bug (E2).
    if miniBatch.index == 0, report.logprobGap != 0 {
      throw TrainingError.disagreement(step: miniBatch.step, gap: report.logprobGap)
    }
    let gradient = try pass.total.mean(scale: 1 / miniBatch.divisor)
    report.gradientNorm = optimizer.apply(gradient, learningRate: Float(learningRate), team: pass.team)
    report.isSkipped = !report.gradientNorm.isFinite
    prepared = nil
    prepared = try PreparedModel(plan: plan, parameters: optimizer.parameters, forTraining: true, team: pass.team)
    return report
  }
}

/// A team's engine and its gradient.
///
/// `@unchecked Sendable`: the policy that owns it is used by one thread at a time.
private final class TeamPass: @unchecked Sendable {
  let team: Team
  private let engine: Backpropagation
  let total: GradientSum

  init(_ plan: TransformerPlan, _ options: TrainerOptions) {
    team = Team(options.threads)
    engine = Backpropagation(plan, team: team, activationBytesMax: options.activationBytesMax)
    total = GradientSum(count: plan.layout.count, isExact: options.isExact, team: team)
  }

  /// [trajectory][T] log-probabilities of the tokens of a micro-batch.
  func score(_ members: [TrainedTrajectory], model: PreparedModel, sampling: Sampling) throws -> [[Float]] {
    try engine.score(sequences(of: members), model: model, distribution: DistributionSettings(sampling))
      .map(\.logprobs)
  }

  private func sequences(of members: [TrainedTrajectory]) -> [TrainingSequence] {
    members.map { TrainingSequence(prompt: $0.prompt.tokens, response: $0.trajectory.tokens, group: $0.prompt.index) }
  }

  /// Adds the gradient of a micro-batch's summed loss to `total.gradient`.
  func run(_ members: [TrainedTrajectory], model: PreparedModel, method: Method) throws -> Tally {
    var tally = Tally()
    // The bonus takes entropy off the loss.
    let entropySlopes = method.entropyCoefficient > 0 ? members.map { -method.entropyCoefficient * $0.weight } : []
    try engine.run(
      sequences(of: members), model: model, distribution: DistributionSettings(method.sampling),
      gradient: total.gradient,
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

/// The gradient of a mini-batch on its way: exact integers, or float32 where speed was asked for. Its memory, dear to
/// get, is kept from one mini-batch to the next. Not `Sendable`.
private final class GradientSum {
  /// Where micro-batches add theirs. Float32 sums are made here; exact ones empty it after every micro-batch.
  let gradient: Floats
  private let isExact: Bool
  private let team: Team
  /// Only one micro-batch will come, and no other rank's: there is nothing to add, only to round.
  private var isOne = false
  private var exact: ExactGradient?
  private var tally = Tally()

  init(count: Int, isExact: Bool, team: Team) {
    gradient = Floats(count: count)
    self.isExact = isExact
    self.team = team
  }

  /// Zero.
  func begin(isOne: Bool) {
    gradient.fill(0, team: team)
    tally = Tally()
    self.isOne = isOne
    guard isExact, !isOne else { return }
    if exact == nil { exact = ExactGradient(count: gradient.count) } else { exact?.reset(team: team) }
  }

  /// A micro-batch has added to `gradient`.
  func take(_ part: Tally) throws {
    if isExact, !isOne {
      try exact?.add(gradient, team: team)
      gradient.fill(0, team: team)
    }
    tally.loss &+= part.loss
    tally.clipped += part.clipped
    tally.gap = max(tally.gap, part.gap)
  }

  func exchange(_ exchange: any GradientExchange) throws {
    guard exchange.size > 1 else { return }
    if isExact {
      try exact?.values.withUnsafeMutableBufferPointer { try exchange.sum($0) }
    } else {
      try gradient.withUnsafeBuffer { try exchange.sum($0) }
    }
    var counts: [Int64] = [tally.loss, tally.clipped]
    try counts.withUnsafeMutableBufferPointer { try exchange.sum($0) }
    tally.loss = counts[0]
    tally.clipped = counts[1]
    tally.gap = try exchange.maximum(tally.gap)
  }

  /// The sum times `scale`, where micro-batches added theirs.
  func mean(scale: Double) throws -> Floats {
    if !isExact {
      gradient.scale(by: Float(scale))
    } else if isOne {
      try ExactGradient.round(gradient, scale: scale, team: team)
    } else {
      exact?.write(to: gradient, scale: scale, team: team)
    }
    return gradient
  }

  var report: UpdateReport {
    var report = UpdateReport()
    report.lossSum = Double(tally.loss) * 0x1p-30
    report.clippedTokens = Int(tally.clipped)
    report.logprobGap = tally.gap
    return report
  }
}
