// LanguageModelPolicy: a transformer as the Policy that Improve.swift trains.
//
// It has one trainer, or two: that of the policy and, under `objective ppo`, that of the critic, a model of the same
// kind with a value head. Sampling and training both use the policy's packed weights.

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
  private let options: TrainerOptions
  private let seed: UInt64
  /// Reads responses. The caller has the tokenizer.
  private let reader: any ResponseReading
  private var trainer: Trainer
  private var critic: Trainer?
  /// Policy 0, if a KL penalty needs it.
  private let reference: PreparedModel?
  package private(set) var version: PolicyVersion

  /// - Parameters:
  ///   - plan: the model's shape and data type.
  ///   - optimizer: this rank's shard of masters and moments. From here on the policy owns them.
  ///   - critic: the critic's shape, and the same of the critic; nil if the objective has none.
  ///   - version: the version of these masters.
  ///   - reference: the parameters of policy 0, if a KL penalty is on; they are copied.
  ///   - base: the frozen model, if the plan has an adapter. Without `reference`, it is policy 0 for a KL penalty.
  ///   - options: how to train.
  ///   - seed: the run's seed, for `sample`.
  ///   - ranks: this rank's connection to the learner's ranks.
  ///   - reader: reads responses.
  /// - Throws: if the ranks cannot gather their weights. All ranks make their policies at the same time.
  package init(
    plan: TransformerPlan, optimizer: AdamW, critic: (plan: TransformerPlan, optimizer: AdamW)? = nil,
    version: PolicyVersion,
    reference: Floats? = nil, base: PreparedModel? = nil, options: TrainerOptions, seed: UInt64,
    ranks: any Collectives = OneRank(),
    reader: any ResponseReading
  ) throws {
    self.version = version
    self.options = options
    self.seed = seed
    self.reader = reader
    self.reference =
      reference.map { parameters in
        base.map { PreparedModel(adapting: $0, parameters: ParameterSource(parameters)) }
          ?? PreparedModel(plan: plan, parameters: parameters)
      } ?? base
    trainer = try Trainer(plan: plan, optimizer: optimizer, base: base, options: options, ranks: ranks)
    self.critic = try critic.map {
      try Trainer(plan: $0.plan, optimizer: $0.optimizer, base: base, options: options, ranks: ranks)
    }
  }

  /// Called after every micro-batch, so that a learner can show that it makes progress.
  package var onMicroBatch: () -> Void {
    get { trainer.hooks.onMicroBatch }
    set {
      trainer.hooks.onMicroBatch = newValue
      critic?.hooks.onMicroBatch = newValue
    }
  }

  /// Called when another part of the step begins, so that a learner can measure them.
  package var onPart: (FigureName) -> Void {
    get { trainer.hooks.onPart }
    set {
      trainer.hooks.onPart = newValue
      critic?.hooks.onPart = newValue
    }
  }

  /// Called before masters and moments change: a checkpoint can still be reading them.
  package var willChange: () throws -> Void {
    get { trainer.hooks.willChange }
    set {
      trainer.hooks.willChange = newValue
      critic?.hooks.willChange = newValue
    }
  }

  package var model: PreparedModel { trainer.model }

  /// This rank's shard of the policy's masters and moments.
  package var optimizer: AdamW { trainer.optimizer }

  /// The policy's, and the critic's if there is one.
  package var optimizers: [AdamW] { [trainer.optimizer] + [critic?.optimizer].compactMap { $0 } }

  /// 64 bits of all weights that are trained.
  package var fingerprint: UInt64 {
    critic.map { model.fingerprint ^ ($0.model.fingerprint &* 0x9E37_79B9_7F4A_7C15) } ?? model.fingerprint
  }

  /// All parameters, to be rounded to the data type, or rounded to it: the masters, or the packed weights if this rank
  /// has a part of the masters. Valid until the next update.
  package var weights: ParameterSource { trainer.weights }

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
    guard let reference else { preconditionFailure("policy 0 is needed, and the policy was made without it") }
    return try trainer.score(trajectories, by: reference, sampling)
  }

  package mutating func logprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) throws -> [[Float]] {
    try trainer.score(trajectories, by: model, sampling)
  }

  package mutating func values(of trajectories: [TrainedTrajectory], sampling: Sampling) throws -> [[Float]] {
    guard let model = critic?.model else { preconditionFailure("the policy was made without a critic") }
    return try critic?.score(trajectories, by: model, sampling) ?? []
  }

  package mutating func update(
    _ miniBatch: MiniBatch, method: Method, learningRate: Double
  ) throws -> UpdateReport {
    let loss = TokenLoss(
      sampling: method.sampling, entropySlope: -method.entropyCoefficient, hasEntropies: true,
      sequence: method.objective.needsSequences ? { sequenceRatio(of: $0, logprobs: $1) } : nil,
      token: { objective(of: $0, at: $1, logprob: $2, sequenceRatio: $3, method: method) },
      // The responses of supervised training were not sampled.
      expected: method.objective == .sft ? nil : { $0.old[$1] })
    var report = try trainer.update(
      miniBatch.trajectories, divisor: miniBatch.divisor, learningRate: learningRate, loss: loss
    ) { report in
      // Before a step's first update, trainer and sampler hold the same weights. If an older version sampled, the
      // trainer holds the weights that it used for scoring. So any difference is a bug (E2).
      if miniBatch.index == 0, report.logprobGap != 0 {
        throw TrainingError.disagreement(step: miniBatch.step, gap: report.logprobGap)
      }
    }
    if method.objective == .ppo { report.critic = try updateCritic(miniBatch, method: method) }
    return report
  }

  package mutating func processLogprobs(
    of trajectories: [TrainedTrajectory], sampling: Sampling
  ) throws -> [[Float]] {
    try values(of: trajectories, sampling: sampling)
  }

  package mutating func updateProcessRewards(_ miniBatch: MiniBatch, method: Method) throws -> CriticReport {
    let loss = TokenLoss(
      sampling: method.sampling, sequence: { processLogit(of: $0, logprobs: $1) },
      token: { member, _, _, logit in processLoss(of: member, logit: logit) })
    return try critic?.update(
      miniBatch.trajectories, divisor: miniBatch.sequenceDivisor, learningRate: method.primeLearningRate, loss: loss
    ).asCritic ?? CriticReport()
  }

  /// One optimizer step of a critic of values.
  private mutating func updateCritic(_ miniBatch: MiniBatch, method: Method) throws -> CriticReport? {
    let loss = TokenLoss(
      sampling: method.sampling,
      token: { member, place, value, _ in
        valueLoss(value: value, old: member.values[place], target: member.returns[place], clip: method.valueClip)
      })
    return try critic?.update(
      miniBatch.trajectories, divisor: Double(max(miniBatch.tokenCount, 1)), learningRate: method.criticLearningRate,
      loss: loss
    ).asCritic
  }
}
