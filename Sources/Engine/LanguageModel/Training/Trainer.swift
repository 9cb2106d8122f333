// Trainer: a model in training: the policy, or its critic.
//
// It has float32 masters and their AdamW moments. A `PreparedModel` is made from the masters whenever they change,
// rounded to the run's data type. Each rank computes the gradients of its share of the micro-batches. Sums are exact
// 64-bit integers (GradientSum). Each rank keeps and changes its shard of the masters and moments, and then all ranks
// gather the new weights and pack them (GatheredWeights). A parameter's value comes from the same sequence of float
// operations, whichever rank computes it.
// Not here: the loss. It is a function that the caller gives.

import Base
import Records
import TTRL
import Tensors

/// What training calls while it works.
struct TrainerHooks {
  /// After every micro-batch, so that a learner can show that it makes progress.
  var onMicroBatch: () -> Void = {}
  /// When another part of the step begins, so that a learner can measure them.
  var onPart: (FigureName) -> Void = { _ in }
  /// Before masters and moments change: a checkpoint can still be reading them.
  var willChange: () throws -> Void = {}
}

struct Trainer {
  let plan: TransformerPlan
  private let options: TrainerOptions
  private let ranks: any Collectives
  /// This rank's shard of masters and moments.
  private(set) var optimizer: AdamW
  /// nil only while the next model is made: memory may not hold two models.
  private var prepared: PreparedModel?
  /// What an adapter adapts; nil if all parameters are trained.
  let base: PreparedModel?
  private var pass: TeamPass?
  var hooks = TrainerHooks()

  /// - Parameters:
  ///   - plan: the model's shape and data type.
  ///   - optimizer: this rank's shard of masters and moments. From here on the trainer owns them.
  ///   - base: the frozen model, if the plan has an adapter.
  ///   - options: how to train.
  ///   - ranks: this rank's connection to the learner's ranks.
  /// - Throws: if the ranks cannot gather their weights. All ranks make their trainers at the same time.
  init(
    plan: TransformerPlan, optimizer: AdamW, base: PreparedModel?, options: TrainerOptions, ranks: any Collectives
  ) throws {
    self.plan = plan
    self.optimizer = optimizer
    self.options = options
    self.ranks = ranks
    precondition((base == nil) == (plan.adapter == nil), "an adapter needs its base, and nothing else has one")
    self.base = base
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
    let onPart = hooks.onPart
    let parameters: (Range<Int>) throws -> ParameterSource = { [ranks] range in
      guard ranks.size > 1, let gathered else { return source }
      onPart(.sumsSeconds)
      defer { onPart(.packingSeconds) }
      return try gathered.source(of: range)
    }
    onPart(.packingSeconds)
    prepared =
      try base.map { try PreparedModel(adapting: $0, as: plan, team: pass?.team, spare: spare, parameters: parameters) }
      ?? PreparedModel(plan: plan, team: pass?.team, spare: spare, parameters: parameters)
  }

  var model: PreparedModel {
    guard let prepared else { preconditionFailure("a policy whose update failed has no model") }
    return prepared
  }

  /// All parameters, to be rounded to the data type, or rounded to it: the masters, or the packed weights if this rank
  /// has a part of the masters. Valid until the next update.
  var weights: ParameterSource {
    ranks.size > 1 ? ParameterSource(model, team: pass?.team) : ParameterSource(optimizer.parameters)
  }

  private mutating func madePass() -> TeamPass {
    let made = pass ?? TeamPass(plan, options, ranks)
    pass = made
    return made
  }

  /// [trajectory][T] the log-probabilities of the responses' tokens, or a critic's values.
  ///
  /// Every rank scores its share of the micro-batches, with the same forward pass as an update. A trajectory's result
  /// does not depend on its neighbours (E1). So micro-batches can be cut in any way, for any number of ranks: the
  /// result depends on neither. The ranks add their shares as bit patterns: a rank has zeros in the places of the other
  /// ranks' shares.
  mutating func score(
    _ trajectories: [TrainedTrajectory], by model: PreparedModel, _ sampling: Sampling
  ) throws -> [[Float]] {
    let ranges = microBatches(of: trajectories, tokensMax: options.microBatchTokens)
    let mine = ranges.indices.filter { $0 % ranks.size == ranks.rank }
    let pass = madePass()
    hooks.onPart(.forwardSeconds)
    defer { hooks.onPart(.voteSeconds) }
    var mineScored = trajectories.map { [Float](repeating: 0, count: $0.trajectory.tokens.count) }
    for index in mine {
      let range = ranges[index]
      let logprobs = try pass.score(Array(trajectories[range]), model: model, sampling: sampling)
      mineScored.replaceSubrange(range, with: logprobs)
      hooks.onMicroBatch()
    }
    guard ranks.size > 1 else { return mineScored }
    hooks.onPart(.sumsSeconds)
    var bits = mineScored.flatMap { $0.map { Int64($0.bitPattern) } }
    try bits.withUnsafeMutableBufferPointer { try ranks.sum($0) }
    var rest = bits[...]
    return trajectories.map { trajectory in
      let own = rest.prefix(trajectory.trajectory.tokens.count)
      rest = rest.dropFirst(own.count)
      return own.map { Float(bitPattern: UInt32(truncatingIfNeeded: $0)) }
    }
  }

  /// One optimizer step.
  ///
  /// - Parameters:
  ///   - members: the mini-batch, ascending by slot.
  ///   - divisor: of the summed loss.
  ///   - loss: the loss of a token.
  ///   - check: called with the sums before anything changes.
  mutating func update(
    _ members: [TrainedTrajectory], divisor: Double, learningRate: Double, loss: TokenLoss,
    check: (UpdateReport) throws -> Void = { _ in }
  ) throws -> UpdateReport {
    let list = MicroBatchList(
      members: microBatches(of: members, tokensMax: options.microBatchTokens).map { Array(members[$0]) },
      ranks: ranks.size)
    let pass = madePass()
    hooks.onPart(.sumsSeconds)
    defer { hooks.onPart(.voteSeconds) }
    pass.total.begin(list)
    for index in list.indices(of: ranks.rank) {
      hooks.onPart(.forwardSeconds)
      let tally = try pass.run(list, index, model: model, loss: loss) { hooks.onPart(.backwardSeconds) }
      hooks.onPart(.sumsSeconds)
      try pass.total.take(tally)
      hooks.onMicroBatch()
    }
    try pass.total.reduce()
    var report = pass.total.report
    report.tokens = members.reduce(0) { $0 + $1.trajectory.tokens.count }
    try check(report)
    report.gradientNorm = try pass.total.norm(scale: 1 / divisor)
    report.isSkipped = !report.gradientNorm.isFinite
    hooks.onPart(.checkpointSeconds)
    try hooks.willChange()
    hooks.onPart(.optimizerSeconds)
    pass.total.memory.apply(to: &optimizer, norm: report.gradientNorm, learningRate: Float(learningRate))
    let spare = prepared?.spare
    prepared = nil
    try prepare(spare: spare)
    return report
  }
}

/// The loss of a token, as a function of what the model says about it: its log-probability, or its value.
struct TokenLoss {
  let sampling: Sampling
  /// How much a nat of a token's entropy adds to the loss.
  var entropySlope: Float = 0
  /// Whether the members' own slopes of entropies apply: to a policy, not to a critic.
  var hasEntropies = false
  /// What `token` needs to know of the whole sequence, from its outputs; nil: nothing.
  var sequence: ((_ member: TrainedTrajectory, _ outputs: [Float]) -> Float)?
  let token: (_ member: TrainedTrajectory, _ place: Int, _ output: Float, _ ofSequence: Float) -> SurrogateToken
  /// What an output is compared with to find errors of the engine; nil: with nothing.
  var expected: ((_ member: TrainedTrajectory, _ place: Int) -> Float)?
}

/// A team's engine and its gradient sum.
///
/// `@unchecked Sendable`: only one thread at a time uses the trainer that owns it.
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
    _ microBatches: MicroBatchList, _ index: Int, model: PreparedModel, loss: TokenLoss, onBackward: () -> Void
  ) throws -> Tally {
    let members = microBatches.members[index]
    let entropySlopes = loss.entropySlope != 0 ? members.map { loss.entropySlope * $0.weight } : []
    let tokenEntropySlopes =
      !loss.hasEntropies || members.allSatisfy(\.entropySlopes.isEmpty)
      ? []
      : members.map { member in
        member.entropySlopes.isEmpty
          ? member.trajectory.tokens.map { _ in 0 } : member.entropySlopes.map { $0 * member.weight }
      }
    var isBackward = false
    var ofSequences = [Float](repeating: 1, count: members.count)
    let look = loss.sequence.map { sequence in
      { (scored: [ScoredSequence]) in ofSequences = zip(members, scored).map { sequence($0, $1.logprobs) } }
    }
    let scored = try engine.run(
      sequences(of: members), model: model, distribution: DistributionSettings(loss.sampling),
      receiver: total.memory.receiver(ofMicroBatch: index), entropySlopes: entropySlopes,
      tokenEntropySlopes: tokenEntropySlopes, willSlope: look
    ) { index, place, output in
      if !isBackward { onBackward() }
      isBackward = true
      return loss.token(members[index], place, output, ofSequences[index]).slope
    }
    var tally = Tally()
    for ((member, scored), ofSequence) in zip(zip(members, scored), ofSequences) {
      for (place, output) in scored.logprobs.enumerated() {
        let gap = loss.expected.map { abs(output - $0(member, place)) } ?? 0
        tally.add(loss.token(member, place, output, ofSequence), gap: gap)
      }
    }
    return tally
  }
}
