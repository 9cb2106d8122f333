// LanguageModelPolicy: a transformer as the Policy that Improve.swift trains.
//
// It has float32 masters and their AdamW moments. A `PreparedModel` is made from the masters whenever they change,
// rounded to the run's data type; sampling and training both use it. Each rank computes the gradients of its share of
// the micro-batches. Sums are exact 64-bit integers (GradientSum). Each rank keeps and changes its shard of the masters
// and moments, and then all ranks gather the new weights and pack them (GatheredWeights). A parameter's value comes
// from the same sequence of float operations, whichever rank computes it.

package import Answers
import Base
package import Records
package import TTRL
package import Tensors

/// What training needs to know in addition to the method.
package struct TrainerOptions: Sendable {
  /// Rows of one forward and backward pass. This is part of the arithmetic: it can change the result.
  package var microBatchTokens: Int
  /// true: gradients are summed exactly. false: they are summed as float32, in the order of the ranks.
  package var isExact: Bool
  package var threads: Int
  /// The most bytes of activations to keep. Activations above this limit are computed twice instead. Not part of the
  /// arithmetic.
  package var activationBytesMax: Int
  /// Whether gradients are sent between ranks while earlier layers are computed. Not part of the arithmetic.
  package var overlaps = true
  /// Whether there is memory for the gradients of a few layers only (StreamedGradient). Float32 sums always have a
  /// whole gradient. Not part of the arithmetic.
  package var isStreamed = false

  package init(microBatchTokens: Int, isExact: Bool, threads: Int, activationBytesMax: Int = .max) {
    self.microBatchTokens = microBatchTokens
    self.isExact = isExact
    self.threads = threads
    self.activationBytesMax = activationBytesMax
  }
}

/// The reason why an update failed.
package enum TrainingError: LastingError, Sendable, CustomStringConvertible {
  /// The trainer's log-probabilities differ from the sampler's (E2).
  case disagreement(step: UInt32, gap: Float)

  package var description: String {
    switch self {
    case .disagreement(let step, let gap):
      "step \(step): the trainer's log-probabilities differ from those recorded while sampling, by up to \(gap); they "
        + "must be equal, on every processor. Do workers and learner run the same version of ttrl? If they do, please "
        + "report this, with the processors"
    }
  }
}

/// What a policy has to know about the text of its responses.
package protocol ResponseReading: Sendable {
  /// nil if the response states none.
  func answer(of tokens: [Int32], to prompt: Prompt) -> AnswerKey?
  /// Whether the response ends before its thinking does.
  func isThinking(atEndOf tokens: [Int32], to prompt: Prompt) -> Bool
}

package struct LanguageModelPolicy: Policy {
  private let plan: TransformerPlan
  private let options: TrainerOptions
  private let seed: UInt64
  private let ranks: any Collectives
  /// Reads responses. The caller has the tokenizer.
  private let reader: any ResponseReading
  /// This rank's shard of masters and moments.
  package private(set) var optimizer: AdamW
  /// nil only while the next model is made: memory may not hold two models.
  private var prepared: PreparedModel?
  /// Policy 0, if a KL penalty needs it.
  private let reference: PreparedModel?
  /// What an adapter adapts; nil if all parameters are trained.
  private let base: PreparedModel?
  package private(set) var version: PolicyVersion
  private var pass: TeamPass?
  /// Called after every micro-batch, so that a learner can show that it makes progress.
  package var onMicroBatch: () -> Void = {}
  /// Called when another part of the step begins, so that a learner can measure them.
  package var onPart: (FigureName) -> Void = { _ in }
  /// Called before masters and moments change: a checkpoint can still be reading them.
  package var willChange: () throws -> Void = {}

  /// - Parameters:
  ///   - plan: the model's shape and data type.
  ///   - optimizer: this rank's shard of masters and moments. From here on the policy owns them.
  ///   - version: the version of these masters.
  ///   - reference: the parameters of policy 0, if a KL penalty is on; they are copied.
  ///   - base: the frozen model, if the plan has an adapter. Without `reference`, it is policy 0 for a KL penalty.
  ///   - options: how to train.
  ///   - seed: the run's seed, for `sample`.
  ///   - ranks: this rank's connection to the learner's ranks.
  ///   - reader: reads responses.
  /// - Throws: if the ranks cannot gather their weights. All ranks make their policies at the same time.
  package init(
    plan: TransformerPlan, optimizer: AdamW, version: PolicyVersion,
    reference: Floats? = nil, base: PreparedModel? = nil, options: TrainerOptions, seed: UInt64,
    ranks: any Collectives = OneRank(),
    reader: any ResponseReading
  ) throws {
    self.plan = plan
    self.optimizer = optimizer
    self.version = version
    self.options = options
    self.seed = seed
    self.ranks = ranks
    self.reader = reader
    precondition((base == nil) == (plan.adapter == nil), "an adapter needs its base, and nothing else has one")
    self.base = base
    self.reference =
      reference.map { parameters in
        base.map { PreparedModel(adapting: $0, parameters: ParameterSource(parameters)) }
          ?? PreparedModel(plan: plan, parameters: parameters)
      } ?? base
    try prepare(spare: nil)
  }

  /// Packs the weights of the masters, which are on all ranks. All ranks call it.
  private mutating func prepare(spare: SpareMemory?) throws {
    // Several ranks gather in the gradient's memory. One rank does not need that memory until it trains.
    let pass = ranks.size > 1 ? madePass() : pass
    let gathered = pass.map {
      GatheredWeights(optimizer.parameters, of: plan.trained.count, type: plan.type, ranks, room: $0.total.memory.idle)
    }
    let source = ParameterSource(optimizer.parameters)
    let parameters: (Range<Int>) throws -> ParameterSource = { [ranks, onPart] range in
      guard ranks.size > 1, let gathered else { return source }
      onPart(.sumsSeconds)
      defer { onPart(.packingSeconds) }
      return try gathered.source(of: range)
    }
    onPart(.packingSeconds)
    prepared =
      try base.map { try PreparedModel(adapting: $0, team: pass?.team, spare: spare, parameters: parameters) }
      ?? PreparedModel(plan: plan, team: pass?.team, spare: spare, parameters: parameters)
  }

  package var model: PreparedModel {
    guard let prepared else { preconditionFailure("a policy whose update failed has no model") }
    return prepared
  }

  /// All parameters, to be rounded to the data type, or rounded to it: the masters, or the packed weights if this rank
  /// has a part of the masters. Valid until the next update.
  package var weights: ParameterSource {
    ranks.size > 1 ? ParameterSource(model, team: pass?.team) : ParameterSource(optimizer.parameters)
  }

  /// Samples in the same way as a worker.
  package func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) throws -> [Trajectory] {
    guard let first = slots.first else { return [] }
    let generator = Generator(
      model: model, policy: version, seed: seed, sampling: sampling,
      batchRows: min(Generator.batchRowsMax, slots.count), team: Team(options.threads))
    try generator.add(
      GenerationRequest(
        prompt: prompt.tokens, round: first.round, promptIndex: prompt.index, samples: slots.map(\.sample)))
    var trajectories: [Trajectory] = []
    while generator.hasWork { trajectories += try generator.advance() }
    return trajectories.sorted { $0.slot < $1.slot }
  }

  package func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey? {
    reader.answer(of: trajectory.tokens, to: prompt)
  }

  package func isThinking(atEndOf trajectory: Trajectory, to prompt: Prompt) -> Bool {
    reader.isThinking(atEndOf: trajectory.tokens, to: prompt)
  }

  /// Ends the step: the current weights become the next version.
  package mutating func publish() { version = version.next }

  package mutating func referenceLogprobs(
    of trajectories: [TrainedTrajectory], sampling: Sampling
  ) throws -> [[Float]] {
    guard let reference else { preconditionFailure("a KL penalty is on, and the policy was made without policy 0") }
    return try score(trajectories, by: reference, sampling)
  }

  package mutating func logprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) throws -> [[Float]] {
    try score(trajectories, by: model, sampling)
  }

  /// Every rank scores its share of the micro-batches, with the same forward pass as an update. A trajectory's result
  /// does not depend on its neighbours (E1). So micro-batches can be cut in any way, for any number of ranks: the
  /// result depends on neither. The ranks add their shares as bit patterns: a rank has zeros in the places of the other
  /// ranks' shares.
  private mutating func score(
    _ trajectories: [TrainedTrajectory], by model: PreparedModel, _ sampling: Sampling
  ) throws -> [[Float]] {
    let ranges = microBatches(of: trajectories, tokensMax: options.microBatchTokens)
    let mine = ranges.indices.filter { $0 % ranks.size == ranks.rank }
    let pass = madePass()
    onPart(.forwardSeconds)
    defer { onPart(.voteSeconds) }
    var mineScored = trajectories.map { [Float](repeating: 0, count: $0.trajectory.tokens.count) }
    for index in mine {
      let range = ranges[index]
      let logprobs = try pass.score(Array(trajectories[range]), model: model, sampling: sampling)
      mineScored.replaceSubrange(range, with: logprobs)
      onMicroBatch()
    }
    guard ranks.size > 1 else { return mineScored }
    onPart(.sumsSeconds)
    var bits = mineScored.flatMap { $0.map { Int64($0.bitPattern) } }
    try bits.withUnsafeMutableBufferPointer { try ranks.sum($0) }
    var rest = bits[...]
    return trajectories.map { trajectory in
      let own = rest.prefix(trajectory.trajectory.tokens.count)
      rest = rest.dropFirst(own.count)
      return own.map { Float(bitPattern: UInt32(truncatingIfNeeded: $0)) }
    }
  }

  private mutating func madePass() -> TeamPass {
    let made = pass ?? TeamPass(plan, options, ranks)
    pass = made
    return made
  }

  // MARK: One optimizer step

  package mutating func update(
    _ miniBatch: MiniBatch, method: Method, learningRate: Double
  ) throws -> UpdateReport {
    let members = miniBatch.trajectories
    let list = MicroBatchList(
      members: microBatches(of: members, tokensMax: options.microBatchTokens).map { Array(members[$0]) },
      ranks: ranks.size)
    let pass = madePass()
    onPart(.sumsSeconds)
    defer { onPart(.voteSeconds) }
    pass.total.begin(list)
    for index in list.indices(of: ranks.rank) {
      onPart(.forwardSeconds)
      let tally = try pass.run(list, index, model: model, method: method) { onPart(.backwardSeconds) }
      onPart(.sumsSeconds)
      try pass.total.take(tally)
      onMicroBatch()
    }
    try pass.total.reduce()
    return try apply(pass, miniBatch: miniBatch, learningRate: learningRate)
  }

  private mutating func apply(
    _ pass: TeamPass, miniBatch: MiniBatch, learningRate: Double
  ) throws -> UpdateReport {
    var report = pass.total.report
    report.tokens = miniBatch.tokenCount
    // Before a step's first update, trainer and sampler hold the same weights. If an older version sampled, the trainer
    // holds the weights that it used for scoring. So any difference is a bug (E2).
    if miniBatch.index == 0, report.logprobGap != 0 {
      throw TrainingError.disagreement(step: miniBatch.step, gap: report.logprobGap)
    }
    report.gradientNorm = try pass.total.norm(scale: 1 / miniBatch.divisor)
    report.isSkipped = !report.gradientNorm.isFinite
    onPart(.checkpointSeconds)
    try willChange()
    onPart(.optimizerSeconds)
    pass.total.memory.apply(to: &optimizer, norm: report.gradientNorm, learningRate: Float(learningRate))
    let spare = prepared?.spare
    prepared = nil
    try prepare(spare: spare)
    return report
  }
}

/// A team's engine and its gradient sum.
///
/// `@unchecked Sendable`: only one thread at a time uses the policy that owns it.
private final class TeamPass: @unchecked Sendable {
  let team: Team
  private let engine: Backpropagation
  let total: GradientSum

  init(_ plan: TransformerPlan, _ options: TrainerOptions, _ ranks: any Collectives) {
    team = Team(options.threads)
    engine = Backpropagation(plan, team: team, activationBytesMax: options.activationBytesMax)
    let memory: any GradientMemory =
      options.isStreamed && options.isExact
      ? StreamedGradient(plan, team: team, ranks: ranks)
      : WholeGradient(plan, isExact: options.isExact, overlaps: options.overlaps, team: team, ranks: ranks)
    total = GradientSum(memory, parameters: plan.trained.count, ranks: ranks)
  }

  /// [trajectory][T] log-probabilities of a micro-batch's tokens.
  func score(_ members: [TrainedTrajectory], model: PreparedModel, sampling: Sampling) throws -> [[Float]] {
    try engine.score(sequences(of: members), model: model, distribution: DistributionSettings(sampling))
      .map(\.logprobs)
  }

  private func sequences(of members: [TrainedTrajectory]) -> [TrainingSequence] {
    members.map { TrainingSequence(prompt: $0.prompt.tokens, response: $0.trajectory.tokens, group: $0.prompt.index) }
  }

  /// Adds the gradient of a micro-batch's summed loss to `total`. `onBackward` is called when the forward pass is done.
  func run(
    _ microBatches: MicroBatchList, _ index: Int, model: PreparedModel, method: Method, onBackward: () -> Void
  ) throws -> Tally {
    let members = microBatches.members[index]
    // The entropy bonus is subtracted from the loss.
    let entropySlopes = method.entropyCoefficient > 0 ? members.map { -method.entropyCoefficient * $0.weight } : []
    let tokenEntropySlopes =
      members.allSatisfy(\.entropySlopes.isEmpty)
      ? []
      : members.map { member in
        member.entropySlopes.isEmpty
          ? member.trajectory.tokens.map { _ in 0 } : member.entropySlopes.map { $0 * member.weight }
      }
    var isBackward = false
    let scored = try engine.run(
      sequences(of: members), model: model, distribution: DistributionSettings(method.sampling),
      receiver: total.memory.receiver(ofMicroBatch: index), entropySlopes: entropySlopes,
      tokenEntropySlopes: tokenEntropySlopes
    ) { index, place, logprob in
      if !isBackward { onBackward() }
      isBackward = true
      return objective(of: members[index], at: place, logprob: logprob, method: method).slope
    }
    var tally = Tally()
    for (member, scored) in zip(members, scored) {
      for (place, logprob) in scored.logprobs.enumerated() {
        let token = objective(of: member, at: place, logprob: logprob, method: method)
        tally.add(token, gap: abs(logprob - member.old[place]))
      }
    }
    return tally
  }
}
